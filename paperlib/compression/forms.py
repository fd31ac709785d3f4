"""A form of a model: its weights as torch or ONNX run them; what it answers, how large it is."""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from scipy.stats import binomtest

from paperlib.compression import export
from paperlib.compression.export import FILES, Rows
from paperlib.model.device import precision_of
from paperlib.params import Params

TORCH = {"torch fp32": torch.float32, "torch bf16": torch.bfloat16}
CHUNK = 32
MB = 1e6

# Run by an interpreter of its own, so that nothing else is counted; prints the bytes that loading and running add.
MEMORY = """
import sys, numpy, psutil
kind, folder, path, rows = sys.argv[1:]
rows = dict(numpy.load(rows))
if kind.startswith("ONNX"):
    import onnxruntime
else:
    import torch, transformers
    transformers.AutoModelForSequenceClassification
held = psutil.Process().memory_info().rss
if kind.startswith("ONNX"):
    onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"]).run(None, rows)
else:
    dtype = torch.bfloat16 if kind.endswith("bf16") else torch.float32
    model = transformers.AutoModelForSequenceClassification.from_pretrained(folder, dtype=dtype).eval()
    with torch.inference_mode():
        model(**{name: torch.from_numpy(values) for name, values in rows.items()})
print(psutil.Process().memory_info().rss - held)
"""


@dataclass(frozen=True)
class Form:
    """One row of the trade-off: a model (`original`, `4 layers`, ...) in a folder, and how it is run."""

    model: str
    kind: str  # torch fp32, torch bf16, ONNX fp32, ONNX int8
    folder: Path
    kept: tuple[int, ...]  # original numbers of its layers

    @property
    def file(self) -> Path:
        """The file that holds the weights of this form."""
        return self.folder / FILES.get(self.kind, "model.safetensors")

    @property
    def megabytes(self) -> float:
        """Size on disk (1e6 bytes); bf16 weights take half of the stored ones."""
        return self.file.stat().st_size / MB / (2 if self.kind == "torch bf16" else 1)

    def runner(self, threads: int = 1) -> Callable[[Rows], np.ndarray]:
        """Return a function from rows to logits (examples, classes); torch's threads are for the caller to set."""
        if self.kind in FILES:
            opened = export.session(self.file, threads)
            return lambda rows: opened.run(None, rows)[0]
        model = export.load(self.folder, dtype=TORCH[self.kind])

        @torch.inference_mode()
        def run(rows: Rows) -> np.ndarray:
            return model(**{name: torch.from_numpy(values) for name, values in rows.items()}).logits.float().numpy()

        return run

    def logits(self, rows: Rows) -> np.ndarray:
        """Return the logits of all rows.

        int8 runs text by text, without padding: it scales activations by what is in a batch, so the company that a
        text keeps would change its answer.
        """
        run, n = self.runner(), len(rows["input_ids"])
        if self.kind != "ONNX int8":
            return np.concatenate([run({name: v[i : i + CHUNK] for name, v in rows.items()}) for i in range(0, n, CHUNK)])
        return np.concatenate([run(alone(rows, i)) for i in range(n)])

    def memory_mb(self, rows_file: Path) -> float:
        """Return the resident memory (1e6 bytes) that loading it and classifying the stored rows adds to a new process."""
        arguments = [self.kind, str(self.folder), str(self.file), str(rows_file)]
        done = subprocess.run([sys.executable, "-c", MEMORY, *arguments], capture_output=True, text=True, check=False)
        return int(done.stdout) / MB if done.returncode == 0 else float("nan")


def why_not_measured(kind: str, params: Params) -> str:
    """Say why a form is not measured here, "" where it is: bf16 takes minutes where a processor only emulates it."""
    if kind != "torch bf16" or precision_of(params.replace(precision="auto", device="cpu", cuda_graphs=False)) == "bf16":
        return ""
    return "not measured: this processor is not known to be faster in bf16 than in fp32"


def alone(rows: Rows, i: int) -> Rows:
    """Return one text without its padding."""
    there = rows["attention_mask"][i].astype(bool)
    return {name: values[i : i + 1, there] for name, values in rows.items()}


def interval(hits: np.ndarray) -> tuple[float, float]:
    """Return Wilson's 95% interval of the share of texts that are classified correctly."""
    found = binomtest(int(hits.sum()), len(hits)).proportion_ci(method="wilson")
    return float(found.low), float(found.high)
