"""Damage of every kind to small sets of every layout: what is read is read, and everything else is one sentence."""

import json
import random
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mtlkit.data import LAYOUTS
from mtlkit.errors import InputError
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
TRIES = 60


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
    content, how = path.read_bytes(), draw.choice(["flip", "cut", "remove", "swap", "folder", "text", "text", "text"])
    if how == "text" and path.suffix == ".json":
        found = json.loads(content)
        change_json(found, draw)
        path.write_text(json.dumps(found))
    elif how == "text" and path.suffix in TEXTS:
        parts = content.decode().replace(",", " , ").split(" ")
        parts[draw.randrange(len(parts))] = draw.choice(WORDS)
        path.write_bytes(" ".join(parts).replace(" , ", ",").encode(errors="surrogatepass"))
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
    return f"{how} {path.name}"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("layout", [*WORLDS, "imagefolder", "folder"])
def test_a_damaged_set_is_read_or_refused_in_one_sentence(sets, layout, tmp_path):
    tasks = LAYOUTS[layout].offered(sets / layout)
    sentences: list[str] = []
    for seed in range(TRIES):
        root = Path(shutil.copytree(sets / layout, tmp_path / f"{seed}" / layout))
        how = damage(root, random.Random(seed))
        try:
            for split in ("train", "val"):
                dataset = LAYOUTS[layout](root, split, tasks)
                dataset.fingerprint()
                for index in range(len(dataset)):
                    dataset[index]
        except InputError as error:
            sentences.append(str(error))
        except Exception as error:
            raise AssertionError(f"seed {seed}, {how}: {error!r}") from error
        shutil.rmtree(root.parent)
    assert all(sentence.endswith((".", "?")) for sentence in sentences)
    assert TRIES // 6 < len(sentences) < TRIES, "damage that does nothing, or a set that was bad before"
