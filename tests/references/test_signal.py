"""The signal by layer: the lens by hand from hidden states, the projection from the same states."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from interlock import datasets
from interlock.contrast import Contrast
from interlock.direction import Direction
from interlock.encoding import encode_pairs
from interlock.errors import ContrastError
from interlock.mean_differences import treated_well
from interlock.measures import openers_of, opening_scores
from interlock.methods.directions import candidates, direction
from interlock.methods.signal import signal_lens, signal_projection
from interlock.tables import Table


@pytest.fixture(scope="module")
def pairs(contrasts) -> Contrast:
    return contrasts.splits["check"]


@pytest.fixture(scope="module")
def states(aligned, pairs):
    """Hidden states by Hugging Face, a prompt at a time: harmful and harmless, by layers passed."""
    encoded = encode_pairs(aligned, pairs)
    found = []
    for rows in (encoded.harmful, encoded.harmless):
        side = []
        for row in rows:
            ids = torch.tensor([row.ids])
            with torch.no_grad():
                out = aligned.network(input_ids=ids, output_hidden_states=True)
            # the last one has been through the final norm already: it is left out
            side.append([state[0] for state in out.hidden_states[:-1]])
        found.append(side)
    return encoded, found


def by_key(table: Table) -> dict:
    return {
        (row["position"], row["layers"], row["example"]): (row["harmful"], row["harmless"])
        for row in table.rows()
    }


def test_the_lens_is_norm_and_unembedding_of_every_hidden_state(aligned, pairs, judged, states):
    encoded, sides = states
    found = by_key(signal_lens(aligned, pairs, judged, batch=5))
    openers = openers_of(judged)
    norm, head = aligned.network.model.norm, aligned.network.lm_head
    layers = len(aligned.layers)
    assert len(found) == len(encoded.harmful) * (layers + 1) * 2
    for number, row in enumerate(encoded.harmful):
        for position, place in (("last", -1), ("slot", row.slot[-1])):
            for passed in range(layers):
                wanted = []
                for side in sides:
                    logits = head(norm(side[number][passed][place]))
                    refusal = logits[list(openers.refusal)].logsumexp(0)
                    wanted.append(float(refusal - logits[list(openers.compliance)].logsumexp(0)))
                assert found[position, passed, row.id] == pytest.approx(wanted, abs=2e-4)


def test_after_the_last_layer_the_last_token_reads_as_the_model_speaks(aligned, pairs, judged):
    encoded = encode_pairs(aligned, pairs)
    found = by_key(signal_lens(aligned, pairs, judged, positions=("last",)))
    openers, layers = openers_of(judged), len(aligned.layers)
    spoken = [
        opening_scores(aligned, rows, openers) for rows in (encoded.harmful, encoded.harmless)
    ]
    for row, *scores in zip(encoded.harmful, *spoken, strict=True):
        assert found["last", layers, row.id] == pytest.approx(scores, abs=1e-4)


@pytest.fixture(scope="module")
def fitted(aligned, judged, contrasts) -> Direction:
    find = contrasts.splits["find"]
    return direction(aligned, find, judged, candidates(aligned, find, judged))


def test_the_projection_is_a_dot_product_on_the_directions_own_scale(
    aligned, pairs, fitted, states
):
    encoded, sides = states
    found = by_key(signal_projection(aligned, pairs, fitted, batch=7))
    vector = torch.tensor(fitted.vectors[0])
    place = int(fitted.site.position)
    # the harmless mean at the direction's own place, from what the direction stores of it
    stream = next(
        number for number, each in enumerate(fitted.streams)
        if (each.kind, each.layer) == (fitted.site.kind, fitted.site.layer)
    )  # fmt: skip
    zero = fitted.harmless[0, stream, fitted.harmless.shape[-1] - 1 + place]
    for number, row in enumerate(encoded.harmful):
        for passed in range(len(aligned.layers)):
            wanted = [
                (float(side[number][passed][-1] @ vector / vector.norm()) - zero)
                / float(vector.norm())
                for side in sides
            ]
            assert found["last", passed, row.id] == pytest.approx(wanted, abs=1e-4)


def test_on_the_prompts_it_was_fitted_on_the_direction_reads_0_and_1(aligned, judged, contrasts):
    """Every topic but those held to choose on, and answered as expected: harmless 0, harmful 1."""
    find = contrasts.splits["find"]
    chosen = candidates(aligned, find, judged)
    one = direction(aligned, find, judged, chosen)
    held, seed = float(chosen.about["held"]), int(chosen.about["seed"])
    used = treated_well(find, judged, held, seed)
    kept = {example.id for example in (*used.harmful, *used.harmless)}
    table = signal_projection(aligned, find, one, positions=(one.site.position,))
    at = table.where(layers=one.site.layer)
    harmless = {each.pair: each.id for each in find.expecting("comply")}
    partner = {each.id: harmless[each.pair] for each in find.expecting("refuse")}
    names = at["example"].tolist()
    high = [value for name, value in zip(names, at["harmful"], strict=True) if name in kept]
    low = [
        value for name, value in zip(names, at["harmless"], strict=True) if partner[name] in kept
    ]
    assert len(high) == len(used.harmful) and len(low) == len(used.harmless)
    assert np.mean(high) == pytest.approx(1, abs=1e-4)
    assert np.mean(low) == pytest.approx(0, abs=1e-4)


def test_several_directions_are_refused(aligned, pairs, fitted):
    two = replace(
        fitted,
        names=("a", "b"),
        vectors=np.repeat(fitted.vectors, 2, axis=0),
        harmless=np.repeat(fitted.harmless, 2, axis=0),
        harmful=np.repeat(fitted.harmful, 2, axis=0),
    )
    with pytest.raises(ContrastError, match="2 directions are given"):
        signal_projection(aligned, pairs, two)


def test_pairs_of_unequal_length_are_read_at_their_end_alone(aligned, judged):
    find = datasets.load("grammar", per_category=2, passages=1, seed=0).splits["check"]
    uneven = Contrast(
        find.name, find.split,
        tuple(
            replace(each, prompt=f"{each.prompt} now") if each.expected == "comply" else each
            for each in find.examples
        ),
        find.licence,
    )  # fmt: skip
    table = signal_lens(aligned, uneven, judged)
    assert set(table["position"]) == {"last"}
    assert table.about["positions that no pair has"] == "slot"
    with pytest.raises(ContrastError, match="equally long"):
        signal_lens(aligned, uneven, judged, positions=("slot",))
