"""Errors as data: which argument is to blame, and whether what came is said."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from napari_noiser._errors import InputError, InputTypeError


@contextmanager
def refused(
    argument: str, *came: Any, error: type[Exception] = ValueError, index: int | None = None
) -> Iterator[pytest.ExceptionInfo[InputError]]:
    """Check that an argument is refused, and that the message says what came.

    Parameters
    ----------
    argument : str
        The one to blame; empty for several.
    *came
        What the message has to mention.
    error : type
        TypeError or ValueError.
    index : int, optional
        Of the image to blame.
    """
    with pytest.raises(InputError) as caught:
        yield caught
    assert isinstance(caught.value, InputTypeError) == (error is TypeError), caught.value
    assert (caught.value.argument, caught.value.index) == (argument, index), str(caught.value)
    for each in came:
        assert str(each) in str(caught.value), str(caught.value)
