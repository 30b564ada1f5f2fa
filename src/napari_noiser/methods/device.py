"""The device to compute on: "auto" takes one that works and warns when it falls back."""

from __future__ import annotations

import re
import warnings
from textwrap import shorten

import torch

from napari_noiser._errors import InputError

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
        others = " or ".join(repr(name) for name in available_devices() if name != str(device))
        raise InputError(
            "device", f"{str(device)!r} does not work here ({_in_short(error)}); use {others}"
        ) from error
    return chosen


def available_devices() -> tuple[str, ...]:
    """Return the names that a device can have here: "auto", "cpu", and accelerators."""
    there = (name for name, each in _ACCELERATORS.items() if each.is_available())
    return ("auto", "cpu", *there)


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
