"""The state of a training that is kept while it runs, so that it goes on where it was killed."""

import zipfile
from pathlib import Path
from typing import Any

import torch

from mtlkit.files import set_aside, written_whole


def save(path: Path, state: dict[str, Any]) -> None:
    """Writes ``state``, whole or not at all, with the name of the training that it is of."""
    with written_whole(path) as part:
        torch.save(state | {"of": path.stem}, part)


def load(path: Path, device: torch.device) -> dict[str, Any] | None:
    """What :func:`save` wrote; ``None`` where there is nothing, or it is damaged or that of another training."""
    if not path.exists():
        return None
    try:
        with zipfile.ZipFile(path) as file:
            whole = file.testzip() is None  # torch writes checksums and does not look at them
        state: dict[str, Any] = torch.load(path, map_location=device, weights_only=True) if whole else {}
    except Exception:  # torch and zipfile raise a dozen kinds for damaged files
        state = {}
    # Earlier versions did not say whose state it is.
    if "step" in state and state.get("of", path.stem) == path.stem:
        return state
    set_aside(path)
    return None
