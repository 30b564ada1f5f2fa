"""Remarks on the chosen image, before it is enhanced."""

from __future__ import annotations

import numpy as np
from napari import Viewer
from napari.layers import Image
from napari.utils.events import Event

from napari_noiser.plugin.layers.snapshot import LayerSnapshot
from napari_noiser.plugin.tasks.errors import describe_error
from napari_noiser.plugin.tasks.latest_only import LatestOnly
from napari_noiser.plugin.widgets.qt_helpers import Note, single_shot
from napari_noiser.plugin.widgets.settings_form import SettingsForm

MEASURE = "Measure on the raw data, not on the result."


class ImageDiagnostics(Note):
    """Says whether the image is constant, saturated, well exposed already or mostly noise."""

    def __init__(self, viewer: Viewer, controls: SettingsForm) -> None:
        super().__init__()
        self.tooltip = (
            "What a few planes of the chosen image tell, and what that means for the result. In "
            "the console: napari_noiser.diagnose(layer.data).remarks()"
        )
        self._controls = controls
        self._open = True
        self._image: Image | None = None  # whose events are connected
        self._remarks: list[str] = []
        self._latest = LatestOnly(_diagnose, self._on_remarks)
        self._soon = single_shot(0)  # after all controls have changed
        self._soon.timeout.connect(self._diagnose)
        controls.image.changed.connect(self._on_change)
        controls.axes.changed.connect(self._on_change)
        for control in (controls.options["ndim"], controls.verb, controls.options["dtype"]):
            control.changed.connect(self._write)
        viewer.layers.events.removed.connect(self._on_removed)  # of the last, no other is chosen
        self.say(MEASURE)
        self._on_change()

    def on_close(self) -> None:
        """Disconnect from the viewer: the widget is closing."""
        self._open = False
        self._latest.cancel()
        self._watch(None)

    def _on_removed(self, event: Event) -> None:
        if event.value is self._image:
            self._on_change()

    def _on_change(self) -> None:
        if self._open:
            self._soon.start()

    def _diagnose(self) -> None:
        if not self._open:
            return
        self._watch(self._controls.image.value)
        self._latest.cancel()
        self._remarks = []
        if self._image is not None:
            try:
                self._latest.submit(self._controls.source)
            except ValueError as error:
                self._remarks = [describe_error(error)]
        self._write()

    def _watch(self, image: Image | None) -> None:
        if self._image is not None:
            self._image.events.data.disconnect(self._on_change)
            self._image.events.scale.disconnect(self._write)
        self._image = image
        if image is not None:
            image.events.data.connect(self._on_change)
            image.events.scale.connect(self._write)

    def _on_remarks(self, remarks: list[str]) -> None:
        self._remarks = remarks
        self._write()

    def _write(self) -> None:
        if self._open:
            self.say("\n".join([*self._anisotropy(), *self._clipping(), *self._remarks, MEASURE]))

    def _anisotropy(self) -> list[str]:
        try:
            ndim = self._controls.options["ndim"].value
            warning = self._controls.source.anisotropy_warning(ndim)
        except ValueError:  # there is no image, or its axes do not fit: another remark says so
            return []
        return [warning] if warning else []

    def _clipping(self) -> list[str]:
        """Return what a number type does to light that it cannot hold."""
        controls = self._controls
        image, dtype = controls.image.value, np.dtype(controls.options["dtype"].value)
        if image is None or controls.verb.value == "enhance" or dtype.kind == "f":
            return []
        if np.can_cast(image.dtype, dtype):
            return []
        most = np.iinfo(dtype).max
        return [
            f"As {dtype}, light is rounded to whole numbers from 0 to {most}, and cut off beyond "
            f"them: the image is of {image.dtype}."
        ]


def _diagnose(source: LayerSnapshot) -> list[str]:
    """Return the remarks on a few planes of an image; called on any thread."""
    from napari_noiser.analysis.diagnosis import diagnose

    try:
        with np.errstate(all="ignore"):
            return diagnose(source.array, axes=source.axes).remarks()
    except Exception as error:  # whatever a reader raises: it is a remark, not a pop-up
        return [f"The image could not be examined: {error or type(error).__name__}"]
