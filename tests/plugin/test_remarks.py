"""What the widget says of the chosen image, before anybody asks."""

from __future__ import annotations

import gc
import weakref
from threading import Event

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image
from napari.utils.notifications import notification_manager

import napari_noiser.plugin.widgets.image_diagnostics as remarks
from napari_noiser.plugin.tasks.background_task import BackgroundTask
from napari_noiser.plugin.tasks.latest_only import LatestOnly
from napari_noiser.plugin.widgets.dock_widget import NoiserWidget
from napari_noiser.plugin.widgets.image_diagnostics import MEASURE, Examination

RANDOM = np.random.default_rng(0)
NOISE = RANDOM.poisson(4, (40, 50)).astype(np.uint16) + 100
EXPOSED = np.add.outer(np.arange(64.0), np.arange(64.0))
SATURATED = np.where(EXPOSED < 100, EXPOSED / 9, 255).astype(np.uint8)


class Slow:
    """An array that is read when it is allowed to."""

    def __init__(self, values: np.ndarray, error: Exception | None = None) -> None:
        self.values, self.error = values, error
        self.shape, self.dtype, self.ndim = values.shape, values.dtype, values.ndim
        self.size = values.size
        self.asked, self.allowed = Event(), Event()
        self.armed = False  # napari may look at it first

    def __getitem__(self, key) -> np.ndarray:
        if self.armed:
            self.asked.set()
            assert self.allowed.wait(30)
            if self.error is not None:
                raise self.error
        return self.values[key]


@pytest.fixture
def slow(viewer: ViewerModel, widget: NoiserWidget, qtbot) -> Slow:
    """A chosen image whose examination has begun."""
    slow = Slow(NOISE)
    viewer.add_image(EXPOSED)
    layer = viewer.add_image(slow, contrast_limits=(100, 120))
    slow.armed = True
    widget.controls.image.value = layer
    qtbot.waitUntil(slow.asked.is_set)
    yield slow
    slow.allowed.set()


@pytest.mark.parametrize(
    ("image", "said"),
    [
        (np.full((20, 20), 7), "there is no signal"),
        (SATURATED, "% of the values are saturated"),
        (EXPOSED, "already well exposed"),
        (NOISE, "estimated signal to noise 0."),
        (np.stack([NOISE, NOISE]), "in 2 of 2 planes sampled"),
    ],
)
def test_it_says_what_the_image_is_like(widget, viewer, qtbot, image, said) -> None:
    viewer.add_image(image)
    qtbot.waitUntil(lambda: said in widget.about.remarks.value)
    assert widget.about.remarks.value.endswith(MEASURE)
    assert BackgroundTask.current is None


def test_without_an_image_it_says_only_where_to_measure(widget, viewer, qtbot) -> None:
    assert widget.about.remarks.value == MEASURE
    layer = viewer.add_image(NOISE)
    qtbot.waitUntil(lambda: "Noise" in widget.about.remarks.value)
    viewer.layers.remove(layer)
    qtbot.waitUntil(lambda: widget.about.remarks.value == MEASURE)


def test_it_follows_the_choice_the_data_the_axes_and_the_scale(widget, viewer, qtbot) -> None:
    layer = viewer.add_image(NOISE)
    qtbot.waitUntil(lambda: "Noise" in widget.about.remarks.value)
    layer.data = EXPOSED
    qtbot.waitUntil(lambda: "well exposed" in widget.about.remarks.value)
    assert "Noise" not in widget.about.remarks.value
    other = viewer.add_image(np.stack([NOISE, NOISE]))
    widget.controls.image.value = other
    qtbot.waitUntil(lambda: "Noise" in widget.about.remarks.value)
    widget.controls.options["ndim"].value = 3
    other.scale = (5, 1, 1)
    assert widget.about.stack.value.startswith("The step in z is 5 times the pixel size")
    assert "Noise" in widget.about.remarks.value
    widget.controls.axes.value = "TYX"
    qtbot.waitUntil(lambda: "step in z" not in widget.about.stack.value)


def test_light_that_a_number_type_cannot_hold_is_said(widget, viewer) -> None:
    viewer.add_image(NOISE)
    controls = widget.controls
    controls.model.value, controls.verb.value = "structured", "denoise"
    assert "cut off" not in widget.about.number_type.value
    controls.options["dtype"].value = "uint8"
    assert "to whole numbers from 0 to 255, and cut off" in widget.about.number_type.value
    controls.options["dtype"].value = "uint16"
    assert "cut off" not in widget.about.number_type.value
    controls.image.value = viewer.add_image(EXPOSED)
    controls.options["dtype"].value = "uint8"
    controls.options["dtype"].value = "uint16"
    assert "from 0 to 65535" in widget.about.number_type.value
    controls.verb.value = "enhance"
    assert "cut off" not in widget.about.number_type.value


def test_a_layer_that_is_no_longer_chosen_is_not_followed(widget, viewer, qtbot) -> None:
    first = viewer.add_image(NOISE)
    qtbot.waitUntil(lambda: "Noise" in widget.about.remarks.value)
    widget.controls.image.value = viewer.add_image(EXPOSED)
    qtbot.waitUntil(lambda: "well exposed" in widget.about.remarks.value)
    asked = []
    widget.about._latest.submit = asked.append
    first.data = np.zeros((40, 50))
    qtbot.wait(50)
    assert asked == []


def test_work_can_start_meanwhile(widget, slow) -> None:
    assert widget.about.remarks.value == MEASURE
    assert BackgroundTask.current is None
    assert widget.apply.enabled


def test_a_stale_answer_is_dropped(widget, viewer, slow, qtbot) -> None:
    widget.controls.image.value = viewer.layers[0]
    qtbot.wait(20)
    slow.allowed.set()
    qtbot.waitUntil(lambda: "well exposed" in widget.about.remarks.value)
    qtbot.wait(50)
    assert "Noise" not in widget.about.remarks.value


def test_an_answer_to_a_removed_layer_is_dropped(widget, viewer, slow, qtbot) -> None:
    viewer.layers.clear()
    qtbot.wait(20)
    slow.allowed.set()
    qtbot.wait(100)
    assert widget.about.remarks.value == MEASURE


def test_an_error_is_a_remark(widget, slow, qtbot) -> None:
    slow.error = RuntimeError("the disk is gone")
    before = len(notification_manager.records)
    slow.allowed.set()
    qtbot.waitUntil(lambda: "the disk is gone" in widget.about.noise.value)
    assert widget.about.remarks.value.endswith(MEASURE)
    assert len(notification_manager.records) == before


def test_what_cannot_be_examined_is_said(widget, viewer, qtbot) -> None:
    viewer.add_image(np.zeros((4, 8, 8), complex).real.astype(bool))
    qtbot.waitUntil(lambda: "must hold integers or floats" in widget.about.noise.value)


def test_closing_meanwhile_leaves_nothing(viewer, qtbot, monkeypatch) -> None:
    """Neither an error in a deleted label, nor the image in memory."""
    begun, allowed = Event(), Event()

    def wait(source) -> Examination:
        begun.set()
        assert allowed.wait(30)
        return Examination(advice="too late")

    monkeypatch.setattr(remarks, "_examine", wait)
    layer = Image(NOISE.copy())
    data = weakref.ref(layer.data)
    viewer.layers.append(layer)
    widget = NoiserWidget(viewer)
    qtbot.waitUntil(begun.is_set)
    native = widget.native
    with qtbot.waitSignal(native.destroyed):
        native.deleteLater()
    allowed.set()
    layer.data = NOISE[:9].copy()
    layer.scale = (2, 2)
    qtbot.wait(50)
    viewer.layers.clear()
    del layer
    gc.collect()
    assert data() is None


def test_only_the_last_of_many_questions_is_answered(qtbot) -> None:
    allowed = Event()
    answered, shown = [], []

    def answer(question: int) -> int:
        answered.append(question)
        assert allowed.wait(30)
        return question

    latest = LatestOnly(answer, shown.append)
    for question in range(5):
        latest.submit(question)
    allowed.set()
    qtbot.waitUntil(lambda: bool(shown))
    qtbot.wait(20)
    assert (answered, shown) == ([0, 4], [4])
    latest.submit(5)
    latest.cancel()
    qtbot.wait(50)
    assert shown == [4]
