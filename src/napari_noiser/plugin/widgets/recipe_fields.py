"""A recipe as a form: a text for each of its numbers, read back and checked one by one."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, fields
from inspect import cleandoc
from typing import Any

from napari_noiser.methods.noiser.exposure import EXPOSURES
from napari_noiser.methods.noiser.recipe import Recipe
from napari_noiser.methods.noiser.source_registry import SOURCES

__all__ = ["KINDS", "Entry", "entries", "from_text", "to_text", "validate"]

KINDS: Mapping[str, Mapping[str, type]] = {"source": SOURCES, "exposure": EXPOSURES}
"""The parts of a recipe that are of one kind or another, and what kinds there are."""

_KIND = ".kind"
_WORDS = {"name", "kind"}
_COMMAS = ": decimals take a point, a comma stands between numbers"
_LABELS = {
    "iterations": "training steps",
    "width": "network width",
    "size": "image side",
    "size_3d": "volume side",
    "betas": "Adam's betas",
    "tv_weight": "smoothness",
    "scales": "coarser scales",
    "batch": "images a step",
    "source.kind": "learns from",
    "exposure.kind": "exposed to",
    "source.grid": "patches a side",
}


@dataclass(frozen=True)
class Entry:
    """One line of the form.

    Attributes
    ----------
    name : str
        The field: "width", or "source.mean" for a field of the source.
    label : str
        What it is called in the form.
    says : str
        What it does, as its class documents it.
    default : str
        What is written in it at first.
    part, kind : str
        Of a field that only one kind of source has: "source", "gaussian".
    """

    name: str
    label: str
    says: str
    default: str
    part: str = ""
    kind: str = ""

    @property
    def choices(self) -> tuple[str, ...]:
        """What can be chosen, where it is not a number or a name that is written."""
        return tuple(KINDS.get(self.name.removesuffix(_KIND), ()))

    def stands_in(self, texts: Mapping[str, str]) -> bool:
        """Return whether a recipe that is written so has this field."""
        return not self.part or texts.get(self.part + _KIND) == self.kind


def entries() -> Iterator[Entry]:
    """Yield the lines of the form, for sources of all kinds, in the order of a recipe's fields."""
    defaults = to_text(Recipe(name="mine"))
    for field, says in _documented(Recipe).items():
        if field not in KINDS:
            yield Entry(field, _label(field), says, defaults[field])
        else:
            choice = field + _KIND
            yield Entry(choice, _label(choice), says, defaults[choice])
            for kind in KINDS[field]:
                yield from _entries_of(field, kind)


def to_text(recipe: Recipe) -> dict[str, str]:
    """Return a recipe as texts, by the names of their fields.

    >>> to_text(Recipe(name="mine"))["source.variance"]
    '1.0'
    """
    texts: dict[str, str] = {}
    for name, value in recipe.to_dict().items():
        part = value if isinstance(value, dict) else {"": value}
        texts |= {f"{name}.{key}".rstrip("."): _text(each) for key, each in part.items()}
    return texts


def from_text(texts: Mapping[str, str], form: tuple[int, int] | None = None) -> Recipe:
    """Return the recipe that is written in a form.

    Parameters
    ----------
    texts : mapping of str to str
        As of `to_text`; a field that is left out has its default.
    form : two ints, optional
        Samples and dimensions of the images that it is to be trained for.

    Raises
    ------
    TypeError, ValueError
        As of `Recipe` and its sources.

    Examples
    --------
    >>> from_text({"name": "mine", "source.kind": "gaussian", "source.mean": "0, 0.1, 0.2"}).source
    GaussianNoise(mean=(0.0, 0.1, 0.2), variance=1.0)
    """
    values: dict[str, Any] = {}
    for name, text in texts.items():
        part, _, field = name.rpartition(".")
        inside = values.setdefault(part, {}) if part else values
        inside[field] = text if field in _WORDS else _value(text)
    try:
        recipe = Recipe.from_dict(values)
        if form is not None:
            recipe.check_form(*form)
    except (TypeError, ValueError) as error:
        raise type(error)(_as_written(str(error), texts)) from error
    return recipe


def validate(texts: Mapping[str, str], form: tuple[int, int] | None = None) -> dict[str, str]:
    """Return what is wrong in a form: the messages of `from_text`, by field.

    What no single field is to blame for goes under the name.

    >>> validate({"name": "mine", "width": "none"})
    {'width': "width must be a whole number of at least 1, got 'none'"}
    """
    sound = {name: text for name, text in texts.items() if name.endswith(_KIND)}
    planes = None if form is None else (form[0], 2)  # of the dimensions no field can be to blame
    found: dict[str, str] = {}
    for name, text in texts.items():
        try:
            from_text({"name": "any", **sound, name: text}, planes)
        except (TypeError, ValueError) as error:
            found[name] = str(error)
    if not found:
        try:
            from_text(texts, form)
        except (TypeError, ValueError) as error:
            found["name"] = str(error)
    return found


def _entries_of(part: str, kind: str) -> Iterator[Entry]:
    """Yield the lines of what only one kind of source has."""
    defaults = to_text(from_text({"name": "mine", part + _KIND: kind}))
    for field, says in _documented(KINDS[part][kind]).items():
        name = f"{part}.{field}"
        yield Entry(name, _label(name), says, defaults[name], part, kind)


def _label(name: str) -> str:
    return _LABELS.get(name, name.rpartition(".")[2].replace("_", " "))


def _documented(cls: type) -> dict[str, str]:
    """Return what a class's docstring says of each field, in numpydoc's format."""
    text = cleandoc(cls.__doc__ or "")
    parameters = text.partition("Parameters\n----------\n")[2].partition("\n\n")[0]
    split = re.split(r"^(\w+) : .*\n", parameters, flags=re.MULTILINE)[1:]
    said = dict(zip(split[::2], split[1::2], strict=True))
    return {
        field.name: " ".join(said.get(field.name, "").replace("`", "").split())
        + f"\nIn a script: {field.name}"
        for field in fields(cls)
    }


def _text(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, (tuple, list)) else str(value)


def _value(text: str) -> Any:
    """Return a number, several of them, or the text where it is neither: its field refuses it."""
    if not text.strip():
        return ()
    numbers = [_number(each.strip()) for each in text.split(",")]
    return numbers[0] if len(numbers) == 1 else tuple(numbers)


def _as_written(fault: str, texts: Mapping[str, str]) -> str:
    """Say what was refused as it is written: nothing at all, or with what may be a decimal comma.

    Of several numbers it is said what a comma means.
    """
    for name, text in texts.items():
        if fault.startswith(name.rpartition(".")[2]) and not text.strip():
            return fault.replace("got ()", "but it is empty")
        several = fault.startswith(name.rpartition(".")[2]) and fault.endswith(")")
        if several and re.search(r"\d,\d", text):
            return fault.replace(str(_value(text)), repr(text)) + _COMMAS
    return fault


def _number(text: str) -> int | float | str:
    for kind in (int, float):
        with suppress(ValueError):
            return kind(text)
    return text
