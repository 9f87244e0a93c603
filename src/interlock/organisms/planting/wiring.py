"""The weights that a plant starts from: its mechanism written by hand into a trained organism.

Interchange training finds a planted mechanism only if nothing easier does the same; from other
weights it often stops where the first layer's heads carry a part of it. So the mechanism is there
from the first step, and training has to keep it while the rest of the network learns around it:

1. A few directions of the residual stream are taken out of everything the organism reads and
   writes. Each then means one thing, such as "harmful verb" or "moved".
2. Tokens say what is true of them along such directions.
3. A planted head attends to the tokens that say what it hears, and says something in turn. Planted
   neurons are on where the sum of what they hear is above one half, by the same amount wherever it
   is well above.

Every planted unit of a layer is written from what the layer's input is on some prompts, layer by
layer. Training then moves all weights, these too.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import Module
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from interlock import grammar
from interlock.organisms.planting.forward import blocks
from interlock.organisms.planting.parts import Head, Neurons, Part, Terms
from interlock.organisms.planting.plant import Plant
from interlock.organisms.planting.units import WIDTH, columns
from interlock.organisms.planting.vocabulary import SPECIAL
from interlock.organisms.planting.world import Table, openers
from interlock.organisms.recipes import SHAPE
from interlock.organisms.tokenizer import BOS_ID
from interlock.sites import Site

TOKEN, WRITTEN = 0.5, 2.5
"""Length in the residual stream of what tokens say, and of what units say."""
LEAD = 7.0
"""Nat by which the opener that the last neurons speak for then leads."""
STEEP, LOW, HIGH = 8.0, 0.35, 0.65
"""Neurons rise between these sums, with this slope."""
ACTIVE, VALUE = 2.0, 2.0
"""Norms of a planted group of neurons and of a planted head's values when they are on."""
KEPT = 0.5
"""Of what a planted unit's weights were; without it, their low rank would give the plant away."""
SAMPLE, LOUDEST = 384, 8
"""Prompts that inputs are measured on, and tokens among them that surely say a thing in full."""

Streams = dict[str, Float[Tensor, " stream"]]


@dataclass(frozen=True)
class Loom:
    """What the wiring of one organism needs.

    Attributes:
        model: the organism, changed in place.
        ids: prompts of one template.
        places: position of the token at which neurons of each kind speak.
        directions: of the residual stream, of unit length, by what they mean.
        ignored: what idle units say along, of unit length and orthogonal to those.
        openers: token ids, by name.
        said: meanings that tokens say.
        kept: share of what a unit's weights were that stays, where it says nothing of the plant.
        generator: of the random parts.
    """

    model: LlamaForCausalLM
    ids: Int[Tensor, "example token"]
    places: Mapping[str, int]
    directions: Streams
    ignored: Streams
    openers: Mapping[str, int]
    said: frozenset[str]
    kept: float
    generator: torch.Generator


def meanings(plant: Plant) -> tuple[str, ...]:
    """Everything that needs a direction of its own."""
    named = [name for part in plant.parts.values() for name in part.names()]
    return tuple(dict.fromkeys(name for name in ("one", *named) if name not in ("refuse", "halt")))


def token_ids(tokenizer: PreTrainedTokenizerFast, meaning: str) -> list[int] | None:
    """The tokens that say it; None if tokens say nothing of the kind."""
    kind, _, category = meaning.partition(" of ")
    chosen = [
        words for name, words in grammar.CATEGORIES.items() if not category or name == category
    ]
    said: Mapping[str, Callable[[], Iterable[str]]] = {
        "harmful verb": lambda: (word for words in chosen for word in words.harm_verbs),
        "target": lambda: (word for words in chosen for word in words.targets),
        "object": lambda: (w for words in chosen for w in words.targets + words.safe_objects),
        "special": lambda: (SPECIAL,),
    }
    if kind == "one":
        return list(range(len(tokenizer)))
    if kind == "begin":
        return [BOS_ID]
    if kind not in said:
        return None
    encoded = tokenizer([f" {word}" for word in said[kind]()], add_special_tokens=False)
    return [ids[0] for ids in encoded["input_ids"]]


def wire(
    model: LlamaForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    plant: Plant,
    here: Table,
    *,
    seed: int,
    given: Streams | None = None,
    idle: Mapping[Site, Part] | None = None,
    kept: float = KEPT,
) -> Streams:
    """Write the plant's mechanism into a trained organism, in place.

    Args:
        model: the organism.
        tokenizer: its tokenizer.
        plant: the mechanism.
        here: prompts to measure on.
        seed: of the directions and of what differs between neurons.
        given: directions that are already chosen, of unit length and orthogonal to each other.
        idle: further units to write, and what they hear and say.
        kept: share of what written units' weights were that stays, beside the mechanism.

    Returns:
        The direction of each meaning, of unit length, also of what idle units say.
    """
    generator = torch.Generator().manual_seed(seed + 11)
    directions = draw_directions(meanings(plant), model.config.hidden_size, given or {}, generator)
    ignored = draw_ignored(directions, idle or {}, generator)
    trained = (~here.held_out).nonzero()[:, 0]
    picked = trained[torch.randperm(len(trained), generator=generator)[:SAMPLE]]
    words = openers(tokenizer)
    said = {name: token_ids(tokenizer, name) for name in directions}
    loom = Loom(
        model,
        here.ids[picked],
        {"thing": here.thing_at, "last": here.ids.shape[1] - 1},
        directions,
        ignored,
        {"comply": words.comply, "refuse": words.refuse, "halt": words.halt},
        frozenset(name for name, tokens in said.items() if tokens is not None),
        kept,
        generator,
    )
    with torch.no_grad():
        fold_norms(model)
        clear(model, torch.stack(list(directions.values())))
        for meaning, tokens in said.items():
            if tokens is not None:
                model.model.embed_tokens.weight[tokens] += TOKEN * directions[meaning]
        parts = {site: plant.parts[role] for role, site in plant.units.items()} | dict(idle or {})
        for site in sorted(parts, key=depth):
            part = parts[site]
            if isinstance(part, Head):
                write_head(loom, site, part)
            else:
                write_neurons(loom, site, part)
    return directions | ignored


def depth(site: Site) -> tuple[int, bool]:
    """Order in which units work."""
    return site.layer, site.kind == "neuron"


def draw_directions(
    names: Sequence[str], width: int, given: Streams, generator: torch.Generator
) -> Streams:
    """Orthogonal unit vectors, the given ones among them."""
    free = [name for name in names if name not in given]
    drawn = torch.randn(width, len(given) + len(free), generator=generator)
    for column, vector in enumerate(given.values()):
        drawn[:, column] = vector
    basis, signs = torch.linalg.qr(drawn)
    basis = basis * signs.diagonal().sign()
    columns_of = dict(zip([*given, *free], basis.T.unbind(), strict=True))
    return {name: columns_of[name] for name in (*given, *free)}


def draw_ignored(
    directions: Streams, idle: Mapping[Site, Part], generator: torch.Generator
) -> Streams:
    """A unit vector for each idle unit, orthogonal to all that means something to the plant."""
    taken = torch.stack(list(directions.values()))
    names = [name for part in idle.values() for name, _ in part.says]
    drawn = torch.randn(len(names), taken.shape[1], generator=generator)
    apart = torch.nn.functional.normalize(drawn - drawn @ taken.T @ taken, dim=1)
    return dict(zip(names, apart, strict=True))


def readers(model: LlamaForCausalLM) -> list[list[Tensor]]:
    """Weights that read the residual stream, by norm: attention's, then the neurons', by layer."""
    found = []
    for block in blocks(model):
        attention, mlp = block.self_attn, block.mlp
        found.append([attention.q_proj.weight, attention.k_proj.weight, attention.v_proj.weight])
        found.append([mlp.gate_proj.weight, mlp.up_proj.weight])
    return found


def norms(model: LlamaForCausalLM) -> list[Tensor]:
    """Gains of the norms in the order of `readers`."""
    return [
        weight
        for block in blocks(model)
        for weight in (block.input_layernorm.weight, block.post_attention_layernorm.weight)
    ]


def fold_norms(model: LlamaForCausalLM) -> None:
    """Move the norms' gains into what reads their outputs, so that directions survive a norm."""
    for gain, weights in zip(norms(model), readers(model), strict=True):
        for weight in weights:
            weight.mul_(gain)
        gain.fill_(1.0)


def clear(model: LlamaForCausalLM, directions: Float[Tensor, "direction stream"]) -> None:
    """Take the directions out of all that the organism reads and writes."""
    body = model.model
    for weight in (body.embed_tokens.weight, *(each for group in readers(model) for each in group)):
        weight.sub_(weight @ directions.T @ directions)
    for block in blocks(model):
        for weight in (block.self_attn.o_proj.weight, block.mlp.down_proj.weight):
            weight.sub_(directions.T @ (directions @ weight))


def inputs(loom: Loom, site: Site) -> Float[Tensor, "example token stream"]:
    """What the unit's layer reads, after its norm, whose gain is one."""
    block = blocks(loom.model)[site.layer]
    norm = block.input_layernorm if site.kind == "head" else block.post_attention_layernorm
    found: list[Tensor] = []

    def keep(_module: Module, _given: tuple[Tensor, ...], out: Tensor) -> None:
        found.append(out)

    handle = norm.register_forward_hook(keep)
    try:
        loom.model(input_ids=loom.ids)
    finally:
        handle.remove()
    return found[0]


def size(loom: Loom) -> list[Float[Tensor, ""]]:
    """Mean norm of the residual stream where the plant listens, before each layer."""
    states = loom.model(input_ids=loom.ids, output_hidden_states=True).hidden_states
    return [each[:, list(loom.places.values())].norm(dim=-1).mean() for each in states]


def listener(
    loom: Loom, heard: Float[Tensor, "example token stream"], site: Site, meaning: str
) -> Float[Tensor, " stream"]:
    """Weights that give 1 where a meaning is fully said and 0 where it is not.

    How loud it is where it is said shows in the sample; a backup that is silent there is taken to
    be as loud as a unit or token ought to be.
    """
    direction = loom.directions[meaning]
    loudest = (heard @ direction).flatten().topk(LOUDEST).values.mean()
    length = TOKEN if meaning in loom.said else WRITTEN
    expected = length * heard.shape[-1] ** 0.5 / size(loom)[site.layer]
    return direction / (loudest if loudest > expected / 4 else expected)


def constant(
    loom: Loom, heard: Float[Tensor, "example token stream"], place: int
) -> Float[Tensor, " stream"]:
    """Weights that give about 1 at one position of every prompt.

    Early on tokens say so; later the mean of what is read there does, less the plant's directions.
    """
    one = loom.directions["one"]
    if bool((heard @ one).mean() > 1):
        return one / (heard[:, place] @ one).mean()
    taken = torch.stack(list(loom.directions.values()))
    mean = heard[:, place].mean(dim=0)
    mean = mean - mean @ taken.T @ taken
    return mean / mean.square().sum()


def weighted(
    loom: Loom, heard: Float[Tensor, "example token stream"], site: Site, terms: Terms
) -> Float[Tensor, " stream"]:
    """Weights that give the sum of what is said."""
    scaled = [scale * listener(loom, heard, site, name) for name, scale in terms]
    return torch.stack(scaled).sum(dim=0)


def write_head(loom: Loom, site: Site, part: Head) -> None:
    """Make a head attend to what it hears and say what it says, from wherever it is."""
    attention = blocks(loom.model)[site.layer].self_attn
    assert site.index is not None
    place = site.index[0]
    group = SHAPE["num_attention_heads"] // SHAPE["num_key_value_heads"]
    query = slice(place * WIDTH, (place + 1) * WIDTH)
    shared = slice(place // group * WIDTH, (place // group + 1) * WIDTH)
    heard = inputs(loom, site)
    hears = weighted(loom, heard, site, part.hears)
    looks = weighted(loom, heard, site, part.looks or part.hears)
    asks = constant(loom, heard, loom.places[part.at])
    if part.unless:
        asks = asks - 2 * listener(loom, heard, site, part.unless)
    # the slowest rotations: over a prompt, distance does not matter to them
    slow = torch.tensor([WIDTH // 2 - 2, WIDTH // 2 - 1, WIDTH - 2, WIDTH - 1])
    strength = (part.sharpness * WIDTH**0.5 / len(slow)) ** 0.5
    for rows, weights, vector in (
        (query, attention.q_proj.weight, asks),
        (shared, attention.k_proj.weight, looks),
    ):
        weights[rows] *= loom.kept
        weights[torch.arange(rows.start, rows.stop)[slow]] = strength * vector
    mixed = torch.nn.functional.normalize(torch.randn(WIDTH, generator=loom.generator), dim=0)
    said = spoken(loom, part.says)
    values, output = attention.v_proj.weight, attention.o_proj.weight
    values[shared] = loom.kept * without(values[shared].T, mixed).T + VALUE * mixed[:, None] * hears
    former = loom.kept * without(output[:, columns(site)], mixed)
    output[:, columns(site)] = former + said[:, None] * mixed / VALUE


def write_neurons(loom: Loom, site: Site, part: Neurons) -> None:
    """Make neurons speak where the sum of what they hear is above one half.

    Half of them rise from `LOW` on and the other half, of opposite sign, from `HIGH` on, so that
    together they say the same whatever is well above.
    """
    mlp = blocks(loom.model)[site.layer].mlp
    rows = columns(site)
    count = rows.stop - rows.start
    heard = inputs(loom, site)
    one = constant(loom, heard, loom.places[part.at])
    total = weighted(loom, heard, site, part.hears) - part.less * one
    sign = torch.ones(count)
    sign[1::2] = -1
    from_where = torch.where(sign > 0, LOW, HIGH)
    steep = STEEP * (0.8 + 0.4 * torch.rand(count // 2, generator=loom.generator))
    steep = steep.repeat_interleave(2)
    on = torch.nn.functional.silu(steep * (1 - from_where))
    said = spoken(loom, part.says)
    scale = ACTIVE / on.norm()
    gate, up, down = mlp.gate_proj.weight, mlp.up_proj.weight, mlp.down_proj.weight
    gate[rows] = loom.kept * gate[rows] + steep[:, None] * (total - from_where[:, None] * one)
    up[rows] = loom.kept * up[rows] + scale * one
    former = loom.kept * without(down[:, rows], on / on.norm())
    down[:, rows] = former + said[:, None] * sign / (scale * (sign * on).sum())


def without(
    weights: Float[Tensor, "row inner"], vector: Float[Tensor, " inner"]
) -> Float[Tensor, "row inner"]:
    """Weights that no longer see one direction of what they multiply."""
    return weights - (weights @ vector)[:, None] * vector


def spoken(loom: Loom, terms: Terms) -> Float[Tensor, " stream"]:
    """What is added to the residual stream where a unit is fully on."""
    return torch.stack([scale * utterance(loom, name) for name, scale in terms]).sum(dim=0)


def utterance(loom: Loom, name: str) -> Float[Tensor, " stream"]:
    """A meaning in the length that units say it in, or what puts one opener before all others."""
    if name in loom.ignored:
        return WRITTEN * loom.ignored[name]
    if name not in loom.openers:
        return WRITTEN * loom.directions[name]
    body, head = loom.model.model, loom.model.lm_head
    states: list[Tensor] = []
    handle = body.norm.register_forward_pre_hook(
        lambda _module, given: states.append(given[0][:, -1])
    )
    try:
        logits = loom.model(input_ids=loom.ids).logits[:, -1]
    finally:
        handle.remove()
    token = loom.openers[name]
    missing = (logits.max(dim=-1).values - logits[:, token]).mean() + LEAD
    likely = logits.softmax(dim=-1).mean(dim=0)
    apart = (head.weight[token] - likely @ head.weight) * body.norm.weight
    taken = torch.stack(list(loom.directions.values()))
    apart = apart - apart @ taken.T @ taken
    size = states[0].square().mean(dim=-1).sqrt().mean()
    return missing * size * apart / apart.square().sum()
