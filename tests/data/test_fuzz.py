"""Damage of every kind to small sets of every layout, to all that is kept, and to options: what is read is read, and
everything else is one sentence."""

import json
import os
import random
import shutil
import signal
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from PIL import Image
from scipy.io import loadmat, savemat

from mtlkit import checkpoints, papers
from mtlkit.data import LAYOUTS
from mtlkit.errors import InputError
from mtlkit.ledger import Ledger, Record
from mtlkit.papers import SLUGS
from mtlkit.results import merge, verify
from mtlkit.run_command import Running, value_of
from mtlkit.values import hash_of
from mtlkit.worlds import drawer, objects

WORLDS = {"npy": "rooms", "coco": "people", "apascal": "parts", "utkface": "faces", "manifest": "plates"}
TEXTS = (".csv", ".json", ".txt")
WORDS = (
    "",
    "-1",
    "1_0",
    "1e999",
    "nan",
    "../x",
    "/etc/passwd",
    "a\0b",
    "\ud800",
    "[]",
    "null",
    "9" * 400,
    "é\n",
    '"',
    "0.5",
)
HOW = ("flip", "cut", "remove", "swap", "folder", "pipe", "text", "text", "text")
TRIES = 40
FEW = 10
"""Of sets that are read in processes of their own, which take a second each."""
SECONDS = 60
"""After which a try hangs."""


@contextmanager
def told(how: str, sentences: list[str]):
    """Keeps the sentence that a try ends with; anything else, or no end, is a failure."""

    def late(number, frame):
        raise AssertionError(f"{how} hangs")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(SECONDS)
    try:
        yield
    except InputError as error:
        sentences.append(str(error))
    except Exception as error:
        raise AssertionError(f"{how}: {error!r}") from error
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def official(root: Path) -> None:
    """Three frames in the layout of NYU Depth v2's official files."""
    root.mkdir()
    shapes = {"images": ((3, 640, 480), np.uint8), "labels": ((640, 480), np.uint16), "depths": ((640, 480), "<f4")}
    with h5py.File(root / "nyu_depth_v2_labeled.mat", "w") as file:
        for name, (shape, kind) in shapes.items():
            file.create_dataset(name, data=np.ones((3, *shape), kind), chunks=(1, *shape), compression="gzip")
    savemat(root / "splits.mat", {"trainNdxs": np.array([[1], [2]]), "testNdxs": np.array([[3]])})
    names = np.array([["wall", "floor"]], dtype=object)
    savemat(root / "classMapping40.mat", {"className": names, "mapClass": np.array([[2, 1]], np.uint8)})


def released(root: Path) -> None:
    """Six faces of four people in the layout of IMDB-WIKI."""
    count, folder = 24, root / "imdb_crop"
    (folder / "01").mkdir(parents=True)
    paths = np.empty((1, count), object)
    paths[0] = [f"01/nm{number}_rm{number}_1950-1-1_1980.jpg" for number in range(count)]
    for number, path in enumerate(paths[0]):
        Image.new("RGB", (8, 6), (number, 0, 0)).save(folder / path)
    numbers = np.arange(count, dtype=float)[None]
    struct = {"dob": 712224 + numbers, "photo_taken": np.full((1, count), 1980, np.uint16), "full_path": paths}
    struct |= {"gender": numbers % 2, "face_score": numbers + 1, "second_face_score": np.nan * numbers}
    savemat(folder / "imdb.mat", {"imdb": struct | {"celeb_id": numbers + 1}})


def change_mat(path: Path, draw: random.Random) -> None:
    """Another value, kind or shape of a variable in a MATLAB file."""
    odd = [-1, 0, 0.5, np.nan, 1e300, 2**40, "x", np.zeros((0, 0)), np.ones((2, 2, 2)), np.array([[1, 1, 1]])]
    if h5py.is_hdf5(path):
        with h5py.File(path, "r+") as file:
            name = draw.choice(sorted(file))
            how = draw.choice(["gone", "link", "kind", "shape", "value"])
            if how in ("value", "shape"):
                values = file[name][...]
                values = values[:, :1] if how == "shape" else values + np.asarray(60000).astype(values.dtype)
                del file[name]
                file[name] = values
                return
            kind = draw.choice(["<f8", "<i8", "S3", "<c8"])
            del file[name]
            if how == "link":
                file[name] = h5py.ExternalLink("/etc/passwd", "/")
            elif how == "kind":
                file[name] = np.ones((3, 2), kind)
        return
    found = {name: value for name, value in loadmat(path).items() if not name.startswith("__")}
    name = draw.choice(sorted(found))
    if found[name].dtype.names:
        inner = draw.choice(found[name].dtype.names)
        values = found[name][inner][0, 0]
        change = draw.choice(odd)
        if isinstance(change, np.ndarray) or draw.random() < 0.3:
            values = change
        else:
            values = values.astype(object if values.dtype == object else float)
            values[0, draw.randrange(values.shape[1])] = -7 if change == "x" and values.dtype != object else change
        found[name] = {one: values if one == inner else found[name][one][0, 0] for one in found[name].dtype.names}
    else:
        found[name] = draw.choice(odd)
    savemat(path, found)


def scenes(root: Path) -> None:
    """Three scenes in the layout of plain folders."""
    draw = np.random.default_rng(0)
    for name in "abc":
        for folder, most, shape in (("image", 256, (6, 8, 3)), ("label", 2, (6, 8)), ("normal", 256, (6, 8, 3))):
            (root / folder).mkdir(parents=True, exist_ok=True)
            Image.fromarray(draw.integers(0, most, shape, dtype=np.uint8)).save(root / folder / f"{name}.png")
    (root / "splits").mkdir()
    (root / "splits/train.txt").write_text("a\nb\n")
    (root / "splits/val.txt").write_text("c\n")
    (root / "classes.txt").write_text("0 wall\n1 floor\n")


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    root = tmp_path_factory.mktemp("sets")
    for layout, world in WORLDS.items():
        drawer(world).write(root / layout, train=3, val=2, size=(48, 64) if layout in ("npy", "apascal") else (64, 64))
    drawer("objects").write(root / "imagefolder", train=1, val=1, size=24, classes=objects.CLASSES[:2])
    scenes(root / "folder")
    official(root / "nyuv2")
    released(root / "imdb_wiki")
    return root


def change_json(content, draw: random.Random) -> None:
    """Another value somewhere in a JSON document."""
    while isinstance(content, dict | list) and content:
        key = draw.choice(list(content) if isinstance(content, dict) else range(len(content)))
        if not isinstance(content[key], dict | list) or not content[key] or draw.random() < 0.2:
            content[key] = draw.choice([*WORDS[:9], None, [], {}, -1, 0.5, 1e30, True, 10**40, [content[key]]])
            return
        content = content[key]


def damage(root: Path, draw: random.Random) -> str:
    """Spoils one file; says how."""
    path = draw.choice(sorted(path for path in root.rglob("*") if path.is_file() and "SUMS" not in path.name))
    if draw.random() < 0.6:  # the few texts oftener than the many images
        path = draw.choice([path for path in sorted(root.rglob("*")) if path.suffix in TEXTS] or [path])
    content, how = (
        path.read_bytes(),
        draw.choice(["flip", "cut", "remove", "swap", "folder", "pipe", "text", "text", "text"]),
    )
    if how == "text" and path.suffix == ".json":
        found = json.loads(content)
        change_json(found, draw)
        path.write_text(json.dumps(found))
    elif how == "text" and path.suffix in TEXTS:
        parts = content.decode().replace(",", " , ").split(" ")
        parts[draw.randrange(len(parts))] = draw.choice(WORDS)
        path.write_bytes(" ".join(parts).replace(" , ", ",").encode(errors="surrogatepass"))
    elif how == "text" and path.suffix == ".mat":
        change_mat(path, draw)
    elif how in ("flip", "text"):
        changed = bytearray(content)
        for _ in range(draw.choice((1, 20))):
            changed[draw.randrange(min(len(changed), draw.choice((64, 10**9))))] = draw.randrange(256)
        path.write_bytes(changed)
    elif how == "cut":
        path.write_bytes(content[: draw.randrange(len(content))])
    elif how == "swap":
        path.write_bytes(draw.choice([other for other in root.rglob("*") if other.is_file()]).read_bytes())
    else:
        path.unlink()
        if how == "folder":
            path.mkdir()
        elif how == "pipe":
            os.mkfifo(path)
    return f"{how} {path.name}"


def content(layout: str, root: Path, tasks: tuple[str, ...]) -> tuple[list[str], list[object]]:
    """The fingerprints of both splits, and all that stands in them."""
    fingerprints, samples = [], []
    for split in ("train", "val"):
        dataset = LAYOUTS[layout](root, split, tasks)
        samples.append(dataset.classes)
        for index in range(len(dataset)):
            sample = [(name, value.shape, value.numpy().tobytes()) for name, value in dataset[index].items()]
            samples.append((dataset.name_of(index), sample))
        fingerprints.append(dataset.fingerprint())
    return fingerprints, samples


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("layout", [*WORLDS, "imagefolder", "folder", "nyuv2", "imdb_wiki"])
def test_a_damaged_set_is_read_or_refused_in_one_sentence(sets, layout, tmp_path):
    tasks = LAYOUTS[layout].offered(sets / layout)
    sentences: list[str] = []
    good = content(layout, sets / layout, tasks)
    tries = FEW if layout in ("nyuv2", "imdb_wiki") else TRIES
    for seed in range(tries):
        root = Path(shutil.copytree(sets / layout, tmp_path / f"{seed}" / layout))
        how = damage(root, random.Random(seed))
        with told(f"seed {seed}, {how}", sentences):
            found = content(layout, root, tasks)
            assert found == good or found[0] != good[0], "other samples under the fingerprint of the good ones"
        shutil.rmtree(root.parent)
    assert all(sentence.endswith((".", "?")) for sentence in sentences)
    assert tries // 6 < len(sentences) <= tries - (tries == TRIES), "damage that does nothing, or a set that was bad"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_damage_to_what_is_kept_is_noticed(tmp_path):
    """Checkpoints and tensors come back as they were or not at all; a record is refused, or one of its node."""
    tensors = {"x": torch.arange(40.0), "y": torch.ones(3, 2)}
    settings = {"is": "Constant", "number": 1}
    identity = hash_of(settings)
    sentences: list[str] = []
    found = {"checkpoint": 0, "tensors": 0, "record": 0}
    for seed in range(4 * TRIES):
        draw, ledger = random.Random(seed), Ledger(tmp_path / f"{seed}" / "lite")
        checkpoints.save(ledger.checkpoint(identity), {"step": 3, "network": tensors})
        ledger.save("weights", identity, tensors)
        ledger.write(Record(kind="evaluation", identity=identity, settings=settings, metrics={"a": 0.5}))
        how = damage(ledger.root.parent, draw)
        with told(f"seed {seed}, {how}", sentences):
            state = checkpoints.load(ledger.checkpoint(identity), torch.device("cpu"))
            if state is not None:
                found["checkpoint"] += 1
                assert state["step"] == 3
                assert all(torch.equal(state["network"][name], tensors[name]) for name in tensors)
            if ledger.keeps("weights", identity):
                found["tensors"] += 1
                loaded, _ = ledger.load("weights", identity)
                assert all(torch.equal(loaded[name], tensors[name]) for name in tensors)
            verify(ledger.root.parent)
            record = ledger.find("evaluation", identity)
            if record is not None:
                found["record"] += 1
                assert (record.kind, record.identity, record.settings) == ("evaluation", identity, settings)
            merge([ledger.root.parent], tmp_path / "into" / f"{seed}")
        shutil.rmtree(ledger.root.parent)
    assert all(sentence.endswith((".", "?")) for sentence in sentences)
    assert all(TRIES // 2 < count < 4 * TRIES for count in found.values()), found


OPTIONS = (
    *WORDS,
    "0",
    "inf",
    "-inf",
    "1e99",
    "x=y",
    "=",
    ",",
    "1,2,3",
    "~nouser",
    "/dev/null",
    "None",
    "True",
    "a" * 300,
)


@pytest.mark.slow
@pytest.mark.parametrize("paper", SLUGS)
def test_options_are_taken_or_refused_in_one_sentence(paper):
    kind = papers.options_of(paper)
    sentences: list[str] = []
    count = 0
    for owner in (kind, Running):
        for name in owner.model_fields:
            for word in OPTIONS:
                count += 1
                with told(f"{name} {word!r}", sentences):
                    made = owner(**{name: value_of(owner, name, [word])})
                    if isinstance(made, kind):
                        for table in kind.tables:
                            with told(f"{name} {word!r} of {table}", sentences):
                                made.filled(table)
    assert all(sentence.rstrip().endswith((".", "?")) for sentence in sentences)
    assert len(sentences) > count // 2
