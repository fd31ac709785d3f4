"""Grow walks under several settings and compare them without widgets: what a notebook can run by itself."""

from collections.abc import Sequence

import pandas as pd
from matplotlib.figure import Figure

from paperlib.explore import curves
from paperlib.figures import explore as figures
from paperlib.params import Params
from paperlib.tree import Study


def side_by_side(studies: Sequence[Params], names: Sequence[str] = curves.USUAL) -> tuple[Figure, str, pd.DataFrame]:
    """Grow the walks of up to four settings; return the picture, its alt text, and the differences from the first at each depth.

    Models that two settings train alike are trained once.
    """
    for params in studies:
        Study(params).grow(list(names))
    tables, against = curves.side_by_side(studies, names)
    gaps = pd.concat(against, names=["setting"]).reset_index(0) if against else pd.DataFrame()
    return *figures.settings_curves(tables, against), gaps
