"""The section that shows what Apply would make, while one moves the sliders."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from magicgui.widgets import CheckBox
from napari import Viewer
from superqt.utils import QSignalThrottler

from napari_noiser._progress import Event
from napari_noiser.arrays.layout import Layout
from napari_noiser.files.provenance import PROVENANCE
from napari_noiser.plugin.layers.gain_map import check_gain
from napari_noiser.plugin.layers.preview_layer import (
    PreviewLayer,
    PreviewState,
    newest_result,
    preview_state,
)
from napari_noiser.plugin.layers.watcher import LayerWatcher
from napari_noiser.plugin.tasks.background_task import BackgroundTask, TaskRunning
from napari_noiser.plugin.tasks.destinations import TaskResult
from napari_noiser.plugin.tasks.preview_cache import check_trained
from napari_noiser.plugin.widgets.qt_helpers import Note
from napari_noiser.plugin.widgets.section import Section
from napari_noiser.plugin.widgets.settings_form import SettingsForm

if TYPE_CHECKING:
    from napari.layers import Image

__all__ = ["PreviewSection"]

_STILL = "The preview still shows the last choice."
_PAUSE = 30  # milliseconds between two pictures: a slider makes hundreds of moves a second


class PreviewSection(Section):
    """A switch for the preview of the chosen image, which follows all that is chosen."""

    title = "Preview"

    def __init__(self, viewer: Viewer, controls: SettingsForm) -> None:
        super().__init__(viewer, controls)
        self.switch = CheckBox(
            text="show what Apply would make",
            tooltip="Measures the image once, then renders only the plane that you look at, each "
            "time you move a slider or choose another model or exposure. Its values are those "
            "that Apply gives; nothing of it is kept.",
        )
        self.note = Note()
        self.extend([self.switch, self.note])
        self._open = True
        self._run: BackgroundTask | None = None
        self._shown: PreviewLayer | None = None
        self._asked: tuple[Any, ...] = ()  # of what the preview is, or will be
        self._refused: tuple[Any, ...] = ()  # of what there is no preview
        self._throttler = QSignalThrottler(parent=self.native)
        self._throttler.setTimeout(_PAUSE)
        self._following = LayerWatcher(self._on_marked)
        self._connect()

    def _connect(self) -> None:
        chosen = self.controls
        self.switch.changed.connect(self._on_switch)
        self._throttler.triggered.connect(self._update)
        looks = (chosen.model, chosen.colors, chosen.statistics, chosen.brightness)
        for control in (*looks, chosen.contrast):
            control.changed.connect(self._on_change)
        layers = (chosen.region, chosen.leave_out, chosen.all_planes, chosen.gain)
        seen = (chosen.image, chosen.axes, chosen.ndim, chosen.output)
        for control in (
            *seen,
            chosen.model,
            chosen.background,
            chosen.camera,
            chosen.repair,
            *layers,
        ):
            control.changed.connect(self._on_other)
        self.viewer.layers.events.removed.connect(self._on_removed)

    def on_enhanced(self, enhanced: TaskResult) -> None:
        """Give way to the result, which takes the preview's contrast limits: it looks the same."""
        if self._shown is None:
            return
        source = self._shown.measured.source.name
        result = newest_result(self.viewer.layers, source)
        made = {**enhanced.provenance, "source": source}
        if result is not None and made.items() <= result.metadata[PROVENANCE].items():
            _look_alike(result, self._shown.layer)
            self.switch.value = False

    def on_leave(self) -> None:
        """Take the preview away; the switch says so if the widget comes back."""
        self.switch.value = False

    def on_close(self) -> None:
        """Take the preview away, without the controls, which are gone."""
        self._open = False
        self._let_go()

    # on and off

    def _on_switch(self, on: bool) -> None:
        self.note.say("")
        if not on:
            self._let_go()
        elif self._run is None:  # or else once it has stopped
            self._start()

    def _off(self, why: str) -> None:
        self.switch.value = False
        self._refused = self._wanted()
        self.note.say(why)

    def _start(self) -> None:
        try:
            self._measure(self._show)
        except (TaskRunning, ValueError) as error:
            self._off(str(error))
        else:
            chosen, self._asked = self.controls, self._choice()
            chosen.image.value.events.data.connect(self._again)
            marks = (chosen.region.value, chosen.leave_out.value)
            self._following.follow(*marks, chosen.gain_map)

    def _measure(self, show: Callable[[PreviewState], object]) -> None:
        source, settings = self.controls.source, self.controls.settings.snapshot_layers()
        layout = Layout.of(tuple(source.array.shape), source.axes, settings.ndim)
        check_trained(settings.model, layout, settings.colors)
        check_gain(settings, [source])
        self._run = BackgroundTask(
            f"Measuring {source.name}",
            lambda: preview_state(source, settings),
            show,
            self._on_event,
            self._on_end,
        )

    def _let_go(self) -> None:
        """Stop measuring, take the layer away, and forget what was measured."""
        if self._asked:
            self._asked[0].events.data.disconnect(self._again)
        self._following.follow()
        shown, self._shown, self._asked = self._shown, None, ()
        if self._run is not None:
            self._run.cancel()
        if shown is not None:
            shown.remove_from(self.viewer.layers)

    def _again(self) -> None:
        """Measure anew: at once, or when what runs has stopped."""
        self._let_go()
        if self._run is None:
            self._start()

    # while it measures

    def _on_event(self, event: Event) -> None:
        if self._asked:
            self.note.say(f"measuring {event.done} of {event.total}")

    def _show(self, look: PreviewState) -> None:
        if self._asked:
            self._shown = PreviewLayer(look, "preview")
            self._shown.add_to(self.viewer.layers)
            self._update()  # something may have been moved meanwhile

    def _show_again(self, look: PreviewState) -> None:
        if self._shown is not None:
            self._shown.measured = look.measured
            self._update()

    def _on_end(self, outcome: str) -> None:
        self._run = None
        if not self._open or not self.switch.value:
            return
        if not self._asked:
            self._start()
        elif outcome == "finished":
            self.note.say("")
        elif self._shown is None:
            self._off(outcome)
        else:
            self.note.say(f"{outcome}. {_STILL}")

    # what changes around

    def _on_change(self) -> None:
        if self._shown is not None:
            self._throttler.throttle()

    def _update(self) -> None:
        if self._shown is None:
            return
        try:
            self._shown.update(self.controls.model.value, **self._options())
        except (TypeError, ValueError) as error:
            self.note.say(f"{error}. {_STILL}")
        else:
            self.note.say("")

    def _on_other(self) -> None:
        if not self.switch.value:
            if self._wanted() != self._refused:
                self.note.say("")  # what it says is of another choice
            return
        if self._choice() == self._asked:
            return
        if self._asked and self._asked[0] is not self.controls.image.value:
            self.switch.value = False
        else:
            self._again()

    def _on_marked(self) -> None:
        """Measure with what the layers beside it hold now; until then the last picture stays."""
        if self._shown is None:
            self._again()
            return
        try:
            self._measure(self._show_again)
        except TaskRunning:
            if self._run is not None:
                self._run.cancel()
            self._following.refresh()
        except ValueError as error:
            self.note.say(f"{error}. {_STILL}")

    def _on_removed(self, event: Any) -> None:
        if self._shown is not None and event.value is self._shown.layer:
            self.switch.value = False

    def _choice(self) -> tuple[Any, ...]:
        """Return what another measurement is needed for."""
        names = ("image", "axes", "ndim", "region", "leave_out", "all_planes", "output")
        chosen = tuple(getattr(self.controls, name).value for name in (*names, "background"))
        chosen += (self.controls.gain_map, self.controls.model.requires_gain_map)
        model = self.controls.model
        noise = (
            self.controls.camera.value,
            self.controls.repair.value,
            model.requires_camera_noise,
        )
        return (*chosen, *(noise if model.is_denoiser else ()))

    def _wanted(self) -> tuple[Any, ...]:
        return (*self._choice(), self.controls.model.value, self.controls.colors.value)

    def _options(self) -> dict[str, Any]:
        names = ("colors", "statistics", "output", "brightness", "contrast", "device")
        return {name: getattr(self.controls, name).value for name in names}


def _look_alike(result: Image, preview: Image) -> None:
    """Give a result of any type the contrast limits of its preview; a display's are of 0 to 1."""
    display = result.metadata[PROVENANCE]["output"] == "display"
    top = float(np.iinfo(result.dtype).max) if display and result.dtype.kind != "f" else 1.0
    result.contrast_limits = [top * limit for limit in preview.contrast_limits]
