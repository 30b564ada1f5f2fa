"""How it is told that work in the background failed: in words, or with the traceback."""

from __future__ import annotations

import traceback
from pathlib import Path

from napari.utils.notifications import notification_manager, show_error

import napari_noiser

__all__ = ["ImageError", "show_failure"]

_PACKAGE = Path(napari_noiser.__file__).parent
_MENDABLE = (ValueError, TypeError, MemoryError, OSError)


class ImageError(Exception):
    """Raised where one of several images cannot be enhanced: it says which one."""


def show_failure(error: BaseException) -> None:
    """Show why work failed: its text only, if that is a check's own, or all there is to know.

    A check says what is wrong and what would be accepted. Anything else may be a bug, which
    nobody finds without the traceback.
    """
    checked = _is_of_a_check(error)
    _clear_frames(error)
    if checked:
        show_error(str(error))
    else:
        notification_manager.receive_error(type(error), error, error.__traceback__)


def _is_of_a_check(error: BaseException) -> bool:
    """Return whether it was this package that refused something, by a statement that raises."""
    cause = error.__cause__ if isinstance(error, ImageError) else error
    if not isinstance(cause, _MENDABLE):
        return False
    (place,) = traceback.extract_tb(cause.__traceback__, limit=-1)
    ours = Path(place.filename).is_relative_to(_PACKAGE)
    return ours and (place.line or "").startswith("raise ")


def _clear_frames(error: BaseException | None) -> None:
    """Let go of what an error's frames hold: napari keeps the error, and so memory of a GPU."""
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__
