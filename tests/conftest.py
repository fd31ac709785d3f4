"""Tiny models, padded batches and small studies, shared by the tests; nothing here needs a network."""

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import smoke_study
from hypothesis import HealthCheck, settings

settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])  # computers may be slow, or busy
settings.load_profile("untimed")
EVERY_PROCESS = str(Path(__file__).parent / "every_process")
# What a make around the tests was told is none of the makes that tests run.
for told in ("MAKEFLAGS", "MAKEOVERRIDES", "MFLAGS", "MAKELEVEL", "PROFILE", "DATASETS", "SEEDS", "SET", "PYTHON", "OFFLINE", "ENGINE", "SCHEDULER", "WORKERS"):
    os.environ.pop(told, None)
os.environ["HF_HUB_OFFLINE"] = "1"  # a test that reaches for the hub must fail, not wait
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
# No test depends on what a computer has: this holds here and in all processes that tests start. Whatever a test asks for
# by name it gets; what is left to the computer is one thread on a processor, in fp32. The whole suite must also pass with
# PAPERLIB_AUTO_PRECISION=bf16, as on a processor that computes in it.
os.environ.setdefault("PAPERLIB_AUTO_PRECISION", "fp32")
if not os.environ.get("PAPERLIB_GPU"):  # set for the tests marked gpu, and for them alone
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
os.environ.setdefault("OMP_NUM_THREADS", "1")
if EVERY_PROCESS not in sys.path:
    os.environ["PYTHONPATH"] = os.pathsep.join([EVERY_PROCESS, *filter(None, [os.environ.get("PYTHONPATH")])])
    sys.path.append(EVERY_PROCESS)
    spec = importlib.util.spec_from_file_location("every_process", Path(EVERY_PROCESS, "sitecustomize.py"))
    spec.loader.exec_module(importlib.util.module_from_spec(spec))

# torch and transformers take seconds to import: only the tests that build models pay for them.
ARCHITECTURES = ("bert", "roberta", "distilbert", "electra", "mpnet")
VOCABULARY, CLASSES = 40, 3
FAMILIES = (*ARCHITECTURES, "deberta-v2", "modernbert")  # those whose models are trained one by one come last
LONG = ("test_tree", "test_compress", "test_full_disk", "test_whole", "test_bench", "test_faults")  # a minute each, or more
PAD = {"roberta": 1, "mpnet": 1} | dict.fromkeys(("bert", "distilbert", "electra", "deberta-v2", "modernbert"), 0)
START_END = {kind: (0, 2) if padding else (2, 3) for kind, padding in PAD.items()}


def tiny_config(kind="bert", layers=3, classes=CLASSES, hidden=16):
    """Return the configuration of a small encoder; its wide initial weights make predictions differ."""
    from transformers import AutoConfig

    sizes = {"hidden_size": hidden, "num_hidden_layers": layers, "num_attention_heads": 2, "intermediate_size": 24}
    if kind == "distilbert":
        sizes = {"dim": hidden, "n_layers": layers, "n_heads": 2, "hidden_dim": 24}
    more = {
        "electra": {"embedding_size": 8},
        "deberta-v2": {"relative_attention": True, "pos_att_type": ["c2p", "p2c"], "position_buckets": 4, "norm_rel_ebd": "layer_norm", "share_att_key": True},
        "modernbert": {"local_attention": 4},  # so that even short texts tell a local layer from a global one
    }  # fmt: skip
    return AutoConfig.for_model(
        kind, vocab_size=VOCABULARY, num_labels=classes, max_position_embeddings=32, initializer_range=0.3,
        pad_token_id=PAD[kind], **sizes, **more.get(kind, {}),
    )  # fmt: skip


def tiny_model(kind="bert", layers=3, seed=0, **sizes):
    """Return a random encoder classifier in evaluation mode."""
    import torch
    from transformers import AutoModelForSequenceClassification

    torch.set_num_threads(1)
    torch.manual_seed(seed)
    model = AutoModelForSequenceClassification.from_config(tiny_config(kind, layers, **sizes)).eval()
    with (
        torch.no_grad()
    ):  # biases and norms start at 0 and 1, where a formula that forgets them would still pass
        for name, parameter in model.named_parameters():
            if parameter.dim() == 1:
                parameter.add_(0.2 * torch.randn_like(parameter))
        head = getattr(model.classifier, "out_proj", model.classifier)
        logits = logits_of(model, padded_batch(kind, examples=100, classes=model.config.num_labels))
        head.weight /= logits.std(0)[:, None]  # centred and scaled, lest every example gets the same class
        head.bias.copy_((head.bias - logits.mean(0)) / logits.std(0))
    return model


def padded_batch(kind="bert", examples=37, tokens=9, seed=0, classes=CLASSES):
    """Return random ids of varying length, padded on the right; the first example has no padding."""
    import torch

    draw = torch.Generator().manual_seed(seed)
    ids = torch.randint(5, VOCABULARY, (examples, tokens), generator=draw)
    lengths = torch.randint(4, tokens + 1, (examples,), generator=draw)
    lengths[0] = tokens
    mask = (torch.arange(tokens) < lengths[:, None]).long()
    start, end = START_END[kind]
    ids[:, 0] = start
    ids[torch.arange(examples), lengths - 1] = end
    ids[mask == 0] = PAD[kind]
    labels = torch.randint(0, classes, (examples,), generator=draw)
    return {"input_ids": ids, "attention_mask": mask, "labels": labels}


def logits_of(model, batch):
    """Return the logits of one plain forward pass."""
    import torch

    with torch.inference_mode():
        return model.eval()(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits


def logits_skipping(model, batch, positions):
    """Return the logits when hooks replace the output of the layers at `positions` by their input."""
    from paperlib.model.encoder import layers

    def hand_on(layer, args, kwargs, output):
        hidden = args[0] if args else kwargs["hidden_states"]
        return (hidden, *output[1:]) if isinstance(output, tuple) else hidden

    hooks = [layers(model)[i].register_forward_hook(hand_on, with_kwargs=True) for i in positions]
    try:
        return logits_of(model, batch)
    finally:
        for hook in hooks:
            hook.remove()


def smoke_params(folder: Path, dataset="newsgroup", seed=0, **settings):
    """Return the smoke profile's parameters, writing under `folder` only, in float32 and one process."""
    from paperlib import params

    places = {"output_dir": str(folder / "out"), "cache_dir": str(folder / "cache")}
    fixed = {"precision": "fp32", "workers": 1, "device": "cpu"}
    return params.load("smoke", dataset, seed, {**places, **fixed, **settings})


def files_under(folder: Path) -> list[str]:
    """List the files under a folder, but for the driver's lock."""
    return sorted(
        str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file() and path.name != ".lock"
    )


@pytest.fixture
def params(tmp_path):
    """The smoke profile in a folder of this test."""
    return smoke_params(tmp_path)


def run_cells(name, words=("",), **given):
    """Run a notebook's parameters and the code cells that hold one of these words, without a fault; return its variables.

    `given` takes the place of what its cell marked `parameters` says.
    """
    import nbformat
    from IPython.core.interactiveshell import InteractiveShell

    from paperlib.evidence import units

    shell, notebook = InteractiveShell(), nbformat.read(units.NOTEBOOKS / f"{name}.ipynb", as_version=4)
    for cell in notebook.cells:
        of_parameters = "parameters" in cell.metadata.get("tags", [])
        if of_parameters or cell.cell_type == "code" and any(word in cell.source for word in words):
            done = shell.run_cell(cell.source)
            assert done.error_before_exec is done.error_in_exec is None, cell.source
        if of_parameters:
            shell.user_ns.update(given)
    return shell.user_ns


@pytest.fixture
def process_as_before():
    """Give back what a command changes in this process: the signal handler and the environment."""
    handler, environment = signal.getsignal(signal.SIGTERM), dict(os.environ)
    yield
    signal.signal(signal.SIGTERM, handler)
    os.environ.clear()
    os.environ.update(environment)


def made_node(removed=(), layers=6, seed=0, signals=None, drop=None, dataset_size=32):
    """Return a node with made-up measurements: noise, or the given `signals` and `drop` (mappings by layer)."""
    import numpy as np
    import pandas as pd

    from paperlib.names import SIGNALS
    from paperlib.nodes.node import Node, columns, label, layers_of, pack

    rng = np.random.default_rng([seed, len(removed), *(0 if layer is None else layer for layer in removed)])
    remaining = [layer for layer in range(layers) if layer not in layers_of(removed)]
    index = pd.Index(remaining, name="layer")
    table = pd.DataFrame(rng.normal(size=(len(remaining), 12)), index=index, columns=list(SIGNALS))
    for name, values in (signals or {}).items():
        table[name] = pd.Series(values)
    record = {"removed": label(removed), "original_layers": layers, "signals": columns(table)}
    for split in ("test", "validation"):
        drops = (
            pd.Series(drop)
            if drop is not None
            else pd.Series(rng.integers(-9, 90, len(remaining)) / 256, index=index)
        )
        frame = pd.DataFrame({"drop": drops, "loss_increase": rng.normal(size=len(remaining))}).loc[remaining]
        record[f"ablation_{split}"] = columns(frame.rename_axis("layer"))
        record[f"{split}_correct"] = pack(rng.random(dataset_size) < 0.5)
    influence = pd.DataFrame({"block_influence": rng.random(len(remaining))}, index=index)
    record["block_influence"] = columns(influence)
    return Node(record)


def pytest_collection_modifyitems(items):
    """Put files that take long first, then those that look at the smoke study, which has been made by then (`begun`).

    Processes that share the tests take whole files, in this order.
    """
    of_study = {item.path for item in items if "reproduced" in item.fixturenames}

    def place(item):
        if item.path.stem in LONG:
            return LONG.index(item.path.stem)
        return len(LONG) + (item.path not in of_study)

    items.sort(key=place)


@pytest.fixture(scope="session")
def shared(tmp_path_factory):
    """Return the folder that all processes of this test run share for the smoke study."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "run-once"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="session", autouse=True)
def begun(request, shared):
    """Begin the smoke study beside the other tests, if any needs it; end it with them."""
    first = os.environ.get("PYTEST_XDIST_WORKER", "gw0") == "gw0"
    if not first or not any("reproduced" in item.fixturenames for item in request.session.items):
        yield
        return
    making = subprocess.Popen([sys.executable, smoke_study.__file__, shared], start_new_session=True)
    yield
    if making.poll() is None:
        os.killpg(making.pid, signal.SIGTERM)
    making.wait()


@pytest.fixture(scope="session")
def reproduced(shared, tmp_path_factory):
    """Return the folder of a smoke study outside of the project, its settings, what the driver said, and seconds.

    It is run once for all processes that share the tests; each gets a copy to damage.
    """
    said, folder = smoke_study.made(shared), tmp_path_factory.mktemp("reproduced")
    assert said["status"] == 0, said["stderr"]
    shutil.copytree(shared / "study", folder, dirs_exist_ok=True)
    printed = {stream: said[stream].replace(str(shared / "study"), str(folder)) for stream in ("stdout", "stderr")}
    done = subprocess.CompletedProcess([], 0, **printed)
    return folder / "out" / "smoke", smoke_study.words(folder), done, said["seconds"]
