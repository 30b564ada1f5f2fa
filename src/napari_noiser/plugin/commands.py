"""Layers menu and command palette: enhance, copy a result as Python, or open the widget."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from napari import Viewer
from napari.layers import Layer
from napari.utils.notifications import (
    Notification,
    NotificationSeverity,
    notification_manager,
    show_error,
    show_info,
)
from qtpy.QtGui import QGuiApplication

from napari_noiser._errors import InputError
from napari_noiser.plugin.layers.preview_layer import is_preview
from napari_noiser.plugin.layers.selection import selected_images
from napari_noiser.plugin.layers.snapshot import LayerSnapshot
from napari_noiser.plugin.results.python_script import as_python
from napari_noiser.plugin.settings import Settings
from napari_noiser.plugin.tasks.background_task import TaskRunning
from napari_noiser.plugin.tasks.destinations import TaskResult
from napari_noiser.plugin.tasks.enhance import start_enhancing
from napari_noiser.plugin.tasks.errors import describe_error


def enhance_selected(viewer: Viewer, layer: Layer | None = None) -> None:
    """Enhance the selected images with the preferred settings, without any dialog.

    The active layer is given if but one is selected; layers other than images, and previews, are
    refused with a message.
    """
    images = selected_images(viewer.layers) if layer is None else [layer]
    reasons: list[str] = []
    try:
        sources = [*map(_source_of, images or [*viewer.layers.selection] or [None])]
        start_enhancing(
            viewer,
            sources,
            Settings.from_preferences(),
            on_enhanced=lambda result: reasons.append(_reason(result)),
            on_end=lambda outcome: _notify(viewer, reasons),
        )
    except (InputError, TaskRunning) as error:
        show_error(describe_error(error))


def copy_as_python(layer: Layer | None = None) -> None:
    """Put the script that makes the active layer's array again into the clipboard.

    Layers other than results are refused with a message.
    """
    try:
        script = as_python(layer)
    except InputError as error:
        show_error(describe_error(error))
        return
    clipboard: Any = QGuiApplication.clipboard()
    clipboard.setText(script)
    show_info(f"Copied a script that makes {getattr(layer, 'name', '')} again")


def open_widget(viewer: Viewer) -> None:
    """Dock the widget in a viewer."""
    viewer.window.add_plugin_dock_widget("napari-noiser", "Noise self-regression")


def _reason(result: TaskResult) -> str:
    """Return why a result is as it is, if that was left to us."""
    return str(result.provenance.get("choice", {}).get("reason", ""))


def _notify(viewer: Viewer, reasons: Sequence[str]) -> None:
    """Say what was chosen for some images and why, with a way to choose otherwise."""
    said = [each for each in dict.fromkeys(reasons) if each]
    if said:
        actions = (("Change…", lambda notification: open_widget(viewer)),)
        notice = _Notice("\n".join(said), NotificationSeverity.INFO, actions)
        notification_manager.dispatch(notice)


class _Notice(Notification):  # type: ignore[misc]
    """A notification without a source, which napari would show beside the button."""

    source = None


def _source_of(layer: Layer | None) -> LayerSnapshot:
    if layer is not None and is_preview(layer):
        raise InputError(
            "", f"{layer.name} is only there to be looked at: select the image itself"
        )
    return LayerSnapshot.from_layer(layer)
