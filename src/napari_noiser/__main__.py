"""The command ``napari-noiser``, also ``python -m napari_noiser``: however it is interrupted."""

import signal
import sys

_INTERRUPTED = 130


def main() -> int:
    """Run the command, and return its exit code; Ctrl-C never ends in a traceback."""
    try:
        from napari_noiser.cli.main import main as run_command  # takes a while

        code = run_command()
    except KeyboardInterrupt:  # while modules load, or a second one
        if sys.stderr is not None:
            sys.stderr.write("napari-noiser: interrupted\n")
        code = _INTERRUPTED
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # what is left is Python's own end
    return code


if __name__ == "__main__":
    sys.exit(main())
