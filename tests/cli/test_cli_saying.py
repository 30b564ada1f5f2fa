"""What is said reaches whoever can read it; where nobody can, what is done is still done."""

from __future__ import annotations

import io
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

from napari_noiser._errors import InputError
from napari_noiser.cli.console import print_error, print_warnings
from napari_noiser.cli.main import main
from napari_noiser.cli.parser import make_parser

FULL = Path("/dev/full")
needs_full = pytest.mark.skipif(not FULL.exists(), reason="no device that is always full")


@pytest.fixture
def words(tmp_path: Path) -> list[str]:
    """Return a command whose letters not every stream can encode."""
    np.save(tmp_path / "日本.npy", np.random.default_rng(0).poisson(5, (40, 50)))
    return ["enhance", str(tmp_path / "日本.npy"), str(tmp_path / "日本.tif")]


def test_letters_that_cannot_be_encoded_are_escaped(
    words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    streams = {name: io.TextIOWrapper(io.BytesIO(), "cp1252") for name in ("stdout", "stderr")}
    for name, stream in streams.items():
        monkeypatch.setattr(sys, name, stream)
    assert main(words) == 0
    for stream in streams.values():
        stream.flush()
        assert b"\\u65e5\\u672c." in stream.buffer.getvalue()  # type: ignore[attr-defined]


@needs_full
def test_a_full_stdout_is_no_failure_of_the_image(words: list[str]) -> None:
    with FULL.open("w") as full:
        command = [sys.executable, "-m", "napari_noiser", *words, "--quiet"]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE)
    assert (done.returncode, Path(words[2]).exists()) == (0, True)
    (line,) = done.stderr.splitlines()
    assert b"is done, but stdout cannot be written: " in line


@needs_full
def test_a_full_stderr_is_no_failure_of_the_image(
    words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with FULL.open("w", buffering=1) as full:
        monkeypatch.setattr(sys, "stderr", full)
        assert main(words) == 0


@pytest.mark.parametrize("name", ["stdout", "stderr"])
def test_a_stream_may_be_closed(
    words: list[str],
    name: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    closed = io.StringIO()
    closed.close()
    for at, stream in enumerate((None, closed)):
        with monkeypatch.context() as patch:
            patch.setattr(sys, name, stream)
            options = ["--quiet"] if stream is closed else []
            assert main([*words[:2], f"{words[2]}.{at}.tif", *options]) == 0
    other = capsys.readouterr()
    assert other.out.count("\n") == (0 if name == "stdout" else 2)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            InputError("axes", "must be named: take {axes}", axes=None),
            "--axes must be named: take",
        ),
        (InputError("ndim", "must fit, {ndim} came", ndim=3), "--ndim must fit, --ndim 3 came"),
        (InputError("model", "is for {samples}", samples=3), "--model is for samples=3"),
        (InputError("max_change", "is wrong"), "--max-change is wrong"),
        (InputError("image", "is empty"), "image is empty"),
        (InputError("", "has too few pixels", index=1), "b.tif has too few pixels"),
        (InputError("camera", "must be known", index=0), "a.tif: --camera must be known"),
        (FileNotFoundError("no image at ndim=2/a.tif"), "no image at ndim=2/a.tif"),
        (MemoryError("no room"), "no room"),
        (ValueError("a bug"), "ValueError a bug"),
    ],
)
def test_errors_name_options_and_files(
    error: Exception, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    args = make_parser().parse_args(["enhance", "IN", "OUT"])
    print_error(error, args, "name", [Path("a.tif"), Path("b.tif")])
    assert capsys.readouterr().err.startswith(f"napari-noiser: name: {said}")


def test_warnings_are_said_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    with print_warnings("name"):
        warnings.warn("the GPU is out of memory", stacklevel=1)
    assert capsys.readouterr().err == "napari-noiser: name: warning: the GPU is out of memory\n"
