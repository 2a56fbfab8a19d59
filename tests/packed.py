"""Archives for tests."""

import io
import tarfile
import zipfile


def tar(path, members, mode="w", **kinds):
    """A tar of files; ``kinds`` makes members links or devices: name=(type, target)."""
    with tarfile.open(path, mode) as opened:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kinds.get(name, (tarfile.REGTYPE, ""))
            info.size = len(content)
            opened.addfile(info, io.BytesIO(content))
    return path


def zipped(path, members):
    with zipfile.ZipFile(path, "w") as opened:
        for name, content in members.items():
            opened.writestr(name, content)
    return path
