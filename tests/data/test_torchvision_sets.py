import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import datasets
from torchvision.datasets import imagenet

from mtlkit.data.imagefolder import ImageFolder
from mtlkit.data.paths import FOLLOW_LINKS
from mtlkit.data.torchvision_sets import Caltech101, ImageNet, OxfordPets, Places365
from mtlkit.errors import InputError

WNIDS = {"n01440764": ("tench", "Tinca tinca"), "n02012849": ("crane",), "n03126707": ("crane",)}


def image(path: Path, shade: int = 100) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (6, 4), (shade, 0, 0)).save(path)


def write_imagenet(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for label, wnid in enumerate(WNIDS):
        image(root / f"train/{wnid}/{wnid}_7.JPEG", 50 * label)
        image(root / f"train/{wnid}/{wnid}_12.JPEG", 50 * label)
        image(root / f"val/{wnid}/ILSVRC2012_val_{3 - label:08d}.JPEG", 50 * label)
    # Categories that are no leaves are in the file too.
    torch.save(({**WNIDS, "n00001740": ("entity",)}, list(WNIDS)), root / "meta.bin")


def write_places(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train = [("/a/airfield/1.jpg", 0), ("/a/apartment_building/outdoor/1.jpg", 1), ("/a/airfield/2.jpg", 0)]
    val = [("Places365_val_1.jpg", 1), ("Places365_val_2.jpg", 0)]
    root.mkdir()
    (root / "categories_places365.txt").write_text("/a/airfield 0\n/a/apartment_building/outdoor 1\n")
    for file, folder, samples in (
        ("places365_train_standard.txt", "data_256_standard", train),
        ("places365_val.txt", "val_256", val),
    ):
        (root / file).write_text("".join(f"{name} {label}\n" for name, label in samples))
        for name, label in samples:
            image(root / folder / name.lstrip("/"), 50 * label)
    sign_places(root, monkeypatch)


def sign_places(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """torchvision takes the official lists only; here it takes those under ``root``."""
    md5 = {path.name: hashlib.md5(path.read_bytes()).hexdigest() for path in root.glob("*.txt")}
    lists = {"train-standard": "places365_train_standard.txt", "val": "places365_val.txt"}
    categories = "categories_places365.txt"
    monkeypatch.setattr(datasets.Places365, "_CATEGORIES_META", (categories, md5[categories]))
    monkeypatch.setattr(
        datasets.Places365, "_FILE_LIST_META", {split: (file, md5[file]) for split, file in lists.items()}
    )


def write_pets(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = root / "oxford-iiit-pet"
    breeds = ("Abyssinian", "american_bulldog")
    for split, numbers in (("trainval", (1, 2)), ("test", (3,))):
        (folder / "annotations").mkdir(parents=True, exist_ok=True)
        lines = [f"{breed}_{n} {label + 1} {label + 1} 1" for label, breed in enumerate(breeds) for n in numbers]
        (folder / f"annotations/{split}.txt").write_text("\n".join(lines) + "\n")
        for label, breed in enumerate(breeds):
            for n in numbers:
                image(folder / f"images/{breed}_{n}.jpg", 50 * label)


def write_caltech(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = root / "caltech101/101_ObjectCategories"
    for label, (name, count) in enumerate((("Faces", 34), ("ant", 32), ("BACKGROUND_Google", 1))):
        image(folder / name / "image_0001.jpg", 50 * label)
        for number in range(2, count + 1):
            shutil.copy(folder / name / "image_0001.jpg", folder / name / f"image_{number:04d}.jpg")


Write = Callable[[Path, pytest.MonkeyPatch], None]
SETS: list[tuple[type[ImageFolder], Write]] = [
    (ImageNet, write_imagenet),
    (Places365, write_places),
    (OxfordPets, write_pets),
    (Caltech101, write_caltech),
]
every_set = pytest.mark.parametrize(("kind", "write"), SETS, ids=[kind.__name__ for kind, _ in SETS])


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "data"


@every_set
def test_all_behave_like_imagefolder(kind, write, root, monkeypatch):
    write(root, monkeypatch)
    for split in ("train", "val"):
        data = kind(root, split, ("things",))
        assert data.tasks == ("things",)
        assert len(data) == len(data.labels) == len({data.name_of(index) for index in range(len(data))})
        assert set(data.labels) == set(range(len(data.classes)))
        assert len(set(data.classes)) == len(data.classes)
        for index in range(len(data)):
            sample = data[index]
            assert (sample["image"].dtype, sample["image"].shape) == (torch.uint8, (3, 4, 6))
            assert (sample["things"].dtype, sample["things"].shape) == (torch.int64, ())
            # Every image's shade says its class; JPEG is off by a little.
            assert sample["things"] == data.labels[index]
            assert round(float(sample["image"][0].float().mean()) / 50) == data.labels[index]
    with pytest.raises(InputError, match="has one target per image"):
        kind(root, "train", ("a", "b"))
    with pytest.raises(InputError, match="no split 'vall'; did you mean 'val'"):
        kind(root, "vall")  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"There is no folder .*nowhere; give"):
        kind(root / "nowhere", "train")


@every_set
def test_fingerprints_tell_content_and_split_but_not_the_place(kind, write, root, tmp_path, monkeypatch):
    write(root, monkeypatch)
    first = kind(root, "train").fingerprint()
    assert kind(root, "val").fingerprint() != first
    shutil.copytree(root, tmp_path / "elsewhere")
    monkeypatch.chdir(tmp_path / "elsewhere")
    data = kind(Path("."), "train")
    assert data.fingerprint() == first
    path = next(Path(".").rglob(data.name_of(0)))
    image(path, 99)
    assert kind(Path("."), "train").fingerprint() != first


@every_set
def test_a_damaged_or_missing_image_is_named_when_it_is_read(kind, write, root, monkeypatch):
    write(root, monkeypatch)
    data = kind(root, "val")
    path = next(root.rglob(data.name_of(0)))
    for damage in (lambda: path.write_bytes(path.read_bytes()[:300]), path.unlink):
        damage()
        with pytest.raises(InputError, match=rf"{path.name} cannot be read as an image \(.*\); copy or write it"):
            data[0]


def listing(data: ImageFolder) -> list[tuple[str, str]]:
    return [(data.name_of(index), data.classes[label]) for index, label in enumerate(data.labels)]


def test_imagenet_names_classes_by_their_first_name_or_with_the_id_where_two_share_it(root, monkeypatch):
    write_imagenet(root, monkeypatch)
    data = ImageNet(root, "val")
    assert data.classes == ("tench", "crane (n02012849)", "crane (n03126707)")
    assert listing(data)[:2] == [
        ("n01440764/ILSVRC2012_val_00000003.JPEG", "tench"),
        ("n02012849/ILSVRC2012_val_00000002.JPEG", "crane (n02012849)"),
    ]


def test_imagenet_needs_one_split_only(root, monkeypatch):
    write_imagenet(root, monkeypatch)
    shutil.rmtree(root / "train")
    assert len(ImageNet(root, "val")) == 3


def test_imagenet_unpacks_no_archive_of_images(root, monkeypatch):
    write_imagenet(root, monkeypatch)
    shutil.rmtree(root / "train")
    (root / "ILSVRC2012_img_train.tar").write_bytes(b"")
    monkeypatch.setattr(imagenet, "ARCHIVE_META", {"train": ("ILSVRC2012_img_train.tar", None)})
    with pytest.raises(InputError, match=r"There is no .*data/train; ImageNet needs"):
        ImageNet(root, "train")
    assert not (root / "train").exists()


def test_places_takes_the_large_images_where_there_are_no_small_ones(root, monkeypatch):
    write_places(root, monkeypatch)
    train = Places365(root, "train")
    assert train.classes == ("airfield", "apartment_building/outdoor")
    assert listing(train) == [
        ("a/airfield/1.jpg", "airfield"),
        ("a/apartment_building/outdoor/1.jpg", "apartment_building/outdoor"),
        ("a/airfield/2.jpg", "airfield"),
    ]
    before = train.fingerprint()
    (root / "data_256_standard").rename(root / "data_large_standard")
    large = Places365(root, "train")
    assert listing(large) == listing(train)
    assert large[1]["image"].shape == (3, 4, 6)
    assert large.fingerprint() != before


def test_pets_test_part_is_read_as_val(root, monkeypatch):
    write_pets(root, monkeypatch)
    assert listing(OxfordPets(root, "val")) == [
        ("Abyssinian_3.jpg", "Abyssinian"),
        ("american_bulldog_3.jpg", "American Bulldog"),
    ]
    assert len(OxfordPets(root, "train")) == 4


def test_caltech_draws_30_of_every_class_for_training(root, monkeypatch):
    write_caltech(root, monkeypatch)
    train, val = Caltech101(root, "train"), Caltech101(root, "val")
    assert train.classes == val.classes == ("Faces", "ant")
    assert np.bincount(train.labels).tolist() == [30, 30]
    assert np.bincount(val.labels).tolist() == [4, 2]
    assert not set(listing(train)) & set(listing(val))
    # Recorded once: the split must not move, with whatever versions and machines.
    assert [name for name, _ in listing(val)] == [
        *(f"Faces/image_{number:04d}.jpg" for number in (8, 23, 24, 34)),
        *(f"ant/image_{number:04d}.jpg" for number in (12, 31)),
    ]


def test_caltechs_split_is_drawn_whatever_the_order_of_the_files(root, monkeypatch):
    write_caltech(root, monkeypatch)
    first = listing(Caltech101(root, "train"))
    listed = os.listdir
    monkeypatch.setattr(os, "listdir", lambda path: sorted(listed(path), reverse=True))
    assert listing(Caltech101(root, "train")) == first


def test_a_caltech_class_keeps_its_split_when_another_changes(root, monkeypatch):
    write_caltech(root, monkeypatch)
    ants = [entry for entry in listing(Caltech101(root, "train")) if entry[1] == "ant"]
    (root / "caltech101/101_ObjectCategories/Faces/image_0034.jpg").unlink()
    assert [entry for entry in listing(Caltech101(root, "train")) if entry[1] == "ant"] == ants


def drop(name: str) -> Callable[[Path], None]:
    return lambda root: shutil.rmtree(root / name) if (root / name).is_dir() else (root / name).unlink()


def overwrite(name: str, content: bytes = b"?") -> Callable[[Path], None]:
    return lambda root: (root / name).write_bytes(content)


def unknown_class(root: Path) -> None:
    for split in ("train", "val"):
        image(root / split / "n99/0.JPEG")


def empty_class(root: Path) -> None:
    drop("val/n02012849")(root)
    (root / "val/n02012849").mkdir()


def only_the_damaged_devkit(root: Path) -> None:
    drop("meta.bin")(root)
    overwrite("ILSVRC2012_devkit_t12.tar.gz")(root)


def listed(line: str) -> Callable[[Path], None]:
    return overwrite("oxford-iiit-pet/annotations/test.txt", line.encode())


def few_ants(root: Path) -> None:
    for number in (31, 32):
        drop(f"caltech101/101_ObjectCategories/ant/image_{number:04d}.jpg")(root)


@pytest.mark.parametrize(
    ("kind", "damage", "sentence"),
    [
        (ImageNet, drop("val"), r"There is no .*data/val; ImageNet needs train/WNID/ and val/WNID/"),
        (
            ImageNet,
            drop("meta.bin"),
            r"There is no .*data/meta\.bin or .*data/ILSVRC2012_devkit_t12\.tar\.gz; ImageNet needs",
        ),
        (ImageNet, overwrite("meta.bin"), r"data cannot be read as ImageNet \(.*\); it needs .*meta\.bin"),
        (
            ImageNet,
            only_the_damaged_devkit,
            r"\(RuntimeError: The archive ILSVRC2012_devkit_t12\.tar\.gz is not present .* or is corrupted\); it",
        ),
        (
            ImageNet,
            unknown_class,
            r"\(LookupError: meta\.bin has no class 'n99', for which val has a folder\); it needs",
        ),
        (ImageNet, empty_class, r"\(FileNotFoundError: Found no valid file for the classes n02012849\); it needs"),
        (ImageNet, drop("train/n02012849"), r"'n02012849' is in .*data/val but not in .*data/train; both need"),
        (Places365, drop("categories_places365.txt"), r"There is no .*/categories_places365\.txt; Places365 needs"),
        (Places365, drop("places365_val.txt"), r"There is no .*/places365_val\.txt; Places365 needs"),
        (Places365, drop("val_256"), r"There is no .*/val_256 or .*/val_large; Places365 needs the official"),
        (
            Places365,
            overwrite("places365_val.txt"),
            r"\(RuntimeError: The file .*/places365_val\.txt does not exist or is corrupted\); it needs the official",
        ),
        (OxfordPets, drop("oxford-iiit-pet/images"), r"There is no .*oxford-iiit-pet/images; OxfordPets needs"),
        (OxfordPets, drop("oxford-iiit-pet/annotations"), r"There is no .*annotations/test\.txt; OxfordPets needs"),
        (
            OxfordPets,
            overwrite("oxford-iiit-pet/annotations/test.txt"),
            r"annotations/test\.txt, line 1, is '.*'; it should be a name and three numbers",
        ),
        (
            OxfordPets,
            overwrite("oxford-iiit-pet/annotations/test.txt", b"american_bulldog_3 2 2 1\n"),
            r"oxford-iiit-pet/annotations/test\.txt lacks a breed; take the official list of the data set\.",
        ),
        (
            OxfordPets,
            listed("../Abyssinian_1 1 1 1"),
            r"test\.txt, line 1, names '\.\./Abyssinian_1'; a path should lead",
        ),
        (
            OxfordPets,
            listed("Abyssinian_3 0_1 1 1"),
            r"test\.txt, line 1, is 'Abyssinian_3 0_1 1 1'; it should be a name",
        ),
        (
            OxfordPets,
            listed("Abyssinian_1 1 1 1"),
            r"test\.txt, line 1, repeats 'Abyssinian_1', which trainval\.txt has",
        ),
        (OxfordPets, overwrite("oxford-iiit-pet/annotations/test.txt", b""), r"test\.txt lacks a breed; take"),
        (Caltech101, drop("caltech101"), r"There is no .*caltech101/101_ObjectCategories; Caltech101 needs"),
        (
            Caltech101,
            drop("caltech101/101_ObjectCategories/BACKGROUND_Google"),
            r"There is no .*/BACKGROUND_Google; Caltech101 needs the folder caltech101/101_ObjectCategories as it is",
        ),
        (
            Caltech101,
            overwrite("caltech101/101_ObjectCategories/README"),
            r"data cannot be read as Caltech101 \(NotADirectoryError: .*README.*\); it needs the folder",
        ),
        (Caltech101, few_ants, r"101_ObjectCategories/ant holds 30 images; Caltech101 needs more than 30 a class"),
    ],
)
def test_what_is_missing_is_named_at_once(kind, damage, sentence, root, monkeypatch):
    dict(SETS)[kind](root, monkeypatch)
    damage(root)
    before = sorted(root.rglob("*"))
    with pytest.raises(InputError, match=sentence) as caught:
        kind(root, "val")
    assert "download" not in str(caught.value)
    assert "\n" not in str(caught.value)
    assert sorted(root.rglob("*")) == before


def test_without_scipy_the_devkit_is_not_read_but_said_so(root, monkeypatch):
    write_imagenet(root, monkeypatch)
    only_the_damaged_devkit(root)
    monkeypatch.setitem(__import__("sys").modules, "scipy.io", None)
    with pytest.raises(InputError, match=r"\(ModuleNotFoundError: .*scipy.*\); it needs .*meta\.bin or the ILSVRC"):
        ImageNet(root, "train")


def test_the_devkit_serves_where_meta_is_not_written_yet(root, monkeypatch):
    write_imagenet(root, monkeypatch)
    (root / "meta.bin").rename(root / "ILSVRC2012_devkit_t12.tar.gz")

    def parse(folder: str) -> None:
        shutil.copy(Path(folder) / "ILSVRC2012_devkit_t12.tar.gz", Path(folder) / "meta.bin")

    monkeypatch.setattr(imagenet, "parse_devkit_archive", parse)
    assert len(ImageNet(root, "train")) == 6


def test_real_images_in_caltechs_own_folders(shared, root, monkeypatch):
    monkeypatch.setenv(FOLLOW_LINKS, "1")
    copy = shared / "data" / "caltech101"
    if not copy.is_dir():
        pytest.skip(f"SKIPPED LOUDLY: {copy} is not there")
    folder = root / "caltech101/101_ObjectCategories"
    (folder / "BACKGROUND_Google").mkdir(parents=True)
    for class_ in sorted(path.name for path in (copy / "train").iterdir()):
        (folder / class_).mkdir()
        files = sorted([*(copy / "train" / class_).iterdir(), *(copy / "val" / class_).iterdir()])
        for number, file in enumerate(files, 1):
            (folder / class_ / f"image_{number:04d}.jpg").symlink_to(file)
    train, val = Caltech101(root, "train"), Caltech101(root, "val")
    assert train.classes == ImageFolder(copy, "train").classes
    assert np.bincount(train.labels).tolist() == [30] * 40
    assert np.bincount(val.labels).tolist() == [10] * 40
    for index in range(0, 400, 40):
        assert min(val[index]["image"].shape[1:]) == 96
    # The draw takes from the whole of a class, not from its start.
    numbers = [int(train.name_of(index)[-8:-4]) for index in range(1200)]
    assert 19 < np.mean(numbers) < 22
