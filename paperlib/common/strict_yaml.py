"""Read YAML as scalars, lists and mappings only, and refuse what it would silently take: a name given twice."""

from typing import Any

import yaml


class StrictLoader(yaml.SafeLoader):
    """The safe loader, but for a name that is given twice: there YAML would take the last value without a word."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        """Build a mapping as the safe loader does."""
        seen = []
        for key, _ in node.value:
            if key.value in seen:
                raise yaml.YAMLError(f"{key.value!r} is given twice, again in line {key.start_mark.line + 1}")
            seen.append(key.value)
        return super().construct_mapping(node, deep)


def dump(value: Any) -> str:
    """Write a value as `load` reads it, on one line: 2.0e-05, true, [a, b]; text stays as it is."""
    if isinstance(value, str):
        return value
    if isinstance(value, float):  # YAML takes 2e-05 for text
        text = repr(value)
        return text if "e" not in text or "." in text else text.replace("e", ".0e")
    return yaml.safe_dump(value, default_flow_style=True).removesuffix("\n...\n").strip()


def load(text: str) -> Any:
    """Return what the text says; raises ValueError when it is no YAML, or too deeply nested to be meant."""
    try:
        return yaml.load(text, StrictLoader)
    except (yaml.YAMLError, RecursionError) as error:
        raise ValueError(str(error)) from None
