"""The controls that say where a result is kept."""

from __future__ import annotations

from magicgui.widgets import ComboBox, FileEdit

from napari_noiser.plugin.forms import NARROW
from napari_noiser.plugin.settings import KEEPS, Settings

__all__ = ["keeping_controls"]

_KEEP = list(zip(("in memory", "live, as you look", "on disk"), KEEPS, strict=True))


def keeping_controls(preferred: Settings) -> tuple[ComboBox, FileEdit]:
    """Return what `Settings` calls keep and results_folder.

    Parameters
    ----------
    preferred : Settings
        What they say at first.
    """
    keep = ComboBox(
        label="keep result",
        choices=_KEEP,
        value=preferred.keep,
        tooltip="In memory: at once, as long as it fits. Live: nothing is kept, what you look "
        "at is rendered when you look. On disk: an OME-Zarr file of any size, which fills in "
        "while you look.",
    )
    folder = FileEdit(
        label="folder",
        mode="d",
        nullable=True,
        value=preferred.results_folder,
        tooltip="Where results on disk go. Apply goes on with an unfinished one that it finds "
        "there. The preferences can name a folder once and for all.",
    )
    folder.choose_btn.text = "…"
    folder.choose_btn.max_width = NARROW
    return keep, folder
