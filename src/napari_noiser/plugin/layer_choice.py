"""Choices among the layers of a viewer, which come and go, and are renamed."""

from __future__ import annotations

from magicgui.widgets import ComboBox

__all__ = ["offer_again"]


def offer_again(control: ComboBox) -> None:
    """Offer the layers that there are now; a choice that still stands is kept."""
    chosen = control.value
    with control.changed.blocked():  # a renamed layer is another choice at first
        control.reset_choices()
        if chosen in control.choices:
            control.value = chosen
    if control.value is not chosen:
        control.changed.emit(control.value)
