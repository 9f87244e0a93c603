"""`interlock calibrate` marks methods on what ships, and says what is wrong in one line."""

import json

import pytest

from interlock import organisms
from interlock.cli import main

APART = ("weights", "private")  # plants on which no method that ranks units is marked


def test_baselines_on_the_small_suite(capfd):
    options = ["--methods", "probe, random", "--pairs", "12", "--jobs", "1", "--json"]
    assert main(["calibrate", *options]) == 0
    card = json.loads(capfd.readouterr().out)
    assert set(card["methods"]) == {"probe", "random"}
    names = [organism["name"] for organism in card["organisms"]]
    shipped = [name for name in organisms.names() if name.startswith("planted-")]
    assert len(shipped) >= 3 and set(shipped) <= set(names)
    kinds = {organism["kind"] for organism in card["organisms"]}
    assert kinds == {"planted", "natural", "null"}
    probe, random = card["methods"]["probe"], card["methods"]["random"]
    units = [o for o in card["organisms"] if o["kind"] == "planted" and o["plant"] not in APART]
    assert probe["marks"]["ap"]["n"] == len(units) >= 8
    assert 0 < random["marks"]["ap"]["mean"] < 0.4
    assert probe["nulls"]["runs"] >= 2 and random["nulls"] is None
    assert random["passes_per_pair"] == 0 and probe["passes_per_pair"] == pytest.approx(2, rel=0.1)
    assert card["verdicts"] == {}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--methods", "guessing"], "No method 'guessing' to calibrate. Known: denoising"),
        (["--suite", "huge"], "No suite 'huge'. Known: small, full."),
        (["--pairs", "3"], "3 pairs are too few"),
    ],
)
def test_bad_input_is_one_line(capfd, arguments, said):
    assert main(["calibrate", *arguments]) == 2
    found = capfd.readouterr()
    assert found.out == "" and found.err.count("\n") == 1
    assert said in found.err
