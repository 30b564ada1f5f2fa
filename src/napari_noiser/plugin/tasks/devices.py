"""The devices that can be computed on here; torch knows, and is imported off the GUI's thread."""

from __future__ import annotations

from napari_noiser._torch_import import explain_torch_import_error


def available_devices() -> tuple[str, ...]:
    """Return the names that `device` can have here: "auto", "cpu", and accelerators."""
    with explain_torch_import_error():
        import torch
    accelerators = {"cuda": torch.cuda, "mps": torch.backends.mps, "xpu": torch.xpu}
    there = (name for name, each in accelerators.items() if each.is_available())
    return ("auto", "cpu", *there)
