"""The command ``mtlkit``, also as ``python -m mtlkit``."""

import os
import signal
import sys

from mtlkit.errors import ExtraMissing, extra, terminal


def main() -> None:
    """Runs :func:`mtlkit.cli.main`, or says in one sentence what to install for it."""
    before = signal.signal(signal.SIGINT, _stop)
    try:
        try:
            with extra("run"):
                from mtlkit.cli import main as command
        except ExtraMissing as error:
            print(terminal(f"Error: {error}"), file=sys.stderr)
            raise SystemExit(2) from None
        command()
    finally:
        signal.signal(signal.SIGINT, before)


def _stop(number: int, frame: object) -> None:
    """Ends the process at Ctrl-C before anything has begun; :func:`mtlkit.cli.main` has its own handler."""
    os.write(2, b"Stopped by Ctrl-C.\n")
    os._exit(128 + number)  # an exception during imports would be shown with its traceback, or swallowed by one of them


if __name__ == "__main__":
    main()
