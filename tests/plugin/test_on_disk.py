"""Results on disk: a layer that fills in, a store that is finished or can be resumed."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image
from napari.utils.notifications import notification_manager
from parts import is_there, values

import napari_noiser as noiser
from napari_noiser._progress import run_with_progress
from napari_noiser.arrays.lazy_view import LazyView
from napari_noiser.engine import device_memory
from napari_noiser.files.open_image import open_image
from napari_noiser.files.writers.ome_zarr import OmeZarr
from napari_noiser.plugin.commands import enhance_selected
from napari_noiser.plugin.layers.snapshot import LayerSnapshot
from napari_noiser.plugin.settings import Settings
from napari_noiser.plugin.tasks import enhance as enhancing
from napari_noiser.plugin.tasks.background_task import BackgroundTask
from napari_noiser.plugin.tasks.destinations import TileWritten, file_name
from napari_noiser.plugin.tasks.enhance import start_enhancing
from napari_noiser.plugin.tasks.generators import enhance_task

PLANES = np.random.default_rng(0).poisson(4, (12, 300, 300)).astype(np.uint16) + 100


@pytest.fixture
def often(monkeypatch) -> None:
    """Look at a result that fills in, and at its progress, as often as there is something."""
    monkeypatch.setattr(enhancing, "_REFRESH", 0.0)
    monkeypatch.setattr("napari_noiser.plugin.tasks.background_task._REFRESH", 0.0)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(model="noiser", keep="disk", results_folder=tmp_path)


@pytest.fixture
def gate(monkeypatch) -> Iterator[threading.Event]:
    """Keep a result from being finished: all blocks but the first wait until this is set."""
    write, opened, written = OmeZarr.__setitem__, threading.Event(), []

    def wait(store, region, block) -> None:
        assert not written or opened.wait(60)
        written.append(region)
        write(store, region, block)

    monkeypatch.setattr(OmeZarr, "__setitem__", wait)
    yield opened
    opened.set()


def cells(**options) -> LayerSnapshot:
    return LayerSnapshot.from_layer(Image(PLANES, name="cells", **options))


def test_the_store_has_what_the_layer_shows(
    viewer: ViewerModel, settings: Settings, tmp_path: Path, wait_for_run
) -> None:
    place = {"scale": (2, 0.5, 0.5), "translate": (1, 2, 3), "units": ("um", "um", "um")}
    start_enhancing(viewer, [cells(**place)], settings)
    wait_for_run()
    (layer,) = viewer.layers
    path = tmp_path / "cells (brightened).ome.zarr"
    assert list(tmp_path.iterdir()) == [path]
    assert layer.name == "cells (brightened)"
    made = layer.metadata["napari_noiser"]
    assert (made["path"], made["source"]) == (str(path), "cells")
    kept = noiser.enhance_layer(Image(PLANES), "noiser")
    np.testing.assert_allclose(values(layer), kept.data, rtol=0, atol=1e-5)
    np.testing.assert_allclose(layer.contrast_limits, kept.contrast_limits, atol=0.05)
    np.testing.assert_array_equal(layer.scale, place["scale"])
    found = open_image(path)
    assert found.space.axes == "ZYX"
    assert found.space.scale == place["scale"]
    assert found.space.translate == place["translate"]
    assert found.space.units == ("micrometer",) * 3
    np.testing.assert_array_equal(np.asarray(found.array), values(layer))


def test_it_fills_in_and_never_looks_finished(
    viewer: ViewerModel, settings: Settings, often: None, wait_for_run
) -> None:
    seen = []

    def look(event) -> None:
        if event.stage == "render" and viewer.layers:
            (layer,) = viewer.layers
            seen.append((layer.name, bool(values(layer).any()), layer.contrast_limits))
            assert "napari_noiser" not in layer.metadata

    start_enhancing(viewer, [cells()], settings, on_event=look)
    wait_for_run()
    assert {name for name, _, _ in seen} == {"cells (brightened) [unfinished]"}
    assert any(some for _, some, _ in seen[:-1])
    assert seen[0][2] == [0, 1]
    assert [layer.name for layer in viewer.layers] == ["cells (brightened)"]


def test_what_somebody_changed_while_it_filled_in_stays(
    viewer: ViewerModel, settings: Settings, gate: threading.Event, wait_for_run, qtbot
) -> None:
    start_enhancing(viewer, [cells()], settings)
    qtbot.waitUntil(lambda: len(viewer.layers) == 1, timeout=60_000)
    (layer,) = viewer.layers
    layer.name, layer.contrast_limits, layer.metadata["mine"] = "my name", (0.3, 0.6), 1
    gate.set()
    wait_for_run()
    assert layer in viewer.layers
    assert (layer.name, layer.contrast_limits) == ("my name", [0.3, 0.6])
    assert {"mine", "napari_noiser"} <= layer.metadata.keys()


def test_a_plane_that_is_shown_follows_the_store(
    viewer: ViewerModel,
    settings: Settings,
    often: None,
    gate: threading.Event,
    wait_for_run,
    qtbot,
) -> None:
    start_enhancing(viewer, [cells()], settings)
    qtbot.waitUntil(lambda: len(viewer.layers) == 1, timeout=60_000)
    (layer,) = viewer.layers
    viewer.dims.set_current_step(0, 11)
    assert not layer._slice.image.raw.any()  # the last plane comes last
    viewer.dims.set_current_step(0, 5)
    assert not layer._slice.image.raw.any()
    filled = set()
    layer.events.set_data.connect(
        lambda: filled.add(type(layer.data)) if layer._slice.image.raw.any() else None
    )
    gate.set()
    wait_for_run()
    assert layer in viewer.layers
    assert layer.name == "cells (brightened)"
    assert LazyView in filled  # it did not wait for the finished store


def test_a_pyramid_is_shown_in_levels(
    viewer: ViewerModel, settings: Settings, often: None, wait_for_run
) -> None:
    image = np.random.default_rng(0).poisson(4, (2, 1200, 1100)).astype(np.uint8)
    seen = set()

    def look(event) -> None:
        for layer in viewer.layers:
            # napari cuts out what is in view before it picks a plane: that must not read all.
            seen.add((layer.name, layer.multiscale, type(layer.data[1][:, :9, :9])))

    start_enhancing(
        viewer, [LayerSnapshot.from_layer(Image(image, name="wide"))], settings, on_event=look
    )
    wait_for_run()
    (layer,) = viewer.layers
    assert seen == {("wide (brightened) [unfinished]", True, LazyView)}
    assert layer.multiscale
    assert [level.shape for level in layer.data][:2] == [(2, 1200, 1100), (2, 600, 550)]
    np.testing.assert_allclose(values(layer), noiser.enhance(image, "noiser"), rtol=0, atol=1e-5)


def test_color_comes_out_as_color(
    viewer: ViewerModel, settings: Settings, often: None, wait_for_run
) -> None:
    data = np.random.default_rng(0).integers(0, 20, (5, 40, 50, 3), np.uint8)
    unfinished = []
    start_enhancing(
        viewer,
        [LayerSnapshot.from_layer(Image(data, rgb=True))],
        settings,
        on_event=lambda event: unfinished.extend(layer.rgb for layer in viewer.layers),
    )
    wait_for_run()
    (layer,) = viewer.layers
    assert layer.rgb
    assert all(unfinished)
    expected = noiser.enhance(data, "noiser", axes="ZYXS")
    np.testing.assert_allclose(values(layer), expected, rtol=0, atol=1e-5)


def test_canceled_is_resumed(
    viewer: ViewerModel,
    settings: Settings,
    often: None,
    gate: threading.Event,
    tmp_path: Path,
    wait_for_run,
    qtbot,
) -> None:
    run = start_enhancing(viewer, [cells()], settings)
    finished = tmp_path / "cells (brightened).ome.zarr.partial" / "finished"
    qtbot.waitUntil(lambda: finished.exists() and finished.stat().st_size > 0, timeout=60_000)
    run.cancel()
    gate.set()
    wait_for_run()
    (partial,) = tmp_path.iterdir()
    assert partial.name == "cells (brightened).ome.zarr.partial"
    assert list(viewer.layers) == []
    told = notification_manager.records[-1].message
    assert str(partial) in told
    assert "Choose cells and Apply again" in told  # of several, another one may be chosen now
    events = []
    start_enhancing(viewer, [cells()], settings, on_event=events.append)  # nothing is held
    wait_for_run()
    assert [path.name for path in tmp_path.iterdir()] == ["cells (brightened).ome.zarr"]
    written = [event for event in events if isinstance(event, TileWritten)]
    first = written[0]
    assert first.done > first.total // 2 + 5  # neither measured nor rendered again
    np.testing.assert_allclose(
        values(viewer.layers[0]), noiser.enhance(PLANES, "noiser"), rtol=0, atol=1e-5
    )


def test_canceled_too_late_says_where_the_result_is(
    viewer: ViewerModel, settings: Settings, tmp_path: Path, wait_for_run
) -> None:
    run = start_enhancing(viewer, [cells()], settings)
    path, waited = tmp_path / "cells (brightened).ome.zarr", threading.Event()
    while not path.exists():  # nothing of it is handled yet
        waited.wait(0.01)
    run.cancel()
    wait_for_run()
    assert f"cells had been finished: the result is {path}" in (
        notification_manager.records[-1].message
    )


def test_a_failure_takes_the_unfinished_layer_away(
    viewer: ViewerModel, settings: Settings, often: None, monkeypatch, qtbot
) -> None:
    write = OmeZarr.__setitem__
    written = []

    def fill_up(store, region, block) -> None:
        if written:
            raise OSError(28, "No space left on device")
        written.append(region)
        write(store, region, block)

    monkeypatch.setattr(OmeZarr, "__setitem__", fill_up)
    ends = []
    start_enhancing(viewer, [cells()], settings, on_end=ends.append)
    qtbot.waitUntil(lambda: BackgroundTask.current is None, timeout=60_000)
    qtbot.wait(50)
    assert "No space left on device" in ends[0]
    assert list(viewer.layers) == []
    assert "Apply again" in notification_manager.records[-1].message


def test_a_layer_removed_meanwhile_comes_back_when_it_is_finished(
    viewer: ViewerModel, settings: Settings, gate: threading.Event, wait_for_run, qtbot
) -> None:
    start_enhancing(viewer, [cells()], settings)
    qtbot.waitUntil(lambda: len(viewer.layers) == 1, timeout=60_000)
    viewer.layers.clear()
    gate.set()
    wait_for_run()
    assert [layer.name for layer in viewer.layers] == ["cells (brightened)"]
    start_enhancing(viewer, [cells()], settings)
    wait_for_run()
    names = [layer.name for layer in viewer.layers]
    assert names == ["cells (brightened)", "cells (brightened) [1]"]


def run_job(source: LayerSnapshot, settings: Settings) -> str:
    """Return the name of the file that a job leaves."""
    return Path(
        run_with_progress(enhance_task(source, settings), False, "").provenance["path"]
    ).name


def test_results_do_not_overwrite_each_other(settings: Settings, tmp_path: Path) -> None:
    small = LayerSnapshot.from_layer(Image(PLANES[:2, :40, :40], name="a/b: c"))
    assert run_job(small, settings) == "a_b_ c (brightened).ome.zarr"
    assert run_job(small, settings) == "a_b_ c (brightened)-1.ome.zarr"
    assert run_job(small, settings) == "a_b_ c (brightened)-2.ome.zarr"


def test_what_was_begun_otherwise_or_is_being_made_is_left_alone(
    settings: Settings, tmp_path: Path
) -> None:
    small = LayerSnapshot.from_layer(Image(PLANES[:2, :40, :40], name="small"))
    begun = enhance_task(small, settings)
    next(event for event in begun if isinstance(event, TileWritten))
    # another run makes the first
    assert run_job(small, settings) == "small (brightened)-1.ome.zarr"
    begun.close()
    brighter = settings.with_options(brightness=1.0)
    assert run_job(small, brighter) == "small (brightened)-2.ome.zarr"
    assert (tmp_path / "small (brightened).ome.zarr.partial").exists()
    assert run_job(small, settings) == "small (brightened).ome.zarr"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("cells", "cells"),
        ('a<b>c:"d"/e\\f|g?h*i\n', "a_b_c__d__e_f_g_h_i_"),
        ("..", "_"),
        ("細" * 200, "細" * 50),
    ],
)
def test_names_that_file_systems_take(name: str, expected: str) -> None:
    assert file_name(name) == expected


def test_a_folder_is_needed(viewer: ViewerModel, tmp_path: Path, monkeypatch) -> None:
    with pytest.raises(ValueError, match=r"Choose a folder .* Preferences > napari-noiser$"):
        start_enhancing(viewer, [cells()], Settings(keep="disk"))
    assert BackgroundTask.current is None
    monkeypatch.setattr(Settings, "from_preferences", lambda: Settings(keep="disk"))
    enhance_selected(viewer, Image(PLANES))
    assert "Choose a folder" in notification_manager.records[-1].message
    nowhere = Settings(keep="disk", results_folder=tmp_path / "none")
    with pytest.raises(NotADirectoryError, match="there is none at"):
        run_job(cells(), nowhere)


def test_what_cannot_be_stored_so_is_said(settings: Settings, tmp_path: Path) -> None:
    image = Image(np.ones((2, 40, 40, 3), np.uint8), rgb=True)
    with pytest.raises(ValueError, match="one axis for both channels"):
        run_job(LayerSnapshot.from_layer(image, "CYXS"), settings)
    assert list(tmp_path.iterdir()) == []


def test_a_result_larger_than_memory_is_refused_with_what_to_do(monkeypatch) -> None:
    monkeypatch.setattr(device_memory, "free_memory", lambda: 10_000)
    source = LayerSnapshot.from_layer(Image(PLANES[0]))
    with pytest.raises(MemoryError, match="keep it on disk, or live"):
        run_with_progress(enhance_task(source, Settings()), False, "")
    run_with_progress(enhance_task(source, Settings(keep="live")), False, "")


def test_the_widget_offers_it(viewer: ViewerModel, tmp_path: Path, wait_for_run, opened) -> None:
    viewer.add_image(PLANES[:2, :40, :40], name="cells")
    widget = opened()
    controls = widget.controls
    assert controls.keep.value == "memory"
    assert not is_there(controls.results_folder)
    controls.keep.value = "disk"
    assert is_there(controls.results_folder)
    widget.apply.native.click()
    assert "Choose a folder" in widget.status.value
    controls.results_folder.value = tmp_path
    widget.apply.native.click()
    wait_for_run()
    assert [path.name for path in tmp_path.iterdir()] == ["cells (denoised).ome.zarr"]
    controls.keep.value = "live"
    assert not is_there(controls.results_folder)
    widget.apply.native.click()
    wait_for_run()
    names = ["cells", "cells (denoised)", "cells (denoised) [1]"]
    assert [layer.name for layer in viewer.layers] == names
    np.testing.assert_allclose(
        values(viewer.layers[1]), np.asarray(viewer.layers[2].data), atol=1e-6
    )


@pytest.mark.viewer
def test_a_window_shows_it_filling_in(
    make_napari_viewer_proxy, settings: Settings, often: None, wait_for_run, qtbot
) -> None:
    viewer = make_napari_viewer_proxy(show=True)
    names = set()
    start_enhancing(
        viewer,
        [cells()],
        settings,  # of a model whose result has structure even where there is none
        on_event=lambda event: names.update(layer.name for layer in viewer.layers),
    )
    wait_for_run()
    assert names == {"cells (brightened) [unfinished]"}
    assert [layer.name for layer in viewer.layers] == ["cells (brightened)"]
    qtbot.wait(100)
    shown = viewer.screenshot(canvas_only=True, flash=False)[..., :3]
    assert shown.std() > 20


@pytest.mark.viewer
def test_napari_may_be_closed_while_it_fills_in(
    make_napari_viewer_proxy, settings: Settings, gate: threading.Event, tmp_path: Path, qtbot
) -> None:
    viewer = make_napari_viewer_proxy(show=True)
    start_enhancing(viewer, [cells()], settings)
    qtbot.waitUntil(lambda: len(viewer.layers) == 1, timeout=60_000)
    gate.set()
    viewer.close()
    qtbot.waitUntil(lambda: BackgroundTask.current is None, timeout=60_000)
    assert len(list(tmp_path.iterdir())) == 1
