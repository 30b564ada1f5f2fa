"""What to know of the chosen image before it is enhanced, said in place and unasked."""

from __future__ import annotations

import numpy as np
from napari import Viewer
from napari.layers import Image
from napari.utils.events import Event
from qtpy.QtCore import QTimer

from napari_noiser.plugin.layers.snapshot import LayerSnapshot
from napari_noiser.plugin.tasks.latest_only import LatestOnly
from napari_noiser.plugin.widgets.qt_helpers import Note
from napari_noiser.plugin.widgets.settings_form import SettingsForm

__all__ = ["MEASURE", "ImageDiagnostics"]

MEASURE = "Measure on the raw data, not on the result."


class ImageDiagnostics(Note):
    """Says whether the image is constant, saturated, well exposed already or mostly noise.

    Parameters
    ----------
    viewer : napari.Viewer
        From which the image may be removed.
    controls : Controls
        In which it is chosen.
    """

    def __init__(self, viewer: Viewer, controls: SettingsForm) -> None:
        super().__init__()
        self.tooltip = (
            "What a few planes of the chosen image tell, and what that means for the result. In "
            "the console: napari_noiser.diagnose(layer.data).remarks()"
        )
        self._controls = controls
        self._open = True
        self._image: Image | None = None  # whose changes are followed
        self._found: list[str] = []
        self._latest = LatestOnly(_examined, self._on_examined)
        self._soon = QTimer(singleShot=True, interval=0)  # all controls first follow a change
        self._soon.timeout.connect(self._examine)
        controls.image.changed.connect(self._on_change)
        controls.axes.changed.connect(self._on_change)
        for control in (controls.ndim, controls.output, controls.dtype):
            control.changed.connect(self._write)
        viewer.layers.events.removed.connect(self._on_removed)  # the last one: no other is chosen
        self.say(MEASURE)
        self._on_change()

    def on_close(self) -> None:
        """Let go of everything: the widget is closing."""
        self._open = False
        self._latest.cancel()
        self._follow(None)

    def _on_removed(self, event: Event) -> None:
        if event.value is self._image:
            self._on_change()

    def _on_change(self) -> None:
        if self._open:
            self._soon.start()

    def _examine(self) -> None:
        if not self._open:
            return
        self._follow(self._controls.image.value)
        self._latest.cancel()
        self._found = []
        if self._image is not None:
            try:
                self._latest.submit(self._controls.source)
            except ValueError as error:
                self._found = [str(error)]
        self._write()

    def _follow(self, image: Image | None) -> None:
        if self._image is not None:
            self._image.events.data.disconnect(self._on_change)
            self._image.events.scale.disconnect(self._write)
        self._image = image
        if image is not None:
            image.events.data.connect(self._on_change)
            image.events.scale.connect(self._write)

    def _on_examined(self, found: list[str]) -> None:
        self._found = found
        self._write()

    def _write(self) -> None:
        if self._open:
            self.say("\n".join([*self._note(), *self._cut_off(), *self._found, MEASURE]))

    def _note(self) -> list[str]:
        try:
            note = self._controls.source.anisotropy_warning(self._controls.ndim.value)
        except ValueError:  # there is no image, or its axes do not fit: that was said
            return []
        return [note] if note else []

    def _cut_off(self) -> list[str]:
        """Return what a number type does to light, whose values it may not hold."""
        image, dtype = self._controls.image.value, np.dtype(self._controls.dtype.value)
        if image is None or self._controls.output.value == "display" or dtype.kind == "f":
            return []
        if np.can_cast(image.dtype, dtype):
            return []
        most = np.iinfo(dtype).max
        return [
            f"As {dtype}, light is rounded to whole numbers from 0 to {most}, and cut off beyond "
            f"them: the image is of {image.dtype}."
        ]


def _examined(source: LayerSnapshot) -> list[str]:
    """Return what a few planes of an image tell, on any thread."""
    from napari_noiser.analysis.diagnosis import diagnose

    try:
        with np.errstate(all="ignore"):
            return diagnose(source.array, axes=source.axes).remarks()
    except Exception as error:  # whatever a reader raises: it is a remark, not a pop-up
        return [f"The image could not be examined: {error or type(error).__name__}"]
