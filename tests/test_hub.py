"""Loading from the hub, against a stand-in on this computer: what arrives, and what is said when it does not."""

import io
import json
import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from hub_stand_in import COMMIT, Hub

from paperlib.common.places import ROOT

# HF_ENDPOINT is read at import: every case needs a process of its own.
SCRIPT = """
import json, sys, time
import datasets.config
datasets.config.STREAMING_READ_MAX_RETRIES = 1  # the libraries are patient: twenty times five seconds, and more
datasets.config.STREAMING_READ_RETRY_INTERVAL = 0
sleep = time.sleep
time.sleep = lambda seconds: sleep(min(seconds, 0.05))
from paperlib import params
from paperlib.common.errors import UserError
from paperlib.data import sources
settings = json.loads(sys.argv[1])
p = params.load("paper", "agnews", 0, {"hub_revision": "refs/convert/parquet", "hub_config": "default", **settings})
try:
    frames, names = sources.read(p)
    print(json.dumps({split: frame.to_dict("list") for split, frame in frames.items()}))
except UserError as error:
    print(json.dumps(str(error)))
"""


def parquet(n: int, column: str = "text") -> bytes:
    """Return rows sorted by label, as several corpora are stored, a hundred to a row group, of incompressible text."""
    rng = np.random.default_rng(n)
    texts = [f"row {i} {rng.bytes(100).hex()}" for i in range(n)]
    stream = io.BytesIO()
    frame = pd.DataFrame({column: texts, "label": [i * 4 // n for i in range(n)], "id": range(n)})
    frame.to_parquet(stream, row_group_size=100)
    return stream.getvalue()


# Models by their names on the hub: of each its weights, how many layers, what its tokeniser says, and what a study knows it by, or the error's one line.
MODEL_SCRIPT = """
import hashlib, json, sys
from paperlib import params
from paperlib.common.errors import UserError
from paperlib.data import pretrained
from paperlib.model import encoder
from paperlib.nodes import fingerprint
found = []
for name in json.loads(sys.argv[1])["model"]:
    p = params.load("smoke", "newsgroup", 0, {"device": "cpu", "model": name})
    try:
        model, tokenizer = encoder.load_model(p, list("abcd")), encoder.load_tokenizer(p)
        weights = hashlib.sha256()
        for name, tensor in sorted(model.base_model.state_dict().items()):
            weights.update(tensor.numpy().tobytes())
        found.append([weights.hexdigest(), len(encoder.layers(model)), tokenizer(["the boat", "a captain"])["input_ids"], fingerprint.of_model(p)])
        if len(found) == 1:
            found[0].append(sorted(path.name for path in pretrained.snapshot(p).iterdir()))
    except UserError as error:
        found.append(str(error))
print(json.dumps(found))
"""


def load(hub: Hub | None, tmp_path, script=SCRIPT, **settings):
    """Read train and test, or what another script does, from the stand-in, or without a network; return what it printed: rows, or the error's one line."""
    environment = {**os.environ, "HF_ENDPOINT": hub.address if hub else "http://127.0.0.1:9", "HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": str(int(not hub))}
    environment |= {"HF_HUB_DOWNLOAD_TIMEOUT": "1", "HF_HUB_ETAG_TIMEOUT": "1"}
    environment |= {"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ["PYTHONPATH"]])}
    done = subprocess.run(
        [sys.executable, "-c", script, json.dumps(settings)], env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def files() -> dict[str, bytes]:
    return {"default/train/0000.parquet": parquet(6000), "default/test/0000.parquet": parquet(2000)}


def test_slices_cover_a_sorted_corpus_and_leave_the_rest(files, tmp_path):
    hub = Hub(files)
    frames = load(hub, tmp_path, hub_slices=5)
    assert len(frames["train"]["text"]) == len(frames["test"]["text"]) == 500
    rows = [int(text.split()[1]) for text in frames["train"]["text"]]
    assert sorted({row // 100 for row in rows}) == [0, 15, 30, 44, 59]  # row groups, of 60
    assert frames["train"]["label"] == [row * 4 // 6000 for row in rows]
    assert set(frames["train"]["label"]) == {0, 1, 2, 3}


def test_all_rows_arrive_when_there_are_few_row_groups(files, tmp_path):
    frames = load(Hub(files), tmp_path, hub_slices=64)
    assert len(frames["train"]["text"]) == 6000 and len(set(frames["train"]["text"])) == 6000


@pytest.mark.parametrize("fault", ["missing", "half", "slow"])
def test_a_hub_that_fails_is_one_line(fault, files, tmp_path):
    message = load(Hub(files, fault), tmp_path, hub_slices=2)
    assert isinstance(message, str), "rows were read from a broken hub"
    assert message.startswith("fancyzhx/ag_news (train) could not be loaded: ") and "data_dir" in message
    assert "\n" not in message


def test_wrong_columns_are_named(files, tmp_path):
    wrong = {name: parquet(300, column="body") for name in files}
    message = load(Hub(wrong), tmp_path, hub_slices=2)
    assert message == "fancyzhx/ag_news: no column 'text'; there are: body, label, id; set text_fields=[body]"


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Return the folder of a small encoder, and its files by name."""
    from bad_inputs import encoder

    folder = encoder(tmp_path_factory.mktemp("saved"))
    return folder, {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_model_of_the_hub_is_the_model_in_a_folder(saved, tmp_path):
    """Asked for by name: weights, layers and tokeniser are those that were put there, and stay so when the hub moves on."""
    folder, files = saved
    others = {"some/adapted": {**files, "adapter_config.json": b"{}"}, "some/nothing": None}
    of_hub, adapted, nothing = load(Hub(files, others=others), tmp_path, MODEL_SCRIPT, model=["some/encoder", *others])
    assert adapted == "model some/adapted: there is an adapter beside it, adapter_config.json: merge it into the weights first"
    assert nothing.startswith("model some/nothing could not be loaded: ") and "\n" not in nothing
    again, in_a_folder, unknown = load(None, tmp_path, MODEL_SCRIPT, model=["some/encoder", str(folder), "some/other"])
    assert again == of_hub and of_hub[3:] == [["some/encoder", COMMIT], sorted(files)]
    assert in_a_folder[:3] == of_hub[:3] and of_hub[1] > 0
    assert unknown.startswith("model some/other could not be loaded: ") and "\n" not in unknown
    moved = Hub({**files, "model.safetensors": b"of another day"}, commit="b" * 40)
    assert load(moved, tmp_path, MODEL_SCRIPT, model=["some/encoder"]) == [of_hub], "a study goes on with what it began with"
