"""The page that scrolls, in a window that is too low for it."""

from __future__ import annotations

import pytest
from qtpy.QtCore import QPoint, QPointF, Qt
from qtpy.QtGui import QWheelEvent
from qtpy.QtWidgets import QApplication, QComboBox, QLabel, QVBoxLayout, QWidget
from superqt import QCollapsible

from napari_noiser.plugin.forms import foldable
from napari_noiser.plugin.page import Page


@pytest.fixture
def page(qtbot) -> Page:
    """A list to choose from, and two folded texts below it, the second higher than the window."""
    choice, short, long = QComboBox(), QWidget(), QWidget()
    choice.addItems(["a", "b", "c"])
    for content, lines in ((short, 5), (long, 50)):
        QVBoxLayout(content).addWidget(QLabel("\n".join("line" for _ in range(lines))))
    page = Page(choice, foldable("short", short), foldable("long", long))
    qtbot.addWidget(page)
    page.resize(300, 160)
    page.show()
    qtbot.waitExposed(page)
    return page


def box(page: Page, title: str) -> QCollapsible:
    (found,) = (each for each in page.findChildren(QCollapsible) if title in each.text())
    return found


def in_view(page: Page, widget: QWidget, at: QPoint) -> bool:
    return page.viewport().rect().contains(widget.mapTo(page.viewport(), at))


def test_what_is_unfolded_comes_into_view(page: Page, qtbot) -> None:
    short = box(page, "short")
    short.toggleButton().click()
    qtbot.waitUntil(lambda: short.content().height() > 50)
    qtbot.waitUntil(lambda: in_view(page, short, short.rect().bottomLeft()))
    assert in_view(page, short, QPoint())


def test_of_what_is_too_high_it_is_the_title(page: Page, qtbot) -> None:
    long = box(page, "long")
    long.toggleButton().click()
    qtbot.waitUntil(lambda: long.content().height() > 300)
    qtbot.waitUntil(lambda: in_view(page, long, QPoint()))
    assert not in_view(page, long, long.rect().bottomLeft())


def test_what_is_folded_takes_no_more_room_than_its_title(page: Page, qtbot) -> None:
    short = box(page, "short")
    low = short.height()
    short.toggleButton().click()
    qtbot.waitUntil(lambda: short.height() > low)
    short.toggleButton().click()
    qtbot.waitUntil(lambda: short.height() == low == short.toggleButton().height())


def test_the_wheel_is_left_to_the_page_where_nobody_chooses(page: Page) -> None:
    choice = page.findChild(QComboBox)
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
