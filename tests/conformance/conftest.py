"""Each test is run for every method, on one thread, dask in this process."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import dask
import pytest
from helpers.cases import CASES, Case


@pytest.fixture(autouse=True, scope="module")
def _one_process() -> Iterator[None]:
    with dask.config.set(scheduler="synchronous"):
        yield


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> Case:
    return CASES[request.param]


@pytest.fixture
def whole(case: Case) -> Any:
    """What the method makes of its image in one tile; not to be written to."""
    return _whole(next(name for name, each in CASES.items() if each is case))


@cache
def _whole(name: str) -> Any:
    found = CASES[name].run(CASES[name].image(), tile=1000)
    found.flags.writeable = False
    return found
