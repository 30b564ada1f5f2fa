"""Filters in all their orientations: a network that turns and flips with its image.

A few random filters answer brighter and darker sides differently: the paper's network, as trained
here, moves structures by up to a pixel and embosses them. Where each filter stands in all flips
and quarter turns, and the second layer's with it, the response to a turned image is the turned
response, exactly. What is learned, and kept in a model's file, is each filter once.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

_HIDDEN_AXES = {"first_weight": 0, "first_bias": 0, "second_weight": 1}
# Of the hidden channels; the second bias has none.


def orientation_count(ndim: int, symmetric: bool) -> int:
    """Return in how many orientations a filter stands: 8 in a plane, 16 in a volume, or only 1."""
    return 8 * (ndim - 1) if symmetric else 1


def orientation_matrix(ndim: int, symmetric: bool) -> Tensor:
    """Return the matrix, (taps, orientations * taps), from a kernel to all its orientations.

    The kernel is a row of 3**ndim taps. Of a volume's, orientations are those in the plane, as
    they are and flipped in z; without symmetry there is one, the kernel itself.
    """
    turned = [torch.eye(3**ndim).view(-1, *(3,) * ndim)]
    if symmetric:
        turned = [turned[0].rot90(turns, (-2, -1)) for turns in range(4)]
        for axis in (-1, -3)[: ndim - 1]:
            turned += [each.flip(axis) for each in turned]
    return torch.stack([each.flatten(1) for each in turned], dim=1).flatten(1)


def expand(name: str, weight: Tensor, matrix: Tensor) -> Tensor:
    """Return a weight of the network for the hidden channels of all orientations.

    Channels are ordered by orientation, then by filter.
    """
    count, axis = matrix.shape[1] // len(matrix), _HIDDEN_AXES.get(name)
    if axis is None or count == 1:
        return weight
    if weight.ndim == 1:
        return weight.repeat(count)
    turned = (weight.flatten(2) @ matrix).unflatten(2, (count, -1)).movedim(2, axis)
    return turned.flatten(axis, axis + 1).unflatten(-1, weight.shape[2:])


def expand_all(weights: Mapping[str, Tensor], matrix: Tensor) -> dict[str, Tensor]:
    """Return all weights of the network for the hidden channels of all orientations."""
    return {name: expand(name, weight, matrix) for name, weight in weights.items()}


def collect(name: str, gradient: Tensor, matrix: Tensor) -> Tensor:
    """Return the gradient of a kernel from that of what `expand` made of it, flat in its taps."""
    count, axis = matrix.shape[1] // len(matrix), _HIDDEN_AXES[name]
    if count == 1:
        return gradient
    turned = gradient.unflatten(axis, (count, -1)).movedim(axis, 2)
    return turned.flatten(2) @ matrix.T
