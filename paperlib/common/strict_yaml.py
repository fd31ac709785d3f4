"""Read YAML as scalars, lists and mappings only, and refuse what it would silently take otherwise than it is meant."""

import re
from typing import Any

import yaml

MISREAD = re.compile(r"[-+]?0\w.*|.*:.*")  # to YAML 1.1 010 is 8, and 1:30 is 90


class Refused(ValueError):
    """The text is YAML, but means something else than it seems to; the message says what."""


class StrictLoader(yaml.SafeLoader):
    """The safe loader, but for what it would take without a word: the last of two values of one name, 8 for 010."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        """Build a mapping as the safe loader does."""
        seen = []
        for key, _ in node.value:
            if key.value in seen:
                raise Refused(f"{key.value!r} is given twice, again in line {key.start_mark.line + 1}")
            seen.append(key.value)
        return super().construct_mapping(node, deep)

    def construct_number(self, node: yaml.ScalarNode) -> int | float:
        """Build a number that is written as people write them."""
        if MISREAD.fullmatch(node.value):
            raise Refused(f"{node.value} is another number to YAML; write it in plain decimals, without zeros in front")
        return self.construct_yaml_int(node) if node.tag.endswith(":int") else self.construct_yaml_float(node)


for kind in ("int", "float"):
    StrictLoader.add_constructor(f"tag:yaml.org,2002:{kind}", StrictLoader.construct_number)


def dump(value: Any) -> str:
    """Write a value as `load` reads it, on one line: 2.0e-05, true, [a, b]; text stays as it is."""
    if isinstance(value, str):
        return value
    if isinstance(value, float):  # YAML takes 2e-05 for text
        text = repr(value)
        return text if "e" not in text or "." in text else text.replace("e", ".0e")
    return yaml.safe_dump(value, default_flow_style=True, width=float("inf")).removesuffix("\n...\n").strip()


def load(text: str) -> Any:
    """Return what the text says; raises ValueError when it is no YAML, or too deeply nested to be meant, `Refused` as that says."""
    try:
        return yaml.load(text, StrictLoader)
    except (yaml.YAMLError, RecursionError, LookupError, AttributeError, TypeError) as error:  # the last three of tags such as !!int
        raise ValueError(str(error)) from None
