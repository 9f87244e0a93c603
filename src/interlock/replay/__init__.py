"""Exact edits at many sites, fast: many edits of one run, one answer each, nothing run twice.

`keep` runs a batch of prompts once; `replay` answers for sets of edits of that run what a full
hooked pass for each would answer (`edits.edited` with `activations.forward`, which stays the
reference). It runs the loaded model's own layers.

Ideas: read-only prefix caches, TransformerLens pull request 383; rows that join at the layer that
they differ in, ours.
"""

from interlock.replay.keeping import Kept, keep
from interlock.replay.sweeping import Reading, Replayed, replay

__all__ = ["Kept", "Reading", "Replayed", "keep", "replay"]
