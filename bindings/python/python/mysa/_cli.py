"""The ``mysa`` command, which the Rust part of the package contains."""

from __future__ import annotations

import signal
import sys

from ._native import run_command


def main() -> int:
    """Run the command with the arguments of this process, and return its exit code."""
    # Ctrl-C is the command's own business. Python's handler would only run after it.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    return run_command(["mysa", *sys.argv[1:]])
