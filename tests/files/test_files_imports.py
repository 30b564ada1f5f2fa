"""What reads and writes files knows neither torch nor the desktop, and is light to import."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import napari_noiser

ROOM = Path(napari_noiser.__file__).parent / "files"
FORMATS = (
    *("readers.parsed", "readers.tiff", "readers.tiff_samples", "readers.zarr"),
    "writers.ome_zarr",
    *("writers.pyramid", "open_image", "spatial_metadata", "writers.common", "writers.ome_tiff"),
    "units",
)
ARRAYS = ("axis_names", "chunks", "layout", "lazy_view", "mapped_file", "places")
ALLOWED = {
    *(f"napari_noiser.arrays.{name}" for name in ARRAYS),
    *("napari_noiser._errors", "napari_noiser._validation"),
    *(f"napari_noiser.files.{name}" for name in FORMATS),
}


def test_it_imports_only_pure_modules_of_the_package() -> None:
    for name in FORMATS:
        for node in ast.walk(
            ast.parse((ROOM / f"{name.replace('.', '/')}.py").read_text(encoding="utf-8"))
        ):
            if isinstance(node, ast.ImportFrom) and str(node.module).startswith("napari_noiser"):
                assert node.module in ALLOWED, f"{name} imports {node.module}"


def test_importing_it_brings_in_no_library_but_numpy() -> None:
    modules = ", ".join(f"napari_noiser.files.{name}" for name in FORMATS)
    script = f"import sys, {modules}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    heavy = {"torch", "dask", "zarr", "yaozarrs", "tifffile", "napari", "qtpy", "magicgui"}
    assert not heavy & set(done.stdout.split())
