import os
import shutil
import subprocess
import tarfile

import pytest
from packed import tar, zipped

from mtlkit.data import archives
from mtlkit.data.archives import git_tree, merge, unpacked
from mtlkit.errors import InputError


def everything(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def refuse(sentence, archive, folder):
    with pytest.raises(InputError, match=sentence), unpacked(archive, folder):
        pass


MEMBERS = {"a/b/one.txt": b"1", "two.txt": b"2"}


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz", "zip"])
def test_what_is_packed_is_there_and_the_folder_goes_with_the_block(tmp_path, mode):
    path = tmp_path / "packed"  # the name says nothing
    zipped(path, MEMBERS) if mode == "zip" else tar(path, MEMBERS, mode)
    left = tmp_path / "to/.packed.unpacking/half"  # by a run that was killed
    left.parent.mkdir(parents=True)
    left.touch()
    with unpacked(path, tmp_path / "to") as folder:
        assert everything(folder) == MEMBERS
    assert list((tmp_path / "to").iterdir()) == []


def test_a_tar_that_ends_with_a_zip_is_a_tar(tmp_path):
    inner = zipped(tmp_path / "inner.zip", {"x": b"x"}).read_bytes()
    with unpacked(tar(tmp_path / "outer.tar", {"inner.zip": inner}), tmp_path) as folder:
        assert everything(folder) == {"inner.zip": inner}


@pytest.mark.parametrize("name", ["../evil", "a/../../evil", "/evil", "..\\evil", "C:\\evil"])
@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_a_member_that_leads_out_is_refused_and_nothing_is_left(tmp_path, kind, name):
    pack = tar if kind == "tar" else zipped
    archive = pack(tmp_path / f"packed.{kind}", {"good": b"", name: b"evil"})
    refuse(r"holds .*evil', which leads out of the folder; it is not unpacked", archive, tmp_path / "deep/er")
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [archive]


@pytest.mark.parametrize(
    ("kind", "target"),
    [(tarfile.SYMTYPE, "/etc"), (tarfile.SYMTYPE, "../.."), (tarfile.LNKTYPE, "../secret"), (tarfile.CHRTYPE, "")],
)
def test_a_link_that_leads_out_and_a_device_are_refused(tmp_path, kind, target):
    (tmp_path / "secret").write_text("secret")
    archive = tar(tmp_path / "packed.tar", {"link": b"", "link/inside": b"evil"}, link=(kind, target))
    with pytest.raises(InputError, match=r"packed.tar cannot be unpacked \("), unpacked(archive, tmp_path / "to"):
        pass
    assert not any((tmp_path / "to").rglob("*"))


def damaged(path, how):
    content = path.read_bytes()
    path.write_bytes({"cut": content[: len(content) // 2], "empty": b"", "text": b"<html>" * 99}[how])
    return path


@pytest.mark.parametrize("how", ["cut", "empty", "text"])
@pytest.mark.parametrize("mode", ["w", "w:gz", "w:xz", "zip"])
def test_a_damaged_archive_is_one_sentence(tmp_path, mode, how):
    members = {f"{number}": os.urandom(5000) for number in range(9)}
    archive = tmp_path / "packed"
    zipped(archive, members) if mode == "zip" else tar(archive, members, mode)
    refuse(r"packed cannot be unpacked \(.+\); remove it and fetch it again", damaged(archive, how), tmp_path / "to")


def test_a_zip_that_would_fill_the_disk_is_not_unpacked(tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)._replace(free=10)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    refuse("needs room for 1 kB", zipped(tmp_path / "packed.zip", {"a": bytes(99)}), tmp_path)


def test_a_python_that_cannot_keep_a_tar_in_its_folder_is_told_so(tmp_path, monkeypatch):
    monkeypatch.delattr(archives.tarfile, "data_filter")
    refuse(r"Python 3\.11\.4", tar(tmp_path / "packed.tar", MEMBERS), tmp_path)


def test_folders_are_merged(tmp_path):
    for folder, files in (("one", {"a/x": "new", "b": "b"}), ("two", {"a/x": "old", "a/y": "y"})):
        for name, text in files.items():
            (tmp_path / folder / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / folder / name).write_text(text)
    assert merge(tmp_path / "one", tmp_path / "two") == 2
    assert everything(tmp_path / "two") == {"a/x": b"new", "a/y": b"y", "b": b"b"}


def test_the_tree_is_gits(tmp_path):
    if shutil.which("git") is None:
        pytest.skip("SKIPPED LOUDLY: git is not installed")
    for name in ("a", "a.b/c", "a/b", "a0", "z/y/x (1).jpg"):
        if name != "a":
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_bytes(name.encode() * 1000)
    expected = git_tree(tmp_path)
    for words in (["init", "-q"], ["-c", "core.autocrlf=false", "add", "-A"]):
        subprocess.run(["git", *words], cwd=tmp_path, check=True)
    found = subprocess.run(["git", "write-tree"], cwd=tmp_path, check=True, capture_output=True, text=True)
    assert found.stdout.strip() == expected
