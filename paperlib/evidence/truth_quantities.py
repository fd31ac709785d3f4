"""Quantities that our own claims are about: rivals, fixed depth, all subsets, transfer and training."""

from paperlib.evidence.estimates import Estimate, Results, Untestable


def rivals_beaten(results: Results, strategy: str, rivals: list[str]) -> Estimate:
    """Count the rivals that the strategy beats: one-sided on points, Holm over them."""
    raise Untestable("not measured")


def at_fixed_depth(results: Results, strategy: str, rival: str) -> Estimate:
    """Return strategy minus rival, mean over the depths at which there is a choice, then over datasets, points."""
    raise Untestable("not measured")


def probably_improved(results: Results, strategy: str, rivals: list[str]) -> Estimate:
    """Count the rivals on which the strategy improves, at fixed depth, with a probability surely above one half."""
    raise Untestable("not measured")


def critically_above(results: Results, strategy: str) -> Estimate:
    """Count the single signals whose mean rank is a critical difference below the strategy's (Nemenyi)."""
    raise Untestable("not measured")


def nested_share(results: Results) -> Estimate:
    """Return the share of neighbouring sizes whose best subsets contain one another."""
    raise Untestable("not measured")


def signals_with_shapley(results: Results) -> Estimate:
    """Count the signals whose rank correlation with exact Shapley values is above zero, Holm over the twelve."""
    raise Untestable("not measured")


def target_reliability(results: Results) -> Estimate:
    """Return the rank correlation of the accuracy drops measured on test and on validation, mean over datasets."""
    raise Untestable("not measured")


def transfer_regret(results: Results, method: str, rival: str) -> Estimate:
    """Return the regret of a transferred choice minus its rival's at the original models, mean over datasets, points."""
    raise Untestable("not measured")


def gain_after_training(results: Results, epochs: int, rival: str) -> Estimate:
    """Return the best pruned forest model's gain over the original (trained `once` or `equal`ly) at so many epochs."""
    raise Untestable("not measured")
