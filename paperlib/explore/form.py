"""A form with one control per parameter, made from the definitions that also check the command line."""

import shlex
from collections.abc import Callable
from html import escape
from itertools import groupby
from typing import Any

import ipywidgets as widgets

from paperlib import params as P
from paperlib.common import strict_yaml
from paperlib.common.errors import UserError
from paperlib.definitions import Definition, definitions
from paperlib.params import Params

STUDY = ("profile", "dataset", "seed")  # chosen above the form
WIDE = widgets.Layout(width="auto")


class Form:
    """The parameters of a study that differ from its default, as controls; `told` is called after every change.

    `params` is the last study that was sound, `fault` the line that says what is wrong now, "" if nothing is.
    """

    def __init__(self, params: Params, told: Callable[[], None]):
        self.told, self.params, self.fault, self._filling = told, params, "", False
        self.profile = widgets.Dropdown(options=P.names("profile"), value=params.profile, description="profile")
        self.dataset = widgets.Dropdown(options=P.names("dataset"), value=params.dataset, description="dataset")
        self.seed = widgets.BoundedIntText(value=params.seed, min=0, max=2**31 - 1, description="seed")
        self.search = widgets.Text(placeholder="search: name or meaning", continuous_update=True)
        self.controls = {each.name: _control(each) for each in definitions() if each.name not in STUDY}
        self.faults = {name: widgets.HTML() for name in self.controls}
        self.rows = {each.name: self._row(each) for each in definitions() if each.name not in STUDY}
        self._fill(params)
        for control in (self.profile, self.dataset, self.seed, *self.controls.values()):
            control.observe(self._changed, "value")
        self.search.observe(self._filter, "value")
        self.view = widgets.VBox([widgets.HBox([self.profile, self.dataset, self.seed]), self.search, self._sections()])

    def settings(self) -> dict[str, Any]:
        """Return what differs from the default of profile and dataset; raises UserError where a text is no YAML value."""
        usual = self._usual().model_dump()
        given = {name: _value(name, control) for name, control in self.controls.items()}
        return {name: value for name, value in given.items() if value != usual[name] or type(value) is not type(usual[name])}

    def command(self) -> str:
        """Return the command line that runs the same study."""
        words = " ".join(f"{name}={shlex.quote(strict_yaml.dump(value))}" for name, value in self.settings().items())
        study = f'PROFILE={self.profile.value} DATASETS={self.dataset.value} SEEDS="{self.seed.value}"'
        return f"make reproduce {study}" + (f' SET="{words}"' if words else "")

    def set(self, **values: Any) -> None:
        """Put values into the controls, as a person would type them."""
        for name, value in values.items():
            control = getattr(self, name) if name in STUDY else self.controls[name]
            control.value = strict_yaml.dump(value) if isinstance(control, widgets.Text) else value

    def _changed(self, change: dict) -> None:
        if self._filling:
            return
        if change["owner"] in (self.profile, self.dataset):  # its defaults are others
            self._fill(self._usual().replace(**self._kept()))
        self.fault = ""
        try:
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
                control.value = strict_yaml.dump(value) if isinstance(control, widgets.Text) else value
        finally:
            self._filling = False

    def _row(self, each: Definition) -> widgets.VBox:
        said = f"{each.meaning} ({each.allowed.replace('`', '')})" + (f"; paper: {each.paper}" if each.paper else "")
        text = widgets.HTML(f"<small>{escape(said)}</small>", layout=WIDE)
        return widgets.VBox([widgets.HBox([self.controls[each.name], text]), self.faults[each.name]])

    def _sections(self) -> widgets.Accordion:
        groups = [(title, list(group)) for title, group in groupby(definitions(), key=lambda each: each.section)]
        boxes = [widgets.VBox([self.rows[each.name] for each in group if each.name in self.rows]) for _, group in groups]
        return widgets.Accordion(boxes, titles=[title for title, _ in groups])

    def _filter(self, change: dict) -> None:
        wanted = change["new"].casefold()
        for each in definitions():
            if each.name in self.rows:
                found = wanted in each.name.casefold() or wanted in f"{each.meaning} {each.paper}".casefold()
                self.rows[each.name].layout.display = None if found else "none"


def _control(each: Definition) -> widgets.Widget:
    """Make the control of a parameter: numbers are typed as on the command line, so that one check serves both."""
    common = {"description": each.name, "style": {"description_width": "11em"}, "layout": widgets.Layout(width="24em")}
    if each.kind == "boolean":
        return widgets.Checkbox(indent=False, **{**common, "value": False})
    if each.choices:
        return widgets.Dropdown(options=list(each.choices), **common)
    return widgets.Text(continuous_update=False, **common)


def _value(name: str, control: widgets.Widget) -> Any:
    if not isinstance(control, widgets.Text):
        return control.value
    if Params.model_fields[name].annotation is str or not control.value:
        return control.value
    try:
        return strict_yaml.load(control.value)
    except ValueError:
        raise UserError(f"command line: {name}: {control.value!r} is not a YAML value") from None
