"""Errors as data: which argument is wrong, of which image, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class InputError(ValueError):
    """An argument that cannot be what it is; says so in words that each surface makes its own.

    Parameters
    ----------
    argument : str
        Its name in Python; empty where no single argument is to blame.
    problem : str
        What is wrong with it and what is accepted, as the sentence goes on after its name. Other
        arguments stand in braces, as ``{ndim}``.
    index : int, optional
        Which image, where several came.
    **mentioned
        The values of the arguments in braces; None where only the name is meant.

    Attributes
    ----------
    argument, problem, index, mentioned
        As given.

    Examples
    --------
    >>> error = InputError("statistics", "'plane' does not go with {ndim}", ndim=3)
    >>> str(error)
    "statistics 'plane' does not go with ndim=3"
    >>> error.phrase(lambda name, value: f"--{name}" + ("" if value is None else f" {value}"))
    "--statistics 'plane' does not go with --ndim 3"
    """

    def __init__(
        self, argument: str, problem: str, *, index: int | None = None, **mentioned: Any
    ) -> None:
        super().__init__(argument, problem)
        self.argument, self.problem = argument, problem
        self.index, self.mentioned = index, mentioned

    def phrase(
        self,
        name_argument: Callable[[str, Any], str],
        name_image: Callable[[int], str] = "images[{}]".format,
    ) -> str:
        """Return the error in words, its arguments and its image named as a surface names them.

        Parameters
        ----------
        name_argument : callable
            Returns what an argument is called, with a value or, if that is None, alone.
        name_image : callable
            Returns what the image of an index is called.
        """
        text = self.problem
        for name, value in self.mentioned.items():
            text = text.replace("{" + name + "}", name_argument(name, value))
        if self.argument:
            text = f"{name_argument(self.argument, None)} {text}"
        if self.index is None:
            return text
        return f"{name_image(self.index)}{':' if self.argument else ''} {text}"

    def about(self, argument: str | None = None, index: int | None = None) -> InputError:
        """Return the same error about an argument of another name, or about one of many images."""
        name = self.argument if argument is None else argument
        return type(self)(name, self.problem, index=index, **self.mentioned)

    def __str__(self) -> str:
        return self.phrase(_as_in_python)

    def __reduce__(self) -> tuple[Any, ...]:  # dask sends errors between processes
        return _rebuild, (type(self), self.argument, self.problem, self.index, self.mentioned)


class InputTypeError(InputError, TypeError):
    """An argument of the wrong type."""


def _as_in_python(name: str, value: Any) -> str:
    return name if value is None else f"{name}={value!r}"


def _rebuild(
    kind: type[InputError],
    argument: str,
    problem: str,
    index: int | None,
    mentioned: dict[str, Any],
) -> InputError:
    return kind(argument, problem, index=index, **mentioned)
