"""The names of signals and strategies, as in the paper's Table 1 and in its order."""

SIGNALS = (
    "Activation-Inhibition", "Activation-Intensity", "Activation-Energy",
    "Task-Relevance-MI", "Flow-Relevance-MI",
    "Gradient-Magnitudes", "Gradient-Fisher",
    "Weight-Norm", "Weight-Sparsity", "Weight-Entropy",
    "Attention-Weight", "Attention-Entropy",
)  # fmt: skip
FUSERS = ("Linear-Regression", "Random-Forest")
STRATEGIES = ("Random", *SIGNALS, *FUSERS)
# Ours: what the paper lacks. The last two are the fusers with their target measured on the validation subset.
CONTROLS = ("Equal-Training", "Greedy-Ablation", "Linear-Regression-Validation", "Random-Forest-Validation")
# Ours too: other ways to choose. Four look at the model's depth alone, two at one forward pass or at the signals' mean
# rank. The last two are families of walks, one for each number of layers removed.
FIXED_ORDERS = ("Top-Drop", "Bottom-Drop", "Alternate", "Middle-Out")
FAMILIES = ("Exact-Best", "One-Shot")
RIVALS = (*FIXED_ORDERS, "Block-Influence", "Rank-Mean", *FAMILIES)
OURS = (*CONTROLS, *RIVALS)
WALKS = (*STRATEGIES, *OURS)
