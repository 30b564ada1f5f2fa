"""Write files as a whole or not at all, whatever ends the process or fills the disk."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from secrets import token_hex

TEMPORARY = ".napari-noiser-*.new"
"""What files are called until they are complete; a kill may leave one."""


def replace_file(path: Path, content: bytes) -> None:
    """Write a file, which until then is what it was, or is not there.

    Raises
    ------
    OSError
        If it cannot be written, or if what is there is no regular file.
    """
    path = Path(os.path.realpath(path))  # a link stays one
    if path.exists() and not path.is_file():
        raise FileExistsError(f"{path} is no regular file, and is not replaced by one")
    temporary = path.with_name(TEMPORARY.replace("*", token_hex(8)))
    try:
        with temporary.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise
