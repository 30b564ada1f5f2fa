"""Make dim images and stacks visible, and measurable, without any training data.

Every name is loaded on first use: importing the package imports neither torch nor napari.
"""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

import lazy_loader

from napari_noiser._torch_import import explain_torch_import_error

try:
    __version__ = version("napari-noiser")
except PackageNotFoundError:  # run from a source tree
    __version__ = "0+unknown"

_load, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


def __getattr__(name: str) -> object:
    try:
        with explain_torch_import_error():
            return _load(name)
    except ModuleNotFoundError as error:
        if error.name != "napari":
            raise
        raise ImportError(f'{name} needs napari: pip install "napari-noiser[all]"') from error
