"""The command `stepwell`."""

import signal
import sys

from . import _native


def main() -> None:
    """Runs the command with the process's arguments, and ends the process with its status."""
    # As in a program of its own: Ctrl-C ends it, and a closed pipe is told by a write.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    sys.exit(_native.main(sys.argv))
