"""The panel without a browser: every parameter has a control, wrong values are refused in place, runs stop and compare."""

import re
import time
from html import escape
from pathlib import Path

import ipywidgets as widgets
import pytest
from conftest import smoke_params

from paperlib import params as P
from paperlib import strategies
from paperlib.common.errors import UserError
from paperlib.common.lock import lock
from paperlib.definitions import definitions
from paperlib.explore import curves, known, look
from paperlib.explore.cost import preview
from paperlib.explore.form import Form
from paperlib.explore.growth import Growth
from paperlib.explore.panel import Panel, page, panel
from paperlib.explore.walks import Walks
from paperlib.params import Params
from paperlib.tree import Study

TINY = {"train_size": 16, "validation_size": 8, "test_size": 8, "signal_size": 8, "epochs": 1, "random_orders": 1, "max_removed": 2}
WALKS = ("Weight-Norm", "Random", "Equal-Training")


@pytest.fixture
def at_home(tmp_path, monkeypatch):
    """Let the default study write below this test's folder; return its parameters."""
    original, places = P.load, {"output_dir": str(tmp_path / "out"), "cache_dir": str(tmp_path / "cache")}
    fixed = {**places, "precision": "fp32", "workers": 1, "device": "cpu", **TINY}

    def load(profile="smoke", dataset="newsgroup", seed=0, settings=""):
        given = P.parse_settings(settings) if isinstance(settings, str) else settings
        return original(profile, dataset, seed, {**fixed, **given})

    P._usual.cache_clear()
    monkeypatch.setattr(P, "load", load)
    yield load("smoke")
    P._usual.cache_clear()


def wait(panel, seconds=120):
    ended = time.monotonic() + seconds
    while panel.growth is not None or panel.run.disabled:
        assert time.monotonic() < ended, "the run does not end"
        time.sleep(0.05)


def test_every_parameter_is_defined_and_has_a_control():
    assert [each.name for each in definitions()] == list(Params.model_fields)
    form = Form(P.load("laptop"), lambda: None)
    assert {*form.controls, "profile", "dataset", "seed"} == set(Params.model_fields)
    assert form.settings() == {} and form.params == P.load("laptop") and form.command() == 'make reproduce PROFILE=laptop DATASETS=newsgroup SEEDS="0"'


@pytest.mark.parametrize("name, typed", [
    ("epochs", "none"), ("epochs", "0"), ("learning_rate", "2e-5"), ("learning_rate", "2"), ("text_fields", "[]"), ("signal_size", "100000"),
    ("output_dir", "paperlib"), ("max_tokens", "{"), ("class_names", "[a, a]"), ("model", ""),
])  # fmt: skip
def test_a_wrong_value_is_refused_in_place_with_the_sentence_of_the_command_line(name, typed):
    form = Form(P.load("laptop"), lambda: None)
    form.set(**{name: typed})
    with pytest.raises(UserError) as said:
        P.load("laptop", "newsgroup", 0, f"{name}='{typed}'" if typed else f"{name}=")
    assert form.fault == str(said.value) and "color" in form.faults[name].value
    assert form.params == P.load("laptop"), "the last sound study stays"
    form.set(**{name: Form(P.load("laptop"), lambda: None).controls[name].value})
    assert form.fault == "" and form.faults[name].value == ""


def test_the_command_line_does_the_same():
    form = Form(P.load("laptop"), lambda: None)
    form.set(epochs=3, learning_rate=2.0e-5, kd_t_squared=True, mi_estimator="knn", text_fields=["title", "body"])
    words = form.command().split(' SET="')[1].removesuffix('"')
    assert P.load("laptop", "newsgroup", 0, words) == form.params
    assert form.params.learning_rate == 2e-5 and form.params.text_fields == ["title", "body"]


def test_another_dataset_keeps_the_settings():
    form = Form(P.load("laptop"), lambda: None)
    form.set(epochs=3)
    form.set(dataset="imdb")
    assert (form.params.dataset, form.params.epochs) == ("imdb", 3) and form.params == P.load("laptop", "imdb", 0, "epochs=3")


def test_a_group_is_shown_or_what_the_search_finds_by_name_or_meaning():
    form = Form(P.load("laptop"), lambda: None)
    form.section.value = "Machine"
    assert {name for name, row in form.rows.items() if row.layout.display != "none"} == {"device", "precision", "workers", "together", "cuda_graphs"}
    form.search.value = "temperature"
    assert [name for name, row in form.rows.items() if row.layout.display != "none"] == ["kd_temperature", *(
        each.name for each in definitions() if "temperature" in each.meaning and each.name in form.rows and each.name != "kd_temperature"
    )]


def test_a_run_is_shown_kept_and_compared(at_home):
    shown = Panel(at_home)
    shown.walks.value = WALKS
    assert "press Run" in shown.picture.value and "0 models at hand" in shown.cost.value
    shown.run.click()
    wait(shown)
    assert shown.state.value == "done" and "<img alt=" in shown.picture.value and shown.run.disabled is False
    assert "nothing to train" in shown.cost.value
    default = {path: path.read_bytes() for path in at_home.unit_dir.rglob("*.json")}
    shown.form.set(attention_weight="literal")
    assert "attention_weight=literal" in shown.cost.value
    shown.run.click()
    wait(shown)
    assert known.titles(shown.shown) == ["default", "attention_weight=literal"]
    assert "<img alt=" in shown.order.value and shown.looked.value
    assert default == {path: path.read_bytes() for path in at_home.unit_dir.rglob("*.json")}, "nothing of the default study is touched"
    assert known.titles(known.known(at_home)) == ["default", "attention_weight=literal"]
    again = panel("smoke")
    assert known.titles(again.shown) == ["default", "attention_weight=literal"], "a restarted kernel loses nothing"


def test_what_only_the_model_refuses_is_said_where_the_cost_would_stand(at_home):
    shown = Panel(at_home)
    shown.form.set(model_revision="v2")
    assert "revisions are the hub&#x27;s" in shown.cost.value and shown.command.value == "" and shown.run.disabled
    shown.form.set(model_revision="main")
    assert "models at hand" in shown.cost.value and not shown.run.disabled


def test_a_run_can_be_stopped_and_goes_on(at_home):
    heard = []
    growth = Growth(at_home, WALKS, lambda node: (heard.append(node), growth.stop()))
    growth.start()
    growth.join(120)
    assert growth.stopped and not growth.fault and heard[-1] is None
    first = preview(at_home, WALKS)
    assert first.at_hand == len(heard) - 1 and first.fine_tunes > 0 and first.seconds > 0
    with lock(at_home.profile_dir):
        meanwhile = Growth(at_home, WALKS, heard.append)
        meanwhile.run()
    assert "are being written by process" in meanwhile.fault and heard.pop() is None
    again = Growth(at_home, WALKS, heard.append)
    again.run()
    assert not again.stopped and preview(at_home, WALKS).fine_tunes == 0


def test_looking_writes_nothing(at_home, tmp_path):
    Study(at_home).grow(["Random"])

    def there():
        return {path: path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()}, list((tmp_path / "out").rglob("*"))

    before = there()
    shown = panel("smoke")
    shown.walks.value = ("Random",)
    for epochs in (2, 3, 4, 5):
        shown.form.set(epochs=str(epochs))
    preview(at_home.replace(seed=1), WALKS)
    others = at_home.replace(data_source="made", class_names=["a", "b"])  # other texts, whose results have the same place
    panel("smoke", settings="train_size=12").draw()
    assert curves.paths(others.replace(output_dir=at_home.output_dir), ("Random",)) == []
    assert there() == before, "no folder of what was typed, no record moved aside"
    assert known.titles(known.known(at_home)) == ["default"] and "nothing to train" in str(preview(at_home, ("Random",)))
    assert "nothing to train" in str(preview(at_home, ())), "no walk, no model"


def test_what_a_study_reads_and_where_it_lies_is_kept_where_others_are_sought(at_home, tmp_path):
    moved = at_home.replace(output_dir=str(tmp_path / "elsewhere"))
    Growth(moved, WALKS, lambda node: None).run()
    assert [each.output_dir for each in known.known(moved)] == [moved.output_dir] and known.known(at_home) == []
    assert preview(moved.replace(epochs=3), WALKS).seconds > 0, "the default study of the same place tells them"


def test_settings_that_are_asked_for_are_not_crowded_out(at_home):
    for rate in ("1.0e-5", "2.0e-5", "3.0e-5", "4.0e-5", "5.0e-6"):
        params = P.load("smoke", settings=f"learning_rate={rate}")
        (params.unit_dir / "nodes").mkdir(parents=True)
        (params.unit_dir / "nodes" / "original.json").write_text("{}")
    assert "learning_rate=5.0e-06" in known.titles(panel("smoke", settings="learning_rate=5.0e-6").shown)


def test_a_profile_whose_sizes_do_not_fit_is_refused_in_place(at_home):
    form = Form(at_home, lambda: None)
    form.set(signal_size="16")
    form.profile.value = "laptop"
    form.set(train_size="512", signal_size="300")
    form.profile.value = "smoke"
    assert "signal_size" in form.fault or form.params.profile == "smoke"


def test_a_changed_training_says_its_time_before_it_starts(at_home):
    Growth(at_home, WALKS, lambda node: None).run()
    usual = preview(P.load("smoke", settings="learning_rate=1.0e-4"), WALKS)
    longer = preview(P.load("smoke", settings="epochs=3"), WALKS)
    layers = [4] + 2 * [3, 2] + 2 * [4]  # the original; two walks that remove two layers, one that removes none
    assert usual.fine_tunes == longer.fine_tunes == len(layers) and usual.at_hand == 0
    assert longer.seconds == pytest.approx(3 * usual.seconds) and "about" in str(usual)
    records = [node.record["seconds"]["fine_tune"] / (len(node.remaining) + 0.3) for path in curves.paths(at_home, WALKS) for node in path.nodes]
    assert usual.seconds == pytest.approx(sum(records) / len(records) * sum(each + 0.3 for each in layers))


def test_choices_are_remembered_by_all_that_they_depend_on():
    """A strategy that reads another parameter must not be answered from memory."""
    source = Path(strategies.__file__).read_text()
    assert {*re.findall(r"\bparams\.([a-z_]+)", source)} == {*curves.CHOOSING}


def test_experiments_are_found_by_the_names_of_their_folders(at_home):
    for settings in ("learning_rate=2.0e-5", "kd_t_squared=true mi_estimator=knn"):
        params = P.load("smoke", "newsgroup", 0, settings)
        (params.unit_dir / "nodes").mkdir(parents=True)
        (params.unit_dir / "nodes" / "original.json").write_text("{}")
    assert known.titles(known.known(at_home)) == ["learning_rate=2.0e-05", "mi_estimator=knn,kd_t_squared=true"]


def test_differences_are_those_of_the_stored_answers(tmp_path):
    one = smoke_params(tmp_path, **TINY)
    other = one.replace(output_dir=str(tmp_path / "other"), learning_rate=1.0e-2)
    walks = [Study(params).grow(["Weight-Norm"])["Weight-Norm"].nodes for params in (one, other)]
    table = curves.differences(one, other, ["Weight-Norm"])
    for row, mine, theirs in zip(table.itertuples(), *walks):
        gap = theirs.correct("test").astype(float) - mine.correct("test")
        assert row.points == pytest.approx(100 * gap.mean()) and not row.same
        assert row.error == pytest.approx(100 * gap.std() / len(gap) ** 0.5)
    assert curves.differences(one, one, ["Weight-Norm"])["same"].all()


def test_a_look_into_a_model_shows_what_broke_and_escapes_texts(tmp_path):
    params = smoke_params(tmp_path, **TINY)
    walk = Study(params).grow(["Greedy-Ablation"])["Greedy-Ablation"]
    found = look.look(params, walk.nodes[1].removed)
    before, after = (node.correct("test") for node in walk.nodes[:2])
    assert (found.texts["change"] == "broken").sum() == (before & ~after).sum()
    assert (found.texts["change"] == "mended").sum() == (after & ~before).sum()
    assert found.next_layers["Greedy-Ablation"] == walk.choices[1].layer
    found.texts["text"] = "<script>alert(1)</script>"
    shown = page(found, params)
    assert "<script>" not in shown and (len(found.texts) == 0 or "&lt;script&gt;" in shown)
    assert look.look(params, (0, 0)) is None


def test_everything_is_reached_by_the_keyboard(at_home):
    """Only controls that browsers focus, and whose keys JupyterLab leaves to them (test_lab_in_a_browser.py); one list has buttons beside it."""
    shown, waiting, kinds = Panel(at_home), [], []
    waiting = list(shown.children)
    while waiting:
        widget = waiting.pop()
        waiting += getattr(widget, "children", ())
        kinds.append(type(widget))
    assert {*kinds} <= {Walks, widgets.VBox, widgets.HBox, widgets.HTML, widgets.Text, widgets.Checkbox, widgets.BoundedIntText,
                        widgets.ToggleButtons, widgets.ToggleButton, widgets.Button, widgets.Dropdown}  # fmt: skip
    assert kinds.count(widgets.Dropdown) == 1 and shown.model.options
    Growth(at_home, WALKS, lambda node: None).run()
    shown.walks.value, shown.shown = WALKS, [at_home]
    shown.draw()
    shown.later.click()
    assert shown.model.index == 1 and escape(shown.model.label.split(":")[1]) in shown.looked.value.split("</h4>")[0]
    shown.earlier.click()
    assert shown.model.index == 0
