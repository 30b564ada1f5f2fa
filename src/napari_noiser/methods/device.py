"""The device to compute on: "auto" takes one that works and warns when it falls back."""

from __future__ import annotations

import re
import warnings
from textwrap import shorten

import torch

from napari_noiser._errors import InputError

_NAMES = ("auto", "cpu", "cuda", "cuda:N", "mps", "xpu")
_LONGEST = 120  # characters of an error that are shown
_ACCELERATORS = {"cuda": torch.cuda, "xpu": torch.xpu, "mps": torch.backends.mps}


def best_device(device: str | torch.device = "auto") -> torch.device:
    """Return the device to compute on, tried with a small convolution.

    "auto" takes the first accelerator that this build of torch sees and that computes, and
    otherwise the CPU.
    """
    if device == "auto":
        return _automatic()
    try:
        chosen = torch.device(device)
        _check_device(chosen)
    except Exception as error:  # torch raises RuntimeError, AssertionError, NotImplementedError
        others = [repr(name) for name in _NAMES if name.partition(":")[0] != str(device)]
        raise InputError(
            "device",
            f"{str(device)!r} does not work here ({_in_short(error)}); "
            f"use {', '.join(others[:-1])} or {others[-1]}",
        ) from error
    return chosen


def release_memory() -> None:
    """Give the memory that torch keeps for later back to the device, for other programs to use."""
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.empty_cache()
    if torch.xpu.is_initialized():  # type: ignore[no-untyped-call]
        torch.xpu.empty_cache()
    if torch.backends.mps.is_available():
        torch.mps.empty_cache()


def _automatic() -> torch.device:
    for name, accelerator in _ACCELERATORS.items():
        if not accelerator.is_available():
            continue
        try:
            _check_device(torch.device(name))
        except Exception as error:  # whatever a half-working driver raises
            warnings.warn(
                f"{name} is there but does not compute ({_in_short(error)}); "
                "trying the next device, or the CPU",
                stacklevel=3,
            )
        else:
            return torch.device(name)
    return torch.device("cpu")


def _check_device(device: torch.device) -> None:
    image = torch.ones(1, 1, 4, 4, device=device)
    result = torch.nn.functional.conv2d(image, torch.ones(1, 1, 3, 3, device=device))
    if not bool((result.cpu() == 9).all()):
        raise RuntimeError("a convolution of ones gave a wrong result")


def _in_short(error: Exception) -> str:
    """Return the first sentence of an error of torch: the rest is about its internals."""
    sentence = re.split(r"\n|\. ", str(error) or type(error).__name__, maxsplit=1)[0]
    return shorten(sentence, _LONGEST, placeholder="…")
