"""Recorded steps: what a recording may hold, checked without a GPU by one that plays its operations back."""

import contextlib

import pytest
import torch
from conftest import ARCHITECTURES, padded_batch, smoke_params
from test_batched_training import HARD, SEEDS, assert_same, children
from torch.utils._python_dispatch import TorchDispatchMode

from paperlib.common.errors import UserError
from paperlib.data import subsets
from paperlib.model import memory, step_graph, together
from paperlib.model.batched_training import fine_tune_together
from paperlib.model.step_graph import WARM_UP, RecordedStep

WAITING = {"aten._local_scalar_dense.default", "aten.nonzero.default", "aten.is_nonzero.default"}  # a GPU's answer


class Tape(TorchDispatchMode):
    """Stands in for a CUDA graph: notes each operation with the tensors it had, and repeats it on those very tensors.

    As there, a number of Python is noted as it was, and the recording itself changes nothing.
    """

    def __init__(self):
        super().__init__()
        self.noted, self.before, self.made = [], {}, set()

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        assert str(operation) not in WAITING, f"{operation} waits for the GPU"
        if operation.namespace == "profiler":
            return operation(*args, **kwargs)
        for argument, given in zip(operation._schema.arguments, args):
            if argument.alias_info is not None and argument.alias_info.is_write:
                self._keep(given)
        result = operation(*args, **kwargs)
        outputs = tensors_of(result)
        self.made |= {address(tensor) for tensor in outputs} - {address(tensor) for tensor in tensors_of([args, kwargs])}
        self.noted.append((operation, args, kwargs, outputs))
        return result

    def _keep(self, given):
        for tensor in tensors_of(given):
            if address(tensor) not in self.made | self.before.keys():
                self.before[address(tensor)] = (tensor, tensor.clone())

    @torch.no_grad()
    def take_back(self):
        for tensor, value in self.before.values():
            tensor.copy_(value)

    @torch.no_grad()
    def replay(self):
        for operation, args, kwargs, outputs in self.noted:
            taken = {address(tensor) for tensor in tensors_of([args, kwargs])}
            for old, new in zip(outputs, tensors_of(operation(*args, **kwargs)), strict=True):
                if address(old) not in taken:  # else it is a view, or was changed in place
                    old.copy_(new)


def tensors_of(value):
    return [leaf for leaf in torch.utils._pytree.tree_leaves(value) if isinstance(leaf, torch.Tensor)]


def address(tensor):
    return tensor.untyped_storage().data_ptr()


@pytest.fixture
def tapes(monkeypatch):
    """Return the tapes on which steps were recorded, on a processor that passes for a GPU."""
    made = []

    def record(step, inputs):
        tape = Tape()
        with tape:
            outputs = step(*inputs)
        tape.take_back()
        made.append(tape)
        return tape.replay, outputs

    monkeypatch.setattr(step_graph, "_record", record)
    monkeypatch.setattr(step_graph, "_aside", lambda step, inputs: step(*inputs))
    monkeypatch.setattr(together, "is_recorded", lambda params: params.cuda_graphs)
    return made


@pytest.mark.parametrize("kind", ARCHITECTURES)
@pytest.mark.parametrize("rate", [0.0, 0.2], ids=["no dropout", "dropout"])
def test_a_replayed_step_is_the_step(kind, rate, tmp_path, tapes):
    """Eight steps of sixteen and eight of five examples, in turn; the learning rates are the same numbers in 32 bits."""
    params = smoke_params(tmp_path, **{**HARD, "epochs": 8, "learning_rate": 2**-7})
    batch = subsets.subset(padded_batch(kind), 21)
    ours, theirs = children(kind, rate), children(kind, rate)
    done = fine_tune_together(ours, batch, params.replace(cuda_graphs=True, device="auto"), SEEDS)
    assert len(tapes) == 1 and len(tapes[0].noted) > 100
    expected = fine_tune_together(theirs, batch, params, SEEDS)
    assert len(tapes) == 1 and len(expected[0].losses) == 16
    assert_same(ours, theirs, done, expected)


def test_a_step_is_recorded_after_the_first_ones():
    total, ran, recorded = torch.zeros(2), [], []

    def step(x):
        ran.append(len(x))
        total.add_(x.sum())
        return (total.clone(),)

    def record(step, inputs):
        recorded.append(inputs)
        output = torch.empty(2)
        return lambda: output.copy_(total.add_(inputs[0].sum())), (output,)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(step_graph, "_record", record)
        patch.setattr(step_graph, "_aside", lambda step, inputs: step(*inputs))
        run = RecordedStep(step)
        found = [run(torch.full((size,), 1.0))[0] for size in [4] * (WARM_UP + 2) + [3, 4]]
    assert [output.tolist() for output in found] == [[value] * 2 for value in (4, 8, 12, 16, 20, 23, 27)]
    assert ran == [4] * WARM_UP + [3] and len(recorded) == 1


def test_what_cannot_be_recorded_is_said(monkeypatch):
    def step():
        raise RuntimeError("operation not permitted when stream is capturing\nmore of it")

    monkeypatch.setattr(torch.cuda, "CUDAGraph", lambda: None)
    monkeypatch.setattr(torch.cuda, "graph", lambda graph: contextlib.nullcontext())
    said = r"^cuda_graphs: the step cannot be recorded \(operation .* is capturing\); use cuda_graphs=false$"
    with pytest.raises(UserError, match=said):
        step_graph._record(step, ())
    with pytest.raises(torch.OutOfMemoryError):
        step_graph._record(lambda: (_ for _ in ()).throw(torch.OutOfMemoryError()), ())


def test_recorded_where_asked_for_and_on_a_gpu(tmp_path, monkeypatch):
    plain = smoke_params(tmp_path, together=2)
    asked = plain.replace(cuda_graphs=True, device="auto")
    assert not together.is_recorded(asked)
    monkeypatch.setattr(together, "device_of", lambda params: torch.device("cuda"))
    assert together.is_recorded(asked) and not together.is_recorded(plain)
    [model] = children(removed=[[0]])
    weights = 4 * sum(parameter.numel() for parameter in model.parameters())
    more = memory.bytes_of(model, 2, asked) - memory.bytes_of(model, 2, plain)
    assert more == weights + memory.kept_bytes(model, 2, plain), "gradients and activations once more"


def test_a_recorded_study_is_the_same_study(tmp_path):
    from paperlib.nodes import fingerprint

    plain = smoke_params(tmp_path, together=2, device="auto")
    assert fingerprint.of_study(plain) == fingerprint.of_study(plain.replace(cuda_graphs=True))
