"""The page that scrolls, in a window that is too low for it."""

from __future__ import annotations

import pytest
from magicgui.widgets import FloatSlider, LineEdit
from qtpy.QtCore import QPoint, QPointF, Qt
from qtpy.QtGui import QWheelEvent
from qtpy.QtWidgets import (
    QApplication,
    QComboBox,
    QDoubleSpinBox,
    QLabel,
    QPushButton,
    QVBoxLayout,
    QWidget,
)
from superqt import QCollapsible

from napari_noiser.plugin.widgets.qt_helpers import ScrollPage, foldable, form, resettable


@pytest.fixture
def page(qtbot) -> ScrollPage:
    """A list to choose from, and two folded texts below it, the second higher than the window."""
    choice, short, long = QComboBox(), QWidget(), QWidget()
    choice.addItems(["a", "b", "c"])
    for content, lines in ((short, 5), (long, 50)):
        QVBoxLayout(content).addWidget(QLabel("\n".join("line" for _ in range(lines))))
    page = ScrollPage(choice, foldable("short", short), foldable("long", long))
    qtbot.addWidget(page)
    page.resize(300, 160)
    page.show()
    qtbot.waitExposed(page)
    return page


def box(page: ScrollPage, title: str) -> QCollapsible:
    (found,) = (each for each in page.findChildren(QCollapsible) if title in each.text())
    return found


def in_view(page: ScrollPage, widget: QWidget, at: QPoint) -> bool:
    return page.viewport().rect().contains(widget.mapTo(page.viewport(), at))


def test_what_is_unfolded_comes_into_view(page: ScrollPage, qtbot) -> None:
    short = box(page, "short")
    short.toggleButton().click()
    qtbot.waitUntil(lambda: short.content().height() > 50)
    qtbot.waitUntil(lambda: in_view(page, short, short.rect().bottomLeft()))
    assert in_view(page, short, QPoint())


def test_of_what_is_too_high_it_is_the_title(page: ScrollPage, qtbot) -> None:
    long = box(page, "long")
    long.toggleButton().click()
    qtbot.waitUntil(lambda: long.content().height() > 300)
    qtbot.waitUntil(lambda: in_view(page, long, QPoint()))
    assert not in_view(page, long, long.rect().bottomLeft())


def test_what_is_folded_takes_no_more_room_than_its_title(page: ScrollPage, qtbot) -> None:
    short = box(page, "short")
    low = short.height()
    short.toggleButton().click()
    qtbot.waitUntil(lambda: short.height() > low)
    short.toggleButton().click()
    qtbot.waitUntil(lambda: short.height() == low == short.toggleButton().height())


def test_the_keyboard_does_not_reach_what_is_folded(page: ScrollPage, qtbot) -> None:
    inside = QPushButton("inside")
    box(page, "short").content().layout().addWidget(inside)
    assert not inside.isVisible()
    box(page, "short").toggleButton().click()
    assert inside.isVisible()
    box(page, "short").toggleButton().click()
    assert not inside.isVisible()


def test_unfolding_does_not_widen_the_page(qtbot) -> None:
    content = QWidget()
    QVBoxLayout(content).addWidget(QLabel("wide " * 30))
    page = ScrollPage(foldable("short", content))
    qtbot.addWidget(page)
    page.show()
    folded = page.minimumSizeHint().width()
    assert folded > 300
    box(page, "short").expand(animate=False)
    assert page.minimumSizeHint().width() == folded


@pytest.mark.parametrize("points", [9, 16, 24])
def test_labels_and_numbers_are_as_wide_as_their_font_asks(points: int, qtbot) -> None:
    slider = FloatSlider(label="brightness", value=0, min=-3, max=3)
    both = form(slider_and_button := resettable(slider), LineEdit(label="statistics from"))
    assert slider_and_button.label == "brightness"
    qtbot.addWidget(both.native)
    both.native.setStyleSheet(f"* {{ font-size: {points}pt }}")
    both.native.show()
    QApplication.processEvents()
    labels = [each for each in both.native.findChildren(QLabel) if each.text()]
    assert len(labels) == 2
    assert len({each.width() for each in labels}) == 1  # a column
    for label in labels:
        assert label.width() >= label.fontMetrics().horizontalAdvance(label.text())
    number = slider.native.findChild(QDoubleSpinBox)
    assert number.width() >= number.fontMetrics().horizontalAdvance("-3.00")


def test_the_wheel_is_left_to_the_page_where_nobody_chooses(page: ScrollPage) -> None:
    choice = page.findChild(QComboBox)
    choice.clearFocus()  # which the first control has where windows become active when shown
    assert not takes_wheel(choice)
    assert choice.currentText() == "a"


def takes_wheel(control: QWidget) -> bool:
    """Turn the wheel one notch towards oneself, over a control: else what holds it gets that."""
    at = QPointF(control.rect().center())
    event = QWheelEvent(
        at,
        control.mapToGlobal(at),
        QPoint(),
        QPoint(0, -120),
        Qt.MouseButton.NoButton,
        Qt.KeyboardModifier.NoModifier,
        Qt.ScrollPhase.NoScrollPhase,
        False,
    )
    QApplication.sendEvent(control, event)
    return event.isAccepted()
