"""The preview's switch: turned on where there is no preview, and quickly off and on again."""

from __future__ import annotations

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.utils.notifications import notification_manager
from parts import part_of

from napari_noiser.plugin.widgets.dock_widget import NoiserWidget
from napari_noiser.plugin.widgets.preview_section import PreviewSection

PLANES = np.random.default_rng(0).poisson(4, (12, 40, 50)).astype(np.uint16) + 100


@pytest.fixture
def section(widget: NoiserWidget) -> PreviewSection:
    return part_of(widget, PreviewSection)


def test_off_and_on_again_does_not_stand_in_its_own_way(
    section: PreviewSection, viewer: ViewerModel, wait_for_run, qtbot
) -> None:
    viewer.add_image(PLANES, name="cells")
    for on in (True, False, True):
        section.switch.value = on
    assert section.note.value == ""
    qtbot.waitUntil(lambda: "cells [preview]" in viewer.layers, timeout=60_000)
    assert section.switch.value
    for on in (False, True, False):
        section.switch.value = on
    wait_for_run()
    qtbot.wait(50)
    assert [layer.name for layer in viewer.layers] == ["cells"]


def test_what_cannot_be_shown_is_said_once_and_without_a_pop_up(
    section: PreviewSection, widget: NoiserWidget, viewer: ViewerModel, wait_for_run
) -> None:
    viewer.add_image(PLANES, name="cells")
    section.switch.value = True
    wait_for_run()
    told = len(notification_manager.records)
    widget.controls.model.value = "structured-tiny"
    wait_for_run()
    widget.controls.options["ndim"].value = 3
    assert "structured-tiny has to be trained first" in section.note.value
    assert not section.switch.value
    widget.controls.model.value = "noiser"
    assert section.note.value == ""
    plane = viewer.add_image(PLANES[0], name="plane")
    widget.controls.image.value = plane
    widget.controls.options["ndim"].value = 3
    section.switch.value = True
    assert "axes must have Z" in section.note.value
    widget.controls.options["ndim"].value = 2
    assert section.note.value == ""
    assert len(notification_manager.records) == told
    assert list(viewer.layers) == [viewer.layers["cells"], plane]
