"""Model files: safetensors with a JSON header, in which nothing can execute."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from os import PathLike
from os.path import lexists
from pathlib import Path
from typing import Any, TypeVar

from safetensors import safe_open
from safetensors.torch import save as to_bytes
from torch import Tensor

from napari_noiser._errors import InputError
from napari_noiser._replace_file import replace_file
from napari_noiser.methods.weights import checksum

SUFFIX = ".safetensors"

_METADATA_KEY, _CHECKSUM_KEY = "napari_noiser", "checksum"
_FORMAT = 1
_EARLIER_KEYS = {"channels": "samples", "device": "trained_on"}  # of files written before

Built = TypeVar("Built")


def write_model_file(
    path: str | PathLike[str], tensors: Mapping[str, Tensor], header: Mapping[str, Any]
) -> Path:
    """Write tensors, which are on the CPU, with a header of JSON-able values; return the file.

    ".safetensors" is appended where it is missing. An existing file is replaced, once the new one
    is written completely.
    """
    path = Path(path)
    if path.suffix != SUFFIX:
        path = path.with_name(path.name + SUFFIX)
    text = json.dumps({"format": _FORMAT, **header})
    contiguous = {name: value.contiguous() for name, value in tensors.items()}
    metadata = {_METADATA_KEY: text, _CHECKSUM_KEY: checksum(contiguous, text)}
    replace_file(path, to_bytes(contiguous, metadata=metadata))
    return path


def read_model_file(
    path: str | PathLike[str],
    build: Callable[[dict[str, Any], dict[str, Tensor]], Built],
    content: str = "model",
) -> Built:
    """Return what a function builds from the header and the tensors of a file.

    What ``build(header, tensors)`` raises of values that are missing or wrong is an error of the
    file, whose text names the content that was expected.
    """
    if not Path(path).is_file():
        other = ": it is no regular file" if lexists(path) else ""
        raise FileNotFoundError(f"there is no model file {path}{other}")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            # Copies: they would be maps of the file, which may be overwritten.
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
        text = metadata[_METADATA_KEY]
        if metadata.get(_CHECKSUM_KEY, checksum(tensors, text)) != checksum(tensors, text):
            raise InputError("", "it is damaged: its checksum differs")
        header = json.loads(text, object_hook=_rename_earlier_keys)
        if header["format"] != _FORMAT:
            raise InputError("format", f"is {header['format']!r}, this version reads {_FORMAT}")
        return build(header, tensors)
    except OSError:
        raise
    except Exception as error:  # safetensors, json and torch raise anything over a broken file
        problem = f"{error} is missing" if isinstance(error, KeyError) else error
        raise InputError(
            "", f"{path} is not a readable {content} of napari-noiser: {problem}"
        ) from error


def add_prefix(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return tensors under the names ``PREFIX.NAME``."""
    return {f"{prefix}.{name}": each for name, each in tensors.items()}


def select_prefix(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors that `add_prefix` named, under their own names."""
    start = f"{prefix}."
    return {n.removeprefix(start): each for n, each in tensors.items() if n.startswith(start)}


def _rename_earlier_keys(values: dict[str, Any]) -> dict[str, Any]:
    return {_EARLIER_KEYS.get(name, name): each for name, each in values.items()}
