"""Tables of directions, categories, curves, tokens and circuits, with a hostile category's name."""

import numpy as np

from interlock.tables import Table, from_rows

HOSTILE = '<a href="http://x">x</a> & <b>bold</b>'
CATEGORIES = ("weapons", "fraud", HOSTILE)
EDGES = (
    ("head.0.2", "neuron.0.16:32", 0.62, 0.51, 0.71),
    ("head.0.2", "head.2.1", -0.21, -0.33, -0.08),
    ("neuron.0.16:32", "head.2.1", 0.07, -0.02, 0.15),
)


def _around(value: float, reach: float = 0.08) -> dict[str, float]:
    return {"low": value - reach, "high": value + reach}


def _candidates() -> Table:
    rows = []
    for layer in (1, 2, 3):
        for position in (-2, -1):
            bypass, induce = -3.0 * layer - position, 1.5 * layer + position
            row = {"site": f"resid_pre.{layer}@{position}", "layer": layer, "position": position}
            for name, value in (("bypass", bypass), ("induce", induce), ("kl", 0.01 * layer)):
                row |= {name: value, f"{name}_low": value - 2, f"{name}_high": value + 2}
            row |= {"cosmic": 0.5 * layer, "arditi_survives": layer < 3, "cosmic_survives": True}
            rows.append(row)
    about = {
        "fitted on": "30 refused, 30 answered prompts",
        "validated on": "10 refused, 10 answered prompts of other topics",
        "before": "opening score 9.1 nat of harmful, -8.2 nat of harmless prompts",
        "survives": "kl <= 0.1 nat",
    }
    return from_rows(rows, about=about)


def _changed() -> Table:
    values = {
        ("removed", "affine", "found"): 0.91,
        ("removed", "plain", "found"): 0.12,
        ("removed", "affine", "random"): 0.05,
        ("induced", "affine", "found"): 0.84,
    }
    return from_rows(
        [
            {"does": does, "variant": variant, "directions": kind, "value": value}
            | _around(value)
            | {"n": 48, "topics": 24, "harmless_refused": 0.1, "degenerate": 0.0}
            | {"nll_rise": float("nan"), "count": 20 if kind == "random" else 1}
            for (does, variant, kind), value in values.items()
        ]
    )


def _streams() -> Table:
    streams = ("resid_pre.0", "resid_mid.0", "resid_pre.1", "resid_mid.1", "resid_post.1")
    return from_rows(
        [
            {"direction": way, "stream": stream, "layer": int(stream[-1])}
            | {"share": 0.2 * place + (way == "noise") * 0.1, "n": 32, "topics": 16}
            | _around(0.2 * place + (way == "noise") * 0.1)
            for way in ("denoise", "noise")
            for place, stream in enumerate(streams)
        ]
    )


def _dimensions() -> Table:
    rows = [
        {"measure": "ceiling", "of": name, "on": name, "value": 0.95} for name in CATEGORIES
    ]  # fmt: skip
    rows += [
        {"measure": "cosine", "of": CATEGORIES[0], "on": CATEGORIES[1], "value": 0.81},
        {"measure": "cosine", "of": CATEGORIES[0], "on": CATEGORIES[2], "value": 0.33},
        {"measure": "cosine", "of": CATEGORIES[1], "on": CATEGORIES[2], "value": 0.44},
        {"measure": "dimensions", "of": "categories", "on": "all", "value": 1.74},
        {"measure": "dimensions", "of": "dealt at random", "on": "all", "value": 1.35},
    ]
    rows += [
        {"measure": "removed", "of": of, "on": on, "value": 0.9 - 0.1 * place}
        for place, of in enumerate((*CATEGORIES, "first 2 axes"))
        for on in ("all", *CATEGORIES)
    ]
    return from_rows([row | _around(row["value"]) | {"n": 12, "topics": 6} for row in rows])


def _matrix() -> Table:
    rows = []
    for source in CATEGORIES:
        for target in CATEGORIES:
            for part in ("whole", "first", "second", "own"):
                share = (0.9 if source == target else 0.8) if part == "whole" else 0.25
                rows.append((part, source, 0, target, share))
            rows += [("matched random", source, number, target, 0.11) for number in (0, 1)]
    rows += [("core", "", 0, target, 0.77) for target in CATEGORIES]
    return from_rows(
        [
            {"part": part, "source": source, "number": number, "size": 5, "target": target}
            | {"share": share, "n": 8, "topics": 8}
            | _around(share)
            for part, source, number, target, share in rows
        ]
    )


def _curve() -> Table:
    return from_rows(
        [
            {"units": way, "size": size, "share": 1 - 0.6 / size, "control": 0.02 * size}
            | {"most_control": 0.03 * size, "jaccard": float("nan") if size == 1 else 0.7}
            | {"n": 32, "topics": 16}
            | _around(1 - 0.6 / size)
            for way in ("restored alone", "removed")
            for size in (1, 2, 5)
        ]
    )


def _tokens() -> Table:
    rng = np.random.default_rng(3)
    return from_rows(
        [
            {"kind": kind, "layer": layer, "position": position, "direction": "denoise"}
            | {"share": share, "n": 20, "topics": 10}
            | _around(share)
            for kind in ("attn", "mlp")
            for layer in range(3)
            for position in ("10", "-1", "-2", "9")
            for share in [float(rng.uniform(0, 1))]
        ]
    )


def _edges() -> Table:
    return from_rows(
        [
            {"source": source, "target": target, "share": share, "low": low, "high": high}
            | {"n": 32, "topics": 16}
            | {f"{end}_alone{each}": 0.5 for end in ("source", "target")
               for each in ("", "_low", "_high")}
            for source, target, share, low, high in EDGES
        ]
    )  # fmt: skip


def _checked() -> Table:
    return from_rows(
        [
            {"site": f"head.0.{place}", "drawn": "top" if place < 3 else "sample"}
            | {"approximate": 0.4 - 0.1 * place, "share": 0.5 - 0.1 * place, "decision": "in"}
            | {"n": 32, "topics": 16}
            | _around(0.5 - 0.1 * place)
            for place in range(5)
        ],
        about={"estimator": "relevance", "missed": "0 of 2 sampled sites carry over 15%"},
    )


def _pruning() -> Table:
    """Two shares by utility, three by safety; the last set of all breaks the model."""
    rows = [_taken_out("none", float("nan"), float("nan"), 0.0, (0.95, 0.98, 0.0, 0.0))]
    for p in (0.01, 0.02):
        for q in (0.01, 0.02, 0.04):
            size = q - p / 4
            broken = q == 0.04
            found = (0.9 - 20 * q, 0.97 - broken * 0.5, 20 * p * q + broken, 0.3 * broken)
            rows.append(_taken_out("found", p, q, size, found))
            rows.append(_taken_out("random", p, q, size, (0.94, 0.97, 0.01 * q, 0.0)))
    about = {"choose": "difference", "fill": "zero", "control": "random sets of like |weight|"}
    return from_rows(rows, about=about | {"safety scores": "snip"})


def _taken_out(
    sets: str, p: float, q: float, size: float, values: tuple[float, float, float, float]
) -> dict:
    row = {"p": p, "q": q, "sets": sets, "count": 20 if sets == "random" else 1}
    row |= {"sparsity": size, "weights": int(1e6 * size)}
    names = ("refusal", "compliance", "nll_rise", "degenerate")
    for name, value in zip(names, values, strict=True):
        row |= {name: value, f"{name}_low": value - 0.05, f"{name}_high": value + 0.04}
    return row | {"n": 48}


def _weight_scores() -> Table:
    rows = [
        {"layer": layer, "type": kind, "mean": 0.01 * share, "largest": share, "share": share}
        | {"weights": weights}
        for (layer, kind), share, weights in (
            ((0, "self_attn.q_proj"), 0.1, 100),
            ((0, HOSTILE), 0.2, 300),
            ((1, "self_attn.q_proj"), 0.3, 100),
            ((1, HOSTILE), 0.4, 300),
        )
    ]
    return from_rows(rows, about={"method": "snip", "set": "refusals", "N": "16 + 16"})


def _weight_overlap() -> Table:
    rows = [
        {"layer": layer, "type": kind, "first": first, "second": second, "both": both}
        | {"weights": 1000, "jaccard": both / max(first + second - both, 1)}
        | {"overlap": both / max(min(first, second), 1), "chance": 0.05}
        for layer, kind, first, second, both in (
            (0, "mlp.up_proj", 50, 50, 20),
            (1, "mlp.up_proj", 50, 50, 3),
            (0, HOSTILE, 50, 40, 40),
            (1, HOSTILE, 0, 0, 0),
        )
    ]
    return from_rows(rows)


def step_tables() -> dict[str, Table]:
    unseen = [
        {"category": name, "value": value} | _around(value) | {"n": 12, "topics": 6}
        for name, value in zip(CATEGORIES, (0.9, 0.8, 0.7), strict=True)
    ]
    return {
        "where.approximation": _checked(),
        "where.curve": _curve(),
        "categories.matrix": _matrix(),
        "held.summary": _edges(),
        "tokens.summary": _tokens(),
        "direction.candidates": _candidates(),
        "direction.changed": _changed(),
        "direction.unseen": from_rows(unseen),
        "direction.streams": _streams(),
        "direction.dimensions": _dimensions(),
        "weights.pruning": _pruning(),
        "weights.safety": _weight_scores(),
        "weights.overlap": _weight_overlap(),
    }
