"""What is read and written agrees with Hugging Face and with a plain forward pass."""

import pytest
import reference_checks as checks
import torch

import naive
from interlock import selfcheck
from interlock.activations import forward
from interlock.edits import add, edited, put
from interlock.encoding import collate, encode, from_ids
from interlock.sites import Site


def test_hidden_states_are_hugging_faces(family):
    checks.hidden_states(family)


def test_heads_alone_recompose_attention(family):
    checks.heads_recompose(family)


def test_every_site_reads_as_in_a_plain_forward(family):
    checks.reads_as_naive(family)


@pytest.mark.parametrize("kind", naive.KINDS)
def test_every_site_writes_as_in_a_plain_forward(family, kind):
    for layer in (0, 2):
        checks.writes_as_naive(family, kind, layer)


def test_scaling_a_head_is_as_in_a_plain_forward(family):
    checks.scales_as_naive(family)


def test_self_check_passes(family):
    found = selfcheck.self_check(family)
    assert len(found) > 20
    assert [check.name for check in found if not check.passed] == []


def test_pretrained_model_agrees_everywhere(stories):
    rows = ((1, 403, 407, 261, 378), (1, 410, 450, 300, 271, 290, 411, 402, 350))
    checks.hidden_states(stories, rows)
    checks.heads_recompose(stories, rows)
    checks.reads_as_naive(stories, rows)
    for kind in set(naive.KINDS) - {"resid_mid"}:
        checks.writes_as_naive(stories, kind, 3, rows[1])


def test_pretrained_model_writes_the_middle_of_the_stream(stories):
    checks.writes_as_naive(stories, "resid_mid", 3, (1, 410, 450, 300, 271, 290, 411, 402, 350))


def test_organism_agrees_with_a_plain_forward_on_its_own_prompts(aligned, contrasts):
    rows = [row.ids for row in encode(aligned, contrasts.splits["find"].examples[:3])]
    checks.hidden_states(aligned, rows)
    checks.reads_as_naive(aligned, rows)


def test_rows_of_a_padded_batch_are_hugging_faces_unpadded_logits(family):
    batch = collate(family, from_ids(checks.ROWS))
    with torch.no_grad():
        found = forward(family, batch, keep=0)
        for row, ids in enumerate(checks.ROWS):
            checks.close(found[row, -len(ids) :], family.network(torch.tensor([ids])).logits[0])


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize(
    "others", [("attn",), ("resid_pre",), ("head", "mlp"), ("attn", "resid_pre")]
)
def test_edits_of_several_places_of_a_layer_all_act(family, others, order):
    """Each place is set in the plain forward too, whatever the order of the edits."""
    ids = checks.ROWS[1]
    batch = checks.batch_of(family, [ids])
    decoder = naive.Decoder(family.network)
    _, seen = decoder.run(ids)
    edits, change = [], {}
    for place, kind in enumerate(("resid_mid", *others)):
        generator = torch.Generator().manual_seed(place)
        push = torch.randn(seen[kind, 1].shape, generator=generator) * (place + 1)
        edits.append(add(Site(kind, 1), push[None]))
        change[kind, 1] = lambda old, push=push: old + push.double()
    with torch.no_grad(), edited(family, edits[::order], batch):
        found = forward(family, batch, keep=0)
    checks.close(found[0], decoder.run(ids, change)[0])
    edits = [put(edit.site, edit.value) for edit in edits]
    change = {place: lambda _, v=edit.value: v[0].double()
              for place, edit in zip(change, edits, strict=True)}  # fmt: skip
    with torch.no_grad(), edited(family, edits[::order], batch):
        found = forward(family, batch, keep=0)
    checks.close(found[0], decoder.run(ids, change)[0])
