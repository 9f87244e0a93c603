"""Every site and edge is read back as it was written."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.errors import SiteError
from interlock.sites import INDEXED, KINDS, NAMED_POSITIONS, Edge, Site, parse, parse_edge, unit

positions = st.one_of(st.sampled_from(NAMED_POSITIONS), st.integers(-999, 999).map(str))


@st.composite
def sites(draw):
    kind = draw(st.sampled_from(KINDS))
    index = None
    if kind in INDEXED and draw(st.booleans()):
        first = draw(st.integers(0, 300))
        index = (first, first + draw(st.integers(1, 50)))
    return Site(kind, draw(st.integers(0, 200)), index, draw(positions))


@given(sites())
def test_site_text_round_trips(site):
    assert parse(str(site)) == site
    assert parse(f"  {site}\n") == site


@given(sites(), sites())
def test_different_sites_are_written_differently(one, other):
    assert (str(one) == str(other)) == (one == other)


@given(sites(), sites())
def test_edge_text_round_trips(source, target):
    edge = Edge(source, target)
    assert parse_edge(str(edge)) == edge


@given(sites(), positions)
def test_moving_a_site_changes_its_position_only(site, position):
    moved = site.at(position)
    assert moved.position == position
    assert moved.at(site.position) == site


def test_written_forms():
    assert str(Site("resid_post", 3, position="last")) == "resid_post.3@last"
    assert str(unit("head", 2, 5)) == "head.2.5"
    assert str(Site("neuron", 3, (0, 16), "-2")) == "neuron.3.0:16@-2"
    assert parse("head.2.5") == unit("head", 2, 5)


@given(st.text(max_size=20))
def test_any_text_is_a_site_or_a_site_error(text):
    try:
        assert parse(text).kind in KINDS
    except SiteError as error:
        assert str(error)


@pytest.mark.parametrize(
    "text",
    [
        "", "head", "head.x", "head.-1", "resid_post.1.0", "attn.0.1", "head.1.5:5", "head.1.5:2",
        "head.1@first", "head.1@", "head.1.2@1.5", "nose.1", "head.1 .2", "head.1->head.2",
    ],
)  # fmt: skip
def test_what_is_not_a_site_is_refused(text):
    with pytest.raises(SiteError):
        parse(text)


@pytest.mark.parametrize("text", ["head.1.2", "head.1->", "a->b", "head.0->head.1->head.2"])
def test_what_is_not_an_edge_is_refused(text):
    with pytest.raises(SiteError):
        parse_edge(text)
