"""Keep executed notebooks where a forge shows them: no path of this machine in them, pictures with a small palette."""

import base64
import io
import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

from PIL import Image

from paperlib.common.files import atomic_write_text
from paperlib.evidence.provenance import scrub

WIDTHS = range(840, 400, -40)  # pixels: from about as many as a forge shows to as few as can be read
LARGEST = 1_000_000  # bytes of a notebook
COLOURS, ROUNDS = 128, 3  # with fewer, strategies of a figure share a colour; rounds of k-means: without them thin lines lose their colour
PNG = "image/png"
UNSHOWN = ("image/svg+xml", "application/pdf", "application/javascript")  # a forge shows the PNG


def keep(executed: list[Path], folder: Path, names: Collection[str]) -> None:
    """Write small copies of executed notebooks into `folder`, in place of all of these names.

    All stand side by side, so that the links from one to another hold.
    """
    copies = {path.name: fitting(json.loads(path.read_text(encoding="utf-8"))) for path in executed}
    for path in folder.glob("*.ipynb"):
        if path.stem in names:
            path.unlink()
    for name, text in copies.items():
        atomic_write_text(folder / name, text)


def beside_sources(folder: Path, sources: Path) -> dict[Path, dict | None]:
    """Return every kept notebook, by its path, as `renewed` makes it; None of one whose source is gone, too."""
    found = {path: sources / path.name for path in sorted(folder.glob("*.ipynb"))}
    return {path: renewed(*map(_read, (path, source))) if source.exists() else None for path, source in found.items()}


def _read(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))


def renewed(kept: dict, source: dict) -> dict | None:
    """Return a kept notebook with the prose of its source as it is now; None where its code is another by now."""
    run = {cell.get("id"): cell for cell in kept["cells"]}
    injected = [cell for cell in kept["cells"] if "injected-parameters" in _tags(cell)]
    cells = []
    for cell in source["cells"]:
        ours = cell | {"metadata": {"tags": _tags(cell)}}
        if cell["cell_type"] == "code":
            ours = run.get(cell["id"], {})
            if ours.get("source") != cell["source"]:
                return None
        cells += [ours, *injected] if "parameters" in _tags(cell) else [ours]
    return kept | {"cells": cells}


def _tags(cell: dict) -> list[str]:
    return cell["metadata"].get("tags", [])


def fitting(notebook: dict) -> str:
    """Return the text of a small copy, its pictures as wide as leaves it below `LARGEST` bytes; the narrowest if none does."""
    for widest in WIDTHS:
        text = as_text(small(notebook, widest))
        if len(text.encode()) < LARGEST:
            break
    return text


def as_text(notebook: dict) -> str:
    """Return a notebook as its file holds it."""
    return json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"


def small(notebook: dict, widest: int = WIDTHS[0]) -> dict:
    """Return a copy of a notebook (JSON) without absolute paths and times of execution, its pictures made small."""
    copied = scrubbed(notebook)
    copied["metadata"].pop("papermill", None)
    for cell in copied["cells"]:
        cell["metadata"] = {name: cell["metadata"][name] for name in ("tags",) if name in cell["metadata"]}
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            if PNG in data:
                data = {kind: value for kind, value in data.items() if kind not in UNSHOWN}
                output["data"] = data | {PNG: palette(data[PNG], widest)}
    return copied


def scrubbed(value: Any) -> Any:
    """Return JSON with every text scrubbed of absolute paths, but for pictures."""
    if isinstance(value, dict):
        return {name: part if str(name).startswith("image/png") else scrubbed(part) for name, part in value.items()}
    if isinstance(value, list):
        return [scrubbed(part) for part in value]
    return scrub(value) if isinstance(value, str) else value


def palette(png: str | list[str], widest: int) -> str:
    """Return a picture (PNG in base64) of at most so many pixels' width and `COLOURS` colours, on white."""
    image = Image.open(io.BytesIO(base64.b64decode("".join(png)))).convert("RGBA")
    white = Image.new("RGBA", image.size, "white")
    image = Image.alpha_composite(white, image).convert("RGB")
    image.thumbnail((widest, image.height), Image.Resampling.LANCZOS)
    shrunk = io.BytesIO()
    image.quantize(COLOURS, kmeans=ROUNDS, dither=Image.Dither.NONE).save(shrunk, "PNG", optimize=True)
    return base64.b64encode(shrunk.getvalue()).decode()
