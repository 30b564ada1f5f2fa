"""The one-click command: what it chose is said, with a way to choose otherwise."""

from __future__ import annotations

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.utils.notifications import NotificationSeverity, notification_manager

import napari_noiser.plugin.commands as commands

DIM = np.random.default_rng(0).poisson(np.linspace(1, 9, 64), (64, 64)).astype(np.uint16)


@pytest.fixture
def opened_widgets(monkeypatch) -> list[ViewerModel]:
    """The viewers that the widget was opened in."""
    opened: list[ViewerModel] = []
    monkeypatch.setattr(commands, "open_widget", opened.append)
    return opened


@pytest.mark.parametrize("count", [1, 3])
def test_the_choice_is_said_once(
    viewer: ViewerModel, wait_for_run, qtbot, monkeypatch, opened_widgets, count: int
) -> None:
    monkeypatch.setattr(notification_manager, "records", [])
    for number in range(count):
        viewer.add_image(DIM, name=f"dim {number}")
    viewer.layers.selection = set(viewer.layers)
    commands.enhance_selected(viewer)
    assert "Enhancing" in viewer.status
    wait_for_run()
    qtbot.waitUntil(lambda: bool(notification_manager.records))
    (notice,) = notification_manager.records
    reason = viewer.layers[-1].metadata["napari_noiser"]["choice"]["reason"]
    assert notice.message == reason
    assert notice.severity == NotificationSeverity.INFO
    ((label, change),) = notice.actions
    change(None)
    assert (label, opened_widgets) == ("Change…", [viewer])
    assert [layer.name for layer in viewer.layers[count:]] == [
        f"dim {number} (denoised)" for number in range(count)
    ]
