"""A sealed run that was changed is refused, and nothing in it is written over."""

import pytest
from commands import digests, read_json


def _flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))


def _verdict(folder):
    path = folder / "verdicts.json"
    path.write_text(path.read_text("utf-8").replace("inconclusive", "supported"), "utf-8")


CHANGES = {
    "table": lambda run: _flip(run / "tables" / "behaviour.replies.parquet"),
    "csv": lambda run: _flip(run / "tables" / "behaviour.replies.csv"),
    "report": lambda run: _flip(run / "report.html"),
    "verdicts": _verdict,
    "protocol": lambda run: _flip(run / "protocol.json"),
    "step": lambda run: _flip(run / "steps" / "openers.json"),
    "deleted": lambda run: (run / "tables" / "openers.csv").unlink(),
    "emptied": lambda run: (run / "report.html").write_bytes(b""),
    "added": lambda run: (run / "tables" / "more.parquet").write_bytes(b"PAR1"),
    "added at the top": lambda run: (run / "notes.txt").write_bytes(b"mine"),
}
NAMED = {
    "table": "behaviour.replies.parquet",
    "csv": "behaviour.replies.csv",
    "report": "report.html",
    "verdicts": "verdicts.json",
    "protocol": "protocol.json",
    "step": "openers.json",
    "deleted": "openers.csv",
    "emptied": "report.html",
    "added": "more.parquet",
    "added at the top": "notes.txt",
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_run_is_refused_and_left_alone(cli, sealed, change):
    CHANGES[change](sealed)
    before = digests(sealed)
    for arguments in (
        ("run", "verify", sealed),
        ("audit", "--budget", "tiny", "--out", sealed),
    ):
        line = cli(*arguments).error()
        assert NAMED[change] in line and "changed" in line
    assert digests(sealed) == before


@pytest.mark.parametrize("name", ["plan.json", "manifest.json"])
@pytest.mark.parametrize("how", ["flip", "cut"])
def test_a_changed_plan_or_manifest(cli, sealed, name, how):
    path = sealed / name
    if how == "flip":
        # one hexadecimal digit of a digest
        text = path.read_text("utf-8")
        place = text.rindex('"') - 3
        path.write_text(text[:place] + ("0" if text[place] != "0" else "1") + text[place + 1 :])
    else:
        path.write_bytes(path.read_bytes()[:-40])
    before = digests(sealed)
    for arguments in (
        ("run", "verify", sealed),
        ("audit", "--budget", "tiny", "--out", sealed),
    ):
        cli(*arguments).error()
    assert digests(sealed) == before


def test_verdicts_of_a_changed_run_are_not_shown_as_if_nothing_was(cli, sealed):
    _verdict(sealed)
    result = cli("run", "show", sealed)
    assert result.code == 2 or "changed" in result.out + result.err


def test_a_run_in_progress_is_not_verified(cli, sealed):
    (sealed / "manifest.json").unlink()
    assert "did not finish" in cli("run", "verify", sealed).error()


def test_drawings_made_later_do_not_count_as_tampering(cli, sealed):
    (sealed / "figures").mkdir(exist_ok=True)
    (sealed / "figures" / "mine.svg").write_text("<svg/>", "utf-8")
    assert cli("run", "verify", sealed).code == 0


def test_the_manifest_lists_every_file(sealed):
    recorded = read_json(sealed / "manifest.json")["files"]
    found = digests(sealed)
    found.pop("manifest.json")
    assert recorded == found
