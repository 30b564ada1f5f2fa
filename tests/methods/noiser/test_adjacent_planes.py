"""Planes that neighbor a scene: much of it again, moved, blurred, or another one."""

import numpy as np
import pytest

from napari_noiser.methods.noiser.adjacent_planes import draw_adjacent_planes
from napari_noiser.methods.noiser.structured_noise import Structure


def scene(seed, side=48, samples=1):
    return Structure().light((side, side), samples, np.random.default_rng(seed))


def likeness(one, other):
    return float(np.corrcoef(one.ravel(), other.ravel())[0, 1])


@pytest.mark.parametrize("depth", [1, 2, 3, 6])
@pytest.mark.parametrize("samples", [1, 3])
def test_planes_are_light_from_0_and_come_from_the_generator(depth, samples):
    one, other = scene(0, samples=samples), scene(1, samples=samples)
    first, again, otherwise = (
        draw_adjacent_planes(one, other, 0.4, depth, np.random.default_rng(seed))
        for seed in (2, 2, 3)
    )
    assert first.shape == (samples, depth, 48, 48)
    assert first.dtype == np.float32
    assert first.min() >= 0
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, otherwise)


def test_the_middle_plane_is_the_scene():
    one = scene(0)
    for seed in range(10):
        planes = draw_adjacent_planes(one, scene(1), 1.0, 3, np.random.default_rng(seed))
        assert likeness(planes[:, 1], one) > 0.9


def test_neighbors_show_most_of_the_scene_in_most_images():
    one = scene(0)
    alike = []
    for seed in range(20):
        before, middle, behind = draw_adjacent_planes(
            one, one, 0.0, 3, np.random.default_rng(seed)
        )[0]
        alike += [likeness(before, middle), likeness(behind, middle)]
    assert np.median(alike) > 0.8
    assert min(alike) < 0.9, "some moved far"
    assert max(alike) > 0.99, "some hardly moved"


@pytest.mark.parametrize("replaced", [0.3, 1.0])
def test_what_is_replaced_is_of_the_other_scene(replaced):
    one, other = np.ones((1, 48, 48), np.float32), np.full((1, 48, 48), 9, np.float32)
    sides = set()
    for seed in range(12):
        before, middle, behind = draw_adjacent_planes(
            one, other, replaced, 3, np.random.default_rng(seed)
        )[0]
        assert np.median(middle) < 3
        shares = [float((plane > 4).mean()) for plane in (before, behind)]
        sides.add(tuple(share > 0 for share in shares))
        assert max(shares) == pytest.approx(replaced, abs=0.1)
    assert sides == {(True, True), (True, False), (False, True)}


def test_volumes_of_structure_are_one_scene_more_often_than_not():
    alike = []
    for seed in range(24):
        planes = Structure().light((3, 40, 40), 1, np.random.default_rng(seed))[0]
        alike += [likeness(planes[0], planes[1]), likeness(planes[2], planes[1])]
    assert np.median(alike) > 0.7
    assert min(alike) < 0.3, "some show nothing of it"
