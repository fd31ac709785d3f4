"""Keep fine-tuned weights in a cache of limited size, which several processes share: what is deleted is trained again."""

import os
import warnings
import zlib
from collections.abc import Callable, Collection
from pathlib import Path
from typing import TYPE_CHECKING

from paperlib.common.errors import UserError
from paperlib.common.files import in_one_piece
from paperlib.common.records import ORIGINAL
from paperlib.nodes import weights_in_use
from paperlib.nodes.node import Removed, label, parse_label

if TYPE_CHECKING:
    import torch


class Weights:
    """The weights of all models that were trained alike, in a folder of the cache.

    `place` returns the folder, whose name is not known before a model of the hub is here.
    """

    def __init__(self, place: Callable[[], Path], limit_gb: float):
        self._place, self.limit_bytes = place, limit_gb * 1e9

    @property
    def folder(self) -> Path:
        """Folder of the weights."""
        return self._place()

    def load(self, removed: Removed) -> dict[str, "torch.Tensor"] | None:
        """Return a node's state dictionary and mark it as used, or None when it was evicted or is damaged."""
        from safetensors import (  # with torch; a study that is only read needs neither
            SafetensorError,
            safe_open,
        )

        path = self.path(removed)
        try:
            weights_in_use.hold(self.folder)
            with safe_open(path, "pt") as stream:
                state = {name: stream.get_tensor(name) for name in stream.keys()}
                stated = (stream.metadata() or {}).get("checksum")
            os.utime(path)
        except FileNotFoundError:
            return None
        except (OSError, SafetensorError):
            state, stated = {}, "unreadable"
        if stated != _checksum(state):
            warnings.warn(f"weights {path.name} in the cache were changed or cut short: trained again", stacklevel=2)
            path.unlink(missing_ok=True)
            return None
        return state

    def has(self, removed: Removed) -> bool:
        """Say whether a node's weights are in the cache."""
        return self.path(removed).exists()

    def save(self, removed: Removed, state: dict[str, "torch.Tensor"]) -> None:
        """Write a node's state dictionary, whole or not at all; raises UserError when it cannot be written."""
        from safetensors import SafetensorError
        from safetensors.torch import save_file

        whole = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
        try:
            weights_in_use.hold(self.folder, make=True)
            with in_one_piece(self.path(removed)) as partial:
                save_file(whole, partial, metadata={"checksum": _checksum(whole)})
        except (OSError, SafetensorError) as error:
            raise UserError(f"weights cannot be written to the cache: {error}") from None

    def evict(self, keep: Collection[Removed]) -> None:
        """Delete weights until the cache is within its limit, the deepest first, of these the longest unused; spare `keep`.

        Shallow nodes are shared by more walks, and cheaper to keep than to rebuild for all of them.
        """
        spared, files = {self.path(removed) for removed in keep}, weights_in_use.files(self.folder)
        held = sum(stat.st_size for stat in files.values())
        for path in sorted(files, key=lambda path: (-_depth(path), files[path].st_mtime)):
            if held <= self.limit_bytes:
                return
            if path not in spared:
                held -= files[path].st_size
                path.unlink(missing_ok=True)

    def path(self, removed: Removed) -> Path:
        """Return the file of a node's weights, there or not."""
        return self.folder / f"{label(removed) or ORIGINAL}.safetensors"


def forget_others(root: Path, kept: Collection[Path], limit_gb: float) -> None:
    """Delete whole folders of weights, the longest unused first, until all that lie in `root` are within the limit.

    Those that are `kept` stay, and those that another process has in use.
    """
    found = {folder: weights_in_use.files(folder).values() for folder in {*kept, *root.glob("*")}}
    sizes = {folder: sum(stat.st_size for stat in files) for folder, files in found.items()}
    last_used = {folder: max((stat.st_mtime for stat in files), default=0) for folder, files in found.items()}
    for folder in sorted(found.keys() - set(kept), key=last_used.get):
        if sum(sizes.values()) <= limit_gb * 1e9:
            return
        if weights_in_use.delete_unused(folder):
            del sizes[folder]


def _depth(path: Path) -> int:
    return 0 if path.stem == ORIGINAL else len(parse_label(path.stem))


def _checksum(state: dict[str, "torch.Tensor"]) -> str:
    """Return a checksum of all tensors, their names, types and shapes: it finds damage, at some gigabytes a second."""
    total = 0
    for name in sorted(state):
        header = f"{name} {state[name].dtype} {list(state[name].shape)}"
        total = zlib.crc32(state[name].numpy(), zlib.crc32(header.encode(), total))  # without a copy of it
    return f"{total:08x}"
