import random
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import tv_tensors
from torchvision.datasets import folder as theirs

from mtlkit.data import samples
from mtlkit.data.imagefolder import ImageFolder
from mtlkit.data.images import SUFFIXES
from mtlkit.data.samples import collate
from mtlkit.errors import InputError

FILES = ("train/cat/a.png", "train/cat/deep/b.PNG", "train/dog/c.png", "val/cat/d.png", "val/dog/e.png")


def picture(path: Path, shade: int = 100, size: tuple[int, int] = (6, 4)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (shade, 0, 0)).save(path)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Three training and two validation images of 6 x 4 pixels, in two classes, and files that are no images."""
    root = tmp_path / "pets"
    for shade, name in enumerate(FILES):
        picture(root / name, shade)
    (root / "README.md").write_text("about")
    (root / "train/list.csv").write_text("a")
    (root / "train/cat/notes.txt").write_text("b")
    return root


def test_reads_an_image_and_the_class_of_its_folder(root):
    data = ImageFolder(root, "train")
    assert (len(data), data.classes, data.tasks, list(data.labels)) == (3, ("cat", "dog"), ("label",), [0, 0, 1])
    assert [data.name_of(index) for index in range(3)] == ["cat/a.png", "cat/deep/b.PNG", "dog/c.png"]
    sample = data[2]
    assert isinstance(sample["image"], tv_tensors.Image)
    assert (sample["image"].dtype, sample["image"].shape) == (torch.uint8, (3, 4, 6))
    assert sample["image"][:, 0, 0].tolist() == [2, 0, 0]
    assert (sample["label"].dtype, sample["label"].shape, int(sample["label"])) == (torch.int64, (), 1)
    with pytest.raises(IndexError):
        data[3]


def test_labels_need_no_image_opened(root, monkeypatch):
    monkeypatch.setattr(Image, "open", None)
    assert list(ImageFolder(root, "val").labels) == [0, 1]


def test_lists_and_reads_what_torchvision_does(root):
    ours, reference = ImageFolder(root, "train"), theirs.ImageFolder(root / "train")
    assert [str(root / "train" / ours.name_of(i)) for i in range(len(ours))] == [path for path, _ in reference.samples]
    for index, (pixels, label) in enumerate(reference):
        assert torch.equal(ours[index]["image"], tv_tensors.Image(pixels))
        assert ours[index]["label"] == label


def test_the_class_goes_under_the_tasks_name_so_that_sets_share_batches(root):
    things, places = ImageFolder(root, "train", ("things",)), ImageFolder(root, "val", ("places",))
    assert things.tasks == ("things",)
    batch = collate([things[0], places[1], things[2]])
    assert {task: target.tolist() for task, target in batch.targets.items()} == {"things": [0, 1], "places": [1]}
    assert {task: rows.tolist() for task, rows in batch.rows.items()} == {"things": [0, 2], "places": [1]}


@pytest.mark.parametrize("tasks", [(), ("a", "b"), ("image",)])
def test_exactly_one_task(root, tasks):
    with pytest.raises(InputError, match=r"pets has one target per image, .* was asked for \[.*\]; give one task"):
        ImageFolder(root, "train", tasks)


COLOURS = np.array([[[250, 10, 20], [30, 240, 50]]], dtype=np.uint8)
GREYS = np.array([[0, 100, 255]], dtype=np.uint8)
DEEP = np.array([[0, 100 * 256 + 77, 65535]], dtype=np.uint16)
WHITE = [255, 255, 255]


@pytest.mark.parametrize(
    ("drawn", "suffix", "first_and_last"),
    [
        (Image.fromarray(GREYS), ".png", [[0, 0, 0], WHITE]),
        (Image.fromarray(GREYS).convert("LA"), ".png", [[0, 0, 0], WHITE]),
        (Image.fromarray(GREYS > 100), ".png", [[0, 0, 0], WHITE]),
        (Image.fromarray(COLOURS), ".bmp", [[250, 10, 20], [30, 240, 50]]),
        (Image.fromarray(COLOURS).convert("RGBA"), ".webp", None),
        (Image.fromarray(COLOURS).convert("RGBA"), ".png", [[250, 10, 20], [30, 240, 50]]),
        (Image.fromarray(COLOURS).quantize(4), ".png", [[250, 10, 20], [30, 240, 50]]),
        (Image.fromarray(COLOURS).convert("CMYK"), ".tif", [[250, 10, 20], [30, 240, 50]]),
        (Image.fromarray(COLOURS).convert("CMYK"), ".jpg", None),
        (Image.fromarray(DEEP), ".png", [[0, 0, 0], WHITE]),
        (Image.fromarray(DEEP), ".tiff", [[0, 0, 0], WHITE]),
    ],
    ids=lambda value: getattr(value, "mode", value if isinstance(value, str) else ""),
)
def test_every_pixel_mode_becomes_8_bit_rgb(root, drawn, suffix, first_and_last):
    (root / "train/cat/a.png").unlink()
    drawn.save(root / f"train/cat/a{suffix}")
    image = ImageFolder(root, "train")[0]["image"]
    assert (image.dtype, image.shape) == (torch.uint8, (3, drawn.height, drawn.width))
    if drawn.width == 3:
        assert torch.equal(image[0], image[1])
        assert torch.equal(image[0], image[2])
        assert image[0, 0, 1] == (0 if drawn.mode == "1" else 100)
    if first_and_last:
        assert image[:, 0, [0, -1]].T.tolist() == first_and_last


def test_a_palette_with_transparency_gives_its_colours_and_no_warning(root, recwarn):
    palette = Image.fromarray(COLOURS).quantize(4)
    palette.save(root / "train/cat/a.png", transparency=bytes([0, 128, 255, 255]))
    assert ImageFolder(root, "train")[0]["image"][:, 0].T.tolist() == COLOURS[0].tolist()
    assert not list(recwarn)


def test_images_that_are_left_out_are_counted(root):
    data = ImageFolder(root, "train")
    assert data.overlooked() == []
    for name in ("cat/x.gif", "cat/deep/y.JFIF", "dog/z.ppm", "loose.png"):
        shutil.copy(root / "train/cat/a.png", root / "train" / name)
    shutil.copy(root / "train/cat/a.png", root / "val/cat/x.gif")
    assert len(ImageFolder(root, "train")) == 3
    assert data.overlooked() == [
        f"{root / 'train'} holds 4 image files that are not read (cat/deep/y.JFIF, cat/x.gif, dog/z.ppm and 1 more); "
        "what is read ends in .jpg, .jpeg, .png, .webp, .bmp, .tif, .tiff and lies in the layout's folders."
    ]


def test_every_ending_that_is_listed_is_of_a_format_that_is_read(root):
    for suffix in SUFFIXES:
        Image.new("RGB", (6, 4)).save(root / f"train/cat/of{suffix}")
    data = ImageFolder(root, "train")
    assert {Path(data.name_of(index)).suffix for index in range(len(data))} == {*SUFFIXES, ".PNG"}
    assert all(data[index]["image"].shape == (3, 4, 6) for index in range(len(data)))
    page = (Path(__file__).parents[2] / "book/data.md").read_text()
    assert f"{', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}, in any case" in page


def test_fingerprint_knows_the_content_but_not_the_place_or_the_task(root, tmp_path, monkeypatch):
    first = ImageFolder(root, "train").fingerprint()
    assert (len(first), int(first, 16) >= 0) == (12, True)
    assert ImageFolder(root, "val").fingerprint() != first
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(root, elsewhere)
    assert ImageFolder(elsewhere, "train", ("other",)).fingerprint() == first
    monkeypatch.chdir(elsewhere)
    assert ImageFolder(Path("."), "train").fingerprint() == first
    monkeypatch.chdir("train")
    assert ImageFolder(Path(".."), "train").fingerprint() == first
    assert ImageFolder(Path(".."), "train").name_of(0) == "cat/a.png"
    picture(elsewhere / "train/cat/a.png", 99)
    assert ImageFolder(elsewhere, "train").fingerprint() != first
    shutil.copy(root / "train/cat/a.png", elsewhere / "train/cat/a.png")
    assert ImageFolder(elsewhere, "train").fingerprint() == first
    (elsewhere / "train/cat/a.png").rename(elsewhere / "train/dog/a.png")
    assert ImageFolder(elsewhere, "train").fingerprint() != first


def test_fingerprint_does_not_depend_on_the_order_of_the_listing(root):
    data = ImageFolder(root, "train")
    first = data.fingerprint()
    order = list(range(len(data)))
    random.Random(1).shuffle(order)
    data._names, data.labels = [data._names[i] for i in order], [data.labels[i] for i in order]
    assert data.fingerprint() == first


def test_fingerprint_is_the_same_on_every_machine(tmp_path):
    for split, class_ in (("train", "a"), ("train", "b"), ("val", "a"), ("val", "b")):
        path = tmp_path / f"{split}/{class_}/0.jpg"
        path.parent.mkdir(parents=True)
        path.write_bytes(f"{split}{class_}".encode())
    assert ImageFolder(tmp_path, "train").fingerprint() == "f6838a5aa6f6"


def test_fingerprint_opens_a_few_files_but_hashes_every_name(root, monkeypatch):
    monkeypatch.setattr(samples, "OPENED", 2)  # of three: the first and the second
    opened = []
    read = Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda path: opened.append(path.name) or read(path))
    first = ImageFolder(root, "train").fingerprint()
    assert opened == ["a.png", "b.PNG"]
    picture(root / "train/dog/c.png", 77)
    assert ImageFolder(root, "train").fingerprint() == first
    (root / "train/dog/c.png").rename(root / "train/dog/f.png")
    assert ImageFolder(root, "train").fingerprint() != first


def test_fingerprint_names_a_file_that_is_gone(root):
    data = ImageFolder(root, "train")
    (root / "train/dog/c.png").unlink()
    with pytest.raises(InputError, match=r"train/dog/c\.png cannot be read .*; copy it again\."):
        data.fingerprint()


def no_classes(root: Path) -> None:
    for name in ("cat", "dog"):
        shutil.rmtree(root / "val" / name)


def empty_class(root: Path) -> None:
    (root / "train/dog/c.png").rename(root / "train/dog/c.txt")


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (shutil.rmtree, r"There is no folder .*pets; give the data set's root folder\."),
        (lambda root: shutil.rmtree(root / "train"), r"There is no folder .*pets/train; images lie in train/CLASS/"),
        (lambda root: shutil.rmtree(root / "val"), r"There is no folder .*pets/val; images lie in train/CLASS/"),
        (no_classes, r"pets/val holds no class folders; images lie in train/CLASS/"),
        (
            empty_class,
            r"train/dog holds no image; every class folder needs one \(\.jpg, \.jpeg, \.png, \.webp, \.bmp, ",
        ),
        (lambda root: (root / "train/cat/again").symlink_to("."), r"train/cat/again is .*train/cat under another name"),
        (
            lambda root: shutil.rmtree(root / "train/dog") or (root / "train/dog").symlink_to("cat"),
            r"train/dog is .*train/cat under another name",
        ),
        (lambda root: picture(root / "train/ape/g.png"), r"'ape' is in .*pets/train but not in .*pets/val; both need"),
        (lambda root: picture(root / "val/emu/g.png"), r"'emu' is in .*pets/val but not in .*pets/train; both need"),
    ],
)
def test_what_is_missing_is_named_at_once(root, damage, sentence):
    damage(root)
    with pytest.raises(InputError, match=sentence) as caught:
        ImageFolder(root, "train")
    assert str(caught.value).count("\n") == 0


def truncate(path: Path) -> None:
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (60, 80, 3), np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[:5000])


def floating(path: Path) -> None:
    Image.new("F", (6, 4)).save(path, format="tiff")


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (truncate, r"train/cat/a\.png cannot be read as an image \(.*\); copy or write it again\."),
        (lambda path: path.write_bytes(b"no image"), r"train/cat/a\.png cannot be read as an image"),
        (Path.unlink, r"train/cat/a\.png cannot be read as an image"),
        (floating, r"train/cat/a\.png has floating-point pixels; an image needs 8 or 16 bits a channel\."),
    ],
)
def test_a_bad_file_is_named_when_it_is_read(root, damage, sentence):
    data = ImageFolder(root, "train")
    damage(root / "train/cat/a.png")
    data[1]
    with pytest.raises(InputError, match=sentence):
        data[0]


def test_an_unknown_split_gets_the_nearest(root):
    with pytest.raises(InputError, match="no split 'trian'; did you mean 'train'"):
        ImageFolder(root, "trian")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "classes", "train", "val"),
    [("tiny-imagenet", 60, 60, 15), ("scenes", 6, 250, 50), ("caltech101", 40, 30, 10)],
)
def test_real_copies(shared, name, classes, train, val):
    root = shared / "data" / name
    if not root.is_dir():
        pytest.skip(f"SKIPPED LOUDLY: {root} is not there")
    prints = set()
    for split, each in (("train", train), ("val", val)):
        data = ImageFolder(root, split)
        assert np.bincount(data.labels).tolist() == [each] * classes
        assert len(data) == each * classes == len({data.name_of(index) for index in range(len(data))})
        assert data.classes == tuple(sorted(path.name for path in (root / split).iterdir()))
        for index in range(0, len(data), len(data) // 12):
            sample = data[index]
            assert data.name_of(index).startswith(f"{data.classes[int(sample['label'])]}/")
            assert sample["image"].shape[0] == 3
            assert min(sample["image"].shape[1:]) == {"tiny-imagenet": 64, "scenes": 96, "caltech101": 96}[name]
            assert sample["image"].float().std() > 5
        prints.add(data.fingerprint())
    assert len(prints) == 2
