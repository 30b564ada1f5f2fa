"""Matrix products, some rows at a time, are the two convolutions with GELU between them."""

from __future__ import annotations

from itertools import product

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from napari_noiser.methods.noiser.fold import convolve_twice
from napari_noiser.methods.patches import Scratch


def drawn(*shape: int) -> Tensor:
    return torch.randn(shape, dtype=torch.float64)


def plainly(planes: Tensor, ends, first, second) -> Tensor:
    """Convolve by torch, the hidden channels' edges repeated at some ends."""
    hidden = functional.gelu(functional.conv3d(planes.transpose(0, 1)[None], *first))
    pads = [side for sides in reversed(ends) for side in sides]
    hidden = functional.pad(hidden, pads, mode="replicate")
    return functional.conv3d(hidden, *second)[0].transpose(0, 1)


@pytest.mark.parametrize("sides", list(product([0, 1], repeat=4)))
@pytest.mark.parametrize(("samples", "shape"), [(1, (7, 6)), (3, (5, 9)), (2, (700, 40))])
def test_planes(samples: int, shape: tuple[int, int], sides: tuple[int, ...]) -> None:
    planes, ends = drawn(1, samples, *shape), ((0, 0), sides[:2], sides[2:])
    first = drawn(20, samples, 1, 3, 3), drawn(20)
    second = drawn(samples, 20, 1, 3, 3), drawn(samples)
    found = convolve_twice(planes, ends, first, second, Scratch())
    torch.testing.assert_close(found, plainly(planes, ends, first, second))


@pytest.mark.parametrize("sides", [(0, 0, 0, 0, 0, 0), (1, 1, 1, 1, 1, 1), (1, 0, 0, 1, 1, 0)])
@pytest.mark.parametrize("shape", [(6, 7, 6), (5, 90, 40)])
def test_volumes(shape: tuple[int, ...], sides: tuple[int, ...]) -> None:
    ends = (sides[:2], sides[2:4], sides[4:])
    if any(n + sum(each) < 5 for n, each in zip(shape, ends, strict=True)):
        pytest.skip("too small for two convolutions")
    planes = drawn(shape[0], 2, *shape[1:])
    first, second = (drawn(144, 2, 3, 3, 3), drawn(144)), (drawn(2, 144, 3, 3, 3), drawn(2))
    found = convolve_twice(planes, ends, first, second, Scratch())
    torch.testing.assert_close(found, plainly(planes, ends, first, second))


def test_a_response_of_one_pixel_leaves_the_weights_as_they_are() -> None:
    planes, ends = drawn(1, 1, 5, 5), ((0, 0),) * 3
    first, second = (drawn(4, 1, 1, 3, 3), drawn(4)), (drawn(1, 4, 1, 3, 3), drawn(1))
    before = second[1].clone()
    found = convolve_twice(planes, ends, first, second, Scratch())
    torch.testing.assert_close(second[1], before, rtol=0, atol=0)
    torch.testing.assert_close(found, plainly(planes, ends, first, second))
