"""Memory that may be taken: the machine's, but no more than a job's limits leave."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from napari_noiser.engine import device_memory as module
from napari_noiser.engine.device_memory import free_memory


@pytest.fixture
def groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(module, "_CGROUPS", tmp_path)
    monkeypatch.setattr(module, "_MEMBERSHIP", tmp_path / "membership")
    return tmp_path


def test_it_is_at_most_what_the_machine_has() -> None:
    assert 0 < free_memory() <= psutil.virtual_memory().total


@pytest.mark.parametrize(
    ("membership", "folder", "name"),
    [
        ("0::/slurm/job_7/step_0\n", "slurm/job_7/step_0", "memory.max"),
        ("0::/slurm/job_7/step_0\n", "slurm/job_7", "memory.max"),
        ("0::/\n", "", "memory.max"),
        ("9:pids:/\n4:cpu,memory:/docker/ab\n", "memory/docker/ab", "memory.limit_in_bytes"),
    ],
)
def test_a_jobs_limit_counts(groups: Path, membership: str, folder: str, name: str) -> None:
    (groups / "membership").write_text(membership)
    (groups / folder).mkdir(parents=True, exist_ok=True)
    held = psutil.Process().memory_info().rss
    (groups / folder / name).write_text(f"{held + 50_000_000}\n")
    assert 0 <= free_memory() <= 60_000_000


def test_no_limit_is_none(groups: Path) -> None:
    (groups / "membership").write_text("0::/job\n")
    (groups / "job").mkdir()
    (groups / "job" / "memory.max").write_text("max\n")
    assert free_memory() > 100_000_000


@pytest.mark.skipif(sys.platform == "win32", reason="no such limit")
def test_the_shells_limit_counts() -> None:
    script = (
        "import resource, psutil\n"
        "from napari_noiser.engine.device_memory import free_memory\n"
        "held = psutil.Process().memory_info().vms\n"
        "resource.setrlimit(resource.RLIMIT_AS, (held + 10**8,) * 2)\n"
        "assert free_memory() <= 10**8, free_memory()\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
