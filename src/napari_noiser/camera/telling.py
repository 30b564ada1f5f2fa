"""What is said of cameras, by those who ask and in a result's provenance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from napari_noiser.camera.noise_model import CameraNoise

__all__ = ["Camera", "Cameras", "each_camera", "recalled_camera", "told_cameras"]

Cameras = tuple[CameraNoise | None, ...]
"""The noise of the camera of each channel, None where it is not considered."""

Camera = CameraNoise | Sequence[CameraNoise | None] | str | None
"""What can be asked for: the camera's noise, for all channels or each; "auto"; or nothing."""


def each_camera(camera: Camera, channels: int) -> Cameras | None:
    """Return the noise of each channel's camera, None if it is to be estimated.

    Raises
    ------
    TypeError, ValueError
        If it is something else, or not one for each of the channels.
    """
    if isinstance(camera, str):
        if camera != "auto":
            raise ValueError(f"camera must be 'auto', None or a CameraNoise, got {camera!r}")
        return None
    if camera is None or isinstance(camera, CameraNoise):
        return (camera,) * channels
    given: tuple[Any, ...] = tuple(camera) if isinstance(camera, Sequence) else (camera,)
    if not all(each is None or isinstance(each, CameraNoise) for each in given):
        raise TypeError(f"camera must be 'auto', None or a CameraNoise, got {camera!r}")
    if len(given) != channels:
        raise ValueError(f"camera must be one for all, or {channels}, got {len(given)}")
    return given


def told_cameras(cameras: Cameras | None) -> Any:
    """Return cameras as JSON-able values: one for all, if they are equal; "auto" for None."""
    if cameras is None:
        return "auto"
    each = [None if camera is None else asdict(camera) for camera in cameras]
    return each[0] if all(one == each[0] for one in each) else each


def recalled_camera(told: Any) -> Camera:
    """Return what to ask for, from what `told_cameras` returned."""
    if isinstance(told, list):
        return [recalled_camera(each) for each in told]  # type: ignore[misc]
    return CameraNoise(**told) if isinstance(told, dict) else told
