"""A study file, checked in full before any weights load; a method's signature is its schema."""

from interlock.config.claims import Claim
from interlock.config.overrides import apply_overrides, read_study_file
from interlock.config.signatures import Signature, signature_of
from interlock.config.steps import (
    Step,
    model_wires,
    source_steps,
    splits_seen,
    steps_read,
    top_count,
)
from interlock.config.study import ModelSettings, PromptSettings, Study, resolve, schema
from interlock.config.targets import Target

__all__ = [
    "Claim",
    "ModelSettings",
    "PromptSettings",
    "Signature",
    "Step",
    "Study",
    "Target",
    "apply_overrides",
    "model_wires",
    "read_study_file",
    "resolve",
    "schema",
    "signature_of",
    "source_steps",
    "splits_seen",
    "steps_read",
    "top_count",
]
