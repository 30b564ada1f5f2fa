"""A dask array under other names, to be computed a second time."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import dask.array as da
from dask.base import clone_key
from dask.blockwise import Blockwise
from dask.graph_manipulation import clone
from dask.highlevelgraph import HighLevelGraph, MaterializedLayer

__all__ = ["computed_again"]

_SEED = "napari-noiser renders"


def computed_again(image: Any) -> Any:
    """Return an image under other names, so that dask computes it a second time.

    Otherwise it would hold each block from its measuring to its rendering: all of them at once.
    """
    twin = clone(image, seed=_SEED)
    known = twin.dask.get_all_external_keys()
    layers = {
        name: layer
        if isinstance(layer, Blockwise)
        else MaterializedLayer({key: _renamed(key, task, known) for key, task in layer.items()})
        for name, layer in twin.dask.layers.items()
    }
    graph = HighLevelGraph(layers, twin.dask.dependencies)
    return da.Array(graph, twin.name, twin.chunks, meta=twin._meta)


def _renamed(key: Any, task: Any, known: Collection[Any]) -> Any:
    """Return a cloned task under its key: clone() leaves some the old names (dask issue 12455)."""
    if not hasattr(task, "dependencies") or task.key == key:  # of older dask, or on a cluster
        return task
    names = {old: clone_key(old, _SEED) for old in task.dependencies}
    return task.substitute({old: new for old, new in names.items() if new in known}, key=key)
