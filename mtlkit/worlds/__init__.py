"""Embedded worlds: drawn data sets, each written in the layout of a real one. One file a world."""

import os
from pathlib import Path


def cache_folder() -> Path:
    """Where embedded worlds are drawn to: ``MTLKIT_CACHE``, else ``~/.cache/mtlkit``."""
    return Path(os.environ.get("MTLKIT_CACHE") or Path.home() / ".cache" / "mtlkit")
