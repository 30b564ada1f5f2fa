"""The command as a process: what it imports, how it ends, and that --resume goes on."""

from __future__ import annotations

import io
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from napari_noiser import enhance
from napari_noiser.cli.main import main
from napari_noiser.files.open_image import open_image

DESKTOP = ["napari", "qtpy", "magicgui", "superqt", "npe2", "PyQt5", "PyQt6", "PySide6"]
STACK = np.random.default_rng(0).poisson(5, (3, 40, 50)).astype(np.uint16) + 100


def stored(path: Path) -> np.ndarray:
    return np.asarray(open_image(path).array[:])


def run(*arguments: object) -> int:
    """Return the exit code of the command, which is quiet."""
    return main([*map(str, arguments), "--quiet"])


class Stopping(io.StringIO):
    """A stdout that a signal comes with as soon as a result is written to it."""

    def __init__(self, number: signal.Signals) -> None:
        super().__init__()
        self.number = number

    def flush(self) -> None:
        signal.raise_signal(self.number)


@pytest.mark.parametrize(
    ("number", "code", "word"),
    [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")],
)
def test_a_signal_ends_it_and_resume_goes_on(
    tmp_path: Path,
    number: signal.Signals,
    code: int,
    word: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder, out = tmp_path / "images", tmp_path / "results"
    folder.mkdir()
    for name in "abc":
        np.save(folder / f"{name}.npy", STACK)
    handler = signal.getsignal(signal.SIGTERM)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with monkeypatch.context() as patch:
            patch.setattr(sys, "stdout", Stopping(number))
            assert run("enhance", folder, out) == code
    finally:
        signal.signal(signal.SIGINT, before)
    assert capsys.readouterr().err.startswith(f"napari-noiser: {word}; what is finished is kept")
    assert [path.name for path in out.iterdir()] == ["a.tif"]
    assert signal.getsignal(signal.SIGTERM) == handler
    assert run("enhance", folder, out, "--resume") == 0
    assert capsys.readouterr().out.split() == [str(out / f"{name}.tif") for name in "abc"]


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGTERM that a process could handle here")
def test_terminated_and_killed_within_an_image_it_ends_the_same_to_the_last_bit(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.save(tmp_path / "a.npy", np.random.default_rng(0).poisson(5, (4, 512, 512)))
    out = tmp_path / "b.zarr"
    options = ["--model", "noiser", "--tile", 32, "--memory-limit", "8MB"]

    def start(target: Path, *more: str) -> subprocess.Popen[str]:
        command = ["-m", "napari_noiser", "enhance", tmp_path / "a.npy", target, *options, *more]
        return subprocess.Popen(
            [sys.executable, *map(str, command)], stderr=subprocess.PIPE, text=True
        )

    def stop(number: signal.Signals, *more: str) -> tuple[int, str]:
        """Run the command until it has finished a block more, send it a signal, and wait."""
        counted = tmp_path / "b.zarr.partial" / "finished"
        before = counted.stat().st_size if counted.exists() else 0
        process = start(out, *more)
        while process.poll() is None:
            if counted.exists() and counted.stat().st_size > before:
                process.send_signal(number)
                break
            time.sleep(0.01)
        return process.wait(), process.communicate()[1]

    code, said = stop(signal.SIGTERM)
    assert code == 143, said
    assert said.splitlines()[-1].startswith("napari-noiser: terminated; what is finished is kept")
    assert stop(signal.SIGKILL, "--resume")[0] == -signal.SIGKILL
    assert run("enhance", tmp_path / "a.npy", out, *options) == 2
    assert "b.zarr is unfinished: --resume goes on with it" in capsys.readouterr().err
    # Not in this process, whose threads other tests may have set: sums depend on their number.
    for process in (start(out, "--resume"), start(tmp_path / "whole.zarr")):
        assert process.wait() == 0, process.communicate()[1]
    np.testing.assert_array_equal(stored(out), stored(tmp_path / "whole.zarr"))


def modules(script: str) -> list[str]:
    """Return which modules there are in a Python of its own after a script."""
    script = f"import sys\n{script}\nprint('\\n:', *sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.split(":")[-1].split()


@pytest.mark.parametrize("command", [["--help"], ["enhance", "--help"], ["--version"]])
def test_help_is_there_at_once(command: list[str]) -> None:
    script = (
        "from napari_noiser.cli.main import main\n"
        f"try:\n    main({command})\n"
        "except SystemExit as end:\n    assert end.code == 0\n"
    )
    slow = {"torch", "zarr", "tifffile", "dask", *DESKTOP}
    assert slow.isdisjoint(modules(script))


def test_it_runs_without_the_desktop(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", STACK)
    arguments = ["enhance", str(tmp_path / "a.npy"), str(tmp_path / "b.zarr")]
    script = (
        f"sys.modules.update(dict.fromkeys({DESKTOP}))\n"
        "from napari_noiser.cli.main import main\n"
        f"assert main({arguments}) == 0"
    )
    assert "torch" in modules(script)
    np.testing.assert_allclose(stored(tmp_path / "b.zarr"), enhance(STACK), atol=1e-6)
