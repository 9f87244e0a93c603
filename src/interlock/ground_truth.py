"""The ground-truth card that ships: how each method does where the mechanism is known, in words.

The card is made by `interlock calibrate` and read here without torch, so that a run can print it
beside every claim of the methods it used.
"""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from interlock.errors import InterlockError
from interlock.files import read_json

CARD = Path(__file__).parent / "ground_truth.json"
_OTHERS = {
    "interchange": "carries {} of what the planted direction carries",
    "weights_auroc": "AUROC {} of single planted weights",
    "enrichment": "its first weights are planted {} times as often as all",
}
"""Marks beside average precision that are told in words."""


def read_card(path: Path = CARD) -> dict[str, Any]:
    """The card, empty where none ships.

    Raises:
        InterlockError: the file is not a card.
    """
    if not path.is_file():
        return {}
    found = read_json(path)
    if not isinstance(found, dict) or not {"methods", "verdicts", "suite"} <= set(found):
        raise InterlockError(
            f"{path} is not a ground-truth card; make one with `interlock calibrate`."
        )
    return found


def beside(
    card: Mapping[str, Any], rule: str, methods: Collection[str], pairs: int = 0
) -> tuple[str, ...]:
    """What the card says of a claim's rule and of the methods it rests on, a line each.

    Args:
        card: the card.
        rule: the claim's rule.
        methods: the registered methods that the claim rests on.
        pairs: how many pairs or prompts it was judged on; 0 if unknown.
    """
    if not card:
        return ("no ground-truth card; make one with `interlock calibrate`",)
    lines = [_rule_line(card, rule)] if rule in card["verdicts"] else []
    lines += _positive_control(card, rule, pairs)
    lines += [
        method_line(name, row)
        for name, row in card["methods"].items()
        if _is_shown(row) and set(row["methods"]) <= set(methods)
    ]
    if not lines:
        return ("none of these methods is on the ground-truth card yet",)
    return (*lines, f"suite {card['suite']}, {card['pairs']} pairs, {card['date']}")


def _is_shown(row: Mapping[str, Any]) -> bool:
    """Whether it has marks and is no mere baseline: it intervenes, or it scores weights."""
    return bool(row["marks"]) and (row["causal"] or "enrichment" in row["marks"])


def _positive_control(card: Mapping[str, Any], rule: str, pairs: int) -> list[str]:
    """What the same protocol finds at the user's own size, or at the nearest examined below it."""
    sizes = {int(size): found for size, found in card.get("smaller", {}).get(rule, {}).items()}
    if rule in card["verdicts"]:
        sizes[card["pairs"]] = card["verdicts"][rule]
    known = [size for size in sizes if size <= pairs]
    if not known:
        return []
    size = max(known)
    found = sizes[size]
    right, of = found["right"], found["right"] + found["wrong"] + found["inconclusive"]
    asked = f"your {pairs}" if size == pairs else f"{size} pairs, the nearest below your {pairs},"
    return [
        f"positive control: with {asked} this protocol finds what is there in {right} of {of} "
        f"organisms and claims it in {found['nulls_supported']} of {found['nulls']} nulls"
    ]


def method_line(name: str, row: Mapping[str, Any]) -> str:
    """One method's marks in a sentence."""
    parts = []
    precision = row["marks"].get("ap")
    if precision:
        parts.append(
            f"average precision {_number(precision['mean'])}{_ends(precision)}, worst "
            f"{_number(precision['worst'])}, on {precision['n']} planted organisms"
        )
    parts += [
        words.format(_number(row["marks"][mark]["mean"])) + f", on {row['marks'][mark]['n']}"
        for mark, words in _OTHERS.items()
        if mark in row["marks"]
    ]
    nulls, covered = row["nulls"], row["coverage"]
    if nulls:
        parts.append(
            f"claimed something in {nulls['claimed']} of {nulls['runs']} nulls "
            f"(at most {nulls['high']:.1%})"
        )
    beside_plant = row.get("beside")
    if beside_plant:
        parts.append(
            f"claimed an unplanted unit in {beside_plant['claimed']} of "
            f"{beside_plant['organisms']} planted organisms"
        )
    if covered:
        parts.append(f"95 % intervals held {covered['value']:.0%}{_ends(covered)}")
    return f"{name}: {'; '.join(parts)}. Blind to {row['blind']}"


def _rule_line(card: Mapping[str, Any], rule: str) -> str:
    found = card["verdicts"][rule]
    known = found["right"] + found["wrong"] + found["inconclusive"]
    return (
        f"this rule, where the answer is known: right {found['right']}, wrong {found['wrong']}, "
        f"inconclusive {found['inconclusive']} of {known} organisms; supported in "
        f"{found['nulls_supported']} of {found['nulls']} nulls"
    )


def _number(value: float) -> str:
    return f"{value:.2f}"


def _ends(figures: Mapping[str, Any]) -> str:
    if figures["low"] is None or figures["high"] is None:
        return ""
    return f" [{_number(figures['low'])}, {_number(figures['high'])}]"
