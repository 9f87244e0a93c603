"""Brute-force twins: slow, obvious, in plain torch and Python, sharing no code with Interlock."""

import math
from collections.abc import Callable, Mapping, Sequence

import torch
from scipy.optimize import brentq

KINDS = (
    "resid_pre", "query", "key", "value", "head", "attn", "resid_mid", "neuron", "mlp", "resid_post"
)  # fmt: skip
Change = Mapping[tuple[str, int], Callable[[torch.Tensor], torch.Tensor]]


class Decoder:
    """A Llama-like decoder (Llama, Mistral, Qwen2, Qwen3) written out from its weights, in float64.

    One prompt at a time, no padding, no cache.
    """

    def __init__(self, network):
        self.weights = {name: value.double() for name, value in network.state_dict().items()}
        self.config = network.config
        if "lm_head.weight" not in self.weights:
            self.weights["lm_head.weight"] = self.weights["model.embed_tokens.weight"]

    def run(self, ids: Sequence[int], change: Change | None = None):
        """Logits [token vocab] and every intermediate {(kind, layer): [token width]}.

        `change` replaces an intermediate, by (kind, layer), and everything after it follows.
        """
        seen = {}

        def keep(kind, layer, value):
            if change and (kind, layer) in change:
                value = change[kind, layer](value)
            seen[kind, layer] = value
            return value

        stream = self.weights["model.embed_tokens.weight"][list(ids)]
        for layer in range(self.config.num_hidden_layers):
            stream = self._layer(stream, layer, keep)
        normed = self._norm(stream, self.weights["model.norm.weight"])
        return normed @ self.weights["lm_head.weight"].T, seen

    def _layer(self, stream, layer, keep):
        def weight(name):
            return self.weights[f"model.layers.{layer}.{name}.weight"]

        stream = keep("resid_pre", layer, stream)
        normed = self._norm(stream, weight("input_layernorm"))
        heads = {
            kind: keep(kind, layer, self._linear(normed, f"model.layers.{layer}.self_attn.{name}"))
            for kind, name in (("query", "q_proj"), ("key", "k_proj"), ("value", "v_proj"))
        }
        mixed = keep("head", layer, self._attention(heads, layer))
        attn = keep("attn", layer, mixed @ weight("self_attn.o_proj").T)
        stream = keep("resid_mid", layer, stream + attn)
        normed = self._norm(stream, weight("post_attention_layernorm"))
        gate = normed @ weight("mlp.gate_proj").T
        neurons = gate / (1 + torch.exp(-gate)) * (normed @ weight("mlp.up_proj").T)
        neurons = keep("neuron", layer, neurons)
        mlp = keep("mlp", layer, neurons @ weight("mlp.down_proj").T)
        return keep("resid_post", layer, stream + mlp)

    def _linear(self, value, name):
        out = value @ self.weights[f"{name}.weight"].T
        return out + self.weights[f"{name}.bias"] if f"{name}.bias" in self.weights else out

    def _norm(self, value, weight):
        size = value.pow(2).mean(dim=-1, keepdim=True)
        return value / torch.sqrt(size + self.config.rms_norm_eps) * weight

    def _attention(self, heads, layer):
        count, width = self.config.num_attention_heads, self.config.head_dim
        shared = count // self.config.num_key_value_heads
        tokens = len(heads["query"])
        mixed = []
        for head in range(count):
            own = slice(head * width, (head + 1) * width)
            kv = slice(head // shared * width, (head // shared + 1) * width)
            query = self._turned(heads["query"][:, own], f"model.layers.{layer}.self_attn.q_norm")
            key = self._turned(heads["key"][:, kv], f"model.layers.{layer}.self_attn.k_norm")
            value = heads["value"][:, kv]
            rows = []
            for here in range(tokens):
                scores = key[: here + 1] @ query[here] / math.sqrt(width)
                rows.append(torch.softmax(scores, dim=0) @ value[: here + 1])
            mixed.append(torch.stack(rows))
        return torch.cat(mixed, dim=1)

    def _turned(self, value, norm):
        """Rotary positions, after the head's own norm where the family has one."""
        if f"{norm}.weight" in self.weights:
            value = self._norm(value, self.weights[f"{norm}.weight"])
        half = value.shape[1] // 2
        theta = self.config.rope_parameters["rope_theta"]
        speeds = torch.tensor([theta ** (-pair / half) for pair in range(half)]).double()
        angles = torch.arange(len(value)).double()[:, None] * speeds
        first, second = value[:, :half], value[:, half:]
        turned = first * angles.cos() - second * angles.sin()
        return torch.cat([turned, second * angles.cos() + first * angles.sin()], dim=1)

    def greedy(self, ids, count, stops=(), change=None):
        """Greedy new tokens, the whole text run again for each; stops are left out."""
        text = list(ids)
        for _ in range(count):
            best = int(self.run(text, change)[0][-1].argmax())
            if best in stops:
                break
            text.append(best)
        return tuple(text[len(ids) :])


def replaced(rows: slice | list[int], columns: slice, value: torch.Tensor):
    """A change that sets some tokens and columns of an intermediate."""

    def change(old):
        new = old.clone()
        new[rows, columns] = value.to(new.dtype)
        return new

    return change


def opening_score(logits, refusal, compliance):
    """Log odds of a refusal opener, by probabilities."""
    odds = torch.softmax(logits.double(), dim=-1)
    refused = sum(odds[token] for token in refusal)
    return float(torch.log(refused / sum(odds[token] for token in compliance)))


def sweep(decoder, pairs, places, openers, direction):
    """Patching effect of each place on each pair, and the gaps.

    Args:
        decoder: a `Decoder`.
        pairs: token ids of harmful and harmless prompt, of equal length.
        places: (kind, layer, columns, positions) where positions is a function of the length.
        openers: refusal and compliance token ids.
        direction: denoise or noise.
    """
    effects = [[0.0] * len(pairs) for _ in places]
    gaps = []
    for column, (harmful, harmless) in enumerate(pairs):
        clean_logits, clean = decoder.run(harmful)
        corrupt_logits, corrupt = decoder.run(harmless)
        clean_score = opening_score(clean_logits[-1], *openers)
        corrupt_score = opening_score(corrupt_logits[-1], *openers)
        gaps.append(clean_score - corrupt_score)
        base, source = (harmless, clean) if direction == "denoise" else (harmful, corrupt)
        before = corrupt_score if direction == "denoise" else clean_score
        for row, (kind, layer, columns, positions) in enumerate(places):
            tokens = positions(len(base))
            change = replaced(tokens, columns, source[kind, layer][tokens, columns])
            logits, _ = decoder.run(base, {(kind, layer): change})
            risen = opening_score(logits[-1], *openers) - before
            effects[row][column] = risen if direction == "denoise" else -risen
    return effects, gaps


def wilson(successes, n, z):
    """The two shares p at which the score statistic |share - p| / sqrt(p (1 - p) / n) is z."""
    share = successes / n

    def score(p):
        return (share - p) ** 2 - z * z * p * (1 - p) / n

    # 0 and 1 are roots as well where the share is 0 or 1; the other root is the one wanted
    low = 0.0 if share == 0 else brentq(score, 0.0, min(share, 1 - 1e-9), xtol=1e-14)
    high = 1.0 if share == 1 else brentq(score, max(share, 1e-9), 1.0, xtol=1e-14)
    return low, high


def auroc(scores, positive):
    """Share of (positive, negative) pairs in the right order; a tie is half."""
    right, total = 0.0, 0
    for one, is_positive in zip(scores, positive, strict=True):
        for other, other_positive in zip(scores, positive, strict=True):
            if is_positive and not other_positive:
                total += 1
                right += 1.0 if one > other else 0.5 if one == other else 0.0
    return right / total


def bootstrap(numerator, denominator, clusters, draws, random):
    """Ratios of means when whole clusters are drawn with replacement, one draw at a time."""
    names = sorted(set(clusters))
    found = []
    for _ in range(draws):
        chosen = random.choices(names, k=len(names))
        rows = [i for name in chosen for i, own in enumerate(clusters) if own == name]
        found.append(sum(numerator[i] for i in rows) / sum(denominator[i] for i in rows))
    return sorted(found)


def adjusted(p_values):
    """Benjamini-Hochberg by its definition: the smallest level at which a test is rejected."""
    m = len(p_values)
    ranked = sorted(p_values)
    levels = [ranked[place] * m / (place + 1) for place in range(m)]
    return [
        min(1.0, *(level for level, own in zip(levels, ranked, strict=True) if own >= p))
        for p in p_values
    ]


def mcnemar(before, after):
    """Two-sided exact p-value of the discordant pairs, by adding up binomial terms."""
    lost = sum(a and not b for a, b in zip(before, after, strict=True))
    gained = sum(b and not a for a, b in zip(before, after, strict=True))
    n = lost + gained
    tail = sum(math.comb(n, k) for k in range(min(lost, gained) + 1)) / 2**n
    return min(1.0, 2 * tail)
