"""Layout of controls: forms, rows, notes, reset buttons, foldable sections, a scrolling page."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from html import escape
from typing import Any, TypeVar

from magicgui.widgets import ComboBox, Container, FloatSlider, Label, PushButton, Widget
from qtpy.QtCore import QEvent, QObject, QSize, Qt, QTimer
from qtpy.QtGui import QIcon, QPixmap
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

Value = TypeVar("Value")

NARROW = 28
"""Width of a button of one character."""

_LABEL_WIDTH = 105  # of labels, at least
_FONT_EVENTS = (QEvent.Type.Polish, QEvent.Type.FontChange, QEvent.Type.StyleChange)
_LETTERS = 10  # of a choice, at least
_NUMBER = """
    QDoubleSpinBox {
        background: transparent; border: 0; padding: 0; min-width: 2.6em; max-width: 2.6em;
    }
    QDoubleSpinBox::up-button, QDoubleSpinBox::down-button { width: 0; }
    QDoubleSpinBox::up-arrow, QDoubleSpinBox::down-arrow { image: none; width: 0; }
"""
_ANY_HEIGHT = 2**24 - 1  # Qt's own limit
_GAP = 4  # above and below what is unfolded, and after texts


def _present(value: Value | None) -> Value:
    """Return what Qt's types say may be missing, and which is there."""
    assert value is not None
    return value


def single_shot(milliseconds: int, parent: QObject | None = None) -> QTimer:
    """Return a timer that times out once each time it is started."""
    timer = QTimer(parent)
    timer.setSingleShot(True)
    timer.setInterval(milliseconds)
    return timer


class Column(Container[Widget]):
    """A column of widgets without labels and margins."""

    def __init__(self, *widgets: Widget, tooltip: str = "") -> None:
        super().__init__(widgets=widgets, labels=False, label="", tooltip=tooltip)
        self.margins = (0, 0, 0, 0)


class OptionalComboBox(ComboBox):
    """A choice that may be None, of which magicgui's own would not announce that it is chosen."""

    def _on_value_change(self, value: Any = None) -> None:
        self.changed.emit(value)


class Note(Label):
    """A text that is wrapped to the width of the dock, and takes no room while it is empty."""

    def __init__(self) -> None:
        super().__init__(value="", visible=False, label="")
        self.native.setWordWrap(True)
        self.native.setTextFormat(Qt.TextFormat.PlainText)  # errors may hold anything
        self.native.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self.native.setContentsMargins(0, 0, _GAP, 0)  # beside a scroll bar

    def say(self, text: str) -> None:
        """Show a text; hide if it is empty."""
        self.value, self.visible = text, bool(text)


_LINK = "#3f7fd0"  # legible on dark and light: Qt's own link is dark in either theme


class LinkNote(Note):
    """A text that may end in a link, which is clicked or reached by the keyboard."""

    def __init__(self, link: str, on_link: Callable[[], object]) -> None:
        super().__init__()
        self._link = link
        self.native.setTextFormat(Qt.TextFormat.RichText)
        self.native.setTextInteractionFlags(
            Qt.TextInteractionFlag.LinksAccessibleByMouse
            | Qt.TextInteractionFlag.LinksAccessibleByKeyboard
        )
        self.native.linkActivated.connect(lambda _: on_link())

    def say(self, text: str, with_link: bool = False) -> None:
        """Show a text, and the link after it; hide if it is empty."""
        link = f' [<a href="#" style="color: {_LINK}">{self._link}</a>]'
        super().say(text and f"{escape(text)}{link if with_link else ''}")


def form(*widgets: Widget) -> Container[Widget]:
    """Return a column of widgets, their labels aligned."""
    container = Container(widgets=widgets, label="")
    container.margins = (0, 0, 0, 0)
    _LabelColumn(container.native)
    for box in container.native.findChildren(QComboBox):  # a long name must not widen the dock
        box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        box.setMinimumContentsLength(_LETTERS)
    return container


class _LabelColumn(QObject):
    """Keeps the labels of a form as wide as the widest of them is in napari's font."""

    def __init__(self, form: QWidget) -> None:
        super().__init__(form)
        self._labels = [each for each in form.findChildren(QLabel) if not each.wordWrap()]
        for label in self._labels:
            label.setMinimumWidth(_LABEL_WIDTH)
            label.installEventFilter(self)

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        if event is not None and event.type() in _FONT_EVENTS:
            # Of the texts, with the margins of napari's style.
            widths = [
                each.fontMetrics().horizontalAdvance(f"{each.text()}m") for each in self._labels
            ]
            for label in self._labels:
                label.setMinimumWidth(max(_LABEL_WIDTH, *widths))
        return False


def row(*widgets: Widget) -> Container[Widget]:
    """Return a row of widgets."""
    container = Container(widgets=widgets, layout="horizontal", labels=False, label="")
    container.margins = (0, 0, 0, 0)
    return container


def resettable(slider: FloatSlider) -> Container[Widget]:
    """Return a row of a slider and a button that resets it to its present value."""
    start = slider.value
    button = PushButton(text="↺", tooltip=f"Back to {start:g}")
    button.max_width = NARROW
    button.changed.connect(lambda: setattr(slider, "value", start))
    number = slider.native.findChild(QDoubleSpinBox)
    number.setStyleSheet(_NUMBER)  # napari's is for wider ones
    # Without buttons Qt 6.12 leaves the number no room beside those of napari's style.
    number.setButtonSymbols(QDoubleSpinBox.ButtonSymbols.UpDownArrows)
    both = row(slider, button)
    both.label, both.tooltip = slider.label, slider.tooltip
    return both


def foldable(
    title: str, content: QWidget, on_unfold: Callable[[], object] = lambda: None
) -> QCollapsible:
    """Return a foldable section, folded at first."""

    def on_toggled(unfolded: bool) -> None:
        box.setText(f"{'▾' if unfolded else '▸'}  {title}")  # an icon would not follow the theme
        content.setVisible(unfolded)  # otherwise the keyboard would reach it
        if unfolded:
            content.setMaximumHeight(_ANY_HEIGHT)  # it may grow later on
            on_unfold()

    blank = QPixmap(1, 1)  # a null icon is false in PySide6, and superqt then sets none
    blank.fill(Qt.GlobalColor.transparent)
    box = QCollapsible(expandedIcon=QIcon(blank), collapsedIcon=QIcon(blank))
    box.toggleButton().setIconSize(QSize(0, 0))
    box.setDuration(0)
    box.setContent(content)
    # Both would give texts the height of what they are before their lines break.
    box.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Preferred)
    layout = _present(box.layout())
    layout.setAlignment(Qt.AlignmentFlag(0))
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setSpacing(0)
    policy = content.sizePolicy()
    policy.setRetainSizeWhenHidden(True)  # its width: unfolding must not widen the dock
    content.setSizePolicy(policy)
    content.setContentsMargins(0, _GAP, 0, _GAP)  # none while it is folded
    box.toggled.connect(on_toggled)
    box.collapse(animate=False)
    return box


_LEAST_HEIGHT = 120  # pixels
_PAGE_GAP = 8
_SETTLING = 100  # milliseconds until the layout has settled after a section is unfolded


class ScrollPage(QScrollArea):
    """A scrolling column of widgets; a section that is unfolded is scrolled into view."""

    def __init__(self, *widgets: QWidget) -> None:
        super().__init__()
        self.setWidgetResizable(True)
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
        self._settling = single_shot(_SETTLING, self)
        self._settling.timeout.connect(self._show_unfolded)
        self._bar = _present(self.verticalScrollBar())
        self._bar.rangeChanged.connect(self._on_range)
        for box in inside.findChildren(QCollapsible):
            box.toggled.connect(partial(self._on_toggled, box))
        leave = _LeaveWheel(self)
        for kind in (QComboBox, QSlider, QAbstractSpinBox):
            for control in inside.findChildren(kind):
                control.setFocusPolicy(Qt.FocusPolicy.StrongFocus)  # not by the wheel
                control.installEventFilter(leave)

    def minimumSizeHint(self) -> QSize:
        """Return a size that is wide enough for all of its widgets."""
        width = _present(self.widget()).minimumSizeHint().width()
        return QSize(width + self._bar.sizeHint().width(), _LEAST_HEIGHT)

    def _on_toggled(self, box: QCollapsible, unfolded: bool) -> None:
        if unfolded:
            self._unfolded = box
            self._settling.start()

    def _on_range(self) -> None:
        if self._settling.isActive():  # wrapped texts get their height step by step
            self._show_unfolded()

    def _show_unfolded(self) -> None:
        if self._unfolded is not None:
            self.ensureWidgetVisible(self._unfolded, 0, 0)
            self.ensureWidgetVisible(self._unfolded.toggleButton(), 0, 0)  # if not all of it fits


class _LeaveWheel(QObject):
    """Keeps the wheel from changing the control below the pointer while the page scrolls."""

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        focused = isinstance(watched, QWidget) and watched.hasFocus()
        if event is None or event.type() != QEvent.Type.Wheel or focused:
            return False
        event.ignore()  # so that the page gets it
        return True
