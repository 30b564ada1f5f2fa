"""What the plugin's tests share: layers, a viewer, the widget, waiting for work behind it."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image
from superqt.utils import WorkerBase

from napari_noiser.plugin.tasks.background_task import BackgroundTask
from napari_noiser.plugin.widgets.dock_widget import NoiserWidget


@pytest.fixture(autouse=True)
def _traced_workers(monkeypatch) -> None:
    """Let coverage see what runs in Qt's threads: Python has only its own threads traced."""
    trace, run = threading.gettrace(), WorkerBase.run
    if trace is None:
        return

    def traced(worker: WorkerBase) -> None:
        sys.settrace(trace)
        run(worker)

    monkeypatch.setattr(WorkerBase, "run", traced)


@pytest.fixture
def dim_stack() -> Image:
    """A z-stack of three planes with everything that a layer can carry in its metadata."""
    data = np.random.default_rng(0).poisson(4, (3, 40, 50)).astype(np.uint16) + 100
    return Image(
        data,
        name="cells",
        scale=(2.0, 0.5, 0.5),
        translate=(1.0, 2.0, 3.0),
        rotate=20,
        affine=np.diag([1.0, 2.0, 1.0, 1.0]),
        units=("um", "um", "um"),
        axis_labels=("z", "y", "x"),
        colormap="green",
        gamma=0.8,
        opacity=0.7,
        blending="additive",
        interpolation2d="cubic",
        rendering="mip",
        projection_mode="max",
        experimental_clipping_planes=[{"position": (1, 2, 3), "normal": (1, 0, 0)}],
        metadata={"microscope": {"objective": "40x"}},
    )


@pytest.fixture
def wait_for_run(qtbot):
    """Return a function that waits until the work in the background has ended."""

    def wait(timeout: int = 60_000) -> None:
        qtbot.waitUntil(lambda: BackgroundTask.current is None, timeout=timeout)

    yield wait
    if BackgroundTask.current is not None:
        BackgroundTask.current.cancel()
        wait()


@pytest.fixture
def viewer(qapp) -> ViewerModel:
    """An empty viewer without a window."""
    return ViewerModel()


@pytest.fixture
def opened(viewer: ViewerModel, qtbot, wait_for_run) -> Callable[[], NoiserWidget]:
    """Return a function that opens another widget of the viewer."""

    def opened() -> NoiserWidget:
        widget = NoiserWidget(viewer)
        qtbot.addWidget(widget.native)
        widget.native.show()
        return widget

    return opened


@pytest.fixture
def widget(opened: Callable[[], NoiserWidget]) -> NoiserWidget:
    return opened()
