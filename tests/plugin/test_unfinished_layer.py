"""How what is not finished is shown and placed: as its source is, whatever files know of that."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image
from scenes import untrained

import napari_noiser.plugin.tasks.enhance as enhancing
from napari_noiser.files.open_image import open_image
from napari_noiser.plugin.layers.snapshot import LayerSnapshot
from napari_noiser.plugin.settings import Settings
from napari_noiser.plugin.tasks.enhance import start_enhancing

PLANES = np.random.default_rng(0).poisson(4, (3, 40, 50)).astype(np.uint16) + 100


@pytest.mark.parametrize("dtype", ["float32", "uint16"])
def test_light_fills_in_between_the_sources_black_and_white(dtype: str) -> None:
    source = LayerSnapshot.from_layer(Image(PLANES, name="cells", contrast_limits=(100, 150)))
    data = np.zeros_like(PLANES, dtype)
    assert source.unfinished(data, "light", "denoise").contrast_limits == [100, 150]
    whole = [0, 1] if dtype == "float32" else [0, 65535]
    assert source.unfinished(data, "display").contrast_limits == whole


def test_light_is_added_with_those_limits(
    viewer: ViewerModel, tmp_path: Path, monkeypatch, wait_for_run
) -> None:
    monkeypatch.setattr(enhancing, "_REFRESH", 0.0)
    settings = Settings(
        keep="disk", results_folder=tmp_path, model=untrained(gain="none"), verb="denoise"
    )
    seen = []
    source = LayerSnapshot.from_layer(Image(PLANES, name="cells", contrast_limits=(100, 150)))
    viewer.layers.events.inserted.connect(lambda event: seen.append(event.value.contrast_limits))
    start_enhancing(viewer, [source], settings)
    wait_for_run()
    assert seen == [[100, 150]]


def test_a_flipped_image_is_kept_with_the_steps_that_files_know(
    viewer: ViewerModel, tmp_path: Path, wait_for_run
) -> None:
    source = LayerSnapshot.from_layer(Image(PLANES[0], name="flipped", scale=(-0.5, 2)))
    settings = Settings(keep="disk", results_folder=tmp_path)
    start_enhancing(viewer, [source], settings)
    wait_for_run()
    np.testing.assert_array_equal(viewer.layers["flipped (denoised)"].scale, (-0.5, 2))
    assert open_image(tmp_path / "flipped (denoised).ome.zarr").space.scale == (0.5, 2)
