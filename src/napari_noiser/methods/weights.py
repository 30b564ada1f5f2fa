"""Weights and losses of a training, as a model keeps them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn

_STRETCHES = 200  # of the losses that a model remembers


def copy_weights(network: nn.Module, device: str | torch.device = "cpu") -> dict[str, Tensor]:
    """Return a network's weights as they are now, on a device."""
    return {
        name: value.detach().to(device, copy=True).contiguous()
        for name, value in network.named_parameters()
    }


def fingerprint(weights: Mapping[str, Tensor]) -> str:
    """Return twelve hexadecimal digits that tell weights from any others."""
    return checksum(weights)[:12]


def checksum(tensors: Mapping[str, Tensor], text: str = "") -> str:
    """Return the hexadecimal digits that tell tensors and a text from any others."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(name.encode() + tensors[name].contiguous().numpy().tobytes())
    digest.update(text.encode())
    return digest.hexdigest()


def downsample_losses(losses: Sequence[float]) -> tuple[float, ...]:
    """Return the means of up to 200 equal stretches, in five digits."""
    stretches = np.array_split(losses, min(len(losses), _STRETCHES))
    return tuple(float(f"{np.mean(stretch):.5g}") for stretch in stretches)
