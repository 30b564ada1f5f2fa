"""The part of the training section that fits a blind spot to the chosen images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from weakref import ref

from magicgui.widgets import PushButton
from napari.layers import Layer

from napari_noiser._validation import check_same_axes
from napari_noiser.plugin.layers.gain_map import gain_maps_for
from napari_noiser.plugin.layers.region import RegionSnapshot
from napari_noiser.plugin.settings import FitSettings
from napari_noiser.plugin.tasks.background_task import BackgroundTask
from napari_noiser.plugin.tasks.generators import Regions, fit_task
from napari_noiser.plugin.widgets.qt_helpers import Column, Note
from napari_noiser.plugin.widgets.settings_form import SettingsForm

if TYPE_CHECKING:
    from napari_noiser.engine.fit import Fitted, State

Start = Callable[[Callable[[], BackgroundTask]], BackgroundTask | None]
"""Starts a task; the widget says why, if it could not, and None comes back."""

_OPTIONS = ("ndim", "camera", "repair", "device")  # those that `fit` shares with the verbs
_FIT, _RESUME = "Fit", "Go on fitting"


@dataclass(frozen=True)
class _FitRequest:
    """What is to be fitted, and how; it keeps neither layers nor their arrays in memory."""

    layers: tuple[ref[Layer], ...]
    arrays: tuple[int, ...]
    settings: FitSettings


@dataclass(frozen=True)
class _CanceledFit:
    """A fit that can be resumed."""

    request: _FitRequest | None = None
    state: State | None = None


class FitPanel(Column):
    """Fits a model to the image that is chosen above and the others that are selected."""

    def __init__(self, controls: SettingsForm, start: Start) -> None:
        self._controls, self._start = controls, start
        self.task: BackgroundTask | None = None
        self._running = False
        self._last = _CanceledFit()
        self.fit = PushButton(
            text=_FIT,
            tooltip="Fit to the image chosen above, and to the others that are selected, with its "
            "axes, planes or volumes, camera noise and repair as chosen there. The model suits "
            "these images, and others from the same microscope. A fit that is canceled can be "
            "gone on with. In the console: napari_noiser.fit(images, recipe)",
        )
        self.state = Note()
        super().__init__(controls.fit, self.fit, self.state)
        self._connect()

    def _connect(self) -> None:
        chosen = self._controls
        self.fit.changed.connect(self.start_fitting)
        chosen.fit.edited.connect(self.show_state)
        chosen.method.changed.connect(self.show_state)
        chosen.others.offered.connect(self.show_state)
        above = (chosen.image, chosen.others, chosen.axes, chosen.gain, chosen.seed)
        regions = (chosen.region, chosen.leave_out, chosen.all_planes)
        for control in (*above, *regions, *(chosen.options[name] for name in _OPTIONS)):
            control.changed.connect(self.show_state)
        self.show_state()

    def start_fitting(self) -> None:
        """Fit to the chosen images in the background, or resume the fit that was canceled."""
        self.task = self._start(self._begin)

    def on_running(self, running: bool) -> None:
        """Enable the button unless a task runs."""
        self._running = running
        self.show_state()

    def show_state(self) -> None:
        """Say whether the button begins a fit, or resumes the one that was canceled."""
        state = self._last.state
        resumes = state is not None and self._last.request == self._request()
        self.fit.enabled = not self._running
        self.fit.text = _RESUME if resumes else _FIT
        if state is None or self._running:
            self.state.say("")
        elif resumes:
            self.state.say(f"Canceled after {state.done} of {state.total} steps.")
        else:
            self.state.say(
                "Something else is chosen than for the fit that was canceled: choose that again "
                "to go on with it."
            )

    @property
    def _settings(self) -> FitSettings:
        chosen = self._controls
        return FitSettings(
            recipe=chosen.fit.recipe_for(chosen.method.value),
            axes=chosen.axes.value,
            seed=chosen.seed.value,
            **{name: chosen.options[name].value for name in _OPTIONS},
        )

    def _request(self) -> _FitRequest | None:
        if self._controls.image.value is None:
            return None
        images = [self._controls.image.value, *self._controls.others.images]
        if self._controls.fits_with_gain and self._controls.gain.value is not None:
            images.append(self._controls.gain.value)
        arrays = tuple(id(each.data) for each in images)
        return _FitRequest(tuple(map(ref, [*images, *self._drawn])), arrays, self._settings)

    @property
    def _drawn(self) -> list[Any]:
        """The layers of regions that are chosen."""
        chosen = (self._controls.region.value, self._controls.leave_out.value)
        return [each for each in chosen if each is not None]

    @property
    def _regions(self) -> Regions:
        """Where pixels count, as it is now."""
        chosen = self._controls
        include, leave_out = (
            None if each is None else RegionSnapshot.from_layer(each)
            for each in (chosen.region.value, chosen.leave_out.value)
        )
        return include, leave_out, chosen.all_planes.value

    def _begin(self) -> BackgroundTask:
        sources, request = self._controls.sources, self._request()
        axes = check_same_axes((each.name, each.axes) for each in sources)
        settings = replace(self._settings, axes=axes)
        gain_maps = None
        if self._controls.fits_with_gain:
            gain_maps = gain_maps_for(self._controls.gain.value, sources, settings.ndim)
        regions = self._regions
        resume = self._last.state if request == self._last.request else None
        origin = f"fitted to {sources[0].name}"
        if others := len(sources) - 1:
            origin += f" and {others} other{'s' * (others > 1)}"

        def keep(state: State | None) -> None:  # called on the worker's thread
            self._last = _CanceledFit(request, state)

        def finish(model: Fitted) -> None:
            self._last = _CanceledFit()
            self._controls.model.add(model, origin)

        return BackgroundTask(
            f"Fitting to {sources[0].name}",
            lambda: fit_task(sources, settings, resume, keep, gain_maps, regions),
            finish,
        )
