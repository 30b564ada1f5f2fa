"""The guide says what is true: its Python runs, its pictures are there, its API is complete."""

from __future__ import annotations

import importlib
import re
import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.samples import shrink_samples

import napari_noiser

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted([ROOT / "README.md", *DOCS.rglob("*.md")])
NOT_RUN = {"clusters.md": "submits jobs to SLURM"}
PICTURE = re.compile(r"!\[[^]]+\]\(([^)]+)\)")
TOCTREE = re.compile(r"```\{toctree\}(.*?)```", re.DOTALL)
FILE = re.compile(r"`(\w+/[\w/.]*(?:\.\w+|/))`")
LINK = re.compile(r"(?<!!)\[[^]]+\]\(([^):#]+)(?:#[^)]*)?\)")

snippets: Callable[[Path], list[str]] = runpy.run_path(str(DOCS / "snippets.py"))["snippets"]
WITH_PYTHON = [page for page in PAGES if snippets(page) and page.name not in NOT_RUN]


def pages(chosen: list[Path]) -> Any:
    return pytest.mark.parametrize("page", chosen, ids=lambda page: page.stem)


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).poisson(3, shape).astype(np.uint8)


def prepared(page: Path, viewer: Any) -> dict[str, Any]:
    """Return what a page takes for granted; in the current folder, its files."""
    if page.name == "README.md":
        viewer.add_image(noise(20, 20))
        return {"stack": noise(2, 3, 64, 64), "photo": noise(20, 20, 3)}
    if page.name == "large.md":
        import zarr

        zarr.save_array("embryo.zarr/0", noise(2, 3, 20, 20))
    return {}


@pytest.fixture
def viewer() -> Any:
    """A viewer without a window, with this plugin's samples."""
    components = pytest.importorskip("napari.components")
    import npe2

    manager = npe2.PluginManager.instance()
    if "napari-noiser" not in manager:
        manager.register(npe2.PluginManifest.from_distribution("napari-noiser"))
    return components.ViewerModel()


@pages(WITH_PYTHON)
def test_the_python_of_a_page_runs(page: Path, viewer: Any, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    shrink_samples(monkeypatch)
    names = {"viewer": viewer, "__name__": "page", **prepared(page, viewer)}
    for number, snippet in enumerate(snippets(page), start=1):
        exec(compile(snippet, f"{page.name}, block {number}", "exec"), names)


@pages(PAGES)
def test_pictures_and_pages_that_a_page_names_are_there(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for target in PICTURE.findall(text) + LINK.findall(text):
        assert (page.parent / target).is_file(), target


@pages([ROOT / "CONTRIBUTING.md", DOCS / "architecture.md"])
def test_files_that_a_page_sends_to_are_there(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert all((page.parent / target).is_file() for target in LINK.findall(text))
    for path in FILE.findall(text):
        roots = (ROOT, Path(napari_noiser.__file__).parent)
        assert any((root / path).exists() for root in roots), path


def test_no_picture_is_large_or_left_over() -> None:
    named = {
        (page.parent / target).resolve()
        for page in PAGES
        for target in PICTURE.findall(page.read_text(encoding="utf-8"))
    }
    there = set((DOCS / "images").iterdir())
    assert there == named
    assert all(picture.stat().st_size < 300_000 for picture in there)


def test_the_api_page_has_every_public_name() -> None:
    said: set[str] = set()
    module = "napari_noiser"
    text = (DOCS / "api.md").read_text(encoding="utf-8")
    for kind, name in re.findall(r"^\.\. (currentmodule|auto\w+|py:data):: ([\w.]+)$", text, re.M):
        module = name if kind == "currentmodule" else module
        if kind != "currentmodule":
            said.add(f"{module}.{name}")
            assert name in importlib.import_module(module).__all__, f"{module}.{name}"
    subjects = {"analysis", "camera", "io", "recipes"}
    for subject in subjects:
        names = importlib.import_module(f"napari_noiser.{subject}").__all__
        assert {f"napari_noiser.{subject}.{name}" for name in names} <= said, subject
    here = {f"napari_noiser.{name}" for name in set(napari_noiser.__all__) - subjects}
    elsewhere = {name.rpartition(".")[2] for name in said}
    assert {name for name in here - said if name.rpartition(".")[2] not in elsewhere} == set()


def test_every_page_is_in_a_table_of_contents() -> None:
    listed = {
        (page.parent / line).with_suffix(".md")
        for page in PAGES
        for block in TOCTREE.findall(page.read_text(encoding="utf-8"))
        for line in block.split()
        if not line.startswith(":")
    }
    assert listed == set(DOCS.rglob("*.md")) - {DOCS / "index.md"}
