"""Published classification sets, in the folders that torchvision's classes of these sets define and read.

Reading downloads and unpacks nothing, except that torchvision writes ImageNet's ``meta.bin`` from its devkit.
"""

import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

from torchvision import datasets
from torchvision.datasets import imagenet

from mtlkit.data.imagefolder import ImageFolder, Listing, shared_classes
from mtlkit.data.paths import relative
from mtlkit.data.samples import Split
from mtlkit.data.splits import lines, once
from mtlkit.errors import InputError


class _Published(ImageFolder):
    """What the sets share: one sentence for whatever is missing."""

    _needs: ClassVar[str]

    def overlooked(self) -> list[str]:
        """Nothing: a published folder may hold what belongs to no split, or to the other one."""
        return []

    def _there(self, *choices: str) -> str:
        """The first of the relative paths that exists."""
        for choice in choices:
            if (self._root / choice).exists():
                return choice
        missing = " or ".join(str(self._root / choice) for choice in choices)
        raise InputError(f"There is no {missing}; {type(self).__name__} needs {self._needs}.")

    def _open(self, kind: Callable[..., Any], **options: Any) -> Any:
        try:
            return kind(str(self._root), **options)
        except Exception as error:  # torchvision parses lists and archives without checks, so any kind may come
            # The first sentence: the next advises to download by an argument that is not ours.
            reason = str(error).partition(". ")[0].rstrip(".")
            raise InputError(
                f"{self._root} cannot be read as {type(self).__name__} ({type(error).__name__}: {reason}); "
                f"it needs {self._needs}."
            ) from error


class ImageNet(_Published):
    """ImageNet 2012 (ILSVRC), see :class:`ImageFolder`: 1,281,167 training and 50,000 validation images.

    ::

        train/WNID/*.JPEG, val/WNID/*.JPEG
        meta.bin          written by torchvision from ILSVRC2012_devkit_t12.tar.gz, which may lie here instead

    The folder of the other split may be absent. Classes are the first of their names; where two classes share it,
    their WordNet ids follow.

    Raises:
        InputError: as :class:`ImageFolder`, or ``meta.bin`` is missing, damaged, or does not know a class folder.
    """

    description = "torchvision's folders for ImageNet"
    _needs = (
        "train/WNID/ and val/WNID/ with unpacked images, beside meta.bin or the ILSVRC2012_devkit_t12.tar.gz "
        "it is made from"
    )

    @classmethod
    def arrange(cls, root: Path) -> None:
        """Unpacks the three archives, of the training images those of its classes too, into folders of classes."""
        from mtlkit.data.archives import merge, unpacked  # not of the base install

        if not (root / "meta.bin").is_file():
            imagenet.parse_devkit_archive(str(root))
        if not (root / "val").is_dir():
            with unpacked(root / "ILSVRC2012_img_val.tar", root) as images:
                classes = imagenet.load_meta_file(str(root))[1]
                for image, wnid in zip(sorted(images.iterdir()), classes, strict=True):
                    (images / wnid).mkdir(exist_ok=True)
                    image.rename(images / wnid / image.name)
                images.rename(root / "val")
        if not (root / "train").is_dir():
            with unpacked(root / "ILSVRC2012_img_train.tar", root) as folders:
                for archive in list(folders.glob("*.tar")):
                    with unpacked(archive, folders) as images:
                        merge(images, folders / archive.stem)
                    archive.unlink()
                folders.rename(root / "train")

    def _list(self, split: Split) -> Listing:
        self._there(split)  # else torchvision would unpack an archive of 138 GB that lies there
        self._there("meta.bin", "ILSVRC2012_devkit_t12.tar.gz")
        if (self._root / "train").is_dir() and (self._root / "val").is_dir():
            shared_classes(self._root)
        found = self._open(_imagenet, split=split)
        first = [names[0] for names in found.classes]
        classes = [
            name if first.count(name) == 1 else f"{name} ({wnid})"
            for name, wnid in zip(first, found.wnids, strict=True)
        ]
        return Listing(found.split_folder, [file for file, _ in found.samples], found.targets, classes)


def _imagenet(root: str, split: str) -> Any:
    try:
        return datasets.ImageNet(root, split)
    except KeyError as error:
        raise LookupError(f"meta.bin has no class {error}, for which {split} has a folder") from error


class Places365(_Published):
    """Places365-Standard, see :class:`ImageFolder`: 1,803,460 training and 36,500 validation images.

    ::

        categories_places365.txt, places365_train_standard.txt, places365_val.txt
        data_256_standard/, val_256/       images of 256 x 256 pixels; without them
        data_large_standard/, val_large/   the large ones

    Classes are named without the letter folder of the official list: ``airfield`` for ``/a/airfield``.

    Raises:
        InputError: a list is missing or not the official one, or there is no folder of images. A listed image
            that is missing is noticed when it is read.
    """

    description = "torchvision's folders for Places365-Standard"
    _needs = (
        "the official categories_places365.txt, places365_train_standard.txt and places365_val.txt beside the folders "
        "data_256_standard and val_256, or data_large_standard and val_large"
    )

    @classmethod
    def arrange(cls, root: Path) -> None:
        """Renames the folder of the training images, as torchvision does."""
        for size in ("256", "large"):
            if (root / f"data_{size}").is_dir():
                (root / f"data_{size}").rename(root / f"data_{size}_standard")

    def _list(self, split: Split) -> Listing:
        self._there("categories_places365.txt")
        self._there("places365_train_standard.txt" if split == "train" else "places365_val.txt")
        small, large = ("data_256_standard", "data_large_standard") if split == "train" else ("val_256", "val_large")
        found = self._open(
            datasets.Places365,
            split="train-standard" if split == "train" else "val",
            small=self._there(small, large) == small,
        )
        classes = [name[3:] for name in sorted(found.class_to_idx, key=found.class_to_idx.get)]
        return Listing(found.images_dir, [file for file, _ in found.imgs], found.targets, classes)


class OxfordPets(_Published):
    """Oxford-IIIT Pet, see :class:`ImageFolder`: 37 breeds, 3,680 training and 3,669 test images (read as val).

    ::

        oxford-iiit-pet/images/*.jpg
        oxford-iiit-pet/annotations/trainval.txt, test.txt

    Raises:
        InputError: a folder or list is missing, or a list is damaged or lacks a breed. A listed image that is
            missing is noticed when it is read.
    """

    description = "torchvision's folders for Oxford-IIIT Pet"
    _needs = "oxford-iiit-pet/images/ with the images, and oxford-iiit-pet/annotations/ with trainval.txt and test.txt"

    def _list(self, split: Split) -> Listing:
        self._there("oxford-iiit-pet/images")
        official = "trainval" if split == "train" else "test"
        names = self._there(f"oxford-iiit-pet/annotations/{official}.txt")
        self._check_lists()
        found = self._open(datasets.OxfordIIITPet, split=official)
        # Private, but the public way to a label opens the image.
        files, labels = [str(file) for file in found._images], found._labels
        if not files or set(labels) != set(range(len(found.classes))):
            # torchvision numbers the breeds of the list, so the ids after a gap would be another breed's.
            raise InputError(f"{self._root / names} lacks a breed; take the official list of the data set.")
        return Listing(str(found._images_folder), files, labels, found.classes)

    def _check_lists(self) -> None:
        folder = self._root / "oxford-iiit-pet/annotations"
        lists: dict[Path, list[tuple[int, str]]] = {}
        for path in (path for path in (folder / "trainval.txt", folder / "test.txt") if path.is_file()):
            lists[path] = []
            for number, line in lines(path, "a name and three numbers per line"):
                name, *ids = line.split()
                if len(ids) != 3 or not all(each.isascii() and each.isdigit() for each in ids):
                    raise InputError(f"{path}, line {number}, is {line!r}; it should be a name and three numbers.")
                lists[path].append((number, relative(name, f"{path}, line {number},")))
        once(lists)


class Caltech101(_Published):
    """Caltech-101, see :class:`ImageFolder`: 101 classes, 3,030 training and 5,647 test images (read as val).

    ::

        caltech101/101_ObjectCategories/CLASS/image_0001.jpg, ...

    There is no official split. As papers do, 30 images of every class are for training, the others for testing; here
    they are drawn by a fixed seed, the same on every machine and in any order of the files: those whose names have
    the lowest SHA-256 together with the seed. The folder ``BACKGROUND_Google``, which is no class, must be there and is
    left out.

    Raises:
        InputError: a folder is missing, or a class has too few images to test on.
    """

    description = "torchvision's folders for Caltech-101, 30 training images per class"
    _needs = "the folder caltech101/101_ObjectCategories as it is published, with 101 classes and BACKGROUND_Google"
    _seed = 0
    _train = 30

    @classmethod
    def arrange(cls, root: Path) -> None:
        """Unpacks the archive in the published archive."""
        from mtlkit.data.archives import merge, unpacked  # not of the base install

        if (archive := root / "caltech-101/101_ObjectCategories.tar.gz").is_file():
            with unpacked(archive, root) as content:
                merge(content, root / "caltech101")
            shutil.rmtree(archive.parent)

    def _list(self, split: Split) -> Listing:
        self._there("caltech101/101_ObjectCategories")  # else torchvision would make the folder caltech101
        self._there("caltech101/101_ObjectCategories/BACKGROUND_Google")
        found = self._open(datasets.Caltech101)
        folder = os.path.join(found.root, "101_ObjectCategories")
        files: list[str] = []
        labels: list[int] = []
        for label, name in enumerate(found.categories):
            numbers = [number for number, of in zip(found.index, found.y, strict=True) if of == label]
            if len(numbers) <= self._train:
                raise InputError(
                    f"{os.path.join(folder, name)} holds {len(numbers)} images; Caltech101 needs more than "
                    f"{self._train} a class, as {self._train} are for training."
                )
            drawn = {number for _, number in sorted((self._draw(name, n), n) for n in numbers)[: self._train]}
            for number in numbers:
                if (number in drawn) == (split == "train"):
                    files.append(os.path.join(folder, name, f"image_{number:04d}.jpg"))
                    labels.append(label)
        return Listing(folder, files, labels, found.categories)

    def _draw(self, name: str, number: int) -> str:
        return hashlib.sha256(f"{self._seed}/{name}/image_{number:04d}.jpg".encode()).hexdigest()
