"""The command ``mtlkit``, also as ``python -m mtlkit``."""

import sys

from mtlkit.errors import ExtraMissing, extra, terminal


def main() -> None:
    """Runs :func:`mtlkit.cli.main`, or says in one sentence what to install for it."""
    try:
        with extra("run"):
            from mtlkit.cli import main as command
    except ExtraMissing as error:
        print(terminal(f"Error: {error}"), file=sys.stderr)
        raise SystemExit(2) from None
    command()


if __name__ == "__main__":
    main()
