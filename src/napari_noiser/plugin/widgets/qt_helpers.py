"""How controls are laid out: forms, rows, notes, what can be reset, what can be folded away."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from magicgui.widgets import Container, FloatSlider, Label, PushButton, Widget
from qtpy.QtCore import QEvent, QObject, QSize, Qt, QTimer
from qtpy.QtGui import QIcon
from qtpy.QtWidgets import (
    QAbstractSpinBox,
    QComboBox,
    QDoubleSpinBox,
    QFrame,
    QLabel,
    QScrollArea,
    QSizePolicy,
    QSlider,
    QVBoxLayout,
    QWidget,
)
from superqt import QCollapsible

__all__ = ["NARROW", "Note", "ScrollPage", "foldable", "form", "resettable", "row"]


NARROW = 28
"""Width of a button of one character."""

_LABEL_WIDTH = 105  # of labels, at least
_FONT_EVENTS = (QEvent.Type.Polish, QEvent.Type.FontChange, QEvent.Type.StyleChange)
_LETTERS = 15  # of a choice, at least
_NUMBER = "background: transparent; border: 0; padding: 0; min-width: 2.6em; max-width: 2.6em;"
_ANY_HEIGHT = 2**24 - 1  # Qt's own limit
_GAP = 4  # above and below what is unfolded, and after texts


class Note(Label):
    """A text that breaks its lines where the dock ends, and takes no room while it is empty."""

    def __init__(self) -> None:
        super().__init__(value="", visible=False, label="")
        self.native.setWordWrap(True)
        self.native.setTextFormat(Qt.TextFormat.PlainText)  # errors may hold anything
        self.native.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self.native.setContentsMargins(0, 0, _GAP, 0)  # beside a scroll bar

    def say(self, text: str) -> None:
        """Show a text, or nothing."""
        self.value, self.visible = text, bool(text)


def form(*widgets: Widget) -> Container:
    """Return widgets below each other, their labels in one column."""
    container = Container(widgets=widgets, label="")
    container.margins = (0, 0, 0, 0)
    _Column(container.native)
    for box in container.native.findChildren(QComboBox):  # a long name must not widen the dock
        box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        box.setMinimumContentsLength(_LETTERS)
    return container


class _Column(QObject):
    """Keeps the labels of a form as wide as the widest of them is in napari's font."""

    def __init__(self, form: QWidget) -> None:
        super().__init__(form)
        self._labels = [each for each in form.findChildren(QLabel) if not each.wordWrap()]
        for label in self._labels:
            label.setMinimumWidth(_LABEL_WIDTH)
            label.installEventFilter(self)

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        if event is not None and event.type() in _FONT_EVENTS:
            widest = max((_width(each) for each in self._labels), default=0)
            for label in self._labels:
                label.setMinimumWidth(max(_LABEL_WIDTH, widest))
        return False


def _width(label: QLabel) -> int:
    """Return the width of a label's text, and of the room that napari's style has around it."""
    return label.fontMetrics().horizontalAdvance(f"{label.text()}m")


def row(*widgets: Widget) -> Container:
    """Return widgets side by side."""
    container = Container(widgets=widgets, layout="horizontal", labels=False, label="")
    container.margins = (0, 0, 0, 0)
    return container


def resettable(slider: FloatSlider) -> Container:
    """Return a slider beside a button that puts it back to where it is now."""
    start = slider.value
    button = PushButton(text="↺", tooltip=f"Back to {start:g}")
    button.max_width = NARROW
    button.changed.connect(lambda: setattr(slider, "value", start))
    slider.native.findChild(QDoubleSpinBox).setStyleSheet(_NUMBER)  # napari's is for wider ones
    both = row(slider, button)
    both.label, both.tooltip = slider.label, slider.tooltip
    return both


def foldable(
    title: str, content: QWidget, on_unfold: Callable[[], object] = lambda: None
) -> QCollapsible:
    """Return something under a title, folded away until it is wanted."""

    def on_toggled(unfolded: bool) -> None:
        box.setText(f"{'▾' if unfolded else '▸'}  {title}")  # an icon would not follow the theme
        content.setVisible(unfolded)  # or else the keyboard would reach what nobody sees
        if unfolded:
            content.setMaximumHeight(_ANY_HEIGHT)  # it may say more later on
            on_unfold()

    box = QCollapsible(expandedIcon=QIcon(), collapsedIcon=QIcon())
    box.setDuration(0)
    box.setContent(content)
    # Both would give texts the height of what they are before their lines break.
    box.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Preferred)
    box.layout().setAlignment(Qt.AlignmentFlag(0))
    box.layout().setContentsMargins(0, 0, 0, 0)
    box.layout().setSpacing(0)
    policy = content.sizePolicy()
    policy.setRetainSizeWhenHidden(True)  # its width: unfolding must not widen the dock
    content.setSizePolicy(policy)
    content.setContentsMargins(0, _GAP, 0, _GAP)  # none while it is folded
    box.toggled.connect(on_toggled)
    box.collapse(animate=False)
    return box


_LOWEST = 120  # pixels: a little of what is on it
_PAGE_GAP = 8
_SETTLED = 100  # milliseconds, after which what was unfolded has its place


class ScrollPage(QScrollArea):
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
        layout.setSpacing(_PAGE_GAP)
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
