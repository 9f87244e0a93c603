"""A model may say anything; nothing it says becomes markup, a formula or a file name."""

import csv
import dataclasses
from html.parser import HTMLParser

import pyarrow.parquet as pq
import pytest

import interlock.measures

HOSTILE = (
    "<script>document.title='owned'</script>"
    '<a href="javascript:alert(1)">here</a><img src=x onerror=alert(2)>'
    "</textarea></script><b>bold</b>{{7*7}}{% raw %}\x1b[31m\u202e"
)
FORMULA = '=HYPERLINK("http://example.org","click")'


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict]] = []

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))


def _tags(text: str) -> list[tuple[str, dict]]:
    parser = _Tags()
    parser.feed(text)
    return parser.found


@pytest.fixture
def hostile_run(cli, isolated, monkeypatch):
    """A run in which every reply is hostile, and judged as the model's own replies were."""
    judged, number = interlock.measures._judged, [0]

    def hostile(*arguments):
        number[0] += 1
        text = HOSTILE if number[0] % 2 else FORMULA
        return dataclasses.replace(judged(*arguments), text=text)

    monkeypatch.setattr(interlock.measures, "_judged", hostile)
    result = cli("behaviour", "--budget", "tiny", "prompts.per_category=2", "--out", "run")
    assert result.code == 0, result.err
    return isolated / "run", result


def test_replies_stay_text_in_the_report(hostile_run, cli, isolated, monkeypatch):
    folder, _ = hostile_run
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "document.title=" in page, "the replies are in the report"
    assert "<script>document" not in page
    assert "javascript:alert(1)&#34;" in page or "javascript:alert(1)&quot;" in page
    tags = _tags(page)
    assert not any("javascript:" in (value or "") for _, each in tags for value in each.values())
    assert not any(name.startswith("on") for _, each in tags for name in each)
    assert not any(tag in ("img", "b") and "src" in each for tag, each in tags)
    assert "49" not in [each.get("id") for _, each in tags]
    assert "{{7*7}}" in page, "not a template"
    # the same page without hostile replies has the same scripts and links
    monkeypatch.undo()
    monkeypatch.chdir(isolated)
    assert cli("behaviour", "--budget", "tiny", "prompts.per_category=2", "--out", "ok").code == 0
    benign = _tags((isolated / "ok" / "report.html").read_text(encoding="utf-8"))
    for tag in ("script", "img", "iframe", "form"):
        assert [t for t, _ in tags].count(tag) == [t for t, _ in benign].count(tag), tag


def test_replies_are_exact_in_parquet_and_no_formula_in_csv(hostile_run):
    folder, _ = hostile_run
    table = pq.read_table(folder / "tables" / "behaviour.replies.parquet").to_pydict()
    assert set(table["reply"]) == {HOSTILE, FORMULA}
    with (folder / "tables" / "behaviour.replies.csv").open(encoding="utf-8", newline="") as handle:
        cells = [row["reply"] for row in csv.DictReader(handle)]
    assert len(cells) == len(table["reply"])
    assert set(cells) == {HOSTILE, "'" + FORMULA}


def test_replies_do_not_reach_the_terminal(hostile_run):
    _, result = hostile_run
    assert "\x1b" not in result.out + result.err
    assert "owned" not in result.out + result.err


def test_control_signs_in_a_model_name_do_not_reach_the_terminal(cli):
    result = cli("doctor", "\x1b[31mred\x07")
    assert "\x1b" not in result.error() and "\x07" not in result.err


def test_a_model_name_stays_text_in_the_report(cli, organism_copy, isolated):
    target = organism_copy.parent / "<b>bold & 'quoted'"
    organism_copy.rename(target)
    result = cli("behaviour", target, "--budget", "tiny", "prompts.per_category=1", "--out", "run")
    assert result.code == 0, result.err
    page = (isolated / "run" / "report.html").read_text(encoding="utf-8")
    assert "<b>bold" not in page and "&lt;b&gt;bold" in page
