"""What to do where torch cannot be imported because Qt was loaded first (Windows)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

_DLL_INIT_FAILED = 1114


@contextmanager
def explain_torch_import_error() -> Iterator[None]:
    """Turn Windows' WinError 1114 into an `ImportError` that says how to start napari instead."""
    try:
        yield
    except OSError as error:
        if getattr(error, "winerror", None) != _DLL_INIT_FAILED:
            raise
        raise ImportError(
            "torch could not load its libraries after Qt had loaded its own (WinError 1114, "
            'pytorch issue 169429). Start napari with: python -c "import torch, napari; '
            'napari.Viewer(); napari.run()" - or install a torch older than 2.9.'
        ) from error
