"""Banding: rows or columns with offsets of their own, as sCMOS, CCD and line scans have them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import median_filter

from napari_noiser._errors import InputError
from napari_noiser._validation import check_choice, check_not_masked

Floats = NDArray[np.float64]

Lines = Literal["rows", "columns"]
"""What has an offset of its own."""

Banding = Literal["keep", "rows", "columns", "both"]
"""What is taken out."""

_WINDOW = 9  # lines of which the median is smooth: structure thicker than 4 lines stays
_PASSES = 2  # the second finds what the first one's own median took in
_CLIPPED = 3.0  # standard deviations
_NORMAL = 1.4826  # of a normal distribution, over the median of absolute deviations
_ROWS = 256  # that are looked at together
_SIDE = 512  # pixels a side that tell whether there is banding
_LEAST_LINES = 32
_SEEN = 0.1  # of the noise's standard deviation: less does not show
_ALIKE = 0.3  # correlation of both halves of the lines; chance has 0.1 among 100 lines


@dataclass(frozen=True)
class BandingStrength:
    """Standard deviations of the offsets of rows and columns, over that of the noise; 0 if none.

    Parameters
    ----------
    rows, columns : float
        As far as both halves of the lines have it alike.
    """

    rows: float = 0.0
    columns: float = 0.0

    @property
    def found(self) -> Banding:
        """What there is to be taken out."""
        if self.rows and self.columns:
            return "both"
        return "rows" if self.rows else "columns" if self.columns else "keep"

    def without(self, plane: Floats) -> Floats:
        """Return a plane less the banding that was found in it."""
        if self.rows:
            plane = plane - banding_profile(plane, "rows")[:, None]
        return plane - banding_profile(plane, "columns") if self.columns else plane

    def remark(self) -> str:
        """Return what it means for an image; empty if there is none."""
        if self.found == "keep":
            return ""
        both = {"Rows": self.rows, "columns": self.columns}
        lines = " and ".join(name for name, each in both.items() if each)
        strongest = max(both.values())
        return (
            f"{lines[0].upper()}{lines[1:]} have offsets of their own ({strongest:.2f} of the "
            "noise's standard deviation), as the amplifiers of a camera or a line scan leave "
            "them: denoising takes such banding for structure. It is taken out before by "
            f'banding="{self.found}".'
        )


def banding_profile(plane: ArrayLike, lines: Lines = "rows") -> Floats:
    """Return the offset of each row, or column, of a plane.

    Parameters
    ----------
    plane : array, shape (Y, X)
        Counts; what is not finite does not count.
    lines : {"rows", "columns"}
        Which have offsets of their own.

    Returns
    -------
    array
        One number a line, 0 in the median: ``plane - profile[:, None]`` is without banding of
        rows, ``plane - profile`` without that of columns.

    Raises
    ------
    TypeError
        If the plane is a masked array.
    ValueError
        If it has not 2 dimensions, or the lines are called otherwise.

    Notes
    -----
    The mean, clipped at 3 robust standard deviations, of what a line has beyond the running
    median of 9 lines: light that fills less than most of a line, and what is thicker than 4
    lines, stays.
    """
    given = check_not_masked("plane", plane)
    check_choice("lines", lines, Lines)
    if given.ndim != 2:
        raise InputError("plane", f"must have 2 dimensions, got shape {given.shape}")
    values = given.astype(np.float64)
    return _profile(values if lines == "rows" else values.T)


def banding_strength(plane: ArrayLike) -> BandingStrength:
    """Estimate how strong the banding of a plane is, in its middle.

    Parameters
    ----------
    plane : array, shape (Y, X)
        Counts; what is not finite does not count.

    Returns
    -------
    BandingStrength
        Noise that neighbors share, and structure, are alike in no more than one half of a line.
    """
    values = check_not_masked("plane", plane).astype(np.float64)
    middle = values[tuple(slice(max(0, (n - _SIDE) // 2), (n + _SIDE) // 2) for n in values.shape)]
    return BandingStrength(_strength(middle), _strength(middle.T))


def _strength(plane: Floats) -> float:
    """Return the strength of rows' banding, 0 if there is none."""
    half = plane.shape[1] // 2
    if len(plane) < _LEAST_LINES or half < _LEAST_LINES:
        return 0.0
    left, right = _profile(plane[:, :half]), _profile(plane[:, half:])
    beyond = _residual(plane)
    known = beyond[np.isfinite(beyond)]
    noise = _NORMAL * float(np.median(np.abs(known))) if known.size else 0.0
    left, right = (each.clip(*np.percentile(each, (1, 99))) for each in (left, right))
    left, right = left - left.mean(), right - right.mean()
    shared, alone = float((left * right).mean()), float(left.std() * right.std())
    if not (noise > 0 and shared > _ALIKE * alone > 0):
        return 0.0
    strength = shared**0.5 / noise
    return strength if strength > _SEEN else 0.0


def _profile(plane: Floats) -> Floats:
    """Return the offset of each row."""
    total = np.zeros(len(plane))
    for _ in range(_PASSES):
        beyond = _residual(plane - total[:, None])
        total += _clipped_means(beyond)
    return total - np.median(total)


def _residual(plane: Floats) -> Floats:
    """Return a plane less its running median of rows, NaN where it is not finite."""
    known = np.isfinite(plane)
    if not known.any():
        return np.full(plane.shape, np.nan)
    filled = plane if known.all() else _filled(plane, known)
    smooth = median_filter(filled, size=(_WINDOW, 1), mode="reflect")
    return np.where(known, filled - smooth, np.nan)


def _filled(plane: Floats, known: NDArray[np.bool_]) -> Floats:
    """Return a plane with the pixel above, or below, in place of those that are not known."""
    rows = np.arange(len(plane))[:, None]
    above = np.maximum.accumulate(np.where(known, rows, -1), axis=0)
    below = np.minimum.accumulate(np.where(known, rows, len(plane))[::-1], axis=0)[::-1]
    nearest = np.where(
        (above >= 0) & ((rows - above <= below - rows) | (below == len(plane))), above, below
    ).clip(0, len(plane) - 1)
    taken = np.take_along_axis(plane, nearest, axis=0)
    return np.where(np.isfinite(taken), taken, np.median(plane[known]))


def _clipped_means(beyond: Floats) -> Floats:
    """Return the mean of each row but for its outliers; 0 of a row without values."""
    means = np.zeros(len(beyond))
    for start in range(0, len(beyond), _ROWS):
        rows = beyond[start : start + _ROWS]
        away = np.abs(rows - _medians(rows)[:, None])
        spread = _NORMAL * _medians(away)
        clipped = np.where(spread > 0, _CLIPPED * spread, np.inf)
        for at, near in enumerate(np.isfinite(rows) & (away <= clipped[:, None]), start):
            if near.any():
                means[at] = beyond[at][near].mean()
    return means


def _medians(rows: Floats) -> Floats:
    """Return the median of what is finite in each row, NaN of a row without values."""
    known = np.isfinite(rows)
    in_order = np.sort(np.where(known, rows, np.nan), axis=1)  # NaN comes last
    count = known.sum(axis=1)
    middle = np.stack([(count - 1) // 2, count // 2], axis=1).clip(0, rows.shape[1] - 1)
    return np.take_along_axis(in_order, middle, axis=1).mean(axis=1)
