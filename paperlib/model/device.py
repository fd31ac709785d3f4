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
    """Resolve `precision: auto`: bf16 where the processor multiplies in it, else fp32."""
    if params.precision != "auto":
        return params.precision
    if device_of(params).type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported() else "fp32"
    capabilities = getattr(torch.cpu, "get_capabilities", dict)()  # newer than torch 2.11
    return "bf16" if capabilities.get("avx512_bf16") or capabilities.get("amx_bf16") else "fp32"


def forward_context(params: Params):
    """Return the autocast context of the forward pass; the backward pass must stay outside of it."""
    if precision_of(params) == "bf16":
        return torch.autocast(device_of(params).type, dtype=torch.bfloat16)
    return contextlib.nullcontext()
