"""Sentences that the notebooks generate: where a number is a tie, a coincidence or noise, they say so in words."""

from collections.abc import Collection, Mapping, Sequence

import numpy as np
import pandas as pd

from paperlib.common.messages import count, span
from paperlib.fusers import TIE_TOLERANCE

ALIKE = 1e-12  # accuracies closer than this are equal
FEW_PER_CENT = 0.01  # of its own size: a decision by less turns on a hair
SMALLEST_P = 1e-4  # of those that are printed


def p_text(p: float) -> str:
    """Return "p = 0.061", "p < 0.0001" for what would round to nothing, or that there is none."""
    if np.isnan(p):
        return "no p"
    return f"p < {SMALLEST_P:.4f}" if p < SMALLEST_P else f"p = {p:.3f}" if p >= 0.001 else f"p = {p:.4f}"


def p_value(p: float) -> str:
    """Return a p for a table, where the column's head says what it is."""
    return p_text(p).removeprefix("p = ").removeprefix("p ") if np.isfinite(p) else "–"


def listed(names: Sequence[str]) -> str:
    """Join names as a sentence does: "a", "a and b", "a, b and c"."""
    names = list(names)
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def extent(seeds_each: Collection[int]) -> str:
    """Say how many datasets there are, and with how many seeds each was run."""
    each = " each" if len(seeds_each) > 1 else ""
    return f"{count(len(seeds_each))} with {span(seeds_each, 'seed')}{each}"


def mean_over(datasets: int) -> str:
    """Say of how many datasets numbers are the mean."""
    return "of one dataset" if datasets == 1 else f"mean over {count(datasets)}"


def shared_orders(orders: int) -> str:
    """Say what it means that all datasets share so many random orders (`statistics.shared_orders`); "" where they share none."""
    if not orders:
        return ""
    return (f"**All datasets share Random's orders, {orders} in all**: an error or a test over datasets, as of the asterisks against Random in "
            "Figures 3 and 4, says nothing of other orders. Look at the mean of many.")  # fmt: skip


def last_loss(health: Mapping[str, float | bool | None]) -> str:
    """Say how the fine-tune of a model (`health` of its record) ended, if there was one."""
    if health["last_loss"] is not None:
        return f"The last step of training had a loss of {health['last_loss']:.2f}"
    return "The last step of training had a loss that is no number" if health["diverged"] else "The model was taken as it is, not trained"


def defined(value: float, form: str) -> str:
    """Write a number in this form, or that there is none."""
    return format(value, form) if np.isfinite(value) else "undefined"


def leading(values: pd.Series) -> list[str]:
    """Return who has the largest value, all of them where several have it; nobody where no value is a number."""
    return list(values.index[values >= values.max() - ALIKE])


def leaders(values: pd.Series, most: int = 3) -> str:
    """Name who has the largest value; where several have it, all of them, or how many."""
    names = leading(values)
    if not names:
        return "none"
    if len(names) == len(values) > 1:
        return f"all {len(names)} alike"
    return listed(names) if len(names) <= most else f"{len(names)} alike, {names[0]} among them"


def same_walks(orders: Mapping[str, Sequence[int]]) -> str:
    """Say which walks remove the same layers in the same order, and so are one walk with several names."""
    groups: dict[tuple[int, ...], list[str]] = {}
    for name, order in orders.items():
        groups.setdefault(tuple(order), []).append(name)
    shared = [names for names in groups.values() if len(names) > 1]
    if len(groups) == 1 and shared:
        return (f"**All {len(orders)} walks are one walk**: they remove the same layers in the same order. Whatever is compared, "
                "accuracies, choices or selection, compares this walk with itself, so equal numbers are no finding.")  # fmt: skip
    if not shared:
        return f"No two of the {len(orders)} walks are the same to the end."
    text = "; ".join(listed(names) for names in shared)
    return f"**Walks that are the same from first to last**: {text}. Between these, equal numbers are no finding."


def same_choices(agreeing: pd.Series, steps: int) -> str:
    """Say it where every fuser (index) agrees with plain ablation at every step: then fusion was not put to the test."""
    if (agreeing >= 1 - ALIKE).all():
        return (f"At all {steps} steps every fuser chose as plain ablation would: in this run fusion is that measurement under "
                "another name, and nothing here can speak for it or against it.")  # fmt: skip
    differing = [f"{name} at {round((1 - share) * steps)}" for name, share in agreeing.items() if share < 1 - ALIKE]
    return f"Of {steps} steps, another layer than plain ablation's was chosen by {listed(differing)}."


def same_model(discordant: pd.Series, first: str) -> str:
    """Say which rivals (index) differ from the first model on no example at all; `discordant`: examples that tell them apart."""
    equal = list(discordant.index[discordant == 0])
    if not equal:
        return ""
    every = "every row" if len(equal) == len(discordant) else f"the row{'s' if len(equal) > 1 else ''} of {listed(equal)}"
    return (f"In {every} no example tells the two models apart. Where the walk is the same as that of {first}, it is one model met "
            "twice, and +0.0 ± 0.0 with p = 1 is no measurement.")  # fmt: skip


def all_equal(values: pd.DataFrame, what: str) -> str:
    """Say it where a table of accuracies holds a single number."""
    spread = np.ptp(values.to_numpy(dtype=float))
    if spread > ALIKE:
        return f"The entries differ by up to {100 * spread:.1f} points."
    return f"All {values.size} entries are the same number: {what}."


def noise(difference: float, error: float, p: float, level: float = 0.05) -> str:
    """Put a paired difference (points) into words: with its error, its p and what may be concluded from it."""
    if difference == 0 and error == 0:
        return "+0.0 points: the two are right on the same examples"
    verdict = "more than chance" if p < level else "within what chance alone gives"
    return f"{difference:+.1f} ± {error:.1f} points ({p_text(p)}: {verdict})"


def above(differences: pd.Series, p: pd.Series, whom: str, level: float = 0.05) -> str:
    """Say how many strategies are above a rival, and whether any of them by more than chance (`p`: two-sided)."""
    ahead = differences > ALIKE
    if not ahead.any():
        return f"None is above {whom}."
    beyond = int((p[ahead] < level).sum())
    least = p[ahead].min()
    chance = f"{beyond} of them by more than chance" if beyond else "none by more than chance"
    many = " (not corrected for the number of rows)" if beyond else ""
    return f"{int(ahead.sum())} of {len(differences)} are above {whom}, {chance}: the smallest p among them is {p_value(least)}{many}."


def teacher(confidence: float, classes: int) -> str:
    """Say what a teacher can pass on whose first choice has this probability on average, among so many classes."""
    blind = 1 / classes
    if _is_unsure(confidence, classes):
        return (f"That is {confidence / blind:.1f} times a blind guess: **the teacher is hardly surer than that**, however often it is right, and "
                "has hardly a second choice to teach. A difference that distillation makes below is then hard to put down to it.")  # fmt: skip
    if confidence > 0.95:
        return "Its second choices are nearly nothing: the teacher repeats the label."
    return f"That is {confidence / blind:.1f} times a blind guess, and leaves {1 - confidence:.0%} to the other classes."


def doubt(confidence: float, classes: int) -> str:
    """Say what to think of a difference that a teacher is said to make, "" if it is surer of its first choice than a guess."""
    if not _is_unsure(confidence, classes):
        return ""
    return ". This teacher is hardly surer than a blind guess and had next to nothing to teach: a difference is hard to put down to it"


def _is_unsure(confidence: float, classes: int) -> bool:
    return confidence - 1 / classes < 0.1 * (1 - 1 / classes)


def loss_share(cross_entropy: float, total: float, alpha: float) -> str:
    """Say what the teacher's term is of the loss (equation 22) with which the student begins."""
    taught = total - alpha * cross_entropy
    share = taught / total if total else 0.0
    few = ": the labels do nearly all of the teaching" if share < 0.1 else ""
    return f"Before its first step, the student's loss is {total:.3f}, of which the teacher's term is {taught:.3f}, or **{share:.0%}**{few}."


def closest_calls(scores: pd.DataFrame, level: float = FEW_PER_CENT) -> str:
    """Name the signals whose first layer out is ahead of the second by a hair; ties are named, too.

    `scores` (layers, signals), least goes first; the distance is relative to the size of the score. Of norm and entropy of
    the weights it is not said that it may turn round: a fine-tune hardly changes them.
    """
    calls, ties = {}, []
    for name, column in scores.items():
        (first, second), (least, next_least) = column.nsmallest(2).index, column.nsmallest(2)
        ahead = (next_least - least) / max(abs(least), abs(next_least), 1e-300)
        if ahead <= TIE_TOLERANCE:
            ties.append(name)
        elif ahead < level:
            calls[name] = f"{name} (layer {first + 1} before layer {second + 1} by {100 * ahead:.2g} %)".replace("e-0", "e-")
    tied = f" **A tie, broken by lot**: {listed(ties)}." if ties else ""
    if not calls:
        return f"No {'other ' if ties else ''}first choice is closer than {level:.0%}.{tied}"
    unsure = [name for name in calls if name not in ("Weight-Norm", "Weight-Entropy")]
    which = f" that of {listed(unsure)}" if 0 < len(unsure) < len(calls) else " it" if len(calls) == 1 else " them"
    doubt = f" Other texts or another seed may turn{which} round." if unsure else ""
    return f"**Decided by less than {level:.0%}** of the value: {listed(list(calls.values()))}.{doubt}{tied}"
