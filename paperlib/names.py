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
