"""``python -m napari_noiser``: the command line."""

import sys

from napari_noiser.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
