"""A tokenizer of numbers for models that have none: `"5 9"` is the tokens 5 and 9."""

from dataclasses import replace

from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from interlock.tables import Table


def numbered(model):
    """The model with a tokenizer of numbers."""
    words = {str(number): number for number in range(model.shape.vocab)}
    plain = Tokenizer(models.WordLevel(words, unk_token="0"))
    plain.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return replace(model, tokenizer=PreTrainedTokenizerFast(tokenizer_object=plain))


def spelled(ids):
    return " ".join(map(str, ids))


def replies_of(pairs):
    """Prompts and replies given as token ids, as a table."""
    prompts, replies = zip(*pairs, strict=True)
    return Table({"prompt": list(map(spelled, prompts)), "reply": list(map(spelled, replies))})
