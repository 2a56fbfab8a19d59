"""The cleaning of a large set of photographs: big enough, and of exactly one dish.

The paper's Sect. 3.2 drops images below 256 x 256 pixels and those in which a detector of dishes, trained on the boxes
of UECFOOD-100, finds more than one; there it is a Faster R-CNN, here a CenterNet with one class.
"""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image, UnidentifiedImageError

from mtlkit.backbones import family
from mtlkit.data import Data
from mtlkit.data.transforms import CentredCrop
from mtlkit.data.uecfood import DISH
from mtlkit.errors import InputError
from mtlkit.heads import Branches
from mtlkit.network import NetworkSettings
from mtlkit.papers.mcn.tables import LOSS_WEIGHTS, neck_of
from mtlkit.runs import Training
from mtlkit.tasks import CenterDetection
from mtlkit.tasks.detections import SHOWN, Found
from mtlkit.training import Recipe

LEAST_SIDE = 256
"""Pixels that an image has at least, either way; as printed."""


class Cleaned(NamedTuple):
    """Images by what became of them, each list in the order they came.

    Attributes:
        kept: big enough, and of one dish.
        small: with a side below :data:`LEAST_SIDE`.
        several: in which more than one dish was found.
        none: in which none was.
    """

    kept: list[Path]
    small: list[Path]
    several: list[Path]
    none: list[Path]

    @property
    def counts(self) -> dict[str, int]:
        """How many are kept, and how many each rule drops."""
        return {name: len(images) for name, images in self._asdict().items()}


def cleaned(
    images: Iterable[Path],
    detect: Callable[[Path], Found],
    *,
    least_side: int = LEAST_SIDE,
    least_score: float = SHOWN,
) -> Cleaned:
    """Keeps the images that are big enough and show exactly one dish. The small ones are not looked at.

    Args:
        images: files.
        detect: finds the dishes of an image; of a trained detector
            ``lambda path: mtlkit.load(identity).predict(path)[0]["detection"]``, loaded once.
        least_side: pixels that height and width have at least.
        least_score: what is less sure is no dish.

    Raises:
        InputError: A file is missing or no image.
    """
    found = Cleaned([], [], [], [])
    for path in images:
        try:
            with Image.open(path) as image:
                side = min(image.size)
        except (OSError, UnidentifiedImageError) as error:
            raise InputError(f"{path} cannot be read as an image ({error}); remove it from the list.") from error
        if side < least_side:
            found.small.append(path)
            continue
        dishes = int((detect(path).scores > least_score).sum())
        (found.kept if dishes == 1 else found.several if dishes else found.none).append(path)
    return found


def dish_detector(data: Data, *, backbone: str, steps: int, seed: int = 0, **recipe: Any) -> Training:
    """The training of a detector of dishes, whatever their category.

    Args:
        data: boxes of one class, as of the layout ``uecfood_boxes`` with ``keep=("dish",)``.
        backbone: its name.
        steps: of the training.
        seed: of the start weights and of every draw.
        recipe: further settings of :class:`mtlkit.training.Recipe`; by default Adam at 5e-4 and batches of 16.

    Raises:
        InputError: ``data`` has other classes.
    """
    if data.keep != (DISH,):
        raise InputError(f"A detector of dishes learns one class, {DISH}; set keep of {data.name} to it.")
    task = CenterDetection(classes=data.keep)
    network = NetworkSettings(
        backbone=backbone,
        tasks=(task,),
        neck=neck_of(backbone, None),
        head=Branches.Settings(width=family(backbone).default_head_width, maps=task.maps, heat_maps=task.heat_maps),
        image_size=data.size,
    )
    settings: dict[str, Any] = {"batch_size": 16, "lr": 5e-4, "optimizer": "adam", "schedule": "step"} | recipe
    weights = {name: weight for name, weight in LOSS_WEIGHTS.items() if name.startswith(task.name)}
    crop = CentredCrop(size=data.size)
    return Training(
        network=network,
        data=data,
        recipe=Recipe(steps=steps, augmentation=crop, loss_weights=weights, **settings),
        seed=seed,
    )
