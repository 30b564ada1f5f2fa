"""The part of the training section that fits a blind spot to the chosen images."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from weakref import ref

from magicgui.widgets import Container, PushButton
from napari.layers import Image

from napari_noiser._progress import Event
from napari_noiser._validation import check_same_axes
from napari_noiser.plugin.layers.gain_map import gain_maps_for
from napari_noiser.plugin.settings import FitSettings
from napari_noiser.plugin.tasks.background_task import BackgroundTask
from napari_noiser.plugin.tasks.generators import fit_task
from napari_noiser.plugin.widgets.qt_helpers import Note
from napari_noiser.plugin.widgets.settings_form import SettingsForm

if TYPE_CHECKING:
    from napari_noiser.engine.fit_stages import Fitted, State

__all__ = ["FitPanel"]

_FIT, _GO_ON = "Fit", "Go on fitting"


@dataclass(frozen=True)
class _Asked:
    """What a fit is asked for: the layers, the arrays they hold, and how.

    Nothing of it keeps a layer that the viewer has let go of.
    """

    layers: tuple[ref[Image], ...]
    arrays: tuple[int, ...]
    settings: FitSettings


@dataclass(frozen=True)
class _Canceled:
    """What a fit was asked for that can be gone on with, and where it stood."""

    asked: _Asked | None = None
    state: State | None = None


class FitPanel(Container):
    """Fits to the image that is chosen above and the others that are selected.

    Parameters
    ----------
    controls : Controls
        What is chosen.
    start : callable
        Starts work; see `napari_noiser.plugin.widgets.training_section.Start`.
    """

    def __init__(
        self,
        controls: SettingsForm,
        start: Callable[[Callable[..., BackgroundTask]], BackgroundTask | None],
    ) -> None:
        super().__init__(label="", labels=False)
        self.margins = (0, 0, 0, 0)
        self._controls, self._start = controls, start
        self.run: BackgroundTask | None = None
        self._running = False
        self._last = _Canceled()
        self.fit = PushButton(
            text=_FIT,
            tooltip="Fit to the image chosen above, and to the others that are selected, with its "
            "axes, planes or volumes, camera noise and repair as chosen there. The model suits "
            "these images, and others from the same microscope. A fit that is canceled can be "
            "gone on with. In the console: napari_noiser.fit(images, recipe)",
        )
        self.state = Note()
        self.extend([controls.fit, self.fit, self.state])
        self._connect()

    def _connect(self) -> None:
        chosen = self._controls
        self.fit.changed.connect(self.start_fitting)
        chosen.fit.edited.connect(self.show_state)
        chosen.method.changed.connect(self.show_state)
        chosen.others.offered.connect(self.show_state)
        above = (chosen.image, chosen.others, chosen.axes, chosen.ndim, chosen.camera)
        for control in (*above, chosen.repair, chosen.gain, chosen.device, chosen.seed):
            control.changed.connect(self.show_state)
        self.show_state()

    def start_fitting(self) -> None:
        """Fit to the chosen images in the background, or go on with the fit that was canceled."""
        self.run = self._start(self._begin)

    def on_running(self, running: bool) -> None:
        """Do not offer to fit while other work runs."""
        self._running = running
        self.show_state()

    def show_state(self) -> None:
        """Say whether Fit begins, or goes on with what was canceled."""
        state = self._last.state
        goes_on = state is not None and self._last.asked == self._chosen()
        self.fit.enabled = not self._running
        self.fit.text = _GO_ON if goes_on else _FIT
        if state is None or self._running:
            self.state.say("")
        elif goes_on:
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
            ndim=chosen.ndim.value,
            camera=None if chosen.camera.value == "none" else chosen.camera.value,
            repair=chosen.repair.value,
            device=chosen.device.value,
            seed=chosen.seed.value,
        )

    def _chosen(self) -> _Asked | None:
        if self._controls.image.value is None:
            return None
        images = [self._controls.image.value, *self._controls.others.images]
        if self._controls.fits_with_gain and self._controls.gain.value is not None:
            images.append(self._controls.gain.value)
        arrays = tuple(id(each.data) for each in images)
        return _Asked(tuple(map(ref, images)), arrays, self._settings)

    def _begin(self, **slots: Callable[..., object]) -> BackgroundTask:
        sources, asked = self._controls.sources, self._chosen()
        axes = check_same_axes((each.name, each.axes) for each in sources)
        settings = replace(self._settings, axes=axes)
        guided, held = self._controls.fits_with_gain, self._controls.gain.value
        gain = gain_maps_for(held, sources, settings.ndim) if guided else None
        resume = self._last.state if asked == self._last.asked else None
        origin = f"fitted to {sources[0].name}"
        if others := len(sources) - 1:
            origin += f" and {others} other{'s' * (others > 1)}"

        def keep(state: State | None) -> None:  # called on the worker's thread
            self._last = _Canceled(asked, state)

        def finish(model: Fitted) -> None:
            self._last = _Canceled()
            self._controls.model.add(model, origin)

        def job() -> Generator[Event, None, Fitted]:
            return fit_task(sources, settings, resume, keep, gain)

        return BackgroundTask(f"Fitting to {sources[0].name}", job, finish, **slots)
