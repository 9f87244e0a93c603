"""Laws of writing, on unequal left-padded batches of every family."""

import pytest
import torch

from interlock.activations import forward, record, reference
from interlock.edits import add, edited, mean, project, put, resample, scale, zero
from interlock.encoding import Encoded, collate, encode, encode_passages
from interlock.errors import ContrastError, SiteError
from interlock.sites import INDEXED, KINDS, Site, parse, unit
from interlock.taps import attached

# a slot of one or two tokens, opening and closing tokens shared, lengths 5, 8 and 6
ROWS = (
    Encoded("a", (1, 5, 9, 13, 7), head=2, tail=1, slot=(2,)),
    Encoded("b", (1, 5, 8, 20, 33, 41, 6, 7), head=2, tail=1, slot=(3, 4)),
    Encoded("c", (1, 5, 2, 17, 17, 7), head=2, tail=1, slot=(2, 3)),
)
OTHERS = (
    Encoded("d", (1, 5, 44, 13, 7), head=2, tail=1, slot=(2,)),
    Encoded("e", (1, 5, 8, 29, 31, 41, 6, 7), head=2, tail=1, slot=(3, 4)),
    Encoded("f", (1, 5, 3, 18, 17, 7), head=2, tail=1, slot=(2, 3)),
)
POSITIONS = ("all", "last", "post", "slot", "0", "2", "6", "-1", "-3", "-7")


@torch.no_grad()
def logits_of(model, batch, edits=()):
    """Logits of real tokens; of padding 0."""
    with edited(model, edits, batch):
        logits = forward(model, batch, keep=0)
    return logits * batch.mask[..., None]


def all_sites(model, positions):
    """Every kind at every position, in a layer each, and single units."""
    sites = [
        Site(kind, (place + turn) % 3, position=position)
        for place, kind in enumerate(KINDS)
        for turn, position in enumerate(positions)
    ]
    units = [unit(k, 1, model.shape.units(k) - 1, p) for k in INDEXED for p in positions[:4]]
    return sites + units


def test_putting_back_a_sites_own_value_changes_nothing(family):
    batch = collate(family, ROWS)
    sites = all_sites(family, POSITIONS)
    found = record(family, batch, sites)
    plain = logits_of(family, batch)
    assert plain.std() > 0.1
    for site in sites:
        same = logits_of(family, batch, [put(site, found.values[site])])
        assert torch.equal(same, plain), site
        other = logits_of(family, batch, [put(site, found.values[site] + 1)])
        moved = (other - plain).abs().max()
        # the first token attends to itself alone, whatever its query is
        silent = site.kind == "query" and site.position == "0"
        assert moved > 1e-5 or silent, f"{site} can be changed without effect"


def test_an_edit_acts_only_where_it_says(family):
    """Of an offset that one row has, the other rows keep their logits; and never an earlier one."""
    batch = collate(family, ROWS)
    plain = logits_of(family, batch)
    pushed = logits_of(family, batch, [add(parse("mlp.1@6"), torch.ones(1, 1, 24))])
    moved = (pushed - plain).abs().amax(dim=-1) > 1e-6
    assert moved.tolist() == [[False] * 8, [False] * 6 + [True] * 2, [False] * 8]
    pushed = logits_of(family, batch, [add(parse("resid_post.0@slot"), torch.ones(1, 1, 24))])
    moved = (pushed - plain).abs().amax(dim=-1) > 1e-6
    first = [row.tolist().index(True) for row in moved]
    assert first == [3 + 2, 0 + 3, 2 + 2]
    pushed = logits_of(family, batch, [scale(parse("attn.1@last"), 3.0)])
    moved = (pushed - plain).abs().amax(dim=-1) > 1e-6
    assert moved.sum(dim=1).tolist() == [1, 1, 1] and moved[:, -1].all()


def hooks(model):
    return sum(
        len(module._forward_hooks) + len(module._forward_pre_hooks)
        for module in model.network.modules()
    )


@pytest.mark.parametrize("where", ["inside", "in the pass"])
def test_the_model_is_restored_after_an_exception(family, where):
    batch = collate(family, ROWS)
    plain, before = logits_of(family, batch), hooks(family)
    site = Site("resid_post", 1)
    wrong = torch.ones(1, 1, 24 if where == "inside" else 23)
    with pytest.raises((KeyError, RuntimeError)), edited(family, [add(site, wrong)], batch):
        assert hooks(family) > before
        forward(family, batch)
        raise KeyError
    assert hooks(family) == before
    assert torch.equal(logits_of(family, batch), plain)

    def watcher(_):
        if where == "in the pass":
            raise KeyError

    with pytest.raises(KeyError), attached(family, {("mlp", 0): watcher, ("query", 1): watcher}):
        assert hooks(family) == before + 2
        forward(family, batch)
        raise KeyError
    assert hooks(family) == before
    assert torch.equal(logits_of(family, batch), plain)


def test_an_attachment_that_fails_leaves_nothing(llama):
    before = hooks(llama)
    with pytest.raises(KeyError), attached(llama, {("mlp", 0): abs, ("nose", 1): abs}):
        raise AssertionError("never entered")
    with pytest.raises(SiteError), edited(llama, [zero(parse("head.7.0"))], collate(llama, ROWS)):
        raise AssertionError("never entered")
    with (
        pytest.raises(ContrastError),
        edited(llama, [zero(parse("mlp.0@9"))], collate(llama, ROWS)),
    ):
        raise AssertionError("never entered")
    assert hooks(llama) == before


def test_no_edits_are_the_baseline(family):
    batch = collate(family, ROWS)
    with torch.no_grad():
        plain = forward(family, batch, keep=0) * batch.mask[..., None]
    assert torch.equal(logits_of(family, batch), plain)


@pytest.mark.parametrize("site", ["resid_pre.0", "resid_post.1", "resid_mid.2"])
def test_the_whole_stream_of_another_run_gives_that_runs_logits(family, site):
    here, there = collate(family, ROWS), collate(family, OTHERS)
    found = record(family, there, [parse(site)])
    wanted = logits_of(family, there)
    assert (wanted - logits_of(family, here)).abs().max() > 0.1
    got = logits_of(family, here, [put(parse(site), found.values[parse(site)])])
    # tokens before the slots agree, as nothing differs there
    assert torch.allclose(got, wanted, atol=1e-5)


def test_zero_is_scaling_by_zero_is_setting_to_zero(family):
    batch = collate(family, ROWS)
    plain = logits_of(family, batch)
    for site in all_sites(family, ("all", "last", "slot")):
        width = record(family, batch, [site]).values[site].shape[-1]
        forms = [zero(site), scale(site, 0.0), put(site, torch.zeros(1, 1, width))]
        first, *rest = [logits_of(family, batch, [edit]) for edit in forms]
        assert all(torch.allclose(first, each, atol=1e-6) for each in rest)
        assert (first - plain).abs().max() > 1e-5 or site.position == "slot"


def test_scaling_by_one_is_the_identity_and_scalings_multiply(family):
    batch = collate(family, ROWS)
    site = unit("head", 1, 3)
    assert torch.equal(logits_of(family, batch, [scale(site, 1.0)]), logits_of(family, batch))
    twice = logits_of(family, batch, [scale(site, 0.5), scale(site, 4.0)])
    assert torch.equal(twice, logits_of(family, batch, [scale(site, 2.0)]))


def test_projecting_twice_is_projecting_once(family):
    batch = collate(family, ROWS)
    direction = torch.linspace(-1, 2, 24)
    for onto in (0.0, 1.5):
        once = [project(Site("resid_post", 1), direction, onto=onto)]
        single = logits_of(family, batch, once)
        assert torch.allclose(logits_of(family, batch, once * 2), single, atol=1e-5)
        assert (single - logits_of(family, batch)).abs().max() > 1e-2
        with torch.no_grad(), edited(family, once, batch):
            left = record(family, batch, [Site("resid_post", 1)]).values[Site("resid_post", 1)]
        along = left @ (direction / direction.norm())
        assert torch.allclose(along[batch.mask], torch.tensor(onto), atol=1e-4)


def test_projecting_onto_its_own_coordinate_is_the_identity(llama):
    batch = collate(llama, ROWS[:1])
    site, direction = Site("attn", 1, position="last"), torch.linspace(-1, 2, 24)
    value = record(llama, batch, [site]).values[site][0, 0]
    own = float(value @ direction / direction.norm())
    assert abs(own) > 1e-2
    same = logits_of(llama, batch, [project(site, direction, onto=own)])
    assert torch.allclose(same, logits_of(llama, batch), atol=1e-5)


def test_adding_and_taking_away_is_the_identity(family):
    batch = collate(family, ROWS)
    plain = logits_of(family, batch)
    generator = torch.Generator().manual_seed(1)
    for site in all_sites(family, ("all", "slot", "-3")):
        shape = record(family, batch, [site]).values[site].shape
        value = torch.randn(shape, generator=generator)
        there = [add(site, value)]
        back = logits_of(family, batch, [*there, add(site, -value)])
        assert torch.allclose(back, plain, atol=1e-4)
        assert (logits_of(family, batch, there) - plain).abs().max() > 1e-4


def test_edits_of_one_place_act_in_the_order_given(llama):
    batch = collate(llama, ROWS)
    site, one = Site("mlp", 1), torch.ones(1, 1, 24)
    first = logits_of(llama, batch, [add(site, one), zero(site)])
    assert torch.equal(first, logits_of(llama, batch, [zero(site)]))
    last = logits_of(llama, batch, [zero(site), add(site, one)])
    assert torch.allclose(last, logits_of(llama, batch, [put(site, one)]), atol=1e-6)


def test_units_together_are_the_whole_place(family):
    batch = collate(family, ROWS)
    for kind in INDEXED:
        found = record(family, collate(family, OTHERS), [Site(kind, 1)]).values[Site(kind, 1)]
        units = [unit(kind, 1, each) for each in range(family.shape.units(kind))]
        width = found.shape[-1] // len(units)
        apart = [
            put(site, found[..., place * width : (place + 1) * width])
            for place, site in enumerate(units)
        ]
        whole = logits_of(family, batch, [put(Site(kind, 1), found)])
        assert torch.equal(logits_of(family, batch, apart), whole)
        assert (whole - logits_of(family, batch)).abs().max() > 1e-3


def test_resampling_from_the_own_row_is_the_identity(family):
    batch = collate(family, ROWS)
    plain = logits_of(family, batch)
    for site in all_sites(family, ("all", "last", "post")):
        values = record(family, batch, [site]).values[site]
        same = resample(site, values, range(3), source="itself")
        assert torch.equal(logits_of(family, batch, [same]), plain)
        other = resample(site, values, [1, 2, 0], source="others")
        alike = torch.equal(values, values[[1, 2, 0]])  # the rows end in the same token
        assert alike or (logits_of(family, batch, [other]) - plain).abs().max() > 1e-5


def test_resampling_takes_the_row_asked_for(llama):
    batch = collate(llama, ROWS)
    site = Site("resid_post", 2, position="last")
    values = record(llama, batch, [site]).values[site]
    plain = logits_of(llama, batch)
    turned = logits_of(llama, batch, [resample(site, values, [2, 0, 1], source="others")])
    assert torch.allclose(turned[:, -1], plain[[2, 0, 1], -1], atol=1e-5)


def test_the_mean_over_one_prompt_is_its_own_value(family):
    """Exactly so at named positions, and at @all where each token has a mean of its own."""
    plain_text = (
        Encoded("x", (1, 5, 30, 7, 9), head=2, tail=2),
    )  # one token between head and tail
    for rows in (plain_text, ROWS[1:2]):
        batch = collate(family, rows)
        positions = ("last", "post", "0", "-3") + (("all",) if rows is plain_text else ("slot",))
        sites = all_sites(family, positions)
        of = reference(family, rows, sites, name="one prompt")
        assert of.n == 1
        for site in sites:
            same = logits_of(family, batch, [mean(site, of)])
            assert torch.allclose(same, logits_of(family, batch), atol=1e-5), site


def test_a_mean_at_all_keeps_the_template_apart_from_the_text(aligned, contrasts):
    rows = encode(aligned, contrasts.splits["find"].examples[:1])
    assert (rows[0].head, rows[0].tail) == (2, 2)
    batch = collate(aligned, rows)
    sites = [Site(kind, 1) for kind in KINDS]
    own = record(aligned, batch, sites)
    of = reference(aligned, rows, sites, name="one prompt")
    for site in sites:
        with torch.no_grad(), edited(aligned, [mean(site, of)], batch):
            held = record(aligned, batch, [site]).values[site][0]
        value = own.values[site][0]
        assert value.std() > 1e-4
        assert torch.allclose(held[:2], value[:2], atol=1e-5)
        assert torch.allclose(held[-2:], value[-2:], atol=1e-5)
        middle = value[2:-2].mean(dim=0).expand_as(value[2:-2])
        assert torch.allclose(held[2:-2], middle, atol=1e-5)


def test_a_mean_does_not_depend_on_batches_and_is_the_mean(aligned, contrasts):
    rows = encode(aligned, contrasts.splits["find"].examples[:9])
    assert len({len(row.ids) for row in rows}) > 1
    sites = [parse(text) for text in ("head.1.3", "mlp.2@last", "resid_pre.1@post", "neuron.0@2")]
    found = [reference(aligned, rows, sites, name="prompts", size=size) for size in (1, 4, 32)]
    apart = [record(aligned, collate(aligned, [row]), sites).values for row in rows]
    for site in sites:
        for other in found[1:]:
            assert torch.allclose(found[0].means[site], other.means[site], atol=1e-5)
        if site.position == "all":
            firsts = torch.stack([each[site][0, 0] for each in apart])
            assert torch.allclose(found[0].means[site][0, 0], firsts.mean(dim=0), atol=1e-5)
            middle = torch.cat([each[site][0, 2:-2] for each in apart])
            assert torch.allclose(found[0].means[site][0, 2], middle.mean(dim=0), atol=1e-5)
        else:
            whole = torch.stack([each[site][0] for each in apart])
            assert torch.allclose(found[0].means[site][0], whole.mean(dim=0), atol=1e-5)


def test_a_mean_edit_acts_alike_alone_and_padded(aligned, contrasts):
    rows = encode(aligned, contrasts.splits["find"].examples[:40:6])
    assert len({len(row.ids) for row in rows}) > 1
    site = Site("attn", 1)
    edit = mean(site, reference(aligned, rows, [site], name="prompts"))
    together = logits_of(aligned, collate(aligned, rows), [edit])[:, -1]
    for row, wanted in zip(rows, together, strict=True):
        alone = logits_of(aligned, collate(aligned, [row]), [edit])[0, -1]
        assert torch.allclose(alone, wanted, atol=1e-4)
    assert (together - logits_of(aligned, collate(aligned, rows))[:, -1]).abs().max() > 0.1


def test_a_mean_edit_acts_alike_beside_a_row_that_is_as_long_as_the_mean(llama):
    """Head 2, one text token, tail 2: as many tokens as the mean has positions; the other has 4."""
    long = Encoded("long", (1, 5, 30, 7, 9), head=2, tail=2)
    short = Encoded("short", (1, 5, 7, 9), head=2, tail=2)
    site = Site("attn", 1)
    edit = mean(site, reference(llama, [long], [site], name="one prompt"))
    alone = logits_of(llama, collate(llama, [short]), [edit])[0, -1]
    beside = logits_of(llama, collate(llama, [short, long]), [edit])[0, -1]
    assert torch.allclose(alone, beside, atol=1e-5)


def test_a_mean_over_passages_has_one_opening_token(aligned, contrasts):
    rows = encode_passages(aligned, contrasts.passages.examples)
    of = reference(aligned, rows, [Site("mlp", 0)], name="passages")
    assert of.means[Site("mlp", 0)].shape == (1, 2, 128)


def test_a_mean_over_two_templates_is_refused(llama):
    with pytest.raises(ContrastError, match="one template"):
        reference(llama, (ROWS[0], Encoded("z", (1, 2, 3))), [Site("mlp", 0)], name="a mixture")


def test_a_mean_over_slots_of_unequal_width_does_not_depend_on_batches(llama):
    site = Site("mlp", 0, position="slot")
    whole = reference(llama, ROWS, [site], name="prompts", size=3).means[site]
    apart = reference(llama, ROWS, [site], name="prompts", size=1).means[site]
    assert torch.allclose(whole, apart, atol=1e-6)


def test_a_value_of_too_few_positions_repeats_its_leftmost(llama):
    """As the text of `interlock.edits` says; right-aligned with the site's positions."""
    row = Encoded("w", (1, 5, 8, 20, 33, 41, 6, 7), head=1, tail=3, slot=(2, 3, 4))
    batch = collate(llama, [row])
    value = torch.randn(1, 2, 24, generator=torch.Generator().manual_seed(4))
    for position in ("slot", "post"):
        site = Site("mlp", 0, position=position)
        wanted = put(site, torch.cat([value[:, :1], value], dim=1))
        got = logits_of(llama, batch, [put(site, value)])
        assert torch.allclose(got, logits_of(llama, batch, [wanted]), atol=1e-6), position


def test_what_a_row_lacks_reads_as_zero(llama):
    batch = collate(llama, ROWS)
    for position in ("6", "slot", "-7"):
        site = Site("resid_post", 1, position=position)
        value, valid = record(llama, batch, [site]).values[site], batch.positions(position).valid
        assert not valid.all()
        assert (value[~valid] == 0).all()
        assert (value[valid].abs().sum(dim=-1) > 0).all()
