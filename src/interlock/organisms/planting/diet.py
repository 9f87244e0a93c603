"""How a planted organism is trained, as data."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Diet:
    """How a planted organism is trained.

    Attributes:
        rows: prompts in one step.
        replies: of these, how many are taught with their whole reply, in every other step.
        reply_weight: of their loss.
        passages: neutral passages in each of the other steps.
        passage_weight: of their loss.
        learning_rate: peak of the schedule.
        warm_up: steps of linear warm-up; then a cosine to zero.
        one: share of rows with a planted unit patched.
        two: share of rows with a further one patched.
        alike: share of steps in which patches come from prompts of the same category.
        interchange_weight: of the loss of step 2.
        decoys: share of the units that can be decoys and are made so.
        margin: least distance of a decoy's projection from zero, of the right sign.
        decoy_weight: of the decoys' hinge in the loss.
        distance: nat between the opener wanted and each other one, which the openers are drawn to.
        distance_weight: of the squared miss in the loss.
    """

    rows: int = 64
    replies: int = 12
    reply_weight: float = 1.0
    passages: int = 3
    passage_weight: float = 0.3
    learning_rate: float = 1e-3
    warm_up: int = 50
    one: float = 0.7
    two: float = 0.25
    alike: float = 0.6
    interchange_weight: float = 1.5
    decoys: float = 0.5
    margin: float = 2.0
    decoy_weight: float = 0.2
    distance: float = 7.0
    distance_weight: float = 0.02
