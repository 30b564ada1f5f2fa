"""Questions answered on a thread of their own: of those asked meanwhile, only the last."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from threading import Thread
from typing import Any

from qtpy.QtCore import QObject, Signal  # type: ignore[attr-defined]


class LatestOnly(QObject):
    """Answers one question at a time; what was asked before the last is dropped.

    `answer` is called on the thread, and must not raise; `show` takes the answer on the GUI
    thread.

    Not one of napari's workers: Apply would wait for an answer where their pool has a single
    thread, and two that overlap restore in the wrong order how Python shows warnings. Nothing
    waits for this thread, not even the program's end.
    """

    _answered = Signal(int, object)

    def __init__(self, answer: Callable[[Any], Any], show: Callable[[Any], object]) -> None:
        super().__init__()
        self._answer, self._show = answer, show
        self._asked = 0
        self._waiting: list[Any] = []
        self._thinking = False
        self._answered.connect(self._on_answer)

    def submit(self, question: Any) -> None:
        """Answer this, instead of anything that was asked before."""
        self._asked += 1
        self._waiting = [question]
        if not self._thinking:
            self._begin()

    def cancel(self) -> None:
        """Show no answer to what was asked before."""
        self._asked += 1
        self._waiting = []

    def _begin(self) -> None:
        self._thinking = True
        question = (self._asked, self._waiting.pop())
        Thread(target=self._run, args=question, name="napari-noiser", daemon=True).start()

    def _run(self, number: int, question: Any) -> None:
        answer = self._answer(question)
        with suppress(RuntimeError):  # Qt has gone: the program ends
            self._answered.emit(number, answer)

    def _on_answer(self, number: int, answer: Any) -> None:
        self._thinking = False
        if self._waiting:
            self._begin()
        elif number == self._asked:
            self._show(answer)
