"""Set the paper's claims, and ours about it, against its Table 1 and against our run.

A claim is a row of `published/claims.yaml`: a quantity, the value stated, a tolerance fixed before the runs judged by it,
and the rule that turns the measured quantity into one of four verdicts. The rules know nothing of the paper.
"""

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd

from paperlib import published
from paperlib.common import escape
from paperlib.common.files import atomic_write_text
from paperlib.common.markdown_table import markdown_table
from paperlib.common.messages import span
from paperlib.evidence import quantities, truth_quantities, walk_quantities
from paperlib.evidence.estimates import LEVEL, Estimate, Results, Untestable
from paperlib.evidence.statistics import MIN_DATASETS

HEADS = {  # column of claims.csv -> heading of claims.md
    "claim": "claim", "section": "where", "paper_says": "the paper says",
    "table1_says": "its Table 1 says", "verdict_table1": "Table 1: verdict",
    "ours_says": "our run says", "seeds": "seeds", "datasets": "datasets", "verdict_ours": "our run: verdict",
    "rule": "rule",
}  # fmt: skip
LEGEND = (
    "After ±: the standard error of the mean over datasets; for counts, places and test statistics, the standard deviation "
    "over the seeds with which all datasets were run, if there are several; in a claim about one dataset by name, the "
    "sampling error. The columns seeds (of each dataset) and datasets count what our number rests on: 0 where there is none. \"At least\" and \"at most\" go by the estimate "
    "alone: it may hold by less than its error."
)
HOLDS, FAILS, NOISE, UNTESTABLE = "holds", "does not hold", "within noise", "cannot be tested here"
COLUMNS = [
    "id", "section", "claim", "paper_says", "table1_says", "ours_says", "seeds", "datasets", "tolerance",
    "verdict_table1", "verdict_ours", "rule",
]  # fmt: skip
QUANTITIES = (quantities, walk_quantities, truth_quantities)
ONE_SIDED = {"greater": "p_greater", "less": "p_less"}
TESTS = ONE_SIDED | {"no_difference": "p_two_sided", "significant": "p_two_sided"}


@dataclass(frozen=True)
class Claim:
    """One row of claims.yaml."""

    id: str
    section: str  # where the paper makes it; "ours" for claims of this project
    claim: str  # in our words
    paper_says: str
    function: str  # name in one of QUANTITIES
    rule: str
    unit: str
    stated: float = 0.0
    of: int | None = None  # counts: the total the stated count is out of
    tolerance: float = 0.0
    arguments: dict = field(default_factory=dict)
    min_datasets: int = MIN_DATASETS


def load() -> list[Claim]:
    """Return the claims in the order of claims.yaml; TypeError names an unknown or missing field."""
    return [Claim(**row) for row in published.claims()]


def measure(claim: Claim, results: Results) -> Estimate:
    """Compute the claim's quantity; a quantity without a spread of its own gets its s.d. over seeds.

    Raises Untestable when the results lack the numbers.
    """
    function = next(getattr(module, claim.function) for module in QUANTITIES if hasattr(module, claim.function))
    estimate = function(results, **claim.arguments)
    if np.isfinite(estimate.spread) or len(results.whole_seeds) < 2:
        return estimate
    try:
        values = [function(results.of_seed(seed), **claim.arguments).value for seed in results.whole_seeds]
    except Untestable:  # a seed without this table
        return estimate
    return replace(estimate, spread=float(np.std(values, ddof=1)))


def verdict(claim: Claim, estimate: Estimate) -> str:
    """Apply the claim's rule; `rule_text` says it in words."""
    if estimate.datasets < claim.min_datasets:
        return UNTESTABLE
    if claim.rule in TESTS:
        return _test_verdict(claim.rule, estimate)
    if claim.rule == "beyond_noise":
        return beyond(estimate.value - claim.stated, estimate.spread)
    if claim.of:
        stated, noise = (round(number * estimate.of / claim.of) for number in (claim.stated, claim.tolerance))
        return _graded(_margin(claim.rule, estimate.value, stated), free=0, noise=noise)
    noise = 2 * estimate.spread if np.isfinite(estimate.spread) else 0
    return _graded(_margin(claim.rule, estimate.value, claim.stated), free=claim.tolerance, noise=noise)


def beyond(difference: float, error: float) -> str:
    """Say whether a difference is above zero: holds if by two errors, fails if below by two, else within noise."""
    if not np.isfinite(error):
        return UNTESTABLE
    if abs(difference) < 1e-9:  # without any error, too: models that are never wrong are equally good
        return NOISE
    return _graded(difference, free=-2 * error, noise=4 * error)


def _test_verdict(rule: str, estimate: Estimate) -> str:
    p = getattr(estimate, TESTS[rule])
    if not np.isfinite(p):
        return UNTESTABLE
    if rule == "no_difference":
        return HOLDS if p >= LEVEL else FAILS
    if p < LEVEL:
        return HOLDS
    opposite = {"greater": estimate.p_less, "less": estimate.p_greater}.get(rule, 1.0)
    return FAILS if opposite < LEVEL else NOISE


def _margin(rule: str, value: float, stated: float) -> float:
    """Return by how much the value satisfies the claim; negative when it does not."""
    return {"at_least": value - stated, "at_most": stated - value, "close": -abs(value - stated)}[rule]


def _graded(margin: float, free: float, noise: float) -> str:
    if not np.isfinite(margin):
        return UNTESTABLE
    if margin >= -free - 1e-9:
        return HOLDS
    return NOISE if margin >= -free - noise - 1e-9 else FAILS


def rule_text(claim: Claim) -> str:
    """Say in one line how the verdict is reached."""
    needs = f"; needs {claim.min_datasets} datasets" if claim.min_datasets > 1 else ""
    if claim.rule in ONE_SIDED:
        shift = f" of the difference + {claim.arguments['margin']:g}" if "margin" in claim.arguments else ""
        test = f"one-sided Wilcoxon{shift}"
        text = f"{test}: {HOLDS} if p < {LEVEL}, {FAILS} if as small the other way, else {NOISE}"
    elif claim.rule == "no_difference":
        text = f"two-sided Wilcoxon: {FAILS} if p < {LEVEL}, else {HOLDS}, as the paper reads it (no proof)"
    elif claim.rule == "significant":
        text = f"{HOLDS} if p < {LEVEL}, else {NOISE}"
    elif claim.rule == "beyond_noise":
        text = f"{HOLDS} if two sampling errors above {claim.stated:g}, {FAILS} if two below, else {NOISE}"
    else:
        text = _margin_text(claim)
    return text + needs


def _margin_text(claim: Claim) -> str:
    words = {"at_least": "at least", "at_most": "at most", "close": "equal to"}[claim.rule]
    if claim.of:
        share = f"{claim.stated:g} of {claim.of}" + (" (as a share)" if claim.unit == "datasets" else "")
        near = f", {NOISE} if off by {claim.tolerance:g} of {claim.of}" if claim.tolerance else ""
        return f"{HOLDS} if {words} {share}{near}, else {FAILS}"
    band = f", give or take {claim.tolerance:g}" if claim.tolerance else ""
    return f"{HOLDS} if {words} {claim.stated:,.10g}{band}, {NOISE} if two spreads reach it, else {FAILS}"


def say(claim: Claim, estimate: Estimate) -> str:
    """Put an estimate into words: value, spread, the p-value that the rule looks at, and its note."""
    if estimate.of:
        unit = claim.unit.removesuffix("s") if estimate.of == 1 else claim.unit
        text = f"{estimate.value:g} of {estimate.of} {unit}"
    elif claim.unit == "place":
        text = f"place {estimate.value:g}"
    else:
        text = f"{_number(estimate.value, claim.unit)} {claim.unit}"
    if np.isfinite(estimate.spread):
        text += f" ± {_number(estimate.spread, claim.unit).lstrip('+')}"
    p = getattr(estimate, TESTS.get(claim.rule, ""), float("nan"))
    details = [f"p = {p:.4f}" if p >= 1e-4 else f"p = {p:.0e}"] if np.isfinite(p) else []
    return "; ".join([text, *details, *([estimate.note] if estimate.note else [])])


def _number(value: float, unit: str) -> str:
    if unit in ("%", "points", "steps"):
        return f"{value:+.2f}"
    return f"{value:,.0f}" if unit == "parameters" else f"{value:.3g}"


def _judge(claim: Claim, results: Results) -> tuple[str, str, str, int]:
    """Return what the results say, the verdict and the numbers of seeds and of datasets behind it."""
    try:
        estimate = measure(claim, results)
    except Untestable as reason:
        return str(reason), UNTESTABLE, "0", 0
    return say(claim, estimate), verdict(claim, estimate), estimate.seeds or span(results.seeds_each), estimate.datasets


def evaluate(paper: Results, ours: Results) -> pd.DataFrame:
    """Return one row per claim with the columns `COLUMNS`: what each side says, and the two verdicts."""
    rows = []
    for claim in load():
        table1_says, verdict_table1, *_ = _judge(claim, paper)
        ours_says, verdict_ours, seeds, datasets = _judge(claim, ours)
        unit = claim.unit.removesuffix("s") if claim.tolerance == 1 else claim.unit
        tolerance = f"{claim.tolerance:g} {unit}" if claim.tolerance else ""
        rows.append([
            claim.id, claim.section, claim.claim, claim.paper_says, table1_says, ours_says, seeds,
            datasets, tolerance, verdict_table1, verdict_ours, rule_text(claim),
        ])  # fmt: skip
    return pd.DataFrame(rows, columns=COLUMNS)


def write(table: pd.DataFrame, folder: Path | str, banner: str | None = None) -> list[Path]:
    """Write claims.csv and claims.md into the folder, the latter under a banner such as "not a result"."""
    head = f"**{banner}**\n\n" if banner else ""
    return [
        atomic_write_text(Path(folder) / "claims.csv", table.to_csv(index=False)),
        atomic_write_text(Path(folder) / "claims.md", f"{head}{markdown(table)}\n{LEGEND}\n"),
    ]


def markdown(table: pd.DataFrame) -> str:
    """Return the claim table as Markdown: claim, the paper, its Table 1, our run, verdicts, rule."""
    rows = [[escape.markdown(cell) for cell in row] for row in table[list(HEADS)].to_numpy()]
    return markdown_table(list(HEADS.values()), rows)
