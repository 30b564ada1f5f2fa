"""The Python in a page of this guide, as the tests and screenshots.py run it."""

from __future__ import annotations

import re
from pathlib import Path

__all__ = ["snippets"]

_FENCED = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def snippets(page: Path) -> list[str]:
    """Return the fenced Python blocks of a Markdown page, from top to bottom."""
    return _FENCED.findall(page.read_text(encoding="utf-8"))
