"""Numbers of any type are taken, and what is none is named."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pytest

from napari_noiser._validation import check_bool, check_choice, check_float, check_int


@pytest.mark.parametrize("value", [3, np.int64(3), np.uint8(3)])
def test_whole_numbers_of_any_type_become_int(value: Any) -> None:
    assert type(check_int("size", value)) is int


@pytest.mark.parametrize("value", [3, 3.0, np.float32(3), np.int16(3)])
def test_numbers_of_any_type_become_float(value: Any) -> None:
    assert check_float("rate", value) == 3.0
    assert type(check_float("rate", value)) is float


@pytest.mark.parametrize("value", [True, np.True_, 3.0, "3", None, 1j])
def test_what_is_no_whole_number(value: Any) -> None:
    with pytest.raises(TypeError, match="size must be a whole number"):
        check_int("size", value)


@pytest.mark.parametrize("value", [True, "3", None, 1j, [3.0]])
def test_what_is_no_number(value: Any) -> None:
    with pytest.raises(TypeError, match="rate must be a number"):
        check_float("rate", value)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 10**400, -0.1, 1.0])
def test_numbers_outside_their_range(value: Any) -> None:
    with pytest.raises(ValueError, match=r"rate must be a finite number at least 0.* below 1"):
        check_float("rate", value, least=0.0, below=1.0)
    with pytest.raises(ValueError, match="rate must be a finite number, got inf"):
        check_float("rate", float("inf"))


@pytest.mark.parametrize("value", ["c", "", None, 1, np.array(["a", "b"]), ["a"]])
def test_what_is_none_of_the_choices(value: Any) -> None:
    assert check_choice("way", "a", Literal["a", "b"]) == "a"
    with pytest.raises(ValueError, match=r"way must be one of \('a', 'b'\), got "):
        check_choice("way", value, Literal["a", "b"])


@pytest.mark.parametrize("value", [1, "yes", None, [True]])
def test_what_is_no_switch(value: Any) -> None:
    assert check_bool("on", np.True_) is True
    with pytest.raises(TypeError, match="on must be True or False, got "):
        check_bool("on", value)


def test_whole_numbers_outside_their_range() -> None:
    with pytest.raises(ValueError, match="size must be a whole number of at least 3, got 2"):
        check_int("size", 2, least=3)
    with pytest.raises(ValueError, match="seed must be a whole number of at most"):
        check_int("seed", 2**63, least=0)
