"""Parameters: merged in one order, typed, strict, and every fault said in one line that can be acted on."""

import re
import shlex

import pytest
import yaml
from conftest import smoke_params
from hypothesis import example, given
from hypothesis import strategies as some

from paperlib import params as P
from paperlib.common.errors import UserError
from paperlib.params import Params


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Return a copy of the params folder that a test may change; `project(path, text)` writes a file of it."""
    folder = tmp_path / "params"
    for source in P.PARAMS_DIR.rglob("*.yaml"):
        target = folder / source.relative_to(P.PARAMS_DIR)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(source.read_bytes())
    monkeypatch.setattr(P, "PARAMS_DIR", folder)
    monkeypatch.setattr(P, "ROOT", tmp_path)

    def write(path, text):
        (folder / path).write_bytes(text if isinstance(text, bytes) else text.encode())

    return write


def fault(*args, **kwargs):
    with pytest.raises(UserError) as error:
        P.load(*args, **kwargs)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_every_parameter_has_a_default_and_a_comment():
    text = (P.PARAMS_DIR / "defaults.yaml").read_text()
    assert set(yaml.safe_load(text)) == set(Params.model_fields)
    lines = [line for line in text.splitlines() if re.match(r"[a-z_]+:", line)]
    assert [line for line in lines if "# " not in line] == []


def test_the_papers_own_values_are_the_defaults():
    defaults = yaml.safe_load((P.PARAMS_DIR / "defaults.yaml").read_text())
    stated = {"max_tokens": 32, "test_size": 256, "kd_alpha": 0.5, "kd_temperature": 2.0, "kd_t_squared": False,
              "random_orders": 10, "selection_split": "test", "fusion_rows": "current", "refit": "each_step"}  # fmt: skip
    assert {name: defaults[name] for name in stated} == stated


@pytest.mark.parametrize("profile", P.names("profile"))
@pytest.mark.parametrize("dataset", P.names("dataset"))
def test_every_profile_and_dataset_is_valid(profile, dataset):
    params = P.load(profile, dataset)
    assert (params.profile, params.dataset, params.seed) == (profile, dataset, 0)


def test_the_nine_datasets_have_files_and_the_papers_numbers_of_classes():
    assert set(P.names("dataset")) == set(P.DATASETS)
    counts = dict(zip(P.DATASETS, (20, 14, 11, 10, 9, 5, 4, 2, 2)))
    for dataset, classes in counts.items():
        names = P.load("paper", dataset).class_names
        assert len(names) == len(set(names)) == classes, dataset


def test_later_layers_win(project):
    project("profiles/mine.yaml", "train_size: 300\nbatch_size: 8\nepochs: 5\n")
    project("datasets/imdb.yaml", "hub_id: x/y\nbatch_size: 9\nepochs: 6\n")
    params = P.load("mine", "imdb", 7, "epochs=11")
    assert (params.train_size, params.batch_size, params.epochs) == (300, 9, 11)
    assert (params.validation_size, params.seed, params.hub_id) == (256, 7, "x/y")
    assert P.load("mine", "imdb", 7, "seed=8").seed == 8


def test_a_fault_names_the_file_that_holds_it(project):
    project("profiles/mine.yaml", "batch_size: many\n")
    assert fault("mine").startswith("params/profiles/mine.yaml: batch_size: must be ")
    project("profiles/mine.yaml", "epochs: 2\n")
    project("datasets/imdb.yaml", "learning_rate: 2e-5\n")
    assert fault("mine", "imdb").startswith("params/datasets/imdb.yaml: learning_rate: must be ")
    assert fault("mine", settings="batch_size=0").startswith("command line: batch_size: must be ")
    project("profiles/mine.yaml", "signal_size: 4000\n")
    assert fault("mine") == "params/profiles/mine.yaml: signal_size: must be at most train_size = 512"
    project("profiles/mine.yaml", "batch_sise: 3\n")
    assert (
        fault("mine")
        == "params/profiles/mine.yaml: unknown parameter 'batch_sise'; did you mean 'batch_size'?"
    )


@pytest.mark.parametrize(
    "content", [b"- a\n- b\n", b"just words", b"a: [1", b"\xff\xfe", b"a: !!python/object:os.system x"]
)
def test_a_file_that_is_no_mapping_is_named(content, project):
    project("profiles/mine.yaml", content)
    assert fault("mine").startswith("params/profiles/mine.yaml: ")


def test_a_missing_default_is_named(project):
    text = (P.PARAMS_DIR / "defaults.yaml").read_text()
    project("defaults.yaml", re.sub(r"(?m)^mi_bins:.*\n", "", text))
    assert fault("laptop") == "params/defaults.yaml: mi_bins is missing"


@pytest.mark.parametrize("text", ["2e-5", "1E3", "-3e+2", "1.5e7"])
def test_the_float_trap_of_yaml_comes_with_its_cure(text):
    assert isinstance(yaml.safe_load(text), str)
    said = fault(settings=f"weight_decay={text}")
    cure = yaml.safe_load(re.search(r"write (\S+)\)", said).group(1))
    assert isinstance(cure, float) and cure == float(text)


def test_a_proper_float_is_read():
    assert P.load(settings="learning_rate=2.0e-5").learning_rate == 2e-5
    assert P.load(settings="learning_rate=1.5e-5").learning_rate == 1.5e-5
    assert P.load(settings="cache_gb=3").cache_gb == 3.0


@pytest.mark.parametrize(
    "settings, message",
    [
        ("train_size=1", "train_size: must be greater than or equal to 2"),
        ("train_size=12.5", "train_size: must be a valid integer"),
        ("train_size=true", "train_size: must be a valid integer"),
        ("train_size=", "train_size: must be a valid integer"),
        ("train_size=null", "train_size: must be a valid integer"),
        ("seed=-1", "seed: must be greater than or equal to 0"),
        ("seed=2147483648", "seed: must be less than 2147483648"),
        ("learning_rate=.nan", "learning_rate: must be a finite number"),
        ("learning_rate=1", "learning_rate: must be less than 1"),
        ("max_tokens=3", "max_tokens: must be greater than or equal to 4"),
        ("refit=twice", "refit: must be 'each_step' or 'once', not 'twice'"),
        ("precision=fp16", "precision: must be 'auto', 'fp32' or 'bf16', not 'fp16'"),
        ("pool_padding=1", "pool_padding: must be a valid boolean"),
        ("pool_padding=maybe", "pool_padding: must be a valid boolean"),
        ("class_names=[1,2]", "class_names: must be a valid string"),
        ("text_fields=[]", "text_fields: must have at least 1 item, not []"),
        ("model=", "model: must have at least 1 character, not ''"),
        ("train_size=0512", "train_size: 0512 is another number to YAML; write it in plain decimals"),
        ("max_tokens=1:30", "max_tokens: 1:30 is another number to YAML"),
        ("weight_decay=1:30.5", "weight_decay: 1:30.5 is another number to YAML"),
        ("seed=0x10", "seed: 0x10 is another number to YAML"),
        ("class_names=[a,010]", "class_names: 010 is another number to YAML"),
        ("kd_alpha=1.5", "kd_alpha: must be less than or equal to 1"),
        ("kd_temperature=1.0e-38", "kd_temperature: must be greater than or equal to 0.01"),
        ("signal_size=513", "signal_size: must be at most train_size = 512"),
        ("signal_split=validation signal_size=257", "signal_size: must be at most validation_size = 256"),
        ("data_source=data_dir", "data_dir: must name a folder when data_source is data_dir"),
    ],
)
def test_impossible_values_are_refused(settings, message):
    said = fault(settings=settings)
    assert message in said and said.split(":")[0] in (
        "command line",
        "params/defaults.yaml",
        "params/profiles/laptop.yaml",
    )


@pytest.mark.parametrize(
    "name", ["../smoke", "/etc/passwd", "smoke/..", "", ".", "Smoke", "smoke.yaml", 3, None]
)
def test_profile_and_dataset_are_names_of_files(name):
    assert fault(profile=name).startswith("unknown profile ")
    assert fault(dataset=name).startswith("unknown dataset ")


def test_settings_are_yaml_scalars_and_lists():
    text = "train_size=1024 class_names=[a,b] data_dir='/a path/with spaces' hub_id= pool_padding=true"
    assert P.parse_settings(text) == {
        "train_size": 1024, "class_names": ["a", "b"], "data_dir": "/a path/with spaces", "hub_id": "", "pool_padding": True,
    }  # fmt: skip
    assert P.parse_settings("") == P.parse_settings("  \n ") == {}


@pytest.mark.parametrize(
    "text", ["train_size", "=3", "a=1 a=2", "a='open", "a=[1", "profile=smoke", "dataset=imdb", "a=!!x", "epochs=!!int",
             "fine_tuned='!!bool maybe'", "epochs='!!timestamp x'", "class_names=[!!float]"]
)
def test_settings_that_are_not_settings(text):
    with pytest.raises(UserError, match="^command line: "):
        P.parse_settings(text)


TEXTS = [name for name, field in Params.model_fields.items() if field.annotation is str and name not in ("profile", "dataset")]


@given(name=some.sampled_from(TEXTS), text=some.text(), names=some.lists(some.text(), max_size=3))
@example("data_dir", "my #1 data", ["007", "a, b", "\x85"])
@example("hub_config", "2022", ["yes", "null"])
@example("output_dir", "/tmp/a: b", ["[a]"])
@example("label_field", '"quoted"', ["'", '"'])
def test_texts_mean_what_they_say_and_are_read_as_they_are_written(name, text, names):
    """No text is a comment, a number or a mapping; what stands in quotes is what is between them."""
    written = P.write_settings({name: text, "class_names": names})
    assert P.parse_settings(written) == {name: text, "class_names": names}
    if text[:1] not in ("'", '"'):
        assert P.parse_settings(f"{name}={shlex.quote(text)}") == {name: text}
    assert P.parse_settings("hub_config='\"2022\"' hub_id=\"'a b'\"") == {"hub_config": "2022", "hub_id": "a b"}


def test_an_experiment_stays_apart_however_the_usual_place_is_written():
    for same in ("outputs", "./outputs", "outputs/", "outputs/.", str(P.ROOT / "outputs")):
        assert P.load(settings={"mi_bins": 4, "output_dir": same}).profile_dir == P.ROOT / "outputs/experiments/laptop/mi_bins=4"
        assert not P.load(settings={"output_dir": same}).is_apart
    assert not P.load(settings="mi_bins=4 output_dir=elsewhere").is_apart


def test_what_archives_leave_is_no_dataset(project):
    project("datasets/._agnews.yaml", "\x00")
    assert set(P.names("dataset")) == set(P.DATASETS)


def test_parameters_cannot_be_changed_but_replaced(tmp_path):
    params = smoke_params(tmp_path)
    with pytest.raises(Exception, match="frozen"):
        params.seed = 3
    assert params.replace(seed=3).seed == 3 and params.seed == 0
    with pytest.raises(UserError, match="seed: must be greater"):
        params.replace(seed=-3)
    with pytest.raises(UserError, match="unknown parameter 'sede'"):
        params.replace(sede=3)


def test_paths_follow_profile_dataset_and_seed(tmp_path):
    params = smoke_params(tmp_path, dataset="imdb", seed=5)
    assert params.unit_dir == tmp_path / "out" / "smoke" / "imdb" / "seed-5"
    assert params.cache_path == tmp_path / "cache"
    assert P.load().profile_dir == P.ROOT / "outputs" / "laptop"
