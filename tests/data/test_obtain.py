"""Published data sets: what is known of them, and getting them from a server on this machine."""

import csv
import hashlib
import json
import re
import shutil
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
import torch
from filelock import FileLock
from packed import tar, zipped
from PIL import Image
from torchvision import datasets
from torchvision.datasets import imagenet, voc
from typer.testing import CliRunner

from mtlkit.cli import app
from mtlkit.data import LAYOUTS, obtain
from mtlkit.data.apascal import APascal
from mtlkit.data.archives import git_tree
from mtlkit.data.check import check
from mtlkit.data.ecustfd import KCAL, write_table
from mtlkit.data.npy import Npy
from mtlkit.data.obtain import RECORD, get, verified, verify
from mtlkit.data.paths import leads_out
from mtlkit.data.sources import Source, overview, sources
from mtlkit.data.torchvision_sets import Caltech101, ImageNet, Places365
from mtlkit.errors import InputError
from mtlkit.pages import published as published_table
from mtlkit.worlds import drawer

# What is known ---------------------------------------------------------------------------------------------------


def test_addresses_and_checksums_are_those_of_torchvisions_downloaders():
    known = {file.urls[0].url: file.md5 for source in sources().values() for file in source.files.values() if file.urls}
    named = {place: file.md5 for place, file in sources()["imagenet"].files.items()}
    assert dict(datasets.OxfordIIITPet._RESOURCES).items() <= known.items()
    assert known[voc.DATASET_YEAR_DICT["2008"]["url"]] == voc.DATASET_YEAR_DICT["2008"]["md5"]
    places = datasets.Places365
    wanted = [places._DEVKIT_META["standard"]]
    wanted += [places._IMAGES_META[split, small] for split in ("train-standard", "val") for small in (True, False)]
    assert {f"{places._BASE_URL}{file}": md5 for file, md5 in wanted}.items() <= known.items()
    assert named == dict(imagenet.ARCHIVE_META.values())


def test_every_data_set_has_terms_and_a_way_to_it():
    for name, source in sources().items():
        assert source.terms, name
        assert source.layout is None or source.layout in LAYOUTS
        assert all(file.urls for file in source.files.values()) != bool(source.by_hand) or not source.files, name
        for place, file in source.files.items():
            assert not leads_out(place)
            assert all(re.match(r"https?://[\w.]+/\S+$", address.url) for address in file.urls), place
    faces = {name for name, source in sources().items() if source.layout in ("imdb_wiki", "utkface")}
    assert {name for name, source in sources().items() if source.accept} == faces
    assert [line[0] for line in overview()] == list(sources())
    assert published_table().count("\n| `") == len(sources())
    page = (Path(__file__).parents[2] / "book/data.md").read_text()
    assert "{include} _generated/sources.md" in page


# Getting one -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def rooms(tmp_path_factory):
    """A set in the layout npy."""
    folder = tmp_path_factory.mktemp("rooms") / "rooms"
    drawer("rooms").write(folder, train=3, val=2, size=(24, 32))
    return folder


@pytest.fixture
def published(rooms, server, tmp_path, monkeypatch):
    """Publishes ``files`` as the data set "rooms"; a file's ``content`` goes to the server, under its place."""
    if not (packed := rooms.parent / "rooms.tar.gz").is_file():
        shutil.make_archive(str(rooms.parent / "rooms"), "gztar", rooms)

    def publish(**changed):
        described = {"title": "Rooms", "terms": "cite us", "layout": "npy", "files": {}} | changed
        described["files"] = described["files"] or {"rooms.tar.gz": {}}
        for place, file in described["files"].items():
            content = file.pop("content", packed.read_bytes())
            server.files[place] = content
            known = {
                "urls": [server.url(place)], "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest(),
                "seen": "here", "unpack": "." if place.endswith("gz") else None,
            }  # fmt: skip
            described["files"][place] = known | file
        monkeypatch.setattr(obtain, "sources", lambda: {"rooms": Source.model_validate(described)})
        return tmp_path / "data"

    return publish


@pytest.fixture
def said():
    return []


def test_a_set_is_fetched_verified_unpacked_and_can_be_read(published, server, rooms, said):
    folder = published(counts={"train/image/*.npy": 3})
    get("rooms", folder, say=said.append)
    assert Npy(folder, "train").fingerprint() == Npy(rooms, "train").fingerprint()
    assert {path.name for path in folder.iterdir()} == {path.name for path in rooms.iterdir()} | {
        RECORD,
        f".{RECORD}.lock",
    }
    assert said[0] == "Rooms. Terms: cite us."
    assert "rooms.tar.gz: sha256 as published." in said
    kept = json.loads((folder / RECORD).read_text())["files"]["rooms.tar.gz"]
    assert (kept["verified"], kept["url"]) == ("sha256", server.url("rooms.tar.gz"))
    assert verified(folder)
    assert server.requests == [("rooms.tar.gz", None)]
    get("rooms", folder, say=said.append)
    assert len(server.requests) == 1, "it is there"


def test_without_a_public_checksum_it_is_unverified_and_ours_is_told(published, server, said):
    folder = published(files={"rooms.tar.gz": {"sha256": None, "bytes": None}})
    get("rooms", folder, say=said.append)
    sums = [hashlib.new(kind, server.files["rooms.tar.gz"]).hexdigest() for kind in ("sha256", "md5")]
    line = f"rooms.tar.gz: unverified, as no checksum is public; sha256 {sums[0]}, md5 {sums[1]}."
    assert line in said
    assert not verified(folder)
    assert f"rooms.tar.gz: unpacked and removed; it was unverified, sha256 {sums[0]}." in verify(folder)[0]


def test_a_wrong_file_is_refused_by_every_checksum_and_by_its_size(published, server, said):
    for wrong, sentence in (
        ({"sha256": "0" * 64}, r"sha256 \w{64} instead of 0{64}"),
        ({"md5": "0" * 32}, r"md5 \w{32} instead of 0{32}"),
        ({"bytes": 12}, r"[\d,]+ bytes instead of 12"),
    ):
        folder = published(files={"rooms.tar.gz": wrong})
        with pytest.raises(InputError, match=rf"^rooms.tar.gz cannot be fetched \(http\S+: {sentence}\)\.$"):
            get("rooms", folder, say=said.append)
        assert [path.name for path in folder.iterdir()] == [f".{RECORD}.lock"]


def test_a_truncated_one_is_refused(published, server, said):
    folder = published()
    server.files["rooms.tar.gz"] = server.files["rooms.tar.gz"][:-9]
    with pytest.raises(InputError, match=r"bytes instead of"):
        get("rooms", folder, say=said.append)
    assert not (folder / "train").exists()
    published(files={"rooms.tar.gz": {"sha256": None, "bytes": None, "content": server.files["rooms.tar.gz"]}})
    with pytest.raises(InputError, match=r"rooms.tar.gz cannot be unpacked \(.*\); remove it and fetch it again"):
        get("rooms", folder, say=said.append)
    assert not (folder / "train").exists()


def test_a_dead_mirror_a_wrong_one_and_a_web_page_are_passed_over(published, server, said):
    folder = published(files={"rooms.tar.gz": {}})
    good = server.url("rooms.tar.gz")
    server.files["other"] = bytes(len(server.files["rooms.tar.gz"]))
    dead = "http://127.0.0.1:9/rooms.tar.gz"
    published(files={"rooms.tar.gz": {"urls": [dead, server.url("nothing"), server.url("other"), good]}})
    get("rooms", folder, say=said.append)
    assert json.loads((folder / RECORD).read_text())["files"]["rooms.tar.gz"]["url"] == good
    shutil.rmtree(folder)
    published(files={"rooms.tar.gz": {"urls": [dead, server.url("nothing")]}}, elsewhere="ask a friend")
    with pytest.raises(InputError, match=r"9/\S+: Connection refused; \S+/nothing: 404 Not Found\); ask a friend\.$"):
        get("rooms", folder, say=said.append)


def test_a_mirror_may_hold_it_in_a_zip(published, server, tmp_path, said):
    folder = published(files={"splits.mat": {"content": b"mat"}}, layout=None)
    for content, sound in (({"deep/splits.mat": b"mat"}, True), ({"other": b""}, False)):
        server.files["zip"] = zipped(tmp_path / "packed.zip", content).read_bytes()
        urls = [{"url": server.url("zip"), "member": "deep/splits.mat"}]
        published(files={"splits.mat": {"content": b"mat", "urls": urls}}, layout=None)
        shutil.rmtree(folder, ignore_errors=True)
        if sound:
            get("rooms", folder, say=said.append)
            assert (folder / "splits.mat").read_bytes() == b"mat"
        else:
            with pytest.raises(InputError, match=r"no zip that holds deep/splits\.mat"):
                get("rooms", folder, say=said.append)
        assert not list(folder.glob("*.part*"))


def test_an_interrupted_file_goes_on_and_is_compared_whole(published, server, said, monkeypatch):
    folder = published()
    whole = server.files["rooms.tar.gz"]
    for earlier, requests in ((whole[:5000], ["bytes=5000-"]), (bytes(5000), ["bytes=5000-", None])):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        (folder / "rooms.tar.gz.part").write_bytes(earlier)
        note = {"url": server.url("rooms.tar.gz"), "version": server.version}
        (folder / "rooms.tar.gz.part.json").write_text(json.dumps(note))
        server.requests.clear()
        get("rooms", folder, say=said.append)
        assert [asked for _, asked in server.requests] == requests, "the wrong beginning is noticed and fetched again"
        assert (folder / "train").is_dir()


def test_room_on_the_disk_is_asked_for_first(published, server, said, monkeypatch, tmp_path):
    folder = published(files={"rooms.tar.gz": {"unpacked": 5 * 10**9}})
    usage = shutil.disk_usage(tmp_path)._replace(free=10**9)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(InputError, match=r"needs room for 5\.0 GB, but its disk has 1\.0 GB left"):
        get("rooms", folder, say=said.append)
    assert (server.requests, folder.exists()) == ([], False)


def test_terms_that_have_to_be_accepted_are_shown_and_nothing_is_fetched_before(published, server, said):
    folder = published(accept="research-only")
    for accepted in (None, "yes"):
        with pytest.raises(InputError, match=r"terms of rooms \(cite us\) have to be accepted: add --i-accept res"):
            get("rooms", folder, accepted=accepted, say=said.append)
    assert (server.requests, folder.exists(), said[0]) == ([], False, "Rooms. Terms: cite us.")
    get("rooms", folder, accepted="research-only", say=said.append)


def test_an_archive_that_would_write_elsewhere_is_refused(published, server, tmp_path, said):
    content = tar(tmp_path / "evil.tar.gz", {"train/a": b"", "../../evil": b"evil"}, "w:gz").read_bytes()
    folder = published(files={"rooms.tar.gz": {"content": content}})
    with pytest.raises(InputError, match="which leads out of the folder; it is not unpacked"):
        get("rooms", folder, say=said.append)
    assert sorted(path.name for path in folder.iterdir()) == [f".{RECORD}.lock", "rooms.tar.gz"]
    assert not list(tmp_path.rglob("evil"))


def test_parts_are_fetched_when_asked_for(published, server, said):
    listed = {"rooms.tar.gz": {}, "more.txt": {"part": "more", "content": b"more"}}
    folder = published(files=listed)
    get("rooms", folder, say=said.append)
    assert not (folder / "more.txt").exists()
    with pytest.raises(InputError, match="There is no part of Rooms 'mre'; did you mean 'more'"):
        get("rooms", folder, parts=["mre"], say=said.append)
    get("rooms", folder, parts=["more"], say=said.append)
    assert (folder / "more.txt").read_bytes() == b"more"
    assert len(server.requests) == 2


def test_what_lies_there_is_verified_and_stays(published, server, said):
    folder = published()
    folder.mkdir()
    (folder / "rooms.tar.gz").write_bytes(server.files["rooms.tar.gz"])
    get("rooms", folder, say=said.append)
    assert (server.requests, (folder / "rooms.tar.gz").is_file(), (folder / "train").is_dir()) == ([], True, True)
    other = folder.with_name("other")
    other.mkdir()
    (other / "rooms.tar.gz").write_bytes(b"mine")
    with pytest.raises(InputError, match=r"other/rooms\.tar\.gz is not the published file \(4 bytes instead of"):
        get("rooms", other, say=said.append)
    assert (other / "rooms.tar.gz").read_bytes() == b"mine"


def test_a_file_for_a_person_is_described_step_by_step_and_verified_afterwards(published, server, said):
    listed = {"rooms.tar.gz": {"urls": []}}
    folder = published(files=listed, by_hand=["Register.", "Put it into FOLDER, and repeat the command."])
    with pytest.raises(InputError, match=r"rooms\.tar\.gz must be fetched by hand, in the steps above, into \S+data\."):
        get("rooms", folder, say=said.append)
    assert said[1:] == ["1. Register.", f"2. Put it into {folder}, and repeat the command."]
    assert not folder.exists()
    folder.mkdir()
    (folder / "rooms.tar.gz").write_bytes(server.files["rooms.tar.gz"])
    assert verify(folder) == (["rooms: Rooms.", "rooms.tar.gz: sha256 as published."], [])
    get("rooms", folder, say=said.append)
    assert (folder / "rooms.tar.gz").is_file()
    assert (folder / "train").is_dir()


def test_a_commit_is_known_by_its_tree(published, server, tmp_path, said):
    (tmp_path / "commit/name-1a2b").mkdir(parents=True)
    (tmp_path / "commit/name-1a2b/a (1).jpg").write_bytes(b"a")
    shutil.make_archive(str(tmp_path / "commit"), "zip", tmp_path / "commit")
    tree = git_tree(tmp_path / "commit/name-1a2b")
    file = {
        "content": (tmp_path / "commit.zip").read_bytes(), "sha256": None, "bytes": None, "unpack": "sub"
    }  # fmt: skip
    folder = published(files={"commit.zip": file | {"git_tree": tree}}, layout=None)
    get("rooms", folder, say=said.append)
    assert (folder / "sub/a (1).jpg").read_bytes() == b"a"
    assert verified(folder)
    assert verify(folder)[1] == []
    (folder / "sub/a (1).jpg").write_bytes(b"b")
    assert verify(folder)[1] == ["commit.zip: the unpacked files are not those of the published Git tree."]
    shutil.rmtree(folder)
    published(files={"commit.zip": file | {"git_tree": "0" * 40}}, layout=None)
    with pytest.raises(InputError, match=f"holds the Git tree {tree}, not 0{{40}}"):
        get("rooms", folder, say=said.append)
    assert not (folder / "sub").exists()


def test_two_processes_and_two_sets_in_one_folder_are_told_apart(published, server, said):
    folder = published()
    folder.mkdir()
    with FileLock(folder / f".{RECORD}.lock"), pytest.raises(InputError, match="Another process is getting rooms into"):
        get("rooms", folder, say=said.append)
    (folder / RECORD).write_text('{"source": "birds", "files": {}}')
    with pytest.raises(InputError, match="data holds birds; name another folder for rooms"):
        get("rooms", folder, say=said.append)
    for text in ("[]", "{", '{"source": "rooms", "files": 3}', '{"source": "rooms", "files": {"a": {}}}'):
        (folder / RECORD).write_text(text)
        with pytest.raises(InputError, match=r"source\.json cannot be read \(it is damaged\)"):
            get("rooms", folder, say=said.append)
    assert server.requests == []


def test_a_folder_that_cannot_be_written_is_one_sentence(published, server, said):
    folder = published()
    folder.write_text("a file")
    with pytest.raises(InputError, match=r"data cannot be written \(.*\); put that right and repeat the command"):
        get("rooms", folder, say=said.append)
    assert server.requests == []


def test_a_run_that_was_killed_after_unpacking_unpacks_again(published, server, said, monkeypatch):
    folder = published()
    with monkeypatch.context() as patched:
        patched.setattr(obtain, "written_whole", lambda _: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            get("rooms", folder, say=said.append)
    assert (folder / "rooms.tar.gz").is_file()
    get("rooms", folder, say=said.append)
    assert len(server.requests) == 1
    assert len(Npy(folder, "train")) == 3


def test_verify_counts_and_names_what_differs(published, said):
    listed = {"rooms.tar.gz": {}, "plain.txt": {"content": b"plain"}}
    folder = published(files=listed, counts={"train/image/*.npy": 3})
    get("rooms", folder, say=said.append)
    lines, faults = verify(folder)
    assert (faults, lines[2:]) == ([], ["plain.txt: sha256 as published.", "train/image/*.npy: 3 files."])
    (folder / "train/image/1.npy").unlink()
    (folder / "plain.txt").unlink()
    assert "plain.txt: it was fetched, and is gone." in verify(folder)[1]
    (folder / "plain.txt").write_bytes(b"plane")
    faults = verify(folder)[1]
    assert faults[0].startswith("plain.txt: sha256 ")
    assert faults[1:] == ["train/image/*.npy: 2 of 3 train/image/*.npy."]
    with pytest.raises(InputError, match=r"is not complete: 2 of 3 train/image"):
        get("rooms", folder, say=said.append)


def test_verify_finds_out_which_set_it_is(tmp_path):
    (tmp_path / "ILSVRC2012_img_val.tar").write_bytes(b"short")
    lines, faults = verify(tmp_path)
    assert lines[0].startswith("imagenet: ")
    assert faults == ["ILSVRC2012_img_val.tar: 5 bytes instead of 6,744,924,160."]
    (tmp_path / "ILSVRC2012_img_val.tar").unlink()
    with pytest.raises(InputError, match="holds no file of a known data set under its published name"):
        verify(tmp_path)
    with pytest.raises(InputError, match=r"holds none of the files of coco \(.*\); name the folder that does\."):
        verify(tmp_path, "coco")
    (tmp_path / "train2017").mkdir()
    (tmp_path / "train2017/1.jpg").touch()
    assert verify(tmp_path, "coco")[1] == ["train2017/*.jpg: 1 of 118,287 train2017/*.jpg."]
    with pytest.raises(InputError, match="There is no published data set 'cooc'; did you mean 'coco'"):
        verify(tmp_path, "cooc")
    with pytest.raises(InputError, match="There is no folder"):
        verify(tmp_path / "nothing")


def test_the_commands_fetch_check_and_verify(published, server, monkeypatch):
    folder = published()
    run = CliRunner()
    done = run.invoke(app, ["data", "get", "rooms", "--to", str(folder)])
    assert done.exit_code == 0, done.output
    assert "train: 3 samples, 13 classes" in done.output
    assert done.output.endswith(f"Read it with --dataset npy --data-root {folder}\n")
    assert run.invoke(app, ["data", "verify", str(folder)]).output.startswith("rooms: Rooms.\n")
    np.save(folder / "val/label/0.npy", np.full((24, 32), 77))
    bad = run.invoke(app, ["data", "get", "rooms", "--to", str(folder)])
    assert "holds the class id 77" in str(bad.exception)
    (folder / "rooms.tar.gz").write_bytes(b"other")
    worse = run.invoke(app, ["data", "verify", str(folder)])
    assert "differs from what is published: rooms.tar.gz: 5 bytes instead of" in str(worse.exception)
    assert run.invoke(app, ["data", "get"]).exit_code == 0
    assert len(server.requests) == 1


# Into the layouts ------------------------------------------------------------------------------------------------


def test_ecustfd_gets_a_table(tmp_path):
    known = files("mtlkit.data").joinpath("ecustfd.csv").read_text().splitlines()[1:]
    folder = tmp_path / "ECUSTFD/JPEGImages"
    folder.mkdir(parents=True)
    for number, portion in enumerate(line.partition(",")[0] for line in known):
        for view in "ST":
            Image.new("RGB", (8, 8), (number, number, ord(view))).save(folder / f"{portion}{view}(1).JPG", "JPEG")
    for name in ("mix001S(1)", "egg002s(2)"):
        Image.new("RGB", (8, 8), (255, 0, len(name))).save(folder / f"{name}.JPG", "JPEG")
    write_table(tmp_path)
    rows = {row["image"].rpartition("/")[2]: row for row in csv.DictReader((tmp_path / "manifest.csv").open())}
    assert len(rows) == 2 * len(known) + 1 == 293
    assert rows["apple001S(1).JPG"] == {
        "image": "ECUSTFD/JPEGImages/apple001S(1).JPG", "kcal": "127.1", "category": "apple", "group": "apple001"
    }  # fmt: skip
    assert rows["egg002s(2).JPG"]["group"] == "egg002"
    report = check("manifest", tmp_path)
    assert not report.faults
    assert [split["classes"] for split in report.splits.values()] == [len(KCAL)] * 2
    assert sources()["ecustfd"].arrange == f"{write_table.__module__}:{write_table.__name__}"
    (folder / "cake001S(1).JPG").touch()
    with pytest.raises(InputError, match=r"cake001S\(1\)\.JPG shows no portion that is known"):
        write_table(tmp_path)


def test_npy_loses_the_folder_around_it(rooms, tmp_path):
    shutil.copytree(rooms, tmp_path / "nyuv2")
    for _ in range(2):
        Npy.arrange(tmp_path)
        assert len(Npy(tmp_path, "val")) == 2


def test_apascals_images_leave_vocs_folders(tmp_path):
    (tmp_path / "VOCdevkit/VOC2008/JPEGImages").mkdir(parents=True)
    (tmp_path / "VOCdevkit/VOC2008/JPEGImages/a.jpg").touch()
    for _ in range(2):
        APascal.arrange(tmp_path)
        assert (tmp_path / "JPEGImages/a.jpg").is_file()


def test_caltechs_inner_archive_is_unpacked(tmp_path):
    (tmp_path / "caltech-101").mkdir()
    tar(tmp_path / "caltech-101/101_ObjectCategories.tar.gz", {"101_ObjectCategories/ant/image_0001.jpg": b""}, "w:gz")
    for _ in range(2):
        Caltech101.arrange(tmp_path)
        assert [path.name for path in tmp_path.iterdir()] == ["caltech101"]
    assert (tmp_path / "caltech101/101_ObjectCategories/ant/image_0001.jpg").is_file()


def test_places_training_folder_gets_torchvisions_name(tmp_path):
    (tmp_path / "data_256/a").mkdir(parents=True)
    for _ in range(2):
        Places365.arrange(tmp_path)
        assert (tmp_path / "data_256_standard/a").is_dir()


def test_imagenets_archives_become_folders_of_classes(tmp_path):
    wnids = {"n01440764": ("tench",), "n02012849": ("crane",)}
    torch.save((wnids, ["n02012849", "n01440764", "n02012849"]), tmp_path / "meta.bin")
    image = tmp_path / "image.png"
    Image.new("RGB", (6, 4)).save(image)
    content = image.read_bytes()
    inner = {
        f"{wnid}.tar": tar(tmp_path / "inner", {f"{wnid}_{n}.JPEG": content for n in range(2)}).read_bytes()
        for wnid in wnids
    }
    tar(tmp_path / "ILSVRC2012_img_train.tar", inner)
    tar(tmp_path / "ILSVRC2012_img_val.tar", {f"ILSVRC2012_val_{n:08d}.JPEG": content for n in (3, 1, 2)})
    for _ in range(2):
        ImageNet.arrange(tmp_path)
        train, val = ImageNet(tmp_path, "train"), ImageNet(tmp_path, "val")
        assert (len(train), len(val)) == (4, 3)
        assert [val.name_of(n)[-13:] for n in range(3)] == ["00000002.JPEG", "00000001.JPEG", "00000003.JPEG"]
