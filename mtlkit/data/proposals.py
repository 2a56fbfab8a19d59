"""Object proposals: boxes that may hold an object of any class, by selective search and kept on disk.

Uijlings et al., *Selective Search for Object Recognition*, IJCV 2013, in OpenCV's implementation.
"""

import hashlib
import io
from collections.abc import Iterable, Iterator, Sized
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor
from torchvision import tv_tensors

from mtlkit.data.samples import DataSet, Sample
from mtlkit.errors import InputError, extra
from mtlkit.files import permitted, set_aside, sweep, written_whole
from mtlkit.values import Value

Image = NDArray[np.uint8] | Tensor | Sample
"""RGB, uint8, as an array ``(H, W, 3)``, a tensor ``(3, H, W)`` or a sample that holds such a tensor as ``image``."""


class SelectiveSearch(Value):
    """How the boxes are found.

    Attributes:
        mode: the strategies that are combined; ``quality`` takes about four times as long as ``fast`` and finds
            about three times as many boxes.
        most: boxes kept an image. Fast R-CNN trains on about 2000 (Girshick, ICCV 2015).
        least_side: boxes with a side shorter than this many pixels of the image are dropped.
        longest: pixels to which an image's longer side is reduced before the search; smaller images stay as they
            are. R-CNN searches at a width of 500 (Girshick et al., CVPR 2014).
    """

    mode: Literal["fast", "quality"] = "fast"
    most: int = Field(default=2000, ge=1)
    least_side: int = Field(default=16, ge=1)
    longest: int = Field(default=500, ge=1)

    def boxes(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Boxes ``(P, 4)`` of an image, uint8 ``(H, W, 3)``, RGB: left, top, right, bottom, from 0 to W and H.

        Pixels are unit squares, so a box around the first pixel is ``(0, 0, 1, 1)``. No box comes twice. Their order
        is like the paper's, random with large ones earlier, and always the same. An image with a side below
        ``least_side`` has none.

        Raises:
            InputError: OpenCV or its contributed modules are missing, or ``image`` is no such image.
        """
        cv2 = _opencv()
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
            raise InputError(
                f"Selective search takes images (height, width, 3) of uint8, not {image.shape} of {image.dtype}."
            )
        height, width = image.shape[:2]
        reduction = min(self.longest / max(height, width), 1.0)
        size = (max(round(width * reduction), 1), max(round(height * reduction), 1))
        if size != (width, height):
            image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        search = cv2.ximgproc.segmentation.createSelectiveSearchSegmentation()
        search.setBaseImage(np.ascontiguousarray(image[..., ::-1]))  # OpenCV's channels are BGR
        if self.mode == "fast":
            search.switchToSelectiveSearchFast()
        else:
            search.switchToSelectiveSearchQuality()
        left, top, across, down = np.asarray(search.process(), np.float64).reshape(-1, 4).T
        edge = np.array([width, height, width, height], np.float64)
        boxes = np.stack((left, top, left + across, top + down), axis=1) * edge / (size + size)
        boxes = np.minimum(boxes, edge)
        sides = boxes[:, 2:] - boxes[:, :2]
        kept = sides.min(axis=1) >= self.least_side
        chosen: NDArray[np.float32] = _ordered(boxes[kept], sides[kept].prod(axis=1))[: self.most].astype(np.float32)
        return chosen


def _ordered(boxes: NDArray[np.float64], areas: NDArray[np.float64]) -> NDArray[np.float64]:
    """Boxes by a random number times their place among all by area, the largest first; always the same way.

    OpenCV finds the same boxes each time, but orders them by C's ``rand()``, which ``cv2.setRNGSeed`` does not seed:
    which boxes ``most`` leaves out would change with every call. (It also has the small ones earlier, unlike the
    paper, whose place is that in the hierarchy of regions, the whole image first.)
    """
    boxes = boxes[np.lexsort((*boxes.T, -areas))]
    places = np.random.default_rng(0).random(len(boxes)) * np.arange(1, len(boxes) + 1)
    return boxes[np.argsort(places, kind="stable")]


class Proposals:
    """The boxes of images, searched once: one file per image, found by its pixels and the settings' identity.

    An image is known by its pixels, so boxes are asked for before it is cropped, mirrored or resized.

    Args:
        settings: how boxes are found.
        folder: where the files lie; made when the first is written. Other settings may share it.
    """

    def __init__(self, settings: SelectiveSearch, folder: Path) -> None:
        self.settings = settings
        self.folder = Path(folder) / settings.identity

    def boxes(self, image: Image) -> NDArray[np.float32]:
        """As :meth:`SelectiveSearch.boxes`, from the file where there is one, else searched and written.

        Raises:
            InputError: OpenCV or its contributed modules are missing, or ``image`` is no image.
        """
        pixels = _pixels(image)
        path = self._path(pixels)
        boxes = _read(path)
        if boxes is None:
            boxes = self.settings.boxes(pixels)
            _write(path, boxes)
        return boxes

    def prepare(self, images: Iterable[Image] | DataSet, processes: int = 1, progress: bool = False) -> int:
        """Searches the images that have no file yet; returns their number.

        The processes are spawned, so a script that asks for more than one keeps its own work under
        ``if __name__ == "__main__":``.

        Args:
            images: images, or a data set; read one by one in this process.
            processes: how many search side by side; 1: this process alone.
            progress: whether a bar counts the images.

        Raises:
            InputError: OpenCV or its contributed modules are missing, or an image is no image.
        """
        from tqdm import tqdm  # not of the base install, which reads images too

        total = len(images) if isinstance(images, Sized) else None
        every = tqdm(map(_pixels, _each(images)), "proposals", total, unit="image", disable=not progress)
        missing = (pixels for pixels in every if not self._path(pixels).is_file())
        searched = 0
        if processes <= 1:
            for pixels in missing:
                self.boxes(pixels)
                searched += 1
            return searched
        with ProcessPoolExecutor(processes, get_context("spawn")) as pool:
            running: set[Future[None]] = set()
            for pixels in missing:
                running.add(pool.submit(_search, self, pixels))
                searched += 1
                if len(running) >= 2 * processes:  # no more images in memory than keep the processes busy
                    running = _settled(running, FIRST_COMPLETED)
            _settled(running)
        return searched

    def _path(self, pixels: NDArray[np.uint8]) -> Path:
        sha = hashlib.sha256(f"{pixels.shape}\0".encode())
        sha.update(pixels.tobytes())
        return self.folder / f"{sha.hexdigest()[:32]}.npy"


class Proposed:
    """A data set whose samples also have ``proposals`` (``tv_tensors.BoundingBoxes``, XYXY, ``(P, 4)``)."""

    def __init__(self, dataset: DataSet, proposals: Proposals) -> None:
        self._dataset, self._proposals = dataset, proposals
        sweep(proposals.folder)  # of what killed runs left half written
        self.classes, self.tasks = dataset.classes, dataset.tasks

    def __len__(self) -> int:
        return len(self._dataset)

    def __getitem__(self, index: int) -> Sample:
        sample = self._dataset[index]
        boxes, size = torch.from_numpy(self._proposals.boxes(sample)), tuple(sample["image"].shape[-2:])
        return sample | {"proposals": tv_tensors.BoundingBoxes(boxes, format="XYXY", canvas_size=size)}

    def name_of(self, index: int) -> str:
        """The name in the data set."""
        return self._dataset.name_of(index)

    def fingerprint(self) -> str:
        """The data set's; what is proposed follows from its images and the settings of the search."""
        return self._dataset.fingerprint()


def _search(proposals: Proposals, pixels: NDArray[np.uint8]) -> None:
    """Runs in a process of its own."""
    _opencv().setNumThreads(1)  # there are as many processes as the user wants to be busy
    proposals.boxes(pixels)


def _settled(running: set[Future[None]], when: str = "ALL_COMPLETED") -> set[Future[None]]:
    """Those still running; an error of the others is raised here."""
    done, running = wait(running, return_when=when)
    for future in done:
        future.result()
    return running


def _each(images: Iterable[Image] | DataSet) -> Iterator[Image]:
    if isinstance(images, Iterable):
        yield from images
    else:
        for index in range(len(images)):
            yield images[index]


def _pixels(image: Image) -> NDArray[np.uint8]:
    """Any image as an array ``(H, W, 3)``."""
    if isinstance(image, dict):
        image = image["image"]
    if isinstance(image, Tensor):
        pixels: NDArray[np.uint8] = image.as_subclass(Tensor).movedim(0, -1).cpu().numpy()
        return pixels
    return image


def _write(path: Path, boxes: NDArray[np.float32]) -> None:
    """An array, and after it, where NumPy does not look, the SHA-256 of its bytes."""
    content = io.BytesIO()
    np.save(content, boxes)
    with written_whole(path) as part:
        part.write_bytes(content.getvalue() + hashlib.sha256(content.getvalue()).digest())


def _read(path: Path) -> NDArray[np.float32] | None:
    """What :func:`_write` wrote; ``None`` where there is nothing, or it is damaged."""
    if not path.exists():
        return None
    permitted(path)
    try:
        content = io.BytesIO(path.read_bytes() if path.is_file() else b"")  # a named pipe would be waited for
        boxes: NDArray[np.float32] = np.load(content, allow_pickle=False)
        rest = content.read()
        whole = content.getvalue()[: -len(rest)] if rest else b""
        # Earlier versions wrote no digest.
        if boxes.shape[1:] == (4,) and (not rest or hashlib.sha256(whole).digest() == rest):
            return boxes
    except Exception:  # NumPy parses the header as Python
        pass
    set_aside(path)
    return None


def _opencv() -> Any:
    """OpenCV, imported when it is needed: nothing else here stands on it.

    Raises:
        InputError: it is not installed, or holds no selective search.
    """
    with extra("run"):
        import cv2
    try:
        _ = cv2.ximgproc.segmentation.createSelectiveSearchSegmentation
    except AttributeError as error:
        raise InputError(
            f"Selective search needs OpenCV with its contributed modules ({error}); uninstall every other opencv "
            "package, then run pip install opencv-contrib-python-headless."
        ) from error
    return cv2
