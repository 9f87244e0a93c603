"""SNIP scores in one pass, beside the published procedure: a pass over the data for each layer.

The procedure of Wei et al. (2024), re-stated here: for each layer, that layer's matrices alone
require gradients, and every example is run forward and backward by itself; absolute gradients are
added up. Beside it, one pass an example at a time through autograd: what the batch and the single
buffer are worth by themselves. All give the same scores, which is checked first.

Figures: processor time on one thread, medians of ratios within a round; then a grid of ten (p, q),
with thresholds from histograms, beside the published way of a grid: scores read from disk again at
every point, `topk` of both, and a membership test.
"""

import resource
import tempfile
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from harness import figures, one_thread, race, random_llama, report
from interlock.demonstrations import Demonstration, Demonstrations
from interlock.encoding import Encoded
from interlock.matrices import matrices
from interlock.model import Model
from interlock.weight_gradients import Sums, add_absolute_gradients
from interlock.weight_sets import Ranking
from interlock.weight_sums import add_up, planned

EXAMPLES = 16
ROUNDS = 3
ROUNDS_BY_LAYER = {64: 2, 170: 1}  # a round at 170 tokens and 16 layers takes minutes
LAYERS, LENGTHS = (8, 16), (64, 170)
GRID = tuple((p / 100, q / 100) for p in (1, 2, 3, 5, 7) for q in (1, 5))
SIZES = {
    "hidden_size": 512,
    "intermediate_size": 1408,
    "num_attention_heads": 8,
    "num_key_value_heads": 8,
    "vocab_size": 4096,
}

Scores = dict[str, torch.Tensor]


def demonstrations_of(model: Model, tokens: int) -> tuple[Demonstration, ...]:
    """Random texts of `tokens` tokens, the second half of each being the reply."""
    generator = torch.Generator().manual_seed(0)
    rows = torch.randint(model.shape.vocab, (EXAMPLES, tokens), generator=generator).tolist()
    return tuple(
        Demonstration(Encoded(str(n), tuple(ids)), tokens // 2, str(n))
        for n, ids in enumerate(rows)
    )


def ours(model: Model, rows: tuple[Demonstration, ...], batch: int = 0) -> Scores:
    """One pass; the batch is chosen if it is 0."""
    found = {each.name: each for each in matrices(model)}
    taught = Demonstrations((rows,), "", "")
    plan = planned(model, found, taught, batch=batch)
    shapes = {name: matrix.shape for name, matrix in found.items()}

    def add(part, totals) -> None:
        add_absolute_gradients(model, part, Sums(found, totals))

    totals = add_up(taught, shapes, plan, add)
    return {name: total[0] * found[name].weight.abs() for name, total in totals.items()}


def by_autograd(model: Model, rows: tuple[Demonstration, ...], layers: list[int]) -> Scores:
    """The scores of some layers: each example by itself, gradients of the weights by autograd."""
    weights = {each.name: each.stored for each in matrices(model) if each.layer in layers}
    totals = {name: torch.zeros_like(weight) for name, weight in weights.items()}
    for weight in weights.values():
        weight.requires_grad_(True)
    for row in rows:
        ids = torch.tensor([row.row.ids])
        labels = ids.clone()
        labels[:, : row.start] = -100
        model.network(input_ids=ids, labels=labels, use_cache=False).loss.backward()
        for name, weight in weights.items():
            assert weight.grad is not None
            totals[name] += weight.grad.abs()
            weight.grad = None
    for weight in weights.values():
        weight.requires_grad_(False)
    return {name: total * weights[name].abs() for name, total in totals.items()}


def layer_by_layer(model: Model, rows: tuple[Demonstration, ...]) -> Scores:
    """The published procedure: a pass over the data for every layer."""
    found: Scores = {}
    for layer in range(model.shape.layers):
        found |= by_autograd(model, rows, [layer])
    return found


def one_by_one(model: Model, rows: tuple[Demonstration, ...]) -> Scores:
    """One pass, an example at a time, gradients of all weights by autograd."""
    return by_autograd(model, rows, list(range(model.shape.layers)))


def require_same(first: Scores, second: Scores) -> None:
    """Refuse to time two procedures that do not compute the same."""
    assert set(first) == set(second)
    for name, scores in first.items():
        torch.testing.assert_close(scores, second[name], rtol=1e-4, atol=1e-5 * scores.max().item())


def compare(layers: int, tokens: int) -> dict[str, float]:
    """Ratios at one depth and length."""
    with tempfile.TemporaryDirectory() as folder:
        model = random_llama(Path(folder), num_hidden_layers=layers, **SIZES)
    rows = demonstrations_of(model, tokens)
    mine = ours(model, rows)
    require_same(mine, one_by_one(model, rows))
    if layers == LAYERS[0]:
        require_same(mine, layer_by_layer(model, rows))

    def one_pass() -> Scores:
        return ours(model, rows)

    quick = {
        "one_pass": one_pass,
        "one_pass_batch_1": lambda: ours(model, rows, batch=1),
        "one_by_one": lambda: one_by_one(model, rows),
    }
    slow = {"one_pass": one_pass, "layer_by_layer": lambda: layer_by_layer(model, rows)}
    by_layer = race(slow, rounds=ROUNDS_BY_LAYER[tokens], warm=0)
    found = figures(by_layer, "one_pass") | figures(race(quick, rounds=ROUNDS, warm=0), "one_pass")
    print(f"{layers} layers, {model.shape.parameters / 1e6:.0f}M parameters, T = {tokens}:")
    for name in (*quick, "layer_by_layer"):
        print(f"  {name:18} {found[f'{name}_ms']:9.0f} ms  x {found.get(f'{name}_ratio', 1.0):.2f}")
    return found


def grid() -> dict[str, float]:
    """Ten (p, q) of a model's matrices, beside reading and ranking anew at every point."""
    generator = torch.Generator().manual_seed(0)
    shapes = [(512, 512)] * 4 + [(1408, 512)] * 3
    names = [f"{layer}.{n}" for layer in range(8) for n in range(len(shapes))]
    safety, utility = (
        {name: torch.rand(shapes[int(name[2:])], generator=generator) ** 4 for name in names}
        for _ in range(2)
    )
    with tempfile.TemporaryDirectory() as folder:
        for title, scores in (("safety", safety), ("utility", utility)):
            for name, each in scores.items():
                save_file({"w": each}, Path(folder) / f"{title}-{name}.safetensors")

        def reloading() -> list[int]:
            counts = []
            for p, q in GRID:
                total = 0
                for name in names:
                    one, two = (
                        load_file(Path(folder) / f"{title}-{name}.safetensors")["w"].flatten()
                        for title in ("safety", "utility")
                    )
                    top = torch.topk(one, int(q * one.numel())).indices
                    useful = torch.topk(two, int(p * two.numel())).indices
                    total += int((~torch.isin(top, useful)).sum())
                counts.append(total)
            return counts

        def thresholds() -> list[int]:
            counts = [0] * len(GRID)
            for name in names:
                one, two = Ranking([safety[name]]), Ranking([utility[name]])
                for place, (p, q) in enumerate(GRID):
                    top, useful = one.top(q)[0], two.top(p)[0]
                    counts[place] += int((top & ~useful).sum())
            return counts

        # `topk` breaks ties at random: a weight or two of a matrix may differ
        for one, two in zip(reloading(), thresholds(), strict=True):
            assert abs(one - two) <= len(names)
        contenders = {"grid": thresholds, "grid_reloading": reloading}
        found = figures(race(contenders, rounds=3, warm=0), "grid")
    ratio = found["grid_reloading_ratio"]
    print(f"grid of {len(GRID)} (p, q): {found['grid_ms']:.0f} ms, reloading x {ratio:.1f}")
    return found


def main() -> None:
    """Run and print."""
    one_thread()
    values: dict[str, float] = {}
    for layers in LAYERS:
        for tokens in LENGTHS:
            found = compare(layers, tokens)
            values |= {f"l{layers}_t{tokens}_{name}": value for name, value in found.items()}
            if tokens == LENGTHS[0]:
                values[f"speedup_{layers}_layers"] = found["layer_by_layer_ratio"]
    values |= grid()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    print(f"peak memory {peak:.0f} MiB")
    report("snip", examples=EXAMPLES, peak_mib=round(peak), **values)


if __name__ == "__main__":
    main()
