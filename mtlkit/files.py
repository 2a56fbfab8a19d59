"""Files that are written whole or not at all."""

import shutil
import uuid
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mtlkit.errors import DamagedFile


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Where to write, to be put in the place of ``path`` when all went well; folders are made.

    Several processes, of several machines on one disk, may write one path: the last one that ends has it.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with written_whole(Path(folder) / "new" / "a.txt") as part:
    ...         _ = part.write_text("whole")
    ...     [path.name for path in (Path(folder) / "new").iterdir()]
    ['a.txt']
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{uuid.uuid4().hex[:12]}.part")
    try:
        yield part
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def set_aside(path: Path) -> None:
    """Renames a kept file or folder that is damaged or of something else, and warns of it.

    It is named once and stops nothing. Where it cannot be renamed it stays, and is not used.
    """
    aside = path.with_name(f"{path.name}.damaged")
    if aside.is_dir():  # which nothing can take the place of
        shutil.rmtree(aside, ignore_errors=True)
    try:
        path.replace(aside)
    except FileNotFoundError:  # another process has done so
        return
    except OSError as error:
        warnings.warn(f"{path} is damaged, and cannot be renamed ({error.strerror}).", DamagedFile, stacklevel=2)
        return
    warnings.warn(f"{path} was damaged and is {aside.name} now; what it held is made again.", DamagedFile, stacklevel=2)
