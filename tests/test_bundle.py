"""The folder for a machine without a network: packages, pinned wheels, data and model, each whole or not there."""

import re
import shlex
import shutil
import subprocess

import pandas as pd
import pytest
from bad_inputs import encoder
from conftest import files_under, smoke_params
from test_artifacts import make_wheel, offline  # noqa: F401

from paperlib import params as P
from paperlib.common.errors import UserError
from paperlib.common.files import sha256_folder
from paperlib.common.places import ROOT
from paperlib.data import artifacts, hub, pretrained, sources
from paperlib.driver import bundle, supplies


@pytest.fixture
def gathered(offline, tmp_path, monkeypatch):  # noqa: F811
    """Return a function that makes a bundle of one package, and of one wheel that stands for the newsgroups."""
    package, texts = make_wheel(offline, "tiny_package", "2.0"), make_wheel(offline, "tiny_texts", "1.5")
    (tmp_path / "lock").write_text(f"# a comment\n{package.requirement}\n")
    monkeypatch.setattr(bundle, "LOCK", tmp_path / "lock")
    monkeypatch.setattr(artifacts, "NEWSGROUP_WHEEL", texts)

    def make(typed="", seeds=(0,), datasets=("newsgroup",), **settings):
        asked = {"data_source": "wheel", **settings}
        studies = [smoke_params(tmp_path, dataset, seed, **asked) for dataset in datasets for seed in seeds]
        return bundle.make(studies, typed, folder=tmp_path / "bundle")

    return make


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """Return a function that copies a small encoder to a folder."""
    saved = encoder(tmp_path_factory.mktemp("encoder"))
    return lambda place: shutil.copytree(saved, place)


def rows(of="text"):
    return pd.DataFrame({of: [f"the captain of boat {i}, 007 NA " for i in range(200)], "label": [i % 20 for i in range(200)]})


def tables(folder):
    folder.mkdir(parents=True)
    for split in ("train", "test"):
        rows().iloc[:: 1 if split == "train" else -2].to_csv(folder / f"{split}.csv", index=False)


def test_packages_and_pinned_wheels_come_together(gathered):
    folder = gathered()
    assert sorted(path.name for path in (folder / "wheels").iterdir()) == [
        "tiny_package-2.0-py3-none-any.whl", "tiny_texts-1.5-py3-none-any.whl",
    ]  # fmt: skip
    before = sha256_folder(folder)
    gathered()
    assert sha256_folder(folder) == before, "a second time changes nothing"


def test_packages_of_the_cluster_come_along_where_it_is_wanted(gathered, offline, tmp_path, monkeypatch):  # noqa: F811
    engine = make_wheel(offline, "tiny_engine", "3.0")
    (tmp_path / "cluster.lock").write_text(f"{engine.requirement}\n")
    monkeypatch.setattr(bundle, "CLUSTER_LOCK", tmp_path / "cluster.lock")
    folder = bundle.make([smoke_params(tmp_path, data_source="wheel")], cluster=True, folder=tmp_path / "other")
    assert (folder / "wheels" / "tiny_engine-3.0-py3-none-any.whl").exists()
    assert "make env OFFLINE=1 ENGINE=dask\n" in (folder / "README.md").read_text()
    assert not list((gathered() / "wheels").glob("tiny_engine*")) and "dask" not in (tmp_path / "bundle" / "README.md").read_text()


def test_data_and_model_of_this_machine_come_along(gathered, model, tmp_path):
    for name in ("newsgroup", "other"):
        tables(tmp_path / "mine" / name)
    folder = gathered(data_source="auto", data_dir=str(tmp_path / "mine"), model=str(model(tmp_path / "my model")))
    assert settings_of(folder) == {"data_source": "data_dir", "data_dir": "bundle/data", "model": "bundle/models/my model"}
    assert sha256_folder(folder / "data" / "newsgroup") == sha256_folder(tmp_path / "mine" / "newsgroup")
    assert not (folder / "data" / "other").exists() and sha256_folder(folder / "models" / "my model") == sha256_folder(tmp_path / "my model")
    assert sha256_folder(folder / "params") == sha256_folder(P.PARAMS_DIR), "with what the person's own files of datasets and profiles say"


def test_what_lies_there_of_before_makes_room(gathered, model, tmp_path):
    """Another model of that name, other texts of that dataset."""
    tables(tmp_path / "mine" / "newsgroup")
    gathered(data_source="auto", data_dir=str(tmp_path / "mine"), model=str(model(tmp_path / "a" / "x")))
    other = model(tmp_path / "b" / "x")
    (other / "vocab.txt").write_text("of another day")
    rows().to_csv(tmp_path / "newsgroup.csv", index=False)
    folder = gathered(data_source="auto", data_dir=str(tmp_path), model=str(other))
    assert sha256_folder(folder / "models" / "x") == sha256_folder(other)
    assert files_under(folder / "data") == ["newsgroup.csv"]


@pytest.mark.parametrize("harm, says", [
    (lambda place: (place / "x" / "model.safetensors").unlink(), "model .*x could not be loaded: "),
    (lambda place: shutil.rmtree(place / "x") or (place / "x").mkdir(), "model .*x could not be loaded: "),
    (lambda place: shutil.rmtree(place / "newsgroup") or (place / "newsgroup").mkdir(), "newsgroup: there is no train"),
    (lambda place: (place / "x" / "notes.txt").symlink_to(place / "nowhere"), "bundle: .*x cannot be copied "),
    (lambda place: (place / "bundle").write_text("a file"), "bundle: .*bundle cannot be filled "),
    (lambda place: (place / "bundle").mkdir() or (place / "bundle" / "wheels").write_text("a file"), "bundle: .*bundle cannot be filled "),
], ids=["no weights", "no model", "no texts", "a link to nowhere", "no folder", "no folder in it"])  # fmt: skip
def test_what_cannot_be_used_there_is_no_bundle(harm, says, gathered, model, tmp_path):
    tables(tmp_path / "newsgroup")
    harm(model(tmp_path / "x").parent)
    with pytest.raises(UserError, match=says) as said:
        gathered(data_source="auto", data_dir=str(tmp_path), model=str(tmp_path / "x"))
    assert "\n" not in str(said.value) and not (tmp_path / "bundle" / "README.md").exists()


def test_an_interrupted_copy_leaves_what_was_there(gathered, model, tmp_path, monkeypatch):
    asked = {"model": str(model(tmp_path / "x")), "data_source": "made"}
    folder = gathered(**asked)
    before = files_under(folder)

    def interrupted(source, target):
        target.mkdir()
        raise KeyboardInterrupt

    monkeypatch.setattr(bundle.shutil, "copytree", interrupted)
    with pytest.raises(KeyboardInterrupt):
        gathered(**asked)
    assert files_under(folder) == [name for name in before if name != "README.md"], "and no page says that it is whole"


def test_datasets_that_take_different_models_need_a_bundle_each(tmp_path):
    studies = [smoke_params(tmp_path, dataset, model=model) for dataset, model in (("agnews", "a/x"), ("imdb", "b/x"))]
    with pytest.raises(UserError, match="^bundle: agnews and imdb take different models: "):
        bundle.make(studies, folder=tmp_path / "bundle")
    assert not (tmp_path / "bundle").exists()


def settings_of(folder):
    """Return the settings of the command that a bundle's page gives, as a shell, make and then the command line read them."""
    line = next(line for line in (folder / "README.md").read_text().splitlines() if line.startswith("make reproduce"))
    return P.parse_settings(dict(word.partition("=")[::2] for word in shlex.split(line)[2:]).get("SET", "").replace("$$", "$"))


@pytest.mark.parametrize("name", ["plain", "two words", "it's", 'a "b"', "$HOME", "back`tick"])
def test_the_page_gives_the_command_of_the_same_studies(name, gathered, model, tmp_path, monkeypatch):
    monkeypatch.setattr(bundle, "check_inputs", lambda params: ())
    typed = "train_size=48 training_axis=true workers=1 cache_dir=/here"
    folder = gathered(typed=typed, seeds=(0, 2), model=str(model(tmp_path / name)))
    own = {"train_size": 48, "training_axis": True, "model": f"bundle/models/{name}"}
    assert settings_of(folder) == own, "places of this machine, and its workers, stay here"
    assert 'PROFILE=smoke DATASETS="newsgroup" SEEDS="0 2" SET=' in (folder / "README.md").read_text()


@pytest.mark.parametrize("names", [
    [], [f"class {i}" for i in range(20)], [str(i) for i in reversed(range(20))], [str(i) for i in range(1, 22)],
], ids=["names in the table", "names given", "numbers the other way round", "numbers from 1"])  # fmt: skip
def test_what_the_hub_holds_comes_along_as_files(names, gathered, model, tmp_path, monkeypatch):
    """On a machine without a network the study is of the same rows, in the same order, by the same names, and of the model's own files."""
    words = rows("headline")
    words["label"] = words["label"].map("of {:02}".format) if not names else words["label"] + int("21" in names)
    monkeypatch.setattr(hub, "read_slices", lambda params, split: words.iloc[: 100 if split == "test" else 200])
    monkeypatch.setattr(pretrained, "snapshot", lambda params: model(tmp_path / "snapshot"))
    asked = {"data_source": "hub", "model": "some/encoder", "text_fields": ["headline"], "class_names": names}
    of_hub, folder = smoke_params(tmp_path, **asked), gathered(typed="text_fields=[headline]", **asked)
    where = {"data_source": "data_dir", "data_dir": "bundle/data", "text_fields": ["text"]}
    assert settings_of(folder) == {**where, "model": "bundle/models/encoder"}
    assert sha256_folder(folder / "models" / "encoder") == sha256_folder(tmp_path / "snapshot")
    there = smoke_params(tmp_path, **where | {"data_dir": str(folder / "data")}, class_names=names)
    (frames, found), (same, same_names) = sources.read(of_hub), sources.read(there)
    assert len(found) >= 20 and found == same_names and all(frames[split].equals(same[split]) for split in ("train", "test"))


def test_columns_that_the_files_of_datasets_name_need_no_setting(gathered, tmp_path, monkeypatch):
    """Nor could one be given: it would be another change for each, and these two no one run."""
    columns = {name: P.of_dataset(name, "text_fields") for name in ("agnews", "amazon")}
    assert columns["agnews"] != columns["amazon"]
    table = lambda params: rows().assign(label=lambda frame: frame["label"] % len(params.class_names), title=rows()["text"], content="of it")  # noqa: E731
    monkeypatch.setattr(hub, "read_slices", lambda params, split: table(params).iloc[: 100 if split == "test" else 200])
    folder = gathered(datasets=columns, data_source="hub")
    assert settings_of(folder) == {"data_source": "data_dir", "data_dir": "bundle/data"}
    for name in columns:
        here, there = (sources.read(smoke_params(tmp_path, name, **where)) for where in ({"data_source": "hub"}, {"data_source": "data_dir", "data_dir": str(folder / "data")}))
        assert here[1] == there[1] and all(here[0][split].equals(there[0][split]) for split in ("train", "test"))


def test_a_revision_that_a_file_names_is_not_asked_of_a_folder(gathered, model, tmp_path, monkeypatch):
    monkeypatch.setattr(pretrained, "snapshot", lambda params: model(tmp_path / "snapshot"))
    folder = gathered("train_size=48 model_revision=v1", model="some/encoder", model_revision="v1", data_source="made")
    assert settings_of(folder) == {"train_size": 48, "model": "bundle/models/encoder", "model_revision": "main"}


def test_what_a_killed_bundle_left_goes_and_the_page_copies_params(gathered, tmp_path):
    (tmp_path / "bundle" / "models").mkdir(parents=True)
    (tmp_path / "bundle" / "models" / ".x.partial-77").mkdir()
    folder = gathered()
    assert not (folder / "models" / ".x.partial-77").exists()
    assert "\ncp -r bundle/params .\nmake env OFFLINE=1\n" in (folder / "README.md").read_text()


def test_texts_that_are_not_there_are_named(gathered, tmp_path):
    (tmp_path / "mine" / "newsgroups").mkdir(parents=True)
    with pytest.raises(UserError, match="^data_dir: there is no folder newsgroup in "):
        gathered(data_source="auto", data_dir=str(tmp_path / "mine"))


def test_a_package_that_is_nowhere_is_named_in_one_line(gathered, tmp_path):
    (tmp_path / "lock").write_text("not-to-be-had==9.9\n")
    with pytest.raises(UserError, match="^bundle: No matching distribution found for not-to-be-had==9.9") as said:
        gathered()
    assert "\n" not in str(said.value)


@pytest.mark.parametrize("profile, settings, expected", [
    ("laptop", "", [*pretrained.MINILM.wheels, artifacts.NEWSGROUP_WHEEL]),
    ("laptop", "data_dir=x", [*pretrained.MINILM.wheels]),
    ("base", "", [*pretrained.MPNET.wheels, artifacts.NEWSGROUP_WHEEL]),
    ("smoke", "", []),
])  # fmt: skip
def test_a_study_names_the_wheels_it_reads(profile, settings, expected):
    assert bundle.wheels_of(P.load(profile, "newsgroup", 0, settings)) == expected


def test_the_doctor_says_what_is_missing_before_a_job_is_queued(tmp_path, monkeypatch):
    monkeypatch.setattr(supplies, "_installed", {"numpy": "2.0"}.get)
    wanted = {"numpy": "2.0", "huggingface_hub": "2.4.0", "torch": "2.13.0", "PyYAML": "6.0"}
    for name in ("huggingface_hub-2.4.0-py3-none-any.whl", "torch-2.13.0+cpu-cp311-cp311-linux.whl", "pyyaml-5.0-cp311.whl"):
        (tmp_path / name).touch()
    found = supplies.bundle(tmp_path, wanted)
    assert found.status == "FAIL" and found.what == "neither installed nor in bundle (1): PyYAML"
    for name in (".DS_Store", "notes.txt", "README", "a-b"):
        (tmp_path / name).touch()
    assert supplies.bundle(tmp_path, wanted) == found, "what is no package is passed over"
    for name in ("pyyaml-6.0-cp311.whl", "PyYAML-6.0.tar.gz"):
        (tmp_path / name).touch()
        assert supplies.bundle(tmp_path, wanted).status == "OK"
        (tmp_path / name).unlink()


@pytest.mark.skipif(shutil.which("make") is None, reason="no make")
def test_offline_pip_looks_into_the_bundle_only():
    shown = "\nshow:\n\t@echo $$PIP_NO_INDEX $$PIP_FIND_LINKS $$HF_HUB_OFFLINE\n"
    command = ["make", "-f", "Makefile", "-f", "-", "show"]
    said = [subprocess.run([*command, *more], cwd=ROOT, input=shown, capture_output=True, text=True).stdout.split() for more in ([], ["OFFLINE=1"])]
    assert said[1][0] == "1" and said[1][2] == "1" and re.fullmatch(r"file:///.*/bundle/wheels", said[1][1])
    assert "bundle" not in " ".join(said[0])
