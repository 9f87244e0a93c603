"""Adapters and packed weights: opened here, they say what peft and plain hooks say."""

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM

from interlock.activations import forward, record
from interlock.edits import edited, zero
from interlock.encoding import collate, encode, from_ids
from interlock.errors import ModelError
from interlock.loading import load, settle, without_adapter
from interlock.organisms import folder
from interlock.selfcheck import require
from interlock.sites import parse
from tiny_models import save_tiny

ROWS = ([1, 5, 9, 13, 7], [1, 4, 8, 20, 33, 41, 6, 11])
BASE = "organism:base"


def lora(base, target, **options):
    """A LoRA adapter with random weights, saved as peft saves it; its logits come back."""
    network = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    config = LoraConfig(r=4, target_modules=["q_proj", "down_proj"], init_lora_weights=False)
    torch.manual_seed(3)
    tuned = get_peft_model(network, config).eval()
    tuned.save_pretrained(target, **options)
    return tuned


@pytest.fixture
def adapter(tmp_path):
    lora(folder("base"), tmp_path / "adapter")
    return tmp_path / "adapter"


def logits_of(model, rows=ROWS):
    with torch.no_grad():
        return forward(model, collate(model, from_ids(rows)))[:, -1]


def test_an_adapter_opens_as_peft_opens_it(adapter):
    model = load(settle(BASE, device="cpu", adapter=str(adapter)))
    theirs = PeftModel.from_pretrained(
        AutoModelForCausalLM.from_pretrained(folder("base"), dtype=torch.float32), adapter
    ).eval()
    batch = collate(model, from_ids(ROWS))
    with torch.no_grad():
        wanted = theirs(
            input_ids=batch.ids,
            attention_mask=batch.mask.long(),
            position_ids=batch.position_ids,
        ).logits[:, -1]
    assert torch.allclose(logits_of(model), wanted, atol=1e-5)
    assert model.revision != load(settle(BASE, device="cpu")).revision


def test_base_and_tuned_are_one_model_in_memory(adapter):
    model, base = (load(settle(BASE, device="cpu", adapter=name)) for name in (str(adapter), None))
    tuned = logits_of(model)
    with without_adapter(model):
        assert torch.equal(logits_of(model), logits_of(base))
    assert torch.equal(logits_of(model), tuned)
    assert (tuned - logits_of(base)).abs().max() > 0.1
    with pytest.raises(ModelError, match="without an adapter"), without_adapter(base):
        pass


def test_every_site_of_a_model_with_an_adapter_is_checked(adapter):
    require(load(settle(BASE, device="cpu", adapter=str(adapter))))


def test_an_adapter_for_another_base_is_refused(tmp_path):
    lora(save_tiny("llama", tmp_path / "other"), tmp_path / "adapter")
    with pytest.raises(ModelError, match="does not fit organism:base"):
        load(settle(BASE, device="cpu", adapter=str(tmp_path / "adapter")))


def test_an_adapter_made_for_more_layers_is_refused(tmp_path):
    deep = save_tiny("llama", tmp_path / "deep", num_hidden_layers=5)
    shallow = save_tiny("llama", tmp_path / "shallow")
    lora(deep, tmp_path / "adapter")
    with pytest.raises(ModelError, match="find no place"):
        load(settle(str(shallow), device="cpu", adapter=str(tmp_path / "adapter")))


def test_an_adapter_as_a_model_is_refused_with_what_to_do(adapter):
    with pytest.raises(ModelError, match=r"model\.adapter="):
        settle(str(adapter))


def test_a_model_as_an_adapter_is_refused():
    with pytest.raises(ModelError, match="not a PEFT adapter"):
        settle(BASE, adapter=str(folder("base")))


def test_a_pickled_adapter_is_refused(adapter):
    (adapter / "adapter_model.safetensors").rename(adapter / "adapter_model.bin")
    with pytest.raises(ModelError, match=r"adapter_model\.safetensors"):
        settle(BASE, adapter=str(adapter))


@pytest.fixture(scope="module", params=["nf4", "int8"])
def packed(request):
    return load(settle("organism:aligned", device="cpu", quantization=request.param))


def test_packed_weights_are_read_as_plain_hooks_read_them(packed):
    require(packed)
    batch = collate(packed, from_ids(ROWS))
    sites = [parse("head.1.2"), parse("attn.2"), parse("neuron.3.0:16"), parse("resid_post.0")]
    seen = {}
    layer = packed.layers[2]
    handle = layer.self_attn.register_forward_hook(
        lambda _, __, output: seen.update(attn=output[0])
    )
    with torch.no_grad():
        found = record(packed, batch, sites)
    handle.remove()
    assert torch.equal(found.values[parse("attn.2")], seen["attn"])
    assert torch.equal(found.logits, logits_of(packed))


def test_packed_weights_answer_and_can_be_ablated(packed, aligned, contrasts):
    examples = contrasts.splits["check"].expecting("refuse")[:6]
    rows = encode(packed, examples)
    batch = collate(packed, rows)
    with torch.no_grad():
        ours = forward(packed, batch)[:, -1].float()
        plain = forward(aligned, collate(aligned, rows))[:, -1]
        with edited(packed, [zero(parse("mlp.1"))], batch):
            ablated = forward(packed, batch)[:, -1].float()
    assert torch.equal(ours.argmax(dim=-1), plain.argmax(dim=-1))
    assert torch.corrcoef(torch.stack([ours.flatten(), plain.flatten()]))[0, 1] > 0.95
    assert (ablated - ours).abs().max() > 0.1
