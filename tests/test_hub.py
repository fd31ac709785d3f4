"""Loading from the hub, against a stand-in on this computer: what arrives, and what is said when it does not."""

import io
import json
import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from bad_inputs import encoder
from hub_stand_in import COMMIT, Hub, Repository

from paperlib.common.places import ROOT

# HF_ENDPOINT is read at import: each hub needs a process of its own. Of each case what was found, or the error's one line.
SCRIPT = """
import json, sys, time
import datasets.config
datasets.config.STREAMING_READ_MAX_RETRIES = 1  # the libraries are patient: twenty times five seconds, and more
datasets.config.STREAMING_READ_RETRY_INTERVAL = 0
sleep = time.sleep
time.sleep = lambda seconds: sleep(min(seconds, 0.05))
from paperlib import params
from paperlib.common.errors import UserError
{finding}
told = []
for profile, dataset, settings in json.loads(sys.argv[1]):
    p = params.load(profile, dataset, 0, settings)
    try:
        told.append(found(p))
    except UserError as error:
        told.append(str(error))
print(json.dumps(told))
"""
OF_TEXTS = """
from paperlib.data import sources
def found(p):
    return {split: frame.to_dict("list") for split, frame in sources.read(p)[0].items()}
"""
# Its weights, how many layers, what its tokeniser says, its commit, and the files that a bundle would take.
OF_MODELS = """
import hashlib
from paperlib.data import pretrained
from paperlib.model import encoder
def found(p):
    model, tokenizer = encoder.load_model(p, list("abcd")), encoder.load_tokenizer(p)
    weights = hashlib.sha256()
    for name, tensor in sorted(model.base_model.state_dict().items()):
        weights.update(tensor.numpy().tobytes())
    files = [] if pretrained.place(p) else sorted(path.name for path in pretrained.snapshot(p).iterdir())
    pieces = tokenizer(["the boat", "a captain"])["input_ids"]
    return [weights.hexdigest(), len(encoder.layers(model)), pieces, pretrained.commit(p), files]
"""


def parquet(n: int, column: str = "text") -> bytes:
    """Return rows sorted by label, as several corpora are stored, a hundred to a row group, of incompressible text."""
    rng = np.random.default_rng(n)
    texts = [f"row {i} {rng.bytes(100).hex()}" for i in range(n)]
    stream = io.BytesIO()
    frame = pd.DataFrame({column: texts, "label": [i * 4 // n for i in range(n)], "id": range(n)})
    frame.to_parquet(stream, row_group_size=100)
    return stream.getvalue()


def load(repositories: dict[str, Repository] | None, home, finding, cases):
    """Do in a process of its own what `finding` says of each case, from the stand-in or (None) without a network; return what it told."""
    address = Hub(repositories).address if repositories is not None else "http://127.0.0.1:9"
    environment = {**os.environ, "HF_ENDPOINT": address, "HF_HOME": str(home), "HF_HUB_OFFLINE": str(int(repositories is None))}
    environment |= {"HF_HUB_DOWNLOAD_TIMEOUT": "1", "HF_HUB_ETAG_TIMEOUT": "1"}
    environment |= {"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ["PYTHONPATH"]])}
    command = [sys.executable, "-c", SCRIPT.replace("{finding}", finding), json.dumps(cases)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def texts(tmp_path_factory) -> dict:
    """Return what was read of each of these datasets, by name."""
    files = {"default/train/0000.parquet": parquet(6000), "default/test/0000.parquet": parquet(2000)}
    hub = {name: Repository(files, fault) for name, fault in
           {"some/whole": "", "some/missing": "missing", "some/half": "half", "some/slow": "slow"}.items()}  # fmt: skip
    hub["some/wrong"] = Repository({name: parquet(300, column="body") for name in files})
    asked = {"some/whole": 64, "some/whole of five": 5, **dict.fromkeys([*hub][1:], 2)}
    common = {"hub_revision": "refs/convert/parquet", "hub_config": "default"}
    cases = [("paper", "agnews", {"hub_id": name.split(" ")[0], "hub_slices": slices, **common}) for name, slices in asked.items()]
    return dict(zip(asked, load(hub, tmp_path_factory.mktemp("texts"), OF_TEXTS, cases)))


def test_slices_cover_a_sorted_corpus_and_leave_the_rest(texts):
    frames = texts["some/whole of five"]
    assert len(frames["train"]["text"]) == len(frames["test"]["text"]) == 500
    rows = [int(text.split()[1]) for text in frames["train"]["text"]]
    assert sorted({row // 100 for row in rows}) == [0, 15, 30, 44, 59]  # row groups, of 60
    assert frames["train"]["label"] == [row * 4 // 6000 for row in rows]
    assert set(frames["train"]["label"]) == {0, 1, 2, 3}


def test_all_rows_arrive_when_there_are_few_row_groups(texts):
    frames = texts["some/whole"]
    assert len(frames["train"]["text"]) == 6000 and len(set(frames["train"]["text"])) == 6000


@pytest.mark.parametrize("fault", ["missing", "half", "slow"])
def test_a_hub_that_fails_is_one_line(fault, texts):
    message = texts[f"some/{fault}"]
    assert isinstance(message, str), "rows were read from a broken hub"
    assert message.startswith(f"some/{fault} (train) could not be loaded: ") and "data_dir" in message
    assert "\n" not in message


def test_wrong_columns_are_named(texts):
    assert texts["some/wrong"] == "some/wrong: no column 'text'; there are: body, label, id; set text_fields=[body]"


def test_a_model_of_the_hub_is_the_model_in_a_folder(tmp_path):
    """Asked for by name: weights, layers and tokeniser are those that were put there, and stay so when the hub moves on."""
    folder, home = encoder(tmp_path), tmp_path / "home"
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    more = {"adapter_config.json": b"{}", "onnx/config.json": b"{}", "notes.txt": b""}
    hub = {"some/encoder": Repository(files | {"onnx/config.json": b"{}", "notes.txt": b""}), "some/adapted": Repository(files | more)}
    case = lambda name: ("smoke", "newsgroup", {"device": "cpu", "model": name})  # noqa: E731
    of_hub, adapted, nothing = load(hub, home, OF_MODELS, [case("some/encoder"), case("some/adapted"), case("some/nothing")])
    assert of_hub[1] > 0 and of_hub[3:] == [COMMIT, sorted(files)]
    assert adapted == "model some/adapted: there is an adapter beside it, adapter_config.json: merge it into the weights first"
    assert nothing.startswith("model some/nothing could not be loaded: ") and "\n" not in nothing
    again, in_a_folder, unknown = load(None, home, OF_MODELS, [case("some/encoder"), case(str(folder)), case("some/other")])
    assert again == of_hub and in_a_folder[:3] == of_hub[:3]
    assert unknown.startswith("model some/other could not be loaded: ") and "\n" not in unknown
    moved = {"some/encoder": Repository({**files, "model.safetensors": b"of another day"}, commit="b" * 40)}
    assert load(moved, home, OF_MODELS, [case("some/encoder")]) == [of_hub], "a study goes on with what it began with"
