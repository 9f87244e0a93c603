"""A study file, checked in full before any weights load; a method's signature is its schema."""

from interlock.config.claims import Claim
from interlock.config.overrides import apply_overrides, read_study_file
from interlock.config.signatures import Signature, signature_of
from interlock.config.study import (
    ModelSettings,
    PromptSettings,
    Step,
    Study,
    resolve,
    schema,
    source_steps,
    top_count,
)

__all__ = [
    "Claim",
    "ModelSettings",
    "PromptSettings",
    "Signature",
    "Step",
    "Study",
    "apply_overrides",
    "read_study_file",
    "resolve",
    "schema",
    "signature_of",
    "source_steps",
    "top_count",
]
