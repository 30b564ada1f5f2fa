"""Failures of background tasks: shown as a text, or with the traceback of what may be a bug."""

from __future__ import annotations

import traceback
from collections.abc import Sequence
from typing import Any

from napari.utils.notifications import notification_manager, show_error

from napari_noiser._errors import InputError
from napari_noiser.engine.options import ResolvedOptions, options_of

_EXPECTED = (InputError, MemoryError, OSError)


class ImageError(Exception):
    """Raised where one of several images fails: it says which one; its cause says why."""


def show_failure(error: BaseException) -> None:
    """Show why a task failed: as a text, if the user can mend it, or else with the traceback.

    An `InputError` says what is wrong and what would be accepted, and the system what it lacks.
    Anything else may be a bug, which nobody finds without the traceback.
    """
    cause = error.__cause__ if isinstance(error, ImageError) else error
    _clear_frames(error)
    if isinstance(cause, _EXPECTED):
        show_error(describe_error(error))
    else:
        notification_manager.receive_error(type(error), error, error.__traceback__)


def describe_error(error: BaseException, image_names: Sequence[str] = ()) -> str:
    """Return an error in words: arguments by the labels of their controls, images by names."""
    if not isinstance(error, InputError):
        return str(error)
    if image_names:
        return error.phrase(_name_control, lambda index: repr(image_names[index]))
    return error.phrase(_name_control)


def _name_control(name: str, value: Any) -> str:
    """Return what the widget calls an argument, with a value as its control shows it."""
    option = options_of(ResolvedOptions).get(name)
    label = option.label or name.replace("_", " ") if option else name
    if value is None:
        return label
    words = dict(zip(option.choices, option.words, strict=False)) if option else {}
    return f"{label} {words.get(value, value)!r}"


def _clear_frames(error: BaseException | None) -> None:
    """Let go of what an error's frames hold: napari keeps the error, and so memory of a GPU."""
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__
