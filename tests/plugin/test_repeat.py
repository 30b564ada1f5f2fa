"""The section that tells how a result was made, and makes it again."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image
from napari.utils.notifications import notification_manager
from parts import part_of
from qtpy.QtGui import QGuiApplication

import napari_noiser as noiser
from napari_noiser.plugin.commands import copy_as_python
from napari_noiser.plugin.tasks.background_task import BackgroundTask
from napari_noiser.plugin.widgets.dock_widget import NoiserWidget
from napari_noiser.plugin.widgets.provenance_section import ProvenanceSection

PLANES = np.random.default_rng(0).poisson(4, (3, 40, 50)).astype(np.uint16) + 100
CELL = np.array([[5.0, 5.0], [5.0, 30.0], [25.0, 30.0], [25.0, 5.0]])


@pytest.fixture
def viewer(viewer: ViewerModel) -> ViewerModel:
    viewer.add_image(PLANES, name="cells")
    viewer.add_image(PLANES[:, ::-1] * 2, name="other")
    return viewer


@pytest.fixture
def section(widget: NoiserWidget) -> ProvenanceSection:
    return part_of(widget, ProvenanceSection)


@pytest.fixture
def clipboard() -> Iterator:
    found = QGuiApplication.clipboard()
    found.clear()
    yield found
    found.clear()


def test_it_tells_of_the_active_result(section: ProvenanceSection, viewer: ViewerModel) -> None:
    assert section.how.value.startswith("Choose a result")
    assert not section.copy.enabled
    assert not section.apply.enabled
    result = noiser.enhance_layer(viewer.layers["cells"], "noiser-es", contrast=2.0)
    viewer.add_layer(result)
    assert "Model: noiser-es, 600 steps, seed 0" in section.how.value
    assert "Contrast: 2" in section.how.value
    assert section.copy.enabled
    assert section.apply.enabled
    viewer.layers.selection.active = viewer.layers["cells"]
    assert section.how.value.startswith("Choose a result")
    assert not section.copy.enabled


def test_it_copies_the_script(section: ProvenanceSection, viewer: ViewerModel, clipboard) -> None:
    result = viewer.add_layer(noiser.enhance_layer(viewer.layers["cells"]))
    section.copy.native.click()
    assert clipboard.text() == noiser.as_python(result)


def test_the_command_copies_the_script(viewer: ViewerModel, clipboard) -> None:
    copy_as_python(viewer.layers["cells"])
    assert "must be a result of napari-noiser" in notification_manager.records[-1].message
    copy_as_python(None)
    assert "got no layer" in notification_manager.records[-1].message
    assert clipboard.text() == ""
    result = noiser.enhance_layer(viewer.layers["cells"])
    copy_as_python(result)
    assert clipboard.text() == noiser.as_python(result)


def test_it_applies_the_same_settings_to_another_image(
    widget: NoiserWidget, section: ProvenanceSection, viewer: ViewerModel, wait_for_run
) -> None:
    cells = viewer.layers["cells"]
    cell = viewer.add_shapes([CELL], shape_type="polygon", name="cell")
    mask = noiser.region_mask(cell, cells)
    controls = widget.controls
    controls.image.value, controls.region.value = cells, cell
    controls.model.value, controls.options["brightness"].value = "noiser-es", 0.5
    widget.apply.native.click()
    wait_for_run()
    result = viewer.layers["cells (brightened)"]
    controls.image.value, controls.region.value = viewer.layers["other"], None
    controls.model.value, controls.options["brightness"].value = "noiser", 0.0
    assert section.result is result
    section.apply.native.click()
    assert not section.apply.enabled
    wait_for_run()
    again = viewer.layers["other (brightened)"]
    expected = noiser.reapply(result, viewer.layers["other"], mask=mask)
    np.testing.assert_allclose(again.data, expected.data, rtol=0, atol=1e-6)
    assert again.metadata["napari_noiser"]["region"] == "cell"
    assert section.note.value == ""
    assert widget.status.value.startswith("finished")
    assert section.apply.enabled
    assert "Image: other" in section.how.value
    viewer.layers.remove(cell)
    section.apply.native.click()
    assert section.note.value.startswith("'cell' is not among the layers")
    assert BackgroundTask.current is None


def test_a_trained_model_is_found_or_trained_again(
    widget: NoiserWidget, section: ProvenanceSection, viewer: ViewerModel, wait_for_run
) -> None:
    widget.controls.model.value = "p-regression"
    widget.controls.recipe.fields["iterations"].value = "4"
    widget.controls.seed.value = 2
    widget.apply.native.click()
    wait_for_run()
    made = section.result.metadata["napari_noiser"]
    assert [section.settings(made).model] == list(widget.controls.model.models)
    widget.controls.model.models.clear()
    assert section.settings(made).model.iterations == 4
    section.apply.native.click()
    wait_for_run()
    again = section.result.metadata["napari_noiser"]
    assert (again["fingerprint"], again["seed"]) == (made["fingerprint"], 2)
    section.result.metadata["napari_noiser"]["fingerprint"] = "000000000000"
    section.apply.native.click()
    wait_for_run()
    assert "became another one" in notification_manager.records[-1].message


def test_it_can_be_canceled(
    widget: NoiserWidget, section: ProvenanceSection, viewer: ViewerModel, wait_for_run, qtbot
) -> None:
    result = noiser.enhance_layer(viewer.layers["cells"])
    result.metadata["napari_noiser"]["recipe"]["iterations"] = 100_000
    result.metadata["napari_noiser"]["fingerprint"] = "000000000000"
    viewer.add_layer(result)
    before = list(viewer.layers)
    section.apply.native.click()
    qtbot.waitUntil(lambda: "train" in widget.status.value, timeout=60_000)
    viewer.layers.selection.active = viewer.layers["cells"]
    widget.cancel.native.click()
    wait_for_run()
    assert widget.status.value.startswith("canceled")
    assert list(viewer.layers) == before


def test_what_cannot_be_is_said(
    widget: NoiserWidget, section: ProvenanceSection, viewer: ViewerModel, wait_for_run
) -> None:
    result = noiser.enhance_layer(viewer.layers["cells"])
    viewer.layers.clear()
    viewer.add_layer(result)
    widget.controls.keep.value = "disk"
    widget.controls.results_folder.value = None
    section.apply.native.click()
    assert section.note.value.startswith("Choose a folder")
    section.start()
    assert BackgroundTask.current is None


def test_closing_the_widget_lets_go_of_the_viewer(
    section: ProvenanceSection, viewer: ViewerModel
) -> None:
    section.on_close()
    section.how.say("closed")
    viewer.add_layer(noiser.enhance_layer(Image(PLANES)))
    assert section.how.value == "closed"
