"""What importing the package brings in, which room knows which, and that public names say so."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from collections import Counter
from graphlib import CycleError, TopologicalSorter
from importlib import import_module
from pathlib import Path

import pytest

import napari_noiser

PACKAGE = Path(napari_noiser.__file__).parent
ROOT = Path(__file__).parents[1]
DESKTOP = ["napari", "qtpy", "magicgui", "superqt", "npe2", "PyQt6", "PySide6"]
OF_LAYERS = (
    "as_python",
    "denoise_layer",
    "enhance_layer",
    "live_layer",
    "reapply",
    "region_mask",
)
PUBLIC = [name for name in napari_noiser.__all__ if name not in OF_LAYERS]

BLOCK = f"import sys; sys.modules.update(dict.fromkeys({DESKTOP}))\n"


def run(script: str) -> str:
    """Return what a script prints in a Python of its own."""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def imported(path: Path) -> set[str]:
    """Return every module that a file imports, anywhere in it, with its full name."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def name_of(path: Path) -> str:
    """Return the full name of a module, and of a package."""
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def within(modules: set[str], *roots: str) -> set[str]:
    """Return those modules that are, or lie in, one of the roots."""
    return {m for m in modules if any(m == r or m.startswith(r + ".") for r in roots)}


def test_importing_the_package_brings_in_neither_torch_nor_dask_nor_the_desktop() -> None:
    script = "import napari_noiser, sys; print(*sys.modules)"
    assert not within(set(run(script).split()), "torch", "dask", *DESKTOP)


def test_the_engine_brings_in_nothing_slow_that_it_may_not_need() -> None:
    script = "import napari_noiser.engine.enhance, sys; print(*sys.modules)"
    slow = ("scipy.stats", "scipy.optimize", "skimage", "dask", "zarr", "tifffile", "pandas")
    assert not within(set(run(script).split()), *slow)


def test_listing_the_recipes_does_not_bring_in_torch() -> None:
    script = (
        "import napari_noiser, sys\n"
        "assert 'noiser' in list(napari_noiser.RECIPES) and dir(napari_noiser)\n"
        "print(*sys.modules)"
    )
    assert not within(set(run(script).split()), "torch", *DESKTOP)


def test_every_name_but_the_layers_resolves_and_enhance_runs_without_the_desktop() -> None:
    script = BLOCK + (
        "import numpy as np, napari_noiser\n"
        f"for name in {PUBLIC}:\n"
        "    print(name, getattr(napari_noiser, name) is not None)\n"
        "image = np.random.default_rng(0).poisson(3, (3, 20, 21))\n"
        "print(napari_noiser.enhance(image).shape, napari_noiser.closed_form(image).shape)"
    )
    *names, shapes = run(script).splitlines()
    assert names == [f"{name} True" for name in PUBLIC]
    assert shapes == "(3, 20, 21) (3, 20, 21)"


def test_all_is_what_dir_shows_and_star_imports() -> None:
    assert set(napari_noiser.__all__) <= set(dir(napari_noiser))
    with pytest.raises(AttributeError, match="No napari_noiser attribute enhanse"):
        napari_noiser.enhanse  # noqa: B018


KNOWN_ROOMS: dict[str, set[str]] = {"camera": set(), "arrays": {"camera"}, "methods": {"camera"}}
for room in ("engine", "analysis", "files"):
    KNOWN_ROOMS[room] = set(KNOWN_ROOMS)
KNOWN_ROOMS |= {room: set(KNOWN_ROOMS) for room in ("cli", "plugin")}


def room_of(module: str) -> str:
    """Return the room that a module lies in, empty at the top of the package."""
    room = f"{module}.".split(".")[1]
    return room if room in KNOWN_ROOMS else ""


def test_rooms_import_in_one_direction_and_no_files_in_a_circle() -> None:
    files = {name_of(path): path for path in PACKAGE.rglob("*.py")}
    graph = {}
    for name, path in files.items():
        modules = imported(path)
        known = {m if m in files else m.rpartition(".")[0] for m in modules} & set(files)
        graph[name] = known - {name, "napari_noiser"}  # whose names are loaded on first use
        room, rooms = room_of(name), {room_of(module) for module in graph[name]} - {""}
        if room:
            assert rooms <= KNOWN_ROOMS[room] | {room}, f"{name} imports {rooms}"
            assert room == "plugin" or not within(modules, *DESKTOP), f"{name} knows the desktop"
        elif name.startswith("napari_noiser._") and name != "napari_noiser.__main__":
            assert not rooms, f"{name} imports {rooms}"
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))
    sizes = Counter(path.parent for path in files.values())
    assert not {folder for folder, size in sizes.items() if size > 18}
    assert len(napari_noiser.__all__) == len(set(napari_noiser.__all__)) <= 25


SUBJECTS = ("analysis", "camera", "io", "recipes")
NAMES = [
    *(f"napari_noiser.{name}" for name in napari_noiser.__all__ if name not in SUBJECTS),
    *(
        f"napari_noiser.{subject}.{name}"
        for subject in SUBJECTS
        for name in getattr(napari_noiser, subject).__all__
    ),
]


@pytest.mark.parametrize("name", [name for name in NAMES if not name.endswith(".RECIPES")])
def test_every_public_name_has_a_numpydoc_docstring(name: str) -> None:
    validate = pytest.importorskip("numpydoc.validate").validate
    module, _, name = name.rpartition(".")
    if name in OF_LAYERS:
        pytest.importorskip("napari")
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    checks = settings["tool"]["numpydoc_validation"]["checks"]
    public = getattr(import_module(module), name)
    home = f"{public.__module__}.{public.__qualname__}"
    errors = [error for error in validate(home)["errors"] if error[0] in checks]
    assert not errors, f"{home}: {errors}"


def test_every_file_says_first_what_it_is_for() -> None:
    for folder in (PACKAGE, ROOT / "tests"):
        for file in folder.rglob("*.py"):
            docstring = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8")))
            assert docstring, f"{file} has no docstring"
