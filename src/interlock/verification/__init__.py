"""From measured ablations to what they say of a set of units: pure numbers, no model.

`circuits`: faithfulness, completeness, minimality, necessity. `sharing`: one substrate for all
categories, or one for each. `patched`: what the model says while a set is patched. `curves`: how
many components carry the effect, and how stable the choice is. `original`: the criteria of the
Llama-3 refusal study beside their controls. `bands`: what early, middle and late layers write.
"""
