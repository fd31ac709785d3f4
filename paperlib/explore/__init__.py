"""Turn a knob, see the curve: a form of all parameters, curves of several settings, and a look into one model.

`from paperlib import explore; explore.panel()` in a notebook of JupyterLab; the same without widgets in `explore.curves`.
"""

from paperlib.explore.panel import panel

__all__ = ["panel"]
