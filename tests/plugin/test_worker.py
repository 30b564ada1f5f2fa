"""Work in the background: it ends, stops, fails and cleans up, on real threads."""

from __future__ import annotations

import gc
import os
import threading
import weakref
from dataclasses import dataclass

import pytest
from napari.utils import progress
from napari.utils.notifications import notification_manager

from napari_noiser._progress import PartDone
from napari_noiser.plugin.tasks.background_task import BackgroundTask, TaskRunning


@dataclass(frozen=True)
class Step:
    """An event of a made-up job."""

    done: int
    total: int
    stage: str = "count"


class Record:
    """What a run said, and on which thread."""

    def __init__(self) -> None:
        self.events, self.results, self.ends = [], [], []

    def start(self, job) -> BackgroundTask:
        return BackgroundTask("A test", job, self._result, self.events.append, self.ends.append)

    def _result(self, result: object) -> None:
        assert threading.current_thread() is threading.main_thread()
        self.results.append(result)


@pytest.fixture
def record(qapp) -> Record:
    return Record()


def endless():
    done = 0
    while True:
        done += 1
        yield Step(done, 10**9)


def test_result_and_events_arrive_on_the_gui_thread(record: Record, wait_for_run) -> None:
    threads = []

    def job():
        for done in range(1, 6):
            threads.append(threading.current_thread())
            yield Step(done, 5)
        return "result"

    record.start(job)
    wait_for_run()
    assert threading.main_thread() not in threads
    assert record.results == ["result"]
    assert record.ends == ["finished"]
    assert record.events[-1] == Step(5, 5)


def test_parts_that_are_done_move_the_outer_bar(qapp, wait_for_run) -> None:
    seen, results = [], []

    def look(event) -> None:
        (bar,) = [bar for bar in progress._all_instances if hasattr(bar, "cancel")]
        if isinstance(event, PartDone):
            seen.append((event.result, bar.n, bar.total))

    def job():
        for done in (1, 2):
            yield Step(1, 1)
            yield PartDone(done, 3, f"part {done}")
        yield Step(1, 1)
        return "part 3"

    BackgroundTask("A test", job, results.append, look)
    wait_for_run()
    assert seen == [("part 1", 1, 3), ("part 2", 2, 3)]
    assert results == ["part 3"]


def test_cancel_stops_between_two_steps(record: Record, wait_for_run, qtbot) -> None:
    closed = threading.Event()
    steps = []

    def job():
        try:
            for step in endless():
                steps.append(step)
                yield step
        finally:
            closed.set()

    run = record.start(job)
    qtbot.waitUntil(lambda: len(record.events) > 2)
    run.cancel()
    made = len(steps)
    wait_for_run()
    assert len(steps) <= made + 1
    assert record.results == []
    assert record.ends == ["canceled"]
    del run
    qtbot.waitUntil(closed.is_set)


def test_a_canceled_job_is_closed_where_it_ran_before_the_run_ends(qapp, qtbot) -> None:
    ran, closed, ended = [], [], []

    def job():
        ran.append(threading.current_thread())
        try:
            yield from endless()
        finally:
            closed.append(threading.current_thread())

    run = BackgroundTask(
        "A test", job, lambda result: None, on_end=lambda outcome: ended.append([*closed])
    )
    held = run._worker  # as Qt may hold it, so that nothing is collected
    qtbot.waitUntil(lambda: bool(ran))
    run.cancel()
    qtbot.waitUntil(lambda: BackgroundTask.current is None)
    assert held is not None
    assert ended == [closed] == [ran]


def test_cancel_in_the_activity_dock_stops_too(record: Record, wait_for_run, qtbot) -> None:
    record.start(endless)
    qtbot.waitUntil(lambda: len(record.events) > 2)
    (bar,) = [bar for bar in progress._all_instances if hasattr(bar, "cancel")]
    bar.cancel()
    wait_for_run()
    assert record.ends == ["canceled"]


def test_no_bar_is_left_behind(record: Record, wait_for_run) -> None:
    before = len(progress._all_instances)

    def job():
        yield Step(1, 2)

    record.start(job)
    assert len(progress._all_instances) == before + 1
    wait_for_run()
    assert len(progress._all_instances) == before


def test_a_bar_follows_a_new_total(qapp, wait_for_run) -> None:
    totals = []

    def job():
        yield Step(40, 40)  # one level of an image, and then a smaller one
        yield Step(10, 10)

    def look(event: Step) -> None:
        totals.append([(bar.n, bar.total) for bar in progress._all_instances if bar.total])

    BackgroundTask("A test", job, lambda result: None, look)
    wait_for_run()
    assert totals == [[(40, 40)], [(10, 10)]]


@pytest.mark.parametrize("error", [ValueError, RuntimeError])
def test_an_error_is_reported_and_frees_the_way(record: Record, qtbot, error) -> None:
    def job():
        yield Step(1, 2)
        raise error("out of memory")

    record.start(job)
    qtbot.waitUntil(lambda: BackgroundTask.current is None)
    qtbot.wait(50)
    assert record.ends == ["failed: out of memory"]
    assert record.results == []
    assert "out of memory" in notification_manager.records[-1].message


def test_only_one_run_at_a_time(record: Record, wait_for_run) -> None:
    run = record.start(endless)
    with pytest.raises(TaskRunning, match="A test is still running"):
        record.start(endless)
    run.cancel()
    wait_for_run()
    record.start(endless).cancel()
    wait_for_run()
    assert record.ends == ["canceled", "canceled"]


def test_nothing_is_kept_after_a_run(record: Record, wait_for_run, qtbot) -> None:
    class Large:
        """Stands for a stack of gigabytes."""

    result = Large()
    gone = weakref.ref(result)

    def job(held=result):
        yield Step(1, 1)
        return held

    record.start(job)
    wait_for_run()
    assert record.results.pop() is result
    del result, job
    gc.collect()
    assert gone() is None


def test_an_error_does_not_keep_what_its_frames_held(record: Record, qtbot) -> None:
    class Large:
        """Stands for a GPU's memory, which must be free after it has run out."""

    kept = []

    def job():
        large = Large()
        kept.append(weakref.ref(large))
        yield Step(1, 2)
        raise RuntimeError("CUDA out of memory")

    record.start(job)
    qtbot.waitUntil(lambda: BackgroundTask.current is None)
    qtbot.wait(50)
    gc.collect()
    assert "out of memory" in notification_manager.records[-1].message
    assert kept[0]() is None


def test_a_late_cancel_does_nothing(record: Record, wait_for_run) -> None:
    def job():
        yield Step(1, 1)

    run = record.start(job)
    wait_for_run()
    run.cancel()
    assert record.ends == ["finished"]


def test_the_worker_takes_no_more_threads_than_it_is_given(record: Record, wait_for_run) -> None:
    import torch

    found = []

    def job():
        found.append(torch.get_num_threads())
        yield Step(1, 1)

    record.start(job)
    wait_for_run()
    assert found[0] <= max(1, (os.cpu_count() or 2) - 1)
