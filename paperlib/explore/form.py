"""A form with one control per parameter, made from the definitions that also check the command line.

Texts, buttons and boxes to tick only: in JupyterLab a list that drops down loses its keys to the notebook's shortcuts,
and a fold cannot be reached by the keyboard.
"""

import shlex
from collections.abc import Callable, Sequence
from html import escape
from typing import Any

import ipywidgets as widgets

from paperlib import params as P
from paperlib.common.errors import UserError
from paperlib.definitions import Definition, definitions
from paperlib.params import Params, parse_value, write_settings, write_value

STUDY = ("profile", "dataset", "seed")  # chosen above the form
WIDE = widgets.Layout(width="auto")
NAME_WIDTH = "11em"


class Form:
    """The parameters of a study that differ from its default, as controls; `told` is called after every change.

    `params` is the last study that was sound, `fault` the line that says what is wrong now, "" if nothing is.
    """

    def __init__(self, params: Params, told: Callable[[], None]):
        self.told, self.params, self.fault, self._filling = told, params, "", False
        self.profile = choice("profile", P.names("profile"), value=params.profile)
        self.dataset = choice("dataset", P.names("dataset"), value=params.dataset)
        self.seed = widgets.BoundedIntText(value=params.seed, min=0, max=2**31 - 1, description="seed")
        self.section = choice("parameters", list(dict.fromkeys(each.section.split(" (")[0] for each in definitions())))
        self.search = widgets.Text(placeholder="name or meaning, among all parameters", description="search", layout=widgets.Layout(width="40em"))
        self.controls = {each.name: _control(each) for each in definitions() if each.name not in STUDY}
        self.faults = {name: widgets.HTML() for name in self.controls}
        self.rows = {each.name: self._row(each) for each in definitions() if each.name not in STUDY}
        self._fill(params)
        for control in (self.profile, self.dataset, self.seed, *self.controls.values()):
            control.observe(self._changed, "value")
        for control in (self.section, self.search):
            control.observe(self._filter, "value")
        self._filter()
        self.view = widgets.VBox([self.profile, self.dataset, self.seed, self.section, self.search, *self.rows.values()])

    def settings(self) -> dict[str, Any]:
        """Return what differs from the default of profile and dataset; raises UserError where a text is no YAML value."""
        usual = self._usual().model_dump()
        given = {name: _value(name, control) for name, control in self.controls.items()}
        return {name: value for name, value in given.items() if value != usual[name] or type(value) is not type(usual[name])}

    def command(self) -> str:
        """Return the command line that runs the same study."""
        words = write_settings(self.settings()).replace("$", "$$")  # make reads one for itself
        study = f'PROFILE={self.profile.value} DATASETS={self.dataset.value} SEEDS="{self.seed.value}"'
        quoted = f'"{words}"' if not set(words) & set('"$`\\!') else shlex.quote(words)
        return f"make reproduce {study}" + (f" SET={quoted}" if words else "")

    def set(self, **values: Any) -> None:
        """Put values into the controls, as a person would type them."""
        for name, value in values.items():
            control = getattr(self, name) if name in STUDY else self.controls[name]
            control.value = write_value(name, value) if isinstance(control, widgets.Text) else value

    def _changed(self, change: dict) -> None:
        if self._filling:
            return
        self.fault = ""
        try:
            if change["owner"] in (self.profile, self.dataset):  # its defaults are others
                self._fill(self._usual().replace(**self._kept()))
            self.params = P.load(self.profile.value, self.dataset.value, self.seed.value, self.settings())
        except UserError as error:
            self.fault = str(error)
        said = self.fault.split(": ", 2)
        for name, place in self.faults.items():
            place.value = f"<b style='color:#b00020'>{escape(self.fault)}</b>" if name in said[:2] else ""
        self.told()

    def _usual(self) -> Params:
        return P.load(self.profile.value, self.dataset.value, self.seed.value)

    def _kept(self) -> dict[str, Any]:
        """Return the last sound study's settings: another profile or dataset keeps them."""
        usual = P.load(self.params.profile, self.params.dataset, self.params.seed).model_dump()
        return {name: value for name, value in self.params.model_dump(exclude=set(STUDY)).items() if value != usual[name]}

    def _fill(self, params: Params) -> None:
        self._filling = True
        try:
            for name, control in self.controls.items():
                value = getattr(params, name)
                control.value = write_value(name, value) if isinstance(control, widgets.Text) else value
        finally:
            self._filling = False

    def _row(self, each: Definition) -> widgets.VBox:
        said = f"{each.meaning} ({each.allowed.replace('`', '')})" + (f"; paper: {each.paper}" if each.paper else "")
        text = widgets.HTML(f"<small>{escape(said)}</small>", layout=WIDE)
        return widgets.VBox([widgets.HBox([self.controls[each.name], text]), self.faults[each.name]])

    def _filter(self, _=None) -> None:
        """Show the parameters that the search finds, or those of the chosen group where nothing is searched for."""
        wanted = self.search.value.strip().casefold()
        for each in definitions():
            if each.name in self.rows:
                found = wanted in f"{each.name} {each.meaning} {each.paper}".casefold() if wanted else each.section.startswith(self.section.value)
                self.rows[each.name].layout.display = None if found else "none"


def _control(each: Definition) -> widgets.Widget:
    """Make the control of a parameter: numbers are typed as on the command line, so that one check serves both."""
    style = {"description_width": NAME_WIDTH}
    if each.choices:
        return choice(each.name, each.choices, **style)
    common = {"description": each.name, "style": style, "layout": widgets.Layout(width="26em", flex="none")}
    return widgets.Checkbox(**common) if each.kind == "boolean" else widgets.Text(continuous_update=False, **common)


def choice(name: str, options: Sequence[str], value: str | None = None, **style: str) -> widgets.ToggleButtons:
    """Make a row of buttons of which one is down, the first unless `value` says which."""
    look = {"button_width": "auto", **style}
    return widgets.ToggleButtons(options=list(options), value=value or options[0], description=name, style=look, layout=WIDE)


def _value(name: str, control: widgets.Widget) -> Any:
    if not isinstance(control, widgets.Text):
        return control.value
    return parse_value(name, control.value)
