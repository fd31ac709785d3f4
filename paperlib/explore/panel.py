"""The panel: a form of all parameters, what a run would cost, Run and Stop, curves of up to four settings, one model."""

import base64
import os
import threading
import time
from collections.abc import Sequence
from html import escape

import ipywidgets as widgets
import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from paperlib import params as P
from paperlib.common.errors import UserError
from paperlib.explore import curves
from paperlib.explore.cost import preview
from paperlib.explore.form import Form
from paperlib.explore.growth import Growth
from paperlib.explore.known import known
from paperlib.explore.look import Look, look
from paperlib.explore.walks import Walks
from paperlib.figures import explore as figures
from paperlib.figures.drawing import png
from paperlib.figures.signal import signal_map
from paperlib.names import CONTROLS, STRATEGIES
from paperlib.nodes.node import Node, label, parse_label
from paperlib.nodes.progress import HEADLESS
from paperlib.params import Params
from paperlib.strategies import highest_first, least_first

MOST = 4  # settings in one picture
LISTED = 20  # texts that a model broke or mended
TABLES_AS_IN_OUTPUTS = "jp-RenderedHTMLCommon"  # JupyterLab's class: widgets know no style for tables
REDRAW_SECONDS = 1.0


def panel(profile: str = "laptop", dataset: str = "newsgroup", seed: int = 0, settings: str = "") -> "Panel":
    """Return the panel, which a notebook shows; its state is what the store holds, so a restarted kernel loses nothing."""
    return Panel(P.load(profile, dataset, seed, settings))


class Panel(widgets.VBox):
    """A form and what follows from it; `shown` lists the settings in the picture, the first being what others are held against."""

    def __init__(self, params: Params):
        self.form, self.shown, self.growth, self._drawn = Form(params, self._changed), [], None, 0.0
        self._drawing = threading.RLock()  # pictures are drawn here and by the thread that grows: matplotlib bears one at a time
        self.walks = Walks([*STRATEGIES, *CONTROLS], curves.USUAL, self._other_walks)
        self.cost, self.command, self.state = widgets.HTML(), widgets.HTML(), widgets.HTML()
        self.run = _button("Run", self._run)
        self.stop = _button("Stop", self._stop, disabled=True)
        self.keep = _button("Keep in the picture", lambda _: self.add(self.form.params))
        self.clear = _button("Clear the picture", lambda _: self._clear())
        self.picture, self.order = widgets.HTML(), widgets.HTML()
        self.model = widgets.Dropdown(options=[("the original model", "")], description="look into")
        self.earlier, self.later = _button("Previous model", lambda _: self._turn(-1)), _button("Next model", lambda _: self._turn(1))
        self.looked = widgets.HTML()
        self.model.observe(lambda _: self._look(), "value")
        found = known(params)
        asked = [each for each in found if params.experiment and each.unit_dir == params.unit_dir]  # it must not be crowded out
        self.shown = [*[each for each in found if each not in asked][: MOST - len(asked)], *asked]
        buttons, models = widgets.HBox([self.run, self.stop, self.keep, self.clear]), widgets.HBox([self.model, self.earlier, self.later])
        super().__init__([self.form.view, self.cost, self.command, buttons, self.state, self.walks, self.picture, self.order, models, self.looked])
        self._changed()
        self.draw()

    def _repr_mimebundle_(self, **options):
        """Show the pictures and what a run would cost where nobody can press a button: a page keeps no widgets."""
        if not os.environ.get(HEADLESS):
            return super()._repr_mimebundle_(**options)
        return {"text/html": self.cost.value + self.picture.value + self.order.value + self.looked.value, "text/plain": "The panel."}

    def add(self, params: Params) -> None:
        """Show these settings in the picture, too; beyond four the oldest but the first goes."""
        others = [each for each in self.shown if each.experiment != params.experiment or each.unit_dir != params.unit_dir]
        self.shown = [*others[:1], *others[1:][2 - MOST :], params]
        self.draw()

    def draw(self) -> None:
        """Redraw the curves, the order of removal and the list of models from the store."""
        with self._drawing:
            self._draw()

    def _draw(self) -> None:
        tables, against = curves.side_by_side(self.shown, self.walks.value)
        if any(len(table) for table in tables.values()):
            self.picture.value = picture(*figures.settings_curves(tables, against))
            self.order.value = picture(*figures.order_grid(tables))
        else:
            self.picture.value, self.order.value = "<p>No model of these settings is at hand: press Run.</p>", ""
        self._drawn = time.monotonic()
        self._list_models()

    def _changed(self) -> None:
        if self.form.fault:
            self.cost.value, self.command.value, self.run.disabled = f"<b>{escape(self.form.fault)}</b>", "", True
            return
        changed = f"Differs: <b>{escape(self.form.params.experiment or 'nothing: the default study')}</b>"
        self.command.value = f"<code>{escape(self.form.command())}</code>"
        self.cost.value = f"<p>{changed}<br>counting models</p>"  # at once: a forest that must be grown anew takes seconds
        try:
            counted = preview(self.form.params, self.walks.value)
        except UserError as error:  # what its model, or this computer, says of settings that are sound
            self.cost.value, self.command.value, self.run.disabled = f"<b>{escape(str(error))}</b>", "", True
            return
        self.cost.value = f"<p>{changed}<br>{escape(str(counted))}</p>"
        self.run.disabled = self.growth is not None

    def _other_walks(self) -> None:
        self._changed()
        self.draw()

    def _run(self, _=None) -> None:
        self.add(self.form.params)
        self.growth = Growth(self.form.params, self.walks.value, self._told)
        self.run.disabled, self.stop.disabled = True, False
        self.state.value = "running"
        self.growth.start()

    def _stop(self, _=None) -> None:
        if self.growth is not None:
            self.growth.stop()
            self.state.value = "stopping after the models in hand"

    def _told(self, node: Node | None) -> None:
        """Hear of a finished model, or of the end; called by the thread that grows."""
        if node is None:
            ended, self.growth = self.growth, None
            self.stop.disabled = True
            self.draw()
            self.state.value = escape(ended.fault) or ("stopped: what was finished is kept" if ended.stopped else "done")
            self._changed()
        elif time.monotonic() - self._drawn > REDRAW_SECONDS:
            self.state.value = f"trained: layers {label(node.removed) or 'none'} removed, {node.accuracy:.1%}"
            self.draw()

    def _clear(self) -> None:
        self.shown = []
        self.draw()

    def _list_models(self) -> None:
        met = curves.models(self.shown[-1], self.walks.value) if self.shown else {}
        names = [(f"{shown_label(removed)}: {node.accuracy:.1%}", label(removed)) for removed, node in sorted(met.items(), key=lambda each: len(each[0]))]
        chosen = self.model.value
        self.model.options = names or [("the original model", "")]
        if chosen in [value for _, value in names]:
            self.model.value = chosen
        self._look()

    def _turn(self, by: int) -> None:
        """Choose a model further on, or back: the list itself is out of the keyboard's reach in JupyterLab."""
        self.model.index = (self.model.index + by) % len(self.model.options)

    def _look(self) -> None:
        try:
            found = look(self.shown[-1], parse_label(self.model.value or "")) if self.shown else None
            said = page(found, self.shown[-1]) if found else ""
        except UserError as error:  # the texts are out of reach, the curves are not
            said = escape(str(error))
        with self._drawing:
            self.looked.value = said


def shown_label(removed: Sequence[int | None]) -> str:
    """Write a model's layers as a person counts them, from 1."""
    return "layers removed: " + ", ".join("none" if layer is None else str(layer + 1) for layer in removed) if removed else "the original model"


def picture(figure: Figure, alt: str) -> str:
    """Return a figure as an image with its alt text, and close it."""
    content, (width, _) = png(figure, bbox_inches="tight")
    plt.close(figure)
    address = f"data:image/png;base64,{base64.b64encode(content).decode()}"
    return f'<img alt="{escape(alt, quote=True)}" width="{width}" style="max-width: 100%; height: auto; background: white" src="{address}">'


def page(found: Look, params: Params) -> str:
    """Return what is known of one model as HTML: every text of the data escaped."""
    parts = [f"<h4>{escape(shown_label(found.node.removed))}: {found.node.accuracy:.1%} of the test texts right</h4>"]
    if found.signals is not None and len(found.signals) > 1:
        parts.append(picture(*signal_map(least_first(found.signals, params), highest_first(params), found.next_layers)))
    if found.ablation is not None:
        parts += ["<p>Accuracy drop without one more layer (points):</p>", _grid(found.ablation.rename(index=lambda layer: layer + 1), "layer")]
    if len(found.next_layers):
        wanted = pd.Series(found.next_layers.index, index=found.next_layers.to_numpy() + 1).groupby(level=0).agg(", ".join)
        parts += ["<p>What would go next:</p><ul>", *(f"<li>layer {layer}: {escape(names)}</li>" for layer, names in wanted.items()), "</ul>"]
    parts += ["<p>Accuracy by class (%):</p>", _grid(found.classes, "class")]
    broken = (found.texts["change"] == "broken").sum()
    parts.append(f"<p>Against the original: {broken} texts broken, {len(found.texts) - broken} mended.</p>")
    if len(found.texts):
        parts.append(_grid(found.texts.head(LISTED).set_index("change"), "change"))
    return f"<div class='{TABLES_AS_IN_OUTPUTS}'>{''.join(parts)}</div>"


def _grid(table: pd.DataFrame, index: str) -> str:
    """Write a table with one row of heads, every text escaped."""
    heads = table.rename_axis(None).rename_axis(index, axis="columns")
    return heads.round(1).to_html(escape=True, border=0)


def _button(text: str, press, **options) -> widgets.Button:
    button = widgets.Button(description=text, layout=widgets.Layout(width="auto"), **options)
    button.on_click(press)
    return button
