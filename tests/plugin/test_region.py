"""Regions that set the exposure: a voxel counts if and only if its place in the world does."""

from __future__ import annotations

from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from napari.components import ViewerModel
from napari.layers import Image, Labels, Layer, Points, Shapes
from parts import is_there
from skimage.measure import points_in_poly

import napari_noiser as noiser
from napari_noiser.plugin.layers.region import RegionSnapshot, region_mask, statistics_mask
from napari_noiser.plugin.layers.snapshot import LayerSnapshot
from napari_noiser.plugin.settings import Settings
from napari_noiser.plugin.tasks.generators import enhance_all
from napari_noiser.plugin.widgets.dock_widget import NoiserWidget

SQUARE = np.array([[2.0, 3.0], [2.0, 8.0], [6.0, 8.0], [6.0, 3.0]])
STEPS = st.floats(0.3, 3.0)
PLACES = st.fixed_dictionaries(
    {
        "scale": st.tuples(STEPS, STEPS),
        "translate": st.tuples(st.floats(-4, 4), st.floats(-4, 4)),
        "rotate": st.floats(-180, 180),
        "shear": st.tuples(st.floats(-0.5, 0.5)),
        "affine": st.floats(0.5, 2).map(lambda factor: np.diag([factor, 1.0, 1.0])),
    }
)


def places_in(region: Layer, image: Image) -> np.ndarray:
    """Return where the voxels of an image lie among those of a region, as napari says."""
    indices = np.argwhere(np.ones(image.data.shape, bool))
    return np.array([region.world_to_data(image.data_to_world(each)) for each in indices])


def found(region: Layer, image: Image) -> np.ndarray:
    """Return the mask of a region that may lie outside the image."""
    with suppress(ValueError):
        return region_mask(region, image).ravel()
    return np.zeros(image.data.size, bool)


@given(PLACES, PLACES)
@examples(max_examples=60)
def test_a_voxel_is_in_a_label_as_its_place_in_the_world_is(mine: dict, its: dict) -> None:
    image = Image(np.zeros((14, 17)), **mine)
    painted = (np.random.default_rng(0).random((9, 11)) > 0.5).astype(int)
    labels = Labels(painted, **its)
    place = places_in(labels, image)
    nearest = np.floor(place + 0.5).astype(int)
    inside = ((nearest >= 0) & (nearest < painted.shape)).all(axis=1)
    expected = np.zeros(image.data.size, bool)
    expected[inside] = painted[tuple(nearest[inside].T)] != 0
    clear = (np.abs(place - np.floor(place) - 0.5) > 1e-6).all(axis=1)  # not halfway between two
    np.testing.assert_array_equal(found(labels, image)[clear], expected[clear])


@given(PLACES, PLACES)
@examples(max_examples=60)
def test_a_voxel_is_in_a_polygon_as_its_place_in_the_world_is(mine: dict, its: dict) -> None:
    image = Image(np.zeros((14, 17)), **mine)
    corners = np.array([[1.0, 1.0], [2.0, 9.0], [8.0, 7.0], [4.0, 4.0], [7.0, 0.5]])
    shapes = Shapes([corners], shape_type="polygon", **its)
    place = places_in(shapes, image)
    sure = [points_in_poly(place + shift, corners) for shift in 1e-3 * _ring()]
    expected, clear = sure[0], np.all(np.equal(sure, sure[0]), axis=0)
    np.testing.assert_array_equal(found(shapes, image)[clear], expected[clear])


@given(PLACES, st.sampled_from([0.3, 1.0, 2.5]), st.floats(-5, 5))
@examples(max_examples=30)
def test_volumes(place: dict, step: float, start: float) -> None:
    place = {name: place[name] for name in ("rotate", "scale", "translate")}
    place = {**place, "scale": (step, *place["scale"]), "translate": (start, *place["translate"])}
    image = Image(np.zeros((5, 6, 7)), **place)
    painted = (np.random.default_rng(0).random((4, 6, 9)) > 0.5).astype(int)
    labels = Labels(painted, scale=(1.3, 0.9, 0.8), rotate=10)
    at = places_in(labels, image)
    nearest = np.floor(at + 0.5).astype(int)
    inside = ((nearest >= 0) & (nearest < painted.shape)).all(axis=1)
    expected = np.zeros(image.data.size, bool)
    expected[inside] = painted[tuple(nearest[inside].T)] != 0
    clear = (np.abs(at - np.floor(at) - 0.5) > 1e-6).all(axis=1)
    np.testing.assert_array_equal(found(labels, image)[clear], expected[clear])


def _ring() -> np.ndarray:
    return np.array([[0, 0], [1, 0], [-1, 0], [0, 1], [0, -1], [1, 1], [-1, -1], [1, -1], [-1, 1]])


@pytest.mark.parametrize("kind", ["rectangle", "ellipse", "polygon", "line", "path"])
def test_shapes_are_rasterized_as_napari_does(kind: str) -> None:
    vertices = SQUARE[:2] if kind == "line" else SQUARE + 0.3
    shapes = Shapes([vertices], shape_type=kind)
    image = Image(np.zeros((12, 14)))
    np.testing.assert_array_equal(region_mask(shapes, image), shapes.to_masks((12, 14))[0])


def test_a_sheared_ellipse_stays_in_its_box() -> None:
    image = Image(np.zeros((40, 60)))
    corners = np.array([[5.0, 5.0], [5.0, 45.0], [30.0, 55.0], [30.0, 15.0]])
    ellipse = region_mask(Shapes([corners], shape_type="ellipse"), image)
    box = region_mask(Shapes([corners], shape_type="polygon"), image)
    assert not (ellipse & ~box).any()
    assert abs(ellipse.sum() / 1000 - np.pi / 4) < 0.02  # the box's area is 25 x 40


def test_a_path_across_the_border_is_cut_off() -> None:
    path = Shapes([np.array([[4.0, -9.0], [4.0, 3.0]])], shape_type="line")
    mask = region_mask(path, Image(np.zeros((8, 8))))
    assert np.argwhere(mask).tolist() == [[4, 0], [4, 1], [4, 2], [4, 3]]
    beside = Shapes([np.array([[-4.0, 1.0], [-4.0, 3.0]])], shape_type="line")
    with pytest.raises(ValueError, match="has no voxel"):
        region_mask(beside, Image(np.zeros((8, 8))))


def test_units_are_converted_as_napari_does() -> None:
    place = {"scale": (500, 500), "translate": (500, 1000), "units": ("nm", "nm")}
    image = Image(np.zeros((20, 20)), **place)
    shapes = Shapes([SQUARE], shape_type="polygon", units=("um", "um"))
    rows, columns = np.nonzero(region_mask(shapes, image))
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (3, 11, 4, 14)
    pixels = Shapes([SQUARE * 1000], shape_type="polygon")  # units that do not go together
    np.testing.assert_array_equal(region_mask(pixels, image), region_mask(shapes, image))


def test_a_plane_over_a_stack_holds_for_every_plane() -> None:
    stack = Image(np.zeros((3, 5, 12, 14)), scale=(1, 4, 1, 1))
    for region in (Shapes([SQUARE], shape_type="polygon"), Labels(np.eye(14, dtype=int)[:12])):
        mask = region_mask(region, stack)
        assert mask.shape == (12, 14)
        np.testing.assert_array_equal(mask, region_mask(region, Image(np.zeros((12, 14)))))


def test_a_shape_lies_on_the_plane_on_which_it_is_shown() -> None:
    stack = Image(np.zeros((5, 12, 14)), scale=(2, 1, 1))
    at = [np.insert(SQUARE, 0, z, axis=1) for z in (2.0, 6.6, 40.0)]
    mask = region_mask(Shapes(at, shape_type="polygon"), stack)
    assert np.flatnonzero(mask.any(axis=(1, 2))).tolist() == [1, 3]
    plane = region_mask(Shapes([SQUARE], shape_type="polygon"), stack)
    np.testing.assert_array_equal(mask[3], plane)
    everywhere = region_mask(Shapes(at, shape_type="polygon"), stack, all_planes=True)
    np.testing.assert_array_equal(everywhere, plane)


def test_a_shape_may_be_drawn_in_another_plane_than_yx() -> None:
    upright = np.insert(SQUARE, 1, 4.0, axis=1)  # z from 2 to 6, x from 3 to 8
    mask = region_mask(Shapes([upright], shape_type="polygon"), Image(np.zeros((9, 9, 9))))
    assert np.unique(np.argwhere(mask)[:, 1]).tolist() == [4]
    assert np.ptp(np.argwhere(mask), axis=0).tolist() == [4, 0, 5]


@pytest.mark.filterwarnings("ignore:Non-orthogonal slicing")
def test_what_lies_obliquely_is_refused() -> None:
    oblique = np.c_[[0.0, 0.0, 4.0, 4.0], SQUARE]
    stack = Image(np.zeros((9, 12, 14)), name="cells")
    with pytest.raises(ValueError, match=r"region 'roi' has a polygon that lies obliquely"):
        region_mask(Shapes([oblique], shape_type="polygon", name="roi"), stack)
    turned = Image(np.zeros((9, 12, 14)), rotate=(0, 30, 0))
    with pytest.raises(ValueError, match="turned out of the other's planes"):
        region_mask(Shapes([SQUARE], shape_type="polygon"), turned)


def test_a_volume_of_labels_over_a_plane() -> None:
    painted = np.zeros((3, 8, 8), int)
    painted[0, 2, 2], painted[2, 5, 5] = 1, 2
    mask = region_mask(Labels(painted), Image(np.zeros((8, 8))))
    assert np.argwhere(mask).tolist() == [[2, 2], [5, 5]]


def test_only_what_is_shown_of_labels_counts() -> None:
    labels = Labels(np.arange(64).reshape(8, 8))
    image = Image(np.zeros((8, 8)))
    assert region_mask(labels, image).sum() == 63
    labels.selected_label, labels.show_selected_label = 9, True
    assert np.argwhere(region_mask(labels, image)).tolist() == [[1, 1]]


def test_colors_channels_and_levels() -> None:
    shapes = Shapes([SQUARE], shape_type="polygon")
    color = Image(np.zeros((5, 12, 14, 3), np.uint8), rgb=True)
    assert region_mask(shapes, color).shape == (12, 14)
    levels = Image([np.zeros((12, 14)), np.zeros((6, 7))], multiscale=True)
    assert region_mask(shapes, levels).shape == (12, 14)
    channels = Image(np.zeros((12, 14, 3)))
    on_one = Shapes([np.insert(SQUARE, 2, 1.0, axis=1)], shape_type="polygon")
    source = LayerSnapshot.from_layer(channels, "YXC")
    assert region_mask(on_one, source).any(axis=(0, 1)).tolist() == [False, True, False]
    assert region_mask(on_one, source, all_planes=True).all(axis=2).sum() == 30


def test_axes_of_equal_lengths_are_not_confused() -> None:
    painted = np.zeros((8, 8), int)
    painted[1:5, 2:7] = 1
    data = np.random.default_rng(0).random((8, 8))
    image = Image(data)
    mask = region_mask(Labels(painted), LayerSnapshot.from_layer(image, "XY"))
    transposed = noiser.enhance_layer(image, axes="XY", mask=mask)
    plain = noiser.enhance(data.T, mask=painted.T)
    np.testing.assert_allclose(transposed.data, plain.T, atol=1e-6)


def test_both_together() -> None:
    image = Image(np.zeros((3, 12, 14)), name="cells")
    inside = Shapes([SQUARE], shape_type="polygon", name="cell")
    painted = np.zeros((3, 12, 14), int)
    painted[1, 4] = 1
    spots = Labels(painted, name="spots")
    mask = statistics_mask(inside, spots, image)
    assert [int(plane.sum()) for plane in mask] == [30, 24, 30]
    assert statistics_mask(inside, spots, image, all_planes=True).shape == (12, 14)
    np.testing.assert_array_equal(statistics_mask(None, spots, image), painted == 0)
    assert statistics_mask(None, None, image) is None
    with pytest.raises(ValueError, match="'all' leaves no pixel"):
        statistics_mask(inside, Labels(np.ones((12, 14), int), name="all"), image)


def test_what_cannot_be_a_region_is_said() -> None:
    image = Image(np.zeros((8, 8)), name="cells")
    other = Labels(np.ones((8, 8), int), name="roi")
    other.selected_label, other.show_selected_label = 2, True
    cases = [
        (Labels(np.zeros((8, 8), int), name="roi"), "'roi' is empty: paint on it"),
        (other, "'roi' shows label 2 alone, which is nowhere"),
        (Shapes(name="roi"), "'roi' is empty: draw in it"),
        (Shapes([SQUARE + 90], name="roi"), "'roi' has no voxel in the image 'cells'"),
        (Labels(np.ones((3, 3), int), translate=(50, 0)), "has no voxel in the image"),
    ]
    for region, message in cases:
        with pytest.raises(ValueError, match=message):
            region_mask(region, image)
    with pytest.raises(TypeError, match="Labels or a Shapes layer, got Points"):
        region_mask(Points(np.zeros((1, 2))), image)


# in the widget


@pytest.fixture
def viewer(viewer: ViewerModel) -> ViewerModel:
    data = np.random.default_rng(0).poisson(4, (3, 40, 50)).astype(np.uint16) + 100
    data[:, 10:30, 10:30] *= 3
    viewer.add_image(data, name="cells", scale=(2, 0.5, 0.5))
    return viewer


def test_the_widget_gives_what_the_console_gives(
    widget: NoiserWidget, viewer: ViewerModel, wait_for_run, monkeypatch
) -> None:
    asked = []

    def job(sources: list[LayerSnapshot], settings: Settings):
        asked.append(settings)
        return enhance_all(sources, settings)

    monkeypatch.setattr("napari_noiser.plugin.tasks.enhance.enhance_all", job)
    cell = viewer.add_shapes([SQUARE * 2], shape_type="rectangle", name="cell")
    spots = viewer.add_labels(np.eye(50, dtype=int)[:40], name="spots", scale=(0.5, 0.5))
    widget.controls.region.value, widget.controls.leave_out.value = cell, spots
    widget.apply.native.click()
    cell.data = [SQUARE]  # too late
    spots.data[:] = 1
    wait_for_run()
    assert isinstance(asked[0].region, RegionSnapshot)
    assert isinstance(asked[0].leave_out, RegionSnapshot)
    result = viewer.layers["cells (denoised)"]
    cell.data, spots.data = [SQUARE * 2], np.eye(50, dtype=int)[:40]
    image = viewer.layers["cells"]
    mask = region_mask(cell, image) & ~region_mask(spots, image)
    np.testing.assert_allclose(result.data, noiser.enhance(image.data, mask=mask), atol=1e-6)
    assert not np.allclose(result.data, noiser.enhance(image.data), atol=1e-2)
    made = result.metadata["napari_noiser"]
    assert (made["region"], made["leave_out"], "all_planes" in made) == ("cell", "spots", False)
    assert made["mask"] == noiser.enhance_layer(image, mask=mask).metadata["napari_noiser"]["mask"]


def test_its_choices_follow_the_layers(widget: NoiserWidget, viewer: ViewerModel) -> None:
    controls = widget.controls
    assert controls.region.value is None
    cell = viewer.add_shapes([SQUARE], name="cell")
    assert controls.region.choices == controls.leave_out.choices == (None, cell)
    controls.region.value = cell
    cell.name = "nucleus"
    assert controls.region.value is cell
    assert controls.region.current_choice == "nucleus"
    viewer.layers.remove(cell)
    assert controls.region.value is None
    assert controls.leave_out.current_choice == "nothing"


def test_holding_on_all_planes_is_offered_where_there_are_planes(
    widget: NoiserWidget, viewer: ViewerModel, wait_for_run
) -> None:
    widget.show()
    controls = widget.controls
    assert not is_there(controls.all_planes)
    on_one = viewer.add_shapes([np.insert(SQUARE * 2, 0, 2.0, axis=1)], name="cell")
    controls.region.value, controls.options["statistics"].value = on_one, "plane"
    assert is_there(controls.all_planes)
    controls.all_planes.value = True
    widget.apply.native.click()
    wait_for_run()
    result, image = viewer.layers["cells (denoised)"], viewer.layers["cells"]
    mask = region_mask(on_one, image, all_planes=True)
    expected = noiser.enhance(image.data, statistics="plane", mask=mask)
    np.testing.assert_allclose(result.data, expected, atol=1e-6)
    assert result.metadata["napari_noiser"]["all_planes"] is True


def test_an_empty_region_is_said(
    widget: NoiserWidget, viewer: ViewerModel, wait_for_run, qtbot
) -> None:
    widget.controls.region.value = viewer.add_labels(np.zeros((40, 50), int), name="cell")
    with qtbot.capture_exceptions():
        widget.apply.native.click()
        wait_for_run()
        qtbot.wait(50)
    assert widget.status.value.startswith("failed: region 'cell' is empty")
