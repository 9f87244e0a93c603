"""Directions: hooks equal weights, means and choice equal work by hand, edits do what they say."""

import io

import numpy as np
import pytest
import torch

import naive
from interlock.activations import forward, record
from interlock.direction import Direction, from_table, read, save, steered
from interlock.edits import edited
from interlock.encoding import Encoded, collate, encode, from_ids
from interlock.errors import ContrastError, RunError, SiteError
from interlock.exchange import rows_of, usable_pairs
from interlock.mean_differences import treated_well
from interlock.measures import openers_of, opening_scores
from interlock.methods.dimensions import dimensions, direction_interchange, participation
from interlock.methods.directions import candidates, direction
from interlock.projection import projected
from interlock.sites import Site
from interlock.steering import hookpoints, inducing, removing, stream_sites, with_replies
from interlock.tables import from_rows
from tiny_models import FAMILIES

WRITES_PLAINLY = [f for f in FAMILIES if f not in ("gemma2", "gemma3_text", "olmo2", "qwen3_moe")]
ROWS = from_ids([[1, 7, 12, 9, 30], [1, 22, 6, 17, 28, 41, 13]])


def made(model, vectors, layer=1, seed=0, places=3):
    """A direction with random levels, over prompts without a template: head 1, tail 1."""
    draw = np.random.default_rng(seed)
    streams = stream_sites(model.shape)
    shape = (len(vectors), len(streams), places + 1)
    return Direction(
        vectors=vectors.astype(np.float32),
        names=tuple(f"v{row}" for row in range(len(vectors))),
        site=Site("resid_pre", layer, position="-1"),
        streams=streams,
        harmless=draw.standard_normal(shape),
        harmful=draw.standard_normal(shape),
        head=1,
        kind="random",
    )


def random_vectors(model, count, seed=3):
    return np.random.default_rng(seed).standard_normal((count, model.shape.width))


@torch.no_grad()
def logits(model, rows, edits=()):
    batch = collate(model, rows)
    with edited(model, edits, batch):
        return forward(model, batch, keep=1)[:, -1]


@pytest.mark.parametrize("family", WRITES_PLAINLY)
@pytest.mark.parametrize("onto", [0.0, 1.7])
def test_hooks_are_weights(tiny, family, onto):
    """Coordinate held by hooks in every stream: the same logits as from edited weights."""
    model = tiny(family)
    one = made(model, random_vectors(model, 1))
    one.harmless[:] = onto
    by_hooks = logits(model, ROWS, removing(one, variant="affine" if onto else "plain"))
    plain = logits(model, ROWS)
    assert (by_hooks - plain).abs().max() > 0.05, "the direction does nothing, nothing is compared"
    other = projected(model, torch.from_numpy(one.vectors[0]), onto=onto)
    by_weights = logits(other, ROWS)
    assert torch.allclose(by_hooks, by_weights, atol=2e-4 * float(plain.abs().max()))
    assert torch.equal(logits(model, ROWS), plain), "the model itself was changed"


@pytest.mark.parametrize("family", ["gemma2", "olmo2", "qwen3_moe"])
def test_weights_of_a_normed_family_are_not_edited(tiny, family):
    model = tiny(family)
    with pytest.raises(SiteError, match=r"steering\.removing"):
        projected(model, torch.ones(model.shape.width))


@pytest.mark.parametrize("family", FAMILIES)
def test_removal_leaves_every_stream_at_its_level(tiny, family):
    """Also of several directions that are not orthogonal, and at every place its own level."""
    model = tiny(family)
    both = made(model, random_vectors(model, 2))
    rows = [Encoded(row.id, row.ids, head=1, tail=1) for row in ROWS]
    batch = collate(model, rows)
    with edited(model, removing(both), batch):
        seen = record(model, batch, both.streams).values
    place = batch.places(1, 1)
    for number, site in enumerate(both.streams):
        found = seen[site].double() @ torch.from_numpy(both.units.T).double()
        wanted = torch.from_numpy(both.harmless[:, number, :-1].T)[place]
        assert torch.allclose(found[batch.mask], wanted[batch.mask], atol=1e-3)


def test_induced_and_plain_addition_by_the_written_out_model(aligned):
    row = encode(aligned, [])  # no prompt is needed: token ids will do
    assert row == ()
    ids = [1, 4, 40, 41, 42, 3, 5]
    one = made(aligned, random_vectors(aligned, 1) / 4, layer=2)
    decoder = naive.Decoder(aligned.network)
    vector = torch.from_numpy(one.vectors[0]).double()
    wanted, _ = decoder.run(ids, {("resid_pre", 2): lambda stream: stream + 1.5 * vector})
    found = logits(aligned, from_ids([ids]), inducing(one, variant="plain", strength=1.5))
    assert torch.allclose(found[0].double(), wanted[-1], atol=2e-3)

    unit = vector / vector.norm()
    place = torch.tensor([0, 1, 1, 1, 1, 1, 2])  # head, text, tail
    level = torch.from_numpy(one.harmful[0, one.streams.index(Site("resid_pre", 2))])[place]

    def held(stream):
        return stream - (stream @ unit)[:, None] * unit + level[:, None] * unit

    wanted, _ = decoder.run(ids, {("resid_pre", 2): held})
    prompt = [Encoded("a", tuple(ids), head=1, tail=1)]
    found = logits(aligned, prompt, inducing(one))
    assert torch.allclose(found[0].double(), wanted[-1], atol=2e-3)


def test_means_over_replies_are_those_of_their_tokens(aligned, contrasts):
    examples = contrasts.splits["find"].expecting("comply")[:3]
    rows = encode(aligned, examples)
    said = ["Sure, here is a plan", "", "I am sorry"]
    site = Site("resid_pre", 2)
    found = with_replies(aligned, rows, said, [site], name="x", size=2).means[site][0]
    decoder = naive.Decoder(aligned.network)
    tokens = []
    for row, text in zip(rows, said, strict=True):
        more = aligned.tokenizer.encode(text, add_special_tokens=False)
        _, seen = decoder.run([*row.ids, *more])
        tokens += list(seen["resid_pre", 2][len(row.ids) :])
    assert len(tokens) > 6
    assert torch.allclose(found[-1].double(), torch.stack(tokens).mean(dim=0), atol=1e-3)
    lasts = [decoder.run(row.ids)[1]["resid_pre", 2][-1] for row in rows]
    assert torch.allclose(found[-2].double(), torch.stack(lasts).mean(dim=0), atol=1e-3)


@pytest.fixture(scope="module")
def chosen(aligned, contrasts, judged):
    return candidates(aligned, contrasts.splits["find"], judged)


def test_a_candidate_is_the_difference_in_means_by_hand(aligned, contrasts, judged, chosen):
    find = contrasts.splits["find"]
    one = direction(aligned, find, judged, chosen)
    prompts = treated_well(find, judged, 0.25, 0)
    decoder = naive.Decoder(aligned.network)
    place = ("resid_pre", one.layer)
    offset = int(one.site.position)

    def mean(examples):
        rows = encode(aligned, examples)
        return torch.stack([decoder.run(row.ids)[1][place][offset] for row in rows]).mean(dim=0)

    wanted = (mean(prompts.harmful) - mean(prompts.harmless)).numpy()
    assert np.linalg.norm(wanted) > 1
    assert np.allclose(one.vectors[0], wanted, atol=1e-3)
    held = {example.topic for example in (*prompts.held_harmful, *prompts.held_harmless)}
    assert held.isdisjoint(e.topic for e in (*prompts.harmful, *prompts.harmless))


def test_the_choice_is_the_one_by_hand(aligned, contrasts, judged, chosen):
    """Every candidate scored again by the written-out model, and Arditi's rule applied."""
    find, openers = contrasts.splits["find"], openers_of(judged)
    prompts = treated_well(find, judged, 0.25, 0)
    table = candidates(aligned, find, judged, variant="plain", most_kl=1e9, least_induce=-1e9)
    decoder = naive.Decoder(aligned.network)
    tokens = (openers.refusal, openers.compliance)
    sides = {}
    for kind in ("harmful", "harmless", "held_harmful", "held_harmless"):
        sides[kind] = [row.ids for row in encode(aligned, getattr(prompts, kind))]
    read_at = {}
    for kind in ("harmful", "harmless"):
        read_at[kind] = [decoder.run(ids)[1] for ids in sides[kind]]
    bypass, induce = {}, {}
    for row in table.rows():
        layer, offset = row["layer"], row["position"]
        means = [
            torch.stack([seen["resid_pre", layer][offset] for seen in read_at[kind]]).mean(dim=0)
            for kind in ("harmful", "harmless")
        ]
        vector = means[0] - means[1]
        unit = vector / vector.norm()

        def out(stream, unit=unit):
            return stream - (stream @ unit)[:, None] * unit

        # what enters the layers and what each adds: together every write to the stream
        cut = {("resid_pre", 0): out}
        cut |= {(kind, at): out for at in range(4) for kind in ("attn", "mlp")}
        put_in = {("resid_pre", layer): lambda stream, vector=vector: stream + vector}

        def score(ids, change):
            return naive.opening_score(decoder.run(ids, change)[0][-1], *tokens)

        bypass[row["site"]] = np.mean([score(ids, cut) for ids in sides["held_harmful"]])
        induce[row["site"]] = np.mean([score(ids, put_in) for ids in sides["held_harmless"]])
    assert table["bypass"].tolist() == pytest.approx(list(bypass.values()), abs=5e-3)
    assert table["induce"].tolist() == pytest.approx(list(induce.values()), abs=5e-3)
    assert np.ptp(list(bypass.values())) > 0.1
    best = min(bypass, key=bypass.get)
    assert str(direction(aligned, find, judged, table).site) == best
    cosmic = table["site"][table["cosmic"].argmax()]
    assert str(direction(aligned, find, judged, table, choose="cosmic").site) == cosmic
    assert table["layer"].max() < 0.8 * 4


def test_none_that_survives_is_said(aligned, contrasts, judged):
    find = contrasts.splits["find"]
    table = candidates(aligned, find, judged, variant="plain", most_kl=0.0)
    with pytest.raises(ContrastError, match="No direction survives the selection by arditi: of 6"):
        direction(aligned, find, judged, table)


def test_replies_to_other_prompts_are_refused(aligned, contrasts, judged):
    with pytest.raises(ContrastError, match="not to the prompts of"):
        candidates(aligned, contrasts.splits["check"], judged)


def test_too_few_prompts_are_counted(aligned, contrasts, judged):
    none_refused = from_rows([{**row, "observed": "comply"} for row in judged.rows()])
    with pytest.raises(ContrastError):
        candidates(aligned, contrasts.splits["find"], none_refused)
    mostly = [
        {**row, "observed": "comply" if number > 1 else "refuse"}
        for number, row in enumerate(judged.rows())
    ]
    with pytest.raises(ContrastError, match="too few for a direction"):
        candidates(aligned, contrasts.splits["find"], from_rows(mostly))


def test_a_left_out_category_is_not_in_the_mean(aligned, contrasts, judged, chosen):
    find = contrasts.splits["find"]
    without = direction(aligned, find, judged, chosen, categories="left out")
    prompts = treated_well(find, judged, 0.25, 0)
    name = without.names[0].removeprefix("not ")
    site = without.site
    means = []
    for kind in (prompts.harmful, prompts.harmless):
        rows = encode(aligned, [example for example in kind if example.category != name])
        values = record(aligned, collate(aligned, rows), [site]).values[site][:, -1]
        means.append(values.mean(dim=0).numpy())
    assert np.allclose(without.vectors[0], means[0] - means[1], atol=1e-4)
    assert not np.allclose(without.vectors[0], without.vectors[1], atol=1e-2)


def test_a_direction_survives_disk_and_table(llama, tmp_path):
    both = made(llama, random_vectors(llama, 2))
    save(both, tmp_path / "d.safetensors")
    for again in (read(tmp_path / "d.safetensors"), from_table(both.table())):
        assert again.names == both.names and again.site == both.site and again.head == 1
        assert again.streams == both.streams and again.kind == both.kind
        assert np.array_equal(again.vectors, both.vectors)
        assert np.allclose(again.harmless, both.harmless) and again.harmful.shape[-1] == 4


def test_files_that_are_no_direction_are_refused(llama, tmp_path):
    from safetensors.numpy import save_file

    with pytest.raises(RunError, match="No file"):
        read(tmp_path / "none.safetensors")
    save_file({"weight": np.ones(3, np.float32)}, tmp_path / "other.safetensors")
    with pytest.raises(RunError, match="not a direction of Interlock"):
        read(tmp_path / "other.safetensors")
    (tmp_path / "text.safetensors").write_text("hello")
    with pytest.raises(RunError, match="cannot be read"):
        read(tmp_path / "text.safetensors")


def test_algebra_of_directions(llama):
    both = made(llama, random_vectors(llama, 2))
    assert np.array_equal((both * -1.0).vectors, (-both).vectors)
    assert np.allclose((both * -2.0).vectors, -2 * both.vectors)
    turned = -both
    # the same place of the stream, told along the opposite axis
    assert np.allclose(
        turned.units[:, :, None, None] * turned.harmless[:, None],
        both.units[:, :, None, None] * both.harmless[:, None],
    )
    assert np.allclose(np.diag(both.cosines(both.vectors)), 1, atol=1e-6)
    rows = removing(both), removing(turned)
    for first, second in zip(*(logits(llama, ROWS, each) for each in rows), strict=True):
        assert torch.allclose(first, second, atol=1e-3)


def test_axes_span_what_the_vectors_span(llama):
    both = made(llama, random_vectors(llama, 2))
    axes = both.spanning(2)
    assert np.allclose(axes.units @ axes.units.T, np.eye(2), atol=1e-5)
    assert torch.allclose(
        logits(llama, ROWS, removing(both)), logits(llama, ROWS, removing(axes)), atol=1e-3
    )


def test_participation_in_closed_form():
    assert participation(np.ones((4, 6)) * np.arange(1, 5)[:, None]) == pytest.approx(1)
    assert participation(np.eye(5)[:3] * 7) == pytest.approx(3)
    angle = np.pi / 3
    two = np.array([[1.0, 0.0], [np.cos(angle), np.sin(angle)]])
    high, low = 1 + np.cos(angle), 1 - np.cos(angle)
    assert participation(two) == pytest.approx(4 / (high**2 + low**2))


def test_exchanged_coordinate_by_the_written_out_model(aligned, contrasts, judged, chosen):
    check = contrasts.splits["check"]
    one = direction(aligned, contrasts.splits["find"], judged, chosen)
    found = direction_interchange(aligned, check, judged, one, way="noise")
    usable, _ = usable_pairs(aligned, check, ("all",))
    harmful, harmless = rows_of(usable)[1]
    decoder, openers = naive.Decoder(aligned.network), openers_of(judged)
    tokens = (openers.refusal, openers.compliance)
    unit = torch.from_numpy(one.units[0]).double()
    clean, _ = decoder.run(harmful.ids)
    _, other = decoder.run(harmless.ids)
    for layer in (1, 3):
        source = other["resid_pre", layer] @ unit

        def moved(stream, source=source):
            return stream + ((source - stream @ unit)[:, None] * unit)

        after, _ = decoder.run(harmful.ids, {("resid_pre", layer): moved})
        fall = naive.opening_score(clean[-1], *tokens) - naive.opening_score(after[-1], *tokens)
        row = found.sites.index(Site("resid_pre", layer))
        assert found.values[row, 1] == pytest.approx(fall, abs=5e-3)
        assert abs(fall) > 0.5


def test_dimensions_tell_one_direction_from_several(aligned, contrasts, judged, chosen):
    each = direction(aligned, contrasts.splits["find"], judged, chosen, categories="each")
    table = dimensions(aligned, contrasts.splits["check"], judged, each)
    own = table.where(measure="dimensions", of="categories")
    assert 1 <= own["value"][0] <= len(each.names)
    assert (table["low"] <= table["value"]).all() and (table["value"] <= table["high"]).all()
    name = each.names[0]
    row = table.where(measure="removed", of=name, on=name)
    harmful = [e for e in contrasts.splits["check"].expecting("refuse") if e.category == name]
    rows = encode(aligned, harmful)
    safe = encode(aligned, contrasts.splits["check"].expecting("comply"))
    openers = openers_of(judged)
    before = opening_scores(aligned, rows, openers)
    after = opening_scores(aligned, rows, openers, edits=removing(each.only(name)))
    gap = before - opening_scores(aligned, safe, openers).mean()
    assert row["value"][0] == pytest.approx((before - after).mean() / gap.mean(), abs=1e-4)


def test_lm_eval_file_does_what_our_hooks_do(llama):
    """Its own rule for a clamp, put on the modules it names, gives our affine removal's logits."""
    one = made(llama, random_vectors(llama, 1))
    one.harmless[:] = np.arange(len(one.streams))[None, :, None] / 4  # alike at every place
    points = hookpoints(llama)
    entries = torch.load(io.BytesIO(steered(one, points)), weights_only=True)  # noqa: TID251
    assert set(entries) == {"embed_tokens", "layers.0", "layers.1", "layers.2"}
    modules = dict(llama.network.model.named_modules())
    handles = []
    for path, entry in entries.items():
        assert entry["action"] == "clamp"
        unit, level = entry["steering_vector"], entry["steering_coefficient"]

        def clamp(_, __, output, unit=unit, level=level):
            return output - (output @ unit)[..., None] * unit + level * unit

        handles.append(modules[path].register_forward_hook(clamp))
    theirs = logits(llama, ROWS)
    for handle in handles:
        handle.remove()
    ours = [edit for edit in removing(one) if edit.site in points]
    assert torch.allclose(theirs, logits(llama, ROWS, ours), atol=1e-4)
    assert not torch.allclose(theirs, logits(llama, ROWS), atol=1e-2)


def test_lm_eval_file_of_an_addition(llama):
    one = made(llama, random_vectors(llama, 1), layer=2)
    points = {Site("resid_pre", 2): "layers.1"}
    (entry,) = torch.load(io.BytesIO(steered(one, points, add=1.5)), weights_only=True).values()  # noqa: TID251
    assert entry["action"] == "add" and entry["steering_coefficient"] == 1.5
    assert np.array_equal(entry["steering_vector"].numpy(), one.vectors[0])
    with pytest.raises(RunError, match="one vector"):
        steered(made(llama, random_vectors(llama, 2)), points)
