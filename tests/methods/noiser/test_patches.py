"""Patches are what a convolution sees; memory serves again."""

import numpy as np
import pytest
import torch

from napari_noiser.methods.patches import Scratch, patches
from napari_noiser.methods.registry import load_model


@pytest.mark.parametrize("shape", [(2, 5, 6), (1, 3, 3), (3, 4, 5, 6)])
def test_patches_are_those_of_unfold(shape):
    image = torch.randn(shape, dtype=torch.float64)
    unfolded = image
    for axis in range(1, len(shape)):
        unfolded = unfolded.unfold(axis, 3, 1)
    found = patches(image).movedim(1, -1)
    torch.testing.assert_close(found, unfolded.flatten(len(shape)), rtol=0, atol=0)


def test_scratch_serves_again_and_grows():
    scratch, like = Scratch(), torch.empty(0)
    first = scratch.take("columns", (4, 5), like)
    smaller = scratch.take("columns", (3, 2), like)
    assert smaller.shape == (3, 2)
    assert smaller.data_ptr() == first.data_ptr()
    assert scratch.take("columns", (40, 50), like).shape == (40, 50)
    assert scratch.take("columns", (2, 2), like.double()).dtype == torch.float64
    assert scratch.take("hidden", (2, 2), like).data_ptr() != first.data_ptr()


def test_a_tile_does_not_see_what_the_last_one_left():
    model, scratch = load_model("noiser"), Scratch()
    folded = model.fold(np.zeros(9), np.eye(9), torch.device("cpu"))
    halo = ((0, 0), (0, 0))
    for side in (30, 12, 21):
        tile = torch.randn(1, 1, side, side)
        torch.testing.assert_close(folded(tile, halo, scratch), folded(tile, halo))
