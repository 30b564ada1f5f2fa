"""Layers menu and command palette: enhance the active layer, or open the widget."""

from __future__ import annotations

from collections.abc import Callable

from napari import Viewer
from napari.layers import Layer
from napari.utils.notifications import show_warning

from napari_noiser.plugin.layers import ImageSource
from napari_noiser.plugin.settings import Settings
from napari_noiser.plugin.worker import Busy, Enhanced, Run, enhance_job

__all__ = ["enhance_active", "open_widget", "start_enhancing"]


def enhance_active(viewer: Viewer, layer: Layer) -> None:
    """Enhance the active layer with the preferred settings, without any dialog.

    Parameters
    ----------
    viewer : napari.Viewer
        Gets the result as a new layer, when it is done.
    layer : napari.layers.Layer
        The active layer; others than images are refused with a message.
    """
    try:
        start_enhancing(viewer, ImageSource.of(layer), Settings.preferred())
    except (TypeError, Busy) as error:
        show_warning(str(error))


def open_widget(viewer: Viewer) -> None:
    """Show the dock widget.

    Parameters
    ----------
    viewer : napari.Viewer
        Where to dock it.
    """
    viewer.window.add_plugin_dock_widget("napari-noiser", "Noise self-regression")


def start_enhancing(
    viewer: Viewer,
    source: ImageSource,
    settings: Settings,
    on_enhanced: Callable[[Enhanced], object] = lambda enhanced: None,
    **slots: Callable[..., object],
) -> Run:
    """Start enhancing in the background and add the result to a viewer.

    Parameters
    ----------
    viewer : napari.Viewer
        Gets the result.
    source : ImageSource
        What to enhance.
    settings : Settings
        How.
    on_enhanced : callable
        Gets the result, once its layer is in the viewer.
    **slots
        on_event, on_end: as in `Run`.

    Returns
    -------
    Run
        To be cancelled.

    Raises
    ------
    Busy
        If other work runs.
    """

    def add(enhanced: Enhanced) -> None:
        layer = source.result(enhanced.array, enhanced.provenance, enhanced.limits)
        viewer.add_layer(layer)
        on_enhanced(enhanced)

    return Run(f"Enhancing {source.name}", lambda: enhance_job(source, settings), add, **slots)
