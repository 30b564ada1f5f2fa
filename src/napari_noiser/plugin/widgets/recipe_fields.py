"""The fields of a recipe as texts: what a form shows of each, and what is wrong with them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, fields
from typing import Any

from docstring_parser import DocstringStyle, parse

from napari_noiser._errors import InputError
from napari_noiser.methods.noiser.recipe import KINDS, Recipe

_KIND = ".kind"
_WORDS = {"name", "kind"}
_BOOLS = {"False": False, "True": True}
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
class RecipeField:
    """A field of a recipe, or of its source or exposure: "width", or "source.mean".

    `help` is what its class documents, `default` its text to begin with. A field that only one
    kind of source or exposure has names both: "source", "gaussian".
    """

    name: str
    help: str
    default: str
    part: str = ""
    kind: str = ""

    @property
    def label(self) -> str:
        """What stands before its control."""
        return _LABELS.get(self.name, self.name.rpartition(".")[2].replace("_", " "))

    @property
    def choices(self) -> tuple[str, ...]:
        """What can be chosen, if it is no text."""
        among = _BOOLS if self.default in _BOOLS else ()
        return tuple(KINDS.get(self.name.removesuffix(_KIND), among))

    def applies_to(self, texts: Mapping[str, str]) -> bool:
        """Return whether the recipe of these texts has this field."""
        return not self.part or texts.get(self.part + _KIND) == self.kind


def recipe_fields() -> Iterator[RecipeField]:
    """Yield all fields, of sources and exposures of all kinds, in the order of a recipe's."""
    defaults = to_text(Recipe(name="mine"))
    for part, text in _documentation(Recipe).items():
        name = part + _KIND if part in KINDS else part
        yield RecipeField(name, text, defaults[name])
        for kind, cls in KINDS.get(part, {}).items():
            of_kind = to_text(from_text({"name": "mine", name: kind}))
            for field, field_text in _documentation(cls).items():
                own = f"{part}.{field}"
                yield RecipeField(own, field_text, of_kind[own], part, kind)


def to_text(recipe: Recipe) -> dict[str, str]:
    """Return the texts of a recipe's fields, by their names.

    >>> to_text(Recipe(name="mine"))["source.variance"]
    '1.0'
    """
    texts: dict[str, str] = {}
    for name, value in recipe.to_dict().items():
        part = value if isinstance(value, dict) else {"": value}
        texts |= {f"{name}.{key}".rstrip("."): _format(each) for key, each in part.items()}
    return texts


def from_text(texts: Mapping[str, str], form: tuple[int, int] | None = None) -> Recipe:
    """Return the recipe of texts as of `to_text`; a field that is left out has its default.

    It is checked for training on images of the form's samples, if there is one.

    >>> from_text({"name": "mine", "source.kind": "gaussian", "source.mean": "0, 0.1, 0.2"}).source
    GaussianNoise(mean=(0.0, 0.1, 0.2), variance=1.0)
    """
    values: dict[str, Any] = {}
    for name, text in texts.items():
        part, _, field = name.rpartition(".")
        inside = values.setdefault(part, {}) if part else values
        inside[field] = text if field in _WORDS else _BOOLS.get(text, _parse(text))
    try:
        recipe = Recipe.from_dict(values)
        if form is not None:
            recipe.check_samples(form[0])
    except InputError as error:
        raise _quote_text(error, texts) from error
    return recipe


def validate(texts: Mapping[str, str], form: tuple[int, int] | None = None) -> dict[str, str]:
    """Return the messages of `from_text` for all fields that are wrong, by their names.

    What no single field is to blame for goes under "name".

    >>> validate({"name": "mine", "width": "none"})
    {'width': "width must be a whole number of at least 1, got 'none'"}
    """
    kinds = {name: text for name, text in texts.items() if name.endswith(_KIND)}
    each = {name: {"name": "any", **kinds, name: text} for name, text in texts.items()}
    faults = {name: _fault(alone, form) for name, alone in each.items()}
    if not any(faults.values()):
        faults["name"] = _fault(texts, form)
    return {name: fault for name, fault in faults.items() if fault}


def _fault(texts: Mapping[str, str], form: tuple[int, int] | None) -> str:
    try:
        from_text(texts, form)
    except InputError as error:
        return str(error)
    return ""


def _documentation(cls: type) -> dict[str, str]:
    """Return what the docstring of a dataclass says of each of its fields."""
    params = parse(cls.__doc__ or "", DocstringStyle.NUMPYDOC).params
    texts = {param.arg_name: param.description or "" for param in params}
    return {
        field.name: " ".join(texts.get(field.name, "").replace("`", "").split())
        + f"\nIn a script: {field.name}"
        for field in fields(cls)
    }


def _format(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, (tuple, list)) else str(value)


def _parse(text: str) -> Any:
    """Return a number, several of them, or the text where it is neither: its field refuses it."""
    if not text.strip():
        return ()
    numbers = [_parse_number(each.strip()) for each in text.split(",")]
    return numbers[0] if len(numbers) == 1 else tuple(numbers)


def _parse_number(text: str) -> int | float | str:
    for kind in (int, float):
        with suppress(ValueError):
            return kind(text)
    return text


def _quote_text(error: InputError, texts: Mapping[str, str]) -> InputError:
    """Return an error that quotes a field's text, not what was read from it.

    A text may be empty; or hold a decimal comma, which was read as one between numbers.
    """
    named = (text for name, text in texts.items() if name.rpartition(".")[2] == error.argument)
    text = next(named, "-")
    problem = error.problem
    if not text.strip():
        problem = problem.replace("got ()", "but it is empty")
    elif re.search(r"\d,\d", text) and problem.endswith(")"):
        problem = problem.replace(str(_parse(text)), repr(text)) + _COMMAS
    return type(error)(error.argument, problem, index=error.index, **error.mentioned)
