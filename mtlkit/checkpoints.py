"""The state of a training that is kept while it runs, so that it goes on where it was killed."""

import io
import warnings
import zipfile
from pathlib import Path
from typing import Any

import torch

from mtlkit.files import permitted, set_aside, written_whole


def save(path: Path, state: dict[str, Any]) -> None:
    """Writes ``state``, whole or not at all, with the name of the training that it is of.

    Raises:
        NotWritten: there is no room, or the folder is read-only.
    """
    content = io.BytesIO()  # torch itself has no word for a full disk
    torch.save(state | {"of": path.stem, "threads": torch.get_num_threads()}, content)
    with written_whole(path) as part:
        part.write_bytes(content.getbuffer())


def load(path: Path, device: torch.device) -> dict[str, Any] | None:
    """What :func:`save` wrote; ``None`` where there is nothing, or it is damaged or that of another training.

    Warns where the training began on a CPU with another number of threads, of which the last bits of sums depend.
    """
    if not path.exists():
        return None
    permitted(path)
    try:
        if not path.is_file():  # a named pipe would be waited for
            raise ValueError
        with zipfile.ZipFile(path) as file:
            whole = file.testzip() is None  # torch writes checksums and does not look at them
        state: dict[str, Any] = torch.load(path, map_location=device, weights_only=True) if whole else {}
    except Exception:  # torch and zipfile raise a dozen kinds for damaged files
        state = {}
    # Earlier versions did not say whose state it is.
    if "step" in state and state.get("of", path.stem) == path.stem:
        threads = torch.get_num_threads()
        if device.type == "cpu" and (first := state.get("threads", threads)) != threads:
            warnings.warn(
                f"The training {path.stem} began with {first} threads and goes on with {threads}; its numbers will not "
                f"equal those of one run bit for bit, as they would with OMP_NUM_THREADS={first}.",
                RuntimeWarning,
                stacklevel=2,
            )
        return state
    set_aside(path)
    return None
