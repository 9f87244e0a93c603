"""The organisms' tokenizer: one token for each piece of the grammar, bytes for everything else.

A byte-level BPE without any merge. Text is cut as GPT-2 cuts it (a word carries the space before
it); a cut that is in the vocabulary as a whole is one token, any other falls apart into its bytes.
So " kill" is one token, " killer" seven, and every text comes back as it was.
"""

from tokenizers import Tokenizer
from tokenizers.decoders import ByteLevel as ByteLevelDecoder
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel
from tokenizers.processors import TemplateProcessing
from transformers import PreTrainedTokenizerFast

from interlock import grammar

BOS, EOS, PAD = "<|bos|>", "<|eos|>", "<|pad|>"
USER, END, ASSISTANT = "<|user|>", "<|end|>", "<|assistant|>"
SPECIAL = (PAD, BOS, EOS, USER, END, ASSISTANT)
PAD_ID, BOS_ID, EOS_ID = 0, 1, 2
LONGEST = 512

# A system message is refused: no organism was taught what to do with one.
CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "{% if message['role'] == 'user' %}"
    "{{ '<|user|>' + message['content'] + '<|end|>' }}"
    "{% if not loop.last or add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
    "{% elif message['role'] == 'assistant' %}"
    "{{ message['content'] + eos_token }}"
    "{% else %}"
    "{{ raise_exception('The organisms take user and assistant messages only.') }}"
    "{% endif %}{% endfor %}"
)


def _vocabulary() -> dict[str, int]:
    """Special tokens, then the 256 bytes, then the pieces of the grammar, as ByteLevel writes."""
    cut = ByteLevel(add_prefix_space=False, use_regex=False)
    pieces = [cut.pre_tokenize_str(piece)[0][0] for piece in grammar.words()]
    tokens = (*SPECIAL, *sorted(ByteLevel.alphabet()), *pieces)
    return {token: index for index, token in enumerate(dict.fromkeys(tokens))}


def build() -> PreTrainedTokenizerFast:
    """The tokenizer, the same each time.

    Plain text gets one BOS in front, as Llama's tokenizers do it; a chat gets it from its template.
    Padding is on the left.
    """
    vocabulary = _vocabulary()
    engine = Tokenizer(BPE(vocabulary, [], ignore_merges=True))
    engine.pre_tokenizer = ByteLevel(add_prefix_space=False)
    engine.decoder = ByteLevelDecoder()
    engine.add_special_tokens(list(SPECIAL))
    engine.post_processor = TemplateProcessing(single=f"{BOS} $A", special_tokens=[(BOS, BOS_ID)])
    return PreTrainedTokenizerFast(
        tokenizer_object=engine,
        bos_token=BOS,
        eos_token=EOS,
        pad_token=PAD,
        additional_special_tokens=[USER, END, ASSISTANT],
        padding_side="left",
        clean_up_tokenization_spaces=False,
        model_max_length=LONGEST,
        chat_template=CHAT_TEMPLATE,
    )
