"""Which strategies walk: one button for each, down or up."""

from collections.abc import Callable, Iterable

import ipywidgets as widgets


class Walks(widgets.HBox):
    """Buttons of strategies; `value` holds the names of those that are down, `told` is called after a change."""

    def __init__(self, names: Iterable[str], chosen: Iterable[str], told: Callable[[], None]):
        self.told = lambda: None
        self.buttons = {name: widgets.ToggleButton(description=name, layout=widgets.Layout(width="auto")) for name in dict.fromkeys(names)}
        super().__init__([widgets.HTML("walks"), *self.buttons.values()], layout=widgets.Layout(flex_flow="row wrap"))
        self.value = chosen
        self.told = told
        for button in self.buttons.values():
            button.observe(lambda _: self.told(), "value")

    @property
    def value(self) -> list[str]:
        """Names of the strategies that walk."""
        return [name for name, button in self.buttons.items() if button.value]

    @value.setter
    def value(self, chosen: Iterable[str]) -> None:
        told, self.told = self.told, lambda: None
        for name, button in self.buttons.items():
            button.value = name in chosen
        self.told = told
        self.told()
