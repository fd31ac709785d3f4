"""Turn a knob, see the curve: a form of all parameters, curves of several settings, and a look into one model.

`from paperlib import explore; explore.panel()` in a notebook of JupyterLab; `explore.side_by_side` does without widgets.
"""

from paperlib.explore.panel import panel
from paperlib.explore.static import side_by_side

__all__ = ["panel", "side_by_side"]
