"""Names of units: as files write them, as OME-NGFF spells them, and OME-XML's symbols."""

from __future__ import annotations

from collections.abc import Mapping

_PREFIXES = {
    **{"": "", "deci": "d", "centi": "c", "milli": "m", "micro": "µ", "nano": "n", "pico": "p"},
    **{"femto": "f", "atto": "a", "zepto": "z", "yocto": "y", "hecto": "h", "kilo": "k"},
    **{"mega": "M", "giga": "G", "tera": "T", "peta": "P", "exa": "E", "zetta": "Z", "yotta": "Y"},
}

_SYMBOLS: Mapping[str, str] = {
    **{prefix + "meter": symbol + "m" for prefix, symbol in _PREFIXES.items()},
    **{prefix + "second": symbol + "s" for prefix, symbol in _PREFIXES.items()},
    **{"angstrom": "Å", "inch": "in", "foot": "ft", "yard": "yd", "mile": "mi", "parsec": "pc"},
    **{"minute": "min", "hour": "h", "day": "d"},
}
"""OME-NGFF's names, and the symbols of OME-XML."""

_NAMES = {symbol: name for name, symbol in _SYMBOLS.items()}

_ALIASES = {
    **dict.fromkeys(("um", "micron", "mikron"), "micrometer"),
    **dict.fromkeys(("sec", "secs"), "second"),
    **{"usec": "microsecond", "us": "microsecond", "msec": "millisecond"},
    **{"hr": "hour", "inches": "inch", "feet": "foot"},
    **dict.fromkeys(("pixel", "px", "reference frame", "none", "null"), ""),
}


def unit_name(text: str) -> str:
    """Return OME-NGFF's name of a unit: "micrometer" for "µm", "um", "micron" or "Micrometers"."""
    plain = text.replace("\\u00B5", "µ").replace("μ", "µ").strip()
    if plain in _NAMES:  # before all is made lower case: "Mm" is not "mm"
        return _NAMES[plain]
    word = plain.lower().replace("metre", "meter")
    for candidate in (word, word.removesuffix("s")):
        known = _ALIASES.get(candidate, candidate)
        if known in _SYMBOLS or known == "":
            return known
    return plain


def unit_symbol(name: str) -> str | None:
    """Return OME-XML's symbol of a unit under its `unit_name`, or None."""
    return _SYMBOLS.get(name) if name else "pixel"
