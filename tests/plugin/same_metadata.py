"""Whether two results say the same of themselves."""

from __future__ import annotations

from napari.layers import Image


def assert_same_metadata(found: Image, expected: Image) -> None:
    """Compare the metadata of two results."""
    assert found.metadata == expected.metadata
