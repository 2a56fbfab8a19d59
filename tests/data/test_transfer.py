"""Files over HTTP, from a server on this machine."""

import hashlib
import json
import resource
import shutil
import socket

import pytest

from mtlkit.data import transfer
from mtlkit.data.transfer import ATTEMPTS, TransferError, checksums, fetch
from mtlkit.errors import InputError

CONTENT = bytes(range(256)) * 4096  # 1 MiB


@pytest.fixture
def part(tmp_path, server):
    server.files["a"] = CONTENT
    return tmp_path / "a.part"


def interrupted(server, part, at=300_000, **how):
    """Leaves what a transfer that the user ended has written."""
    server.cut = at
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(transfer.time, "sleep", lambda _: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            fetch(server.url("a"), part, **how)
    server.cut = None
    server.requests.clear()
    assert part.stat().st_size == at


def test_a_file_arrives_and_no_head_is_asked_for(server, part):
    assert not fetch(server.url("a"), part, size=len(CONTENT))
    assert part.read_bytes() == CONTENT
    assert server.requests == [("a", None)]
    assert [path.name for path in part.parent.iterdir()] == ["a.part"]


@pytest.mark.parametrize("length", [True, False])
def test_a_transfer_that_breaks_off_goes_on_by_itself(server, part, length):
    server.cut, server.length = 300_000, length
    assert not fetch(server.url("a"), part, size=len(CONTENT))
    assert part.read_bytes() == CONTENT
    assert [asked for _, asked in server.requests] == [None, "bytes=300000-", "bytes=600000-", "bytes=900000-"]


@pytest.mark.parametrize("known", [True, False])
def test_an_interrupted_file_goes_on(server, part, known):
    size = len(CONTENT) if known else None
    interrupted(server, part, size=size)
    assert fetch(server.url("a"), part, size=size)
    assert part.read_bytes() == CONTENT
    assert server.requests == [("a", "bytes=300000-")]


def test_one_that_was_whole_is_asked_for_no_more_or_answered_so(server, part):
    for size in (len(CONTENT), None):
        interrupted(server, part, size=size)
        part.write_bytes(CONTENT)
        assert fetch(server.url("a"), part, size=size)
        assert server.requests == ([] if size else [("a", f"bytes={len(CONTENT)}-")])
        assert part.read_bytes() == CONTENT


def test_a_file_that_has_changed_meanwhile_begins_anew(server, part):
    interrupted(server, part)
    server.version, server.files["a"] = '"2"', CONTENT[::-1]
    fetch(server.url("a"), part)
    assert part.read_bytes() == CONTENT[::-1]
    interrupted(server, part)
    server.files["a"] = b"shorter"  # and under the same version
    fetch(server.url("a"), part)
    assert part.read_bytes() == b"shorter"


def test_a_server_that_takes_no_ranges_sends_it_whole(server, part):
    server.ranges = False
    interrupted(server, part)
    fetch(server.url("a"), part)
    assert (part.read_bytes(), server.requests) == (CONTENT, [("a", "bytes=300000-")])
    server.cut = 300_000
    with pytest.raises(TransferError, match=f"broke off .*, {ATTEMPTS} times"):
        fetch(server.url("a"), part)
    assert len(server.requests) == 2 + ATTEMPTS


def test_without_a_version_only_what_is_compared_afterwards_goes_on(server, part):
    server.version = None
    interrupted(server, part)
    fetch(server.url("a"), part)
    assert server.requests == [("a", None)]
    interrupted(server, part)
    fetch(server.url("a"), part, checked=True)
    assert server.requests == [("a", "bytes=300000-")]
    assert part.read_bytes() == CONTENT


def test_what_another_address_left_is_not_gone_on_from(server, part):
    interrupted(server, part, checked=True)
    server.files["b"] = b"b"
    fetch(server.url("b"), part, checked=True)
    assert (part.read_bytes(), server.requests) == (b"b", [("b", None)])


def test_what_is_no_such_file_is_said(server, part):
    with pytest.raises(TransferError, match=r"^404 Not Found$"):
        fetch(server.url("nothing"), part)
    with pytest.raises(TransferError, match=r"^1,048,576 bytes instead of 7$"):
        fetch(server.url("a"), part, size=7)
    server.headers = {"Content-Type": "text/html; charset=utf-8"}
    with pytest.raises(TransferError, match=r"^a web page instead of the file$"):
        fetch(server.url("a"), part)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        with pytest.raises(TransferError, match="refused"):
            fetch(f"http://127.0.0.1:{free.getsockname()[1]}/a", part)
    assert not part.exists()


def test_compressed_in_transit_it_would_be_another_file(server, part):
    server.headers = {"Content-Encoding": "gzip"}
    fetch(server.url("a"), part)
    assert part.read_bytes() == CONTENT


def test_the_disk_is_looked_at_first(server, part, monkeypatch):
    usage = shutil.disk_usage(part.parent)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(InputError, match=r"needs room for 1 MB, but its disk has 1 kB left"):
        fetch(server.url("a"), part)
    assert not part.exists()


def test_a_disk_that_fills_up_ends_in_a_sentence_and_the_transfer_goes_on_later(server, part):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, limits[1]))
    try:
        with pytest.raises(InputError, match=r"a.part cannot be written \(File too large\); what is there stays"):
            fetch(server.url("a"), part)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert fetch(server.url("a"), part)
    assert (part.read_bytes(), server.requests[1:]) == (CONTENT, [("a", "bytes=300000-")])


def test_checksums_are_hashlibs(part):
    part.write_bytes(CONTENT)
    assert checksums(part) == {kind: hashlib.new(kind, CONTENT).hexdigest() for kind in ("sha256", "md5")}


def test_a_note_that_is_damaged_is_none(server, part):
    interrupted(server, part)
    for text in ("", "[]", json.dumps({"url": server.url("a")})):
        part.with_name("a.part.json").write_text(text)
        fetch(server.url("a"), part)
        assert part.read_bytes() == CONTENT
    assert server.requests == [("a", None)] * 3
