"""Resolve where and in which precision a study computes."""

import contextlib

import torch

from paperlib.common.errors import UserError
from paperlib.params import Params


def device_of(params: Params) -> torch.device:
    """Resolve `device: auto`: CUDA where there is one; raises UserError for `device: cuda` where there is none."""
    if params.device == "cuda" and not torch.cuda.is_available():
        raise UserError("device: no CUDA device is available; use device=cpu or device=auto")
    if params.device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(params.device)


def precision_of(params: Params) -> str:
    """Resolve `precision: auto`: bf16 where the device is known to multiply in it faster than in fp32, else fp32.

    Cards before Ampere emulate it. Intel's AVX-512 units, where there are no matrix units (AMX) beside them, take two
    cycles for a product in bf16 where AMD's take one: half the speed of fp32.
    """
    if params.precision != "auto":
        return params.precision
    if device_of(params).type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    has = getattr(torch.cpu, "get_capabilities", dict)()  # newer than torch 2.11
    faster = has.get("amx_bf16") or (has.get("avx512_bf16") and "Intel" not in has.get("cpu_name", ""))
    return "bf16" if faster else "fp32"


def forward_context(params: Params):
    """Return the autocast context of the forward pass; the backward pass must stay outside of it."""
    if precision_of(params) == "bf16":
        return torch.autocast(device_of(params).type, dtype=torch.bfloat16)
    return contextlib.nullcontext()
