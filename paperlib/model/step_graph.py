"""Record a training step as a CUDA graph and replay it: a GPU is handed its thousands of kernels in one piece."""

import functools
from collections.abc import Callable

import torch

from paperlib.common.errors import UserError

WARM_UP = 3  # steps on a stream of their own before the recording, as PyTorch's notes on CUDA graphs ask for

Tensors = tuple[torch.Tensor, ...]
Step = Callable[..., Tensors]


class RecordedStep:
    """A step that runs as it is at first, is then recorded, and from there on replayed.

    `step` takes tensors and returns tensors. A recording holds addresses: what a step changes (weights, moments) must
    stay where it is, and what changes between steps (the learning rate) must be a tensor or an input. A step of other
    shapes than the first one's, as of the smaller last batch of a pass, runs as it is.
    Source: https://docs.pytorch.org/docs/stable/notes/cuda.html#cuda-graphs.
    """

    def __init__(self, step: Step):
        self._step = step
        self._inputs: Tensors = ()
        self._warm = 0
        self._replay: Callable[[], None] | None = None
        self._outputs: Tensors = ()

    def __call__(self, *inputs: torch.Tensor) -> Tensors:
        """Make one step; raises UserError when it cannot be recorded."""
        if not self._inputs:
            self._inputs = tuple(torch.empty_like(given) for given in inputs)
        if [own.shape for own in self._inputs] != [given.shape for given in inputs]:
            return self._step(*inputs)
        for own, given in zip(self._inputs, inputs):
            own.copy_(given)
        if self._warm < WARM_UP:
            self._warm += 1
            return _aside(self._step, self._inputs)
        if self._replay is None:
            self._replay, self._outputs = _record(self._step, self._inputs)
        self._replay()
        return tuple(output.clone() for output in self._outputs)  # the next replay writes into them


def _aside(step: Step, inputs: Tensors) -> Tensors:
    """Run a step on a stream of its own, so that no node of autograd keeps the stream of the others."""
    stream = _side_stream(torch.cuda.current_device())
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        outputs = step(*inputs)
    torch.cuda.current_stream().wait_stream(stream)
    return outputs


@functools.cache
def _side_stream(device: int) -> torch.cuda.Stream:
    """Return one and the same stream for every warm-up on a device: cuBLAS keeps a workspace for each that it ever met."""
    return torch.cuda.Stream(device)


def _record(step: Step, inputs: Tensors) -> tuple[Callable[[], None], Tensors]:
    """Return what replays the step, and the tensors that it then writes its outputs into; nothing is computed yet."""
    graph = torch.cuda.CUDAGraph()
    try:
        with torch.cuda.graph(graph):
            outputs = step(*inputs)
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        said = str(error).partition("\n")[0]
        raise UserError(f"cuda_graphs: the step cannot be recorded ({said}); use cuda_graphs=false") from error
    return graph.replay, outputs
