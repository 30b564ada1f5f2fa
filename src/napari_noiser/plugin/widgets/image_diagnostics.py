"""What is said of the chosen image before it is enhanced: what it is, its noise, what to do."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from napari import Viewer
from napari.layers import Image
from napari.utils.events import Event
from psygnal import Signal

from napari_noiser.plugin.layers.snapshot import LayerSnapshot, describe_axes
from napari_noiser.plugin.tasks.errors import describe_error
from napari_noiser.plugin.tasks.latest_only import LatestOnly
from napari_noiser.plugin.widgets.qt_helpers import LinkNote, Note, single_shot
from napari_noiser.plugin.widgets.settings_form import SettingsForm

if TYPE_CHECKING:
    from napari_noiser.engine.choice import Choice

MEASURE = "To measure, choose the values in counts, of the raw image."
_CONSTANT = "All of its values are equal: there is nothing to enhance. Choose another image."
_EXPOSED = "Well exposed already: to take out no more than its noise, choose the values in counts."
_ON = {"dark": "on black", "gray": "photograph"}  # a display's background


@dataclass(frozen=True)
class Examination:
    """What a few planes of an image tell: what suits it, what to do, and all that is to be known.

    `choice` is None if the image could not be examined.
    """

    choice: Choice | None = None
    advice: str = ""
    remarks: list[str] = field(default_factory=list)


class ImageDiagnostics:
    """Notes on the chosen image, for several parts of the widget, as the controls change.

    `taken_for` says what it is taken for, with a link that emits `change`; `noise` how noisy it
    is, and what to do; `remarks` all that a few planes of it tell; `stack` and `number_type` what
    to know of volumes, and of a number type. `examined` is emitted once an image was looked at.
    """

    change = Signal()
    examined = Signal()

    def __init__(self, viewer: Viewer, controls: SettingsForm) -> None:
        self.taken_for = LinkNote("change", self.change.emit)
        self.taken_for.tooltip = (
            "What each axis is taken for. If that is wrong, change it under “Stack and axes”."
        )
        self.noise, self.remarks, self.stack, self.number_type = Note(), Note(), Note(), Note()
        self.noise.tooltip = (
            "What a few planes of the chosen image tell. In the console: "
            "napari_noiser.choose(layer.data)"
        )
        self.remarks.tooltip = (
            "What a few planes of the chosen image tell, and what that means for the result. In "
            "the console: napari_noiser.diagnose(layer.data).remarks()"
        )
        self._controls = controls
        self._open = True
        self._image: Image | None = None  # whose events are connected
        self._examination = Examination()
        self._latest = LatestOnly(_examine, self._on_examination)
        self._soon = single_shot(0)  # after all controls have changed
        self._soon.timeout.connect(self._ask)
        controls.shown.connect(self._write_axes)
        controls.image.changed.connect(self._on_change)
        controls.axes.changed.connect(self._on_change)
        for control in (
            controls.options["ndim"],
            controls.options["dtype"],
            controls.look,
            controls.verb,
        ):
            control.changed.connect(self._write)
        viewer.layers.events.removed.connect(self._on_removed)  # of the last, no other is chosen
        self._write()
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

    def _ask(self) -> None:
        if not self._open:
            return
        self._watch(self._controls.image.value)
        self._latest.cancel()
        self._examination = Examination()
        if self._image is not None:
            try:
                self._latest.submit(self._controls.source)
            except ValueError as error:
                self._examination = Examination(remarks=[describe_error(error)])
        self._write()

    def _watch(self, image: Image | None) -> None:
        if self._image is not None:
            self._image.events.data.disconnect(self._on_change)
            self._image.events.axis_labels.disconnect(self._write)
            self._image.events.scale.disconnect(self._write)
        self._image = image
        if image is not None:
            image.events.data.connect(self._on_change)
            image.events.axis_labels.connect(self._write)
            image.events.scale.connect(self._write)

    def _on_examination(self, examination: Examination) -> None:
        self._examination = examination
        self._write()
        self.examined.emit()

    def _write(self) -> None:
        if not self._open:
            return
        found, controls = self._examination, self._controls
        self._write_axes()
        auto = controls.look.value == "auto" and controls.verb.value == "enhance"
        reason = found.choice.reason if found.choice else ""
        reason = reason if auto else reason.partition(":")[0]
        self.noise.say("\n".join(filter(None, [reason, found.advice])))
        self.remarks.say("\n".join([*found.remarks, MEASURE]))
        self.stack.say("\n".join(self._anisotropy()))
        self.number_type.say("\n".join(self._clipping()))
        controls.look.say_what_auto_is(_in_short(found.choice))

    def _write_axes(self) -> None:
        if not self._open:
            return
        image, axes = self._controls.image.value, self._controls.axes
        text = describe_axes(image, axes.value) if image is not None and axes.value else ""
        self.taken_for.say(text, with_link=len(axes.choices) > 1)

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


def _in_short(choice: Choice | None) -> str:
    """Return in a few words what suits an image."""
    if choice is None:
        return ""
    return _ON[choice.background]


def _examine(source: LayerSnapshot) -> Examination:
    """Look at a few planes of an image; called on any thread."""
    from napari_noiser import choose, diagnose

    try:
        with np.errstate(all="ignore"):
            diagnosis = diagnose(source.array, axes=source.axes)
            choice = choose(source.array, axes=source.axes)
    except Exception as error:  # whatever a reader raises: it is a remark, not a pop-up
        text = f"The image could not be examined: {error or type(error).__name__}"
        return Examination(advice=text)
    if diagnosis.constant:
        return Examination(None, _CONSTANT, diagnosis.remarks())
    advice = _EXPOSED if diagnosis.well_exposed else ""
    return Examination(choice, advice, diagnosis.remarks())
