"""The page that scrolls: all of the widget but its buttons, in what height the dock has."""

from __future__ import annotations

from functools import partial

from qtpy.QtCore import QEvent, QObject, QSize, Qt, QTimer
from qtpy.QtWidgets import (
    QAbstractSpinBox,
    QComboBox,
    QFrame,
    QScrollArea,
    QSlider,
    QVBoxLayout,
    QWidget,
)
from superqt import QCollapsible

__all__ = ["Page"]

_LOWEST = 120  # pixels: a little of what is on it
_GAP = 8
_SETTLED = 100  # milliseconds, after which what was unfolded has its place


class Page(QScrollArea):
    """Widgets below each other; what is unfolded comes into view.

    Parameters
    ----------
    *widgets : QWidget
        From top to bottom.
    """

    def __init__(self, *widgets: QWidget) -> None:
        super().__init__(widgetResizable=True)
        inside = QWidget()
        layout = QVBoxLayout(inside)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(_GAP)
        for widget in widgets:
            layout.addWidget(widget)
        layout.addStretch(1)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setWidget(inside)
        self._unfolded: QCollapsible | None = None
        self._settling = QTimer(self, singleShot=True, interval=_SETTLED)
        self._settling.timeout.connect(self._look_at_unfolded)
        self.verticalScrollBar().rangeChanged.connect(self._on_range)
        for box in inside.findChildren(QCollapsible):
            box.toggled.connect(partial(self._on_toggled, box))
        self._leave_wheel_to_page(inside)

    def minimumSizeHint(self) -> QSize:
        """Return a size that cuts nothing off at the right."""
        bar = self.verticalScrollBar().sizeHint().width()
        return QSize(self.widget().minimumSizeHint().width() + bar, _LOWEST)

    def _on_toggled(self, box: QCollapsible, unfolded: bool) -> None:
        if unfolded:
            self._unfolded = box
            self._settling.start()

    def _on_range(self) -> None:
        if self._settling.isActive():  # texts find their height step by step
            self._look_at_unfolded()

    def _look_at_unfolded(self) -> None:
        if self._unfolded is not None:
            self.ensureWidgetVisible(self._unfolded, 0, 0)
            self.ensureWidgetVisible(self._unfolded.toggleButton(), 0, 0)  # if not all of it fits

    def _leave_wheel_to_page(self, inside: QWidget) -> None:
        leave = _LeaveWheel(self)
        for kind in (QComboBox, QSlider, QAbstractSpinBox):
            for control in inside.findChildren(kind):
                control.setFocusPolicy(Qt.FocusPolicy.StrongFocus)  # not by the wheel
                control.installEventFilter(leave)


class _LeaveWheel(QObject):
    """Keeps who scrolls the page from changing what happens to be below the pointer."""

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        if event is None or event.type() != QEvent.Type.Wheel or watched.hasFocus():
            return False
        event.ignore()  # so that the page gets it
        return True
