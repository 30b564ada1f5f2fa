"""The command ``napari-noiser``, also ``python -m napari_noiser``: however it is interrupted."""

import os
import signal
import sys

_INTERRUPTED = 130


def main() -> int:
    """Run the command, and return its exit code; Ctrl-C never ends in a traceback."""
    asked = signal.getsignal(signal.SIGINT)
    if asked is signal.default_int_handler:  # not where it is ignored, as behind nohup
        signal.signal(signal.SIGINT, _leave)
    from napari_noiser.cli.main import main as run_command  # takes a while

    signal.signal(signal.SIGINT, asked)
    try:
        code = run_command()
    except KeyboardInterrupt:  # a second one
        _say_interrupted()
        code = _INTERRUPTED
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # what is left is Python's own end
    return code


def _leave(number: int, frame: object) -> None:
    """End at once: while modules load nothing can be lost, and imports swallow exceptions."""
    _say_interrupted()
    os._exit(_INTERRUPTED)


def _say_interrupted() -> None:
    if sys.stderr is not None:
        sys.stderr.write("napari-noiser: interrupted\n")
        sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
