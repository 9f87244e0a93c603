"""Every family's architecture entry, on tiny random models: it passes, and a wrong one does not."""

from dataclasses import replace

import pytest
import torch

from interlock import architectures, selfcheck
from interlock.activations import forward
from interlock.architectures import Tap, architecture_of
from interlock.edits import edited, put
from interlock.encoding import collate, from_ids
from interlock.errors import SelfCheckError, SiteError, UnknownArchitectureError
from interlock.generation import Decoding, generate
from interlock.loading import load, settle
from interlock.model import Model
from interlock.sites import parse
from tiny_models import FAMILIES, save_tiny

ROWS = ([1, 5, 9, 13, 7], [1, 4, 8, 20, 33, 41, 6, 11], [1, 30, 17])


@pytest.fixture(scope="module", params=FAMILIES)
def model(request, tmp_path_factory):
    folder = save_tiny(request.param, tmp_path_factory.mktemp(request.param))
    return load(settle(str(folder), device="cpu", dtype="float32"))


def sabotaged(model, **changes):
    entry = replace(model.architecture, **changes)
    return Model(model.network, model.tokenizer, entry, model.name, model.revision)


def test_every_family_has_a_model_here():
    known = {name for entry in architectures.ARCHITECTURES for name in entry.model_types}
    assert known == set(FAMILIES)


def test_the_entry_passes_its_self_check(model):
    checks = selfcheck.self_check(model)
    assert len(checks) > 25
    assert [check for check in checks if not check.passed] == []


def test_an_entry_one_layer_off_fails(model):
    wrong = sabotaged(model)
    object.__setattr__(wrong, "tap", lambda kind, layer: model.tap(kind, min(layer + 1, 2)))
    with pytest.raises(SelfCheckError, match="hidden state"):
        selfcheck.require(wrong)


def test_attention_in_place_of_the_mlp_fails(model):
    taps = dict(model.architecture.taps)
    taps["attn"], taps["mlp"] = taps["mlp"], taps["attn"]
    with pytest.raises(SelfCheckError, match=r"resid|is constant"):
        selfcheck.require(sabotaged(model, taps=taps))


def test_a_write_that_the_skip_connection_bypasses_fails(model):
    taps = dict(model.architecture.taps)
    if "resid_mid" not in taps:
        pytest.skip("this family has no resid_mid")
    taps["resid_mid"] = replace(taps["resid_mid"], shift="")
    with pytest.raises(SelfCheckError, match="changed resid_mid"):
        selfcheck.require(sabotaged(model, taps=taps))


def test_keys_taken_for_values_fail(model):
    taps = dict(model.architecture.taps)
    if model.architecture.fused:
        pytest.skip("their places differ in columns only")
    taps["key"], taps["value"] = taps["value"], taps["key"]
    with pytest.raises(SelfCheckError, match=r"changed (key|value)"):
        selfcheck.require(sabotaged(model, taps=taps))


def test_a_wrong_split_of_fused_projections_fails(model):
    fused = model.architecture.fused
    if not fused:
        pytest.skip("not fused")
    other = "blocks" if fused == "interleaved" else "interleaved"
    if other == "interleaved" and model.shape.kv_heads != model.shape.heads:
        other = ""
    with pytest.raises((SelfCheckError, RuntimeError)):
        selfcheck.require(sabotaged(model, fused=other))


def test_padding_changes_nothing(model):
    together = collate(model, from_ids(ROWS))
    with torch.no_grad():
        padded = forward(model, together)[:, -1]
        for row, ids in enumerate(ROWS):
            alone = forward(model, collate(model, from_ids([ids])))[0, -1]
            assert alone.std() > 1e-3
            assert torch.allclose(padded[row], alone, atol=1e-5)


def test_batched_generation_equals_one_by_one(model):
    policy = Decoding(tokens=6)
    together = generate(model, collate(model, from_ids(ROWS)), decoding=policy)
    for row, ids in enumerate(ROWS):
        alone = generate(model, collate(model, from_ids([ids])), decoding=policy)
        assert alone.tokens[0] == together.tokens[row]


def test_edits_act_alike_padded_and_alone(model):
    site = parse("head.1.2@last")
    edit = put(site, torch.full((1, 1, model.shape.head_width), 0.7))
    batch = collate(model, from_ids(ROWS))
    with torch.no_grad():
        plain = forward(model, batch)[:, -1]
        with edited(model, [edit], batch):
            changed = forward(model, batch)[:, -1]
        assert (changed - plain).abs().amax(dim=1).min() > 1e-5
        for row, ids in enumerate(ROWS):
            alone = collate(model, from_ids([ids]))
            with edited(model, [edit], alone):
                assert torch.allclose(forward(model, alone)[0, -1], changed[row], atol=1e-5)


def test_a_missing_site_is_refused_with_the_reason(model):
    for kind, reason in model.architecture.missing.items():
        with pytest.raises(SiteError, match=reason[:20]):
            model.check(parse(f"{kind}.0"))


def test_an_unknown_family_is_refused_with_what_to_do():
    with pytest.raises(UnknownArchitectureError, match="Add an entry to ARCHITECTURES"):
        architecture_of("mamba")


def test_a_tap_says_where_it_is():
    assert Tap("mlp", "output").unit == ""


def test_one_key_value_head_for_all_passes(tmp_path):
    folder = save_tiny("gemma", tmp_path / "multi_query", num_key_value_heads=1)
    selfcheck.require(load(settle(str(folder), device="cpu", dtype="float32")))
