"""What fails in the background: a plain text, or the traceback where it may be a bug."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image, Labels
from napari.utils.notifications import (
    ErrorNotification,
    Notification,
    NotificationSeverity,
    notification_manager,
)
from scenes import untrained

import napari_noiser.engine.device_memory as device_memory
from napari_noiser._validation import check_same_axes
from napari_noiser.plugin.commands import enhance_selected
from napari_noiser.plugin.layers.snapshot import LayerSnapshot
from napari_noiser.plugin.settings import Settings
from napari_noiser.plugin.tasks.background_task import BackgroundTask
from napari_noiser.plugin.tasks.enhance import start_enhancing

DIM = np.random.default_rng(0).poisson(4, (30, 40)).astype(np.float32)
NOTHING = np.full((8, 8), np.nan, np.float32)
EMPTY = Labels(np.zeros((30, 40), np.uint8), name="empty")
FLAT = Image(np.zeros((30, 40)), contrast_limits=(0, 1), name="flat")


@pytest.fixture
def told(qtbot, monkeypatch) -> Callable[[], Notification]:
    """Return a function that waits for work to end, and returns what napari then shows."""
    monkeypatch.setattr(notification_manager, "records", [])

    def found() -> Notification:
        qtbot.waitUntil(lambda: BackgroundTask.current is None, timeout=60_000)
        qtbot.waitUntil(lambda: bool(notification_manager.records))
        (record,) = notification_manager.records
        return record

    return found


def enhance(images: Sequence[np.ndarray], **settings: object) -> None:
    limits = {"contrast_limits": (0, 1)}
    layers = [Image(each, name=f"image {n}", **limits) for n, each in enumerate(images, start=1)]
    start_enhancing(ViewerModel(), [*map(LayerSnapshot.from_layer, layers)], Settings(**settings))


def assert_plain(record: Notification, text: str) -> None:
    """Check that a text is shown as an error, and nothing besides."""
    assert text in record.message
    assert record.severity == NotificationSeverity.ERROR
    assert not isinstance(record, ErrorNotification)


@pytest.mark.parametrize(
    ("images", "settings", "text"),
    [
        ([NOTHING], {}, "image has no patch to measure"),
        ([NOTHING], {"keep": "live"}, "image has no patch to measure"),
        ([DIM, NOTHING], {}, "image 2: image has no patch to measure"),
        ([DIM], {"options": {"ndim": 3}}, "axes must have Z"),
        ([DIM], {"region": EMPTY}, "region 'empty'"),
        ([DIM], {"model": untrained(scales=(4,)), "gain_map": FLAT}, "gain"),
        ([DIM], {"keep": "disk", "results_folder": "nowhere"}, "there is none at nowhere"),
    ],
)
def test_what_one_can_mend_is_said_without_a_traceback(images, settings, text: str, told) -> None:
    enhance(images, **settings)
    assert_plain(told(), text)


@pytest.mark.parametrize("name", ["mkdir", "write_bytes"])
def test_a_folder_that_cannot_be_written_to_is_said_so(
    name: str, told, monkeypatch, tmp_path: Path
) -> None:
    act = getattr(Path, name)

    def read_only(path: Path, *args, **options) -> object:
        if ".partial" in str(path):
            raise OSError(30, "Read-only file system", str(path))
        return act(path, *args, **options)

    monkeypatch.setattr(Path, name, read_only)
    enhance([DIM], keep="disk", results_folder=tmp_path)
    assert_plain(told(), ".partial cannot be ")


def test_a_folder_that_one_may_not_look_into_is_said_so(told, monkeypatch, tmp_path: Path) -> None:
    def forbidden(path: Path) -> bool:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "exists", forbidden)
    enhance([DIM], keep="disk", results_folder=tmp_path)
    assert_plain(told(), f"{tmp_path} cannot be read (Permission denied)")


def test_too_little_memory_is_said_so_as_well(told, monkeypatch) -> None:
    monkeypatch.setattr(device_memory, "free_memory", lambda: 0)
    enhance([DIM])
    assert_plain(told(), "memory")


def test_what_the_system_lacks_is_said_as_well(told, monkeypatch) -> None:
    monkeypatch.setattr(device_memory, "free_memory", Path("nowhere/at/all").read_text)
    enhance([DIM])
    assert_plain(told(), "No such file or directory")


def test_controls_are_called_by_their_labels(told) -> None:
    options = {"ndim": 3, "statistics": "plane"}
    enhance([np.stack([DIM, DIM])], options=options)
    assert_plain(told(), "shared statistics")


def test_the_command_says_what_it_refuses_likewise(told) -> None:
    viewer = ViewerModel()
    viewer.layers.selection = {viewer.add_points(np.zeros((2, 2)))}
    enhance_selected(viewer)
    assert_plain(told(), "layer must be an Image layer")


def of_torch() -> None:
    raise RuntimeError("no kernel image is available")


def of_numpy() -> None:
    np.zeros(2).reshape(3)


def of_a_reader() -> None:
    raise ValueError("this file is broken")


def of_ours() -> None:
    check_same_axes([1])  # type: ignore[list-item]


@pytest.mark.parametrize("fault", [of_torch, of_numpy, of_a_reader, of_ours])
@pytest.mark.parametrize("several", [False, True])
def test_what_may_be_a_bug_keeps_its_traceback(fault, several: bool, told, monkeypatch) -> None:
    monkeypatch.setattr(device_memory, "free_memory", fault)
    enhance([DIM, DIM] if several else [DIM])
    record = told()
    assert isinstance(record, ErrorNotification)
    assert fault.__name__ in record.as_text()
