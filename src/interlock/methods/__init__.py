"""Methods: one question per file, none importing another; registered here as strings.

A method takes nouns by position and plain options by keyword; the options alone are its
configuration (`interlock.config` reads them from the source). It returns one frozen value. Adding a
method is one file and one entry here.
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Method:
    """Where a method lives, without importing it.

    Attributes:
        function: `module:function` within `interlock.methods`.
        cost: `module:function` that counts its work from shapes and options.
        source: the paper it follows, as a report cites it.
    """

    function: str
    cost: str
    source: str


_SNIP = "Wei et al. (2024), arXiv:2402.05162, section 3.1; Lee et al. (2019), arXiv:1810.02340"
_PRUNING = "Wei et al. (2024), arXiv:2402.05162, sections 3 and 4"
_ATTACKS = (
    "Wei et al. (2024), arXiv:2402.05162, section 4.1; strings after Zou et al. (2023), "
    "arXiv:2307.15043"
)

METHODS: Mapping[str, Method] = {
    "behaviour": Method(
        "behaviour:behaviour",
        "behaviour:behaviour_cost",
        "Rules on text; intervals: Wilson (1927), doi:10.1080/01621459.1927.10502953",
    ),
    "opening": Method(
        "behaviour:opening",
        "behaviour:opening_cost",
        "After Arditi et al. (2024), arXiv:2406.11717, section 2.4",
    ),
    "nll": Method("behaviour:nll", "behaviour:nll_cost", "Mean token loss"),
    "patching": Method(
        "patching:patching",
        "patching:patching_cost",
        "Zhang & Nanda (2024), arXiv:2309.16042; Heimersheim & Nanda (2024), arXiv:2404.15255",
    ),
    "joint": Method(
        "patching:joint",
        "patching:joint_cost",
        "Sufficiency against random circuits: Shi et al. (2024), arXiv:2410.13032",
    ),
    "bands": Method(
        "bands:bands",
        "bands:bands_cost",
        "Denoising and noising: Zhang & Nanda (2024), arXiv:2309.16042; bands of layers and donors "
        "of the same word: Interlock's own protocol",
    ),
    "patched_replies": Method(
        "patched_replies:patched_replies",
        "patched_replies:patched_replies_cost",
        "Patching judged by whole replies: Heimersheim & Nanda (2024), arXiv:2404.15255",
    ),
    "search": Method(
        "search:search",
        "search:search_cost",
        "Forward stepwise selection: Hastie, Tibshirani & Friedman (2009), section 3.3.2",
    ),
    "explanation": Method(
        "explanation:explanation",
        "explanation:explanation_cost",
        "Denoising one prompt: Zhang & Nanda (2024), arXiv:2309.16042",
    ),
    "curve": Method(
        "curve:curve",
        "curve:curve_cost",
        "Bootstrap of the selection: Meloux et al. (2025), arXiv:2510.00845",
    ),
    "faithfulness": Method(
        "faithfulness:faithfulness",
        "faithfulness:faithfulness_cost",
        "Wang et al. (2023), arXiv:2211.00593, section 4; Marks et al. (2025), arXiv:2403.19647, "
        "section 4; random circuits: Shi et al. (2024), arXiv:2410.13032",
    ),
    "category_sets": Method(
        "sharing:category_sets",
        "sharing:category_sets_cost",
        "The top units of each category, and of two halves of it",
    ),
    "category_matrix": Method(
        "sharing:category_matrix",
        "sharing:category_matrix_cost",
        "Ablate what one category needs, measure every other: Interlock's own protocol",
    ),
    "attention": Method(
        "attention:attention",
        "attention:attention_cost",
        "Attention weights as the model computes them; what they do not show: Jain & Wallace "
        "(2019), arXiv:1902.10186",
    ),
    "attention_places": Method(
        "attention:attention_places",
        "attention:attention_places_cost",
        "Attention by part of the prompt; the first token as a rest: Xiao et al. (2023), "
        "arXiv:2309.17453",
    ),
    "unit_categories": Method(
        "selectivity:unit_categories",
        "selectivity:unit_categories_cost",
        "Effects by category: Interlock's own protocol",
    ),
    "unit_selectivity": Method(
        "selectivity:unit_selectivity",
        "selectivity:unit_selectivity_cost",
        "Permutation null: Phipson & Smyth (2010), doi:10.2202/1544-6115.1585; adjusted over "
        "units: Benjamini & Hochberg (1995)",
    ),
    "unit_prompts": Method(
        "neurons:unit_prompts",
        "neurons:unit_prompts_cost",
        "Strongest prompts of a unit: Bau et al. (2020), arXiv:2009.05041",
    ),
    "unit_tokens": Method(
        "neurons:unit_tokens",
        "neurons:unit_tokens_cost",
        "Occlusion of single tokens: Zeiler & Fergus (2014), arXiv:1311.2901; Li et al. (2016), "
        "arXiv:1612.08220",
    ),
    "unit_lens": Method(
        "neurons:unit_lens",
        "neurons:unit_lens_cost",
        "Logit lens: nostalgebraist (2020); of single units: Geva et al. (2022), arXiv:2203.14680",
    ),
    "token_effects": Method(
        "token_effects:token_effects",
        "token_effects:token_effects_cost",
        "Occlusion of single tokens: Zeiler & Fergus (2014), arXiv:1311.2901; Li et al. (2016), "
        "arXiv:1612.08220; integrated gradients: Sundararajan et al. (2017), arXiv:1703.01365",
    ),
    "prompt_tokens": Method(
        "token_effects:prompt_tokens",
        "token_effects:prompt_tokens_cost",
        "Occlusion of single tokens: Zeiler & Fergus (2014), arXiv:1311.2901; Li et al. (2016), "
        "arXiv:1612.08220; integrated gradients: Sundararajan et al. (2017), arXiv:1703.01365",
    ),
    "signal_lens": Method(
        "signal:signal_lens",
        "signal:signal_cost",
        "Logit lens: nostalgebraist (2020)",
    ),
    "signal_projection": Method(
        "signal:signal_projection",
        "signal:signal_cost",
        "Projection on the refusal direction: Arditi et al. (2024), arXiv:2406.11717",
    ),
    "ablation": Method(
        "ablation:ablation",
        "ablation:ablation_cost",
        "Mean ablation: Wang et al. (2023), arXiv:2211.00593, section 2",
    ),
    "knockout": Method(
        "ablation:knockout",
        "ablation:knockout_cost",
        "Mean ablation: Wang et al. (2023), arXiv:2211.00593, section 2",
    ),
    "interaction": Method(
        "interaction:interaction",
        "interaction:interaction_cost",
        "Heimersheim & Nanda (2024), arXiv:2404.15255; McGrath et al. (2023), arXiv:2307.15771",
    ),
    "activation_difference": Method(
        "baselines:activation_difference",
        "baselines:activation_difference_cost",
        "A baseline that intervenes on nothing",
    ),
    "probe": Method(
        "baselines:probe",
        "baselines:probe_cost",
        "Linear probes: Alain & Bengio (2016), arXiv:1610.01644",
    ),
    "direct_logit": Method(
        "baselines:direct_logit",
        "baselines:direct_logit_cost",
        "Direct logit attribution: Elhage et al. (2021), A Mathematical Framework for Transformer "
        "Circuits; Wang et al. (2023), arXiv:2211.00593",
    ),
    "random": Method("baselines:random", "baselines:random_cost", "A ranking by nothing"),
    "direction_candidates": Method(
        "directions:candidates",
        "directions:candidates_cost",
        "Arditi et al. (2024), arXiv:2406.11717; COSMIC: Siu et al. (2025), arXiv:2506.00085; "
        "affine: Marshall et al. (2024), arXiv:2411.09003",
    ),
    "direction": Method(
        "directions:direction",
        "directions:direction_cost",
        "Difference in means: Arditi et al. (2024), arXiv:2406.11717, section 2.3",
    ),
    "direction_effects": Method(
        "direction_effects:direction_effects",
        "direction_effects:direction_effects_cost",
        "Arditi et al. (2024), arXiv:2406.11717; affine: Marshall et al. (2024), arXiv:2411.09003",
    ),
    "direction_transfer": Method(
        "direction_effects:direction_transfer",
        "direction_effects:direction_transfer_cost",
        "Arditi et al. (2024), arXiv:2406.11717; a category left out of the fit",
    ),
    "direction_interchange": Method(
        "dimensions:direction_interchange",
        "dimensions:direction_interchange_cost",
        "Interchange interventions: Geiger et al. (2021), arXiv:2106.02997",
    ),
    "dimensions": Method(
        "dimensions:dimensions",
        "dimensions:dimensions_cost",
        "Wollschläger et al. (2025), arXiv:2502.17420; participation ratio: Gao et al. (2017), "
        "doi:10.1101/214262",
    ),
    "attribution": Method(
        "attribution:attribution",
        "attribution:attribution_cost",
        "AtP*: Kramar et al. (2024), arXiv:2403.00745; EAP-IG: Hanna et al. (2024), "
        "arXiv:2403.17806; RelP: Rezaei Jafari et al. (2025), arXiv:2508.21258",
    ),
    "conditional_attribution": Method(
        "conditional:conditional_attribution",
        "conditional:conditional_attribution_cost",
        "Attribution beside a patched unit: Interlock's own; after Heimersheim & Nanda (2024), "
        "arXiv:2404.15255; McGrath et al. (2023), arXiv:2307.15771",
    ),
    "approximation": Method(
        "approximation:approximation",
        "approximation:approximation_cost",
        "Exact check of a ranking and a random sample: AtP*, Kramar et al. (2024), "
        "arXiv:2403.00745, section 3.3",
    ),
    "snip": Method("salience:snip", "salience:snip_cost", _SNIP),
    "wanda": Method("salience:wanda", "salience:wanda_cost", "Sun et al. (2023), arXiv:2306.11695"),
    "magnitude": Method("salience:magnitude", "salience:magnitude_cost", "|weight|, no data"),
    "subspace_similarity": Method(
        "lowrank:subspace_similarity",
        "lowrank:subspace_similarity_cost",
        "ActSVD: Wei et al. (2024), arXiv:2402.05162, sections 3.2 and 4.3",
    ),
    "used_directions": Method(
        "lowrank:used_directions",
        "lowrank:used_directions_cost",
        "ActSVD: Wei et al. (2024), arXiv:2402.05162, section 3.2",
    ),
    "random_weights": Method(
        "salience:random_weights", "salience:random_weights_cost", "A ranking of weights by nothing"
    ),
    "own_replies": Method(
        "reply_sets:own_replies",
        "reply_sets:own_replies_cost",
        "Rules on text; intervals: Wilson (1927), doi:10.1080/01621459.1927.10502953",
    ),
    "file_replies": Method(
        "reply_sets:file_replies", "reply_sets:file_replies_cost", "Replies given in a file"
    ),
    "top_weights": Method("weight_groups:top_weights", "weight_groups:no_cost", _SNIP),
    "set_difference": Method(
        "weight_groups:set_difference",
        "weight_groups:no_cost",
        "Wei et al. (2024), arXiv:2402.05162, section 3.3",
    ),
    "unit_weights": Method(
        "weight_groups:unit_weights", "weight_groups:no_cost", "Heads and neurons as weights"
    ),
    "control_weights": Method(
        "weight_groups:control_weights", "weight_groups:no_cost", "As many weights, by nothing"
    ),
    "weight_overlap": Method(
        "weight_groups:weight_overlap",
        "weight_groups:no_cost",
        "Wei et al. (2024), arXiv:2402.05162, section 4.3",
    ),
    "pruning": Method("pruning:pruning", "pruning:pruning_cost", _PRUNING),
    "removal": Method("pruning:removal", "pruning:removal_cost", _PRUNING),
    "restoration": Method("pruning:restoration", "pruning:removal_cost", _PRUNING),
    "rank_pruning": Method("rank_pruning:rank_pruning", "rank_pruning:rank_pruning_cost", _PRUNING),
    "attacks": Method("attacks:attacks", "attacks:attacks_cost", _ATTACKS),
    "rank_attacks": Method("attacks:rank_attacks", "attacks:attacks_cost", _ATTACKS),
}
