"""Brute-force twins of the weight scores: one example at a time, by autograd, no padding."""

import torch

# the same for every family, so that a wrong table of ours cannot agree with itself
LINEAR = ("Linear", "Conv1D")


def linear_maps(network):
    """Every linear map of the decoder layers: {"layer.path": (module, stored as [in out])}."""
    layers = next(
        module
        for name, module in network.named_modules()
        if isinstance(module, torch.nn.ModuleList) and name.split(".")[-1] in ("layers", "h")
    )
    return {
        f"{number}.{path}": (module, type(module).__name__ == "Conv1D")
        for number, layer in enumerate(layers)
        for path, module in layer.named_modules()
        if type(module).__name__ in LINEAR
    }


def loss_of(network, prompt, reply, kind="mean", skip=0):
    """NLL of a reply, from the logits of the whole text."""
    ids = torch.tensor([[*prompt, *reply]])
    logs = network(input_ids=ids).logits[0].log_softmax(dim=-1)
    start = len(prompt)
    each = [-logs[start + n - 1, token] for n, token in enumerate(reply) if n >= skip]
    return sum(each) / (len(each) if kind == "mean" else 1)


def snip(network, pairs, kind="mean", skip=0):
    """Mean over examples of |weight * gradient|, {"layer.path": [out in]}."""
    maps = linear_maps(network)
    totals = dict.fromkeys(maps, 0.0)
    for prompt, reply in pairs:
        weights = {name: module.weight for name, (module, _) in maps.items()}
        for weight in weights.values():
            weight.requires_grad_(True)
        loss = loss_of(network, prompt, reply, kind, skip)
        found = torch.autograd.grad(loss, list(weights.values()))
        for weight in weights.values():
            weight.requires_grad_(False)
        for name, slope in zip(weights, found, strict=True):
            totals[name] = totals[name] + (weights[name] * slope).abs().detach()
    return {
        name: (total.T if maps[name][1] else total) / len(pairs) for name, total in totals.items()
    }


def inputs(network, pairs, skip=0):
    """Each matrix's inputs at reply tokens, a list of [token in] by example."""
    maps = linear_maps(network)
    seen = {name: [] for name in maps}
    for prompt, reply in pairs:
        first = len(prompt) + skip
        handles = [
            module.register_forward_pre_hook(
                lambda _, args, name=name, first=first: seen[name].append(args[0][0, first:])
            )
            for name, (module, _) in maps.items()
        ]
        with torch.no_grad():
            network(input_ids=torch.tensor([[*prompt, *reply]]))
        for handle in handles:
            handle.remove()
    return seen


def wanda(network, pairs):
    """|weight| times the root of the mean over examples of its input's squared norm."""
    seen, found = inputs(network, pairs), {}
    for name, (module, transposed) in linear_maps(network).items():
        weight = module.weight.T if transposed else module.weight
        norms = torch.stack([(each**2).sum(dim=0) for each in seen[name]]).mean(dim=0).sqrt()
        found[name] = weight.abs() * norms
    return found
