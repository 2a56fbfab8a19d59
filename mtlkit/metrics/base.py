"""What a metric is: statistics of every image, from which its measures follow for any weights of the images."""

from abc import abstractmethod
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mtlkit.errors import InputError, check_shape, extra

with extra("run"):
    from torchmetrics import Metric

Weights = NDArray[np.float64]
"""How much every image counts, ``(B, images)``; ones give the value, how often each was drawn a bootstrap."""

Measures = dict[str, NDArray[np.float64]]
"""Measure -> its value ``(B,)`` under each row of weights."""

FEW_CLASSES = 4
"""Up to so many classes a class's own measures are resampled too; of more, records would hold little else."""

_AT_ONCE = 2**22


class ImageMetric(Metric):
    """Keeps statistics of every image; a measure is one function of them and of the images' weights.

    The value of a measure has all weights 1, its bootstrap how often each image was drawn: the same function, so that
    every measure has both. States are those of :class:`torchmetrics.Metric`, lists of tensors that several processes
    can gather; they stay on the device until :meth:`compute`.

    A subclass declares its states with :meth:`keeps`, fills them in ``update(output, target, image=None)`` through
    :meth:`add`, and computes :meth:`measures`. ``image`` numbers the images of the set from 0: ``(n,)``, one for every
    row of a tensor target, or for every image of a batch whose target lists objects. By default images are numbered in
    the order they come, also by :meth:`forward` and :meth:`merge_state`.

    What is not a number (NaN) has no score unless the metric says so: it is refused when the measures are computed, for
    ``update`` does not wait for the device.
    """

    # Otherwise torchmetrics' forward would take each batch into an empty metric, where numbers start again.
    full_state_update = True

    of_objects: ClassVar[bool] = False
    """Whether its rows are objects, of which an image may have several, and not images."""

    def __init__(self) -> None:
        super().__init__(compute_with_cache=False)
        self._empty: dict[str, Tensor] = {}
        self._numbered: list[str] = []
        self._next: int | None = 0  # the next number; None where numbers were given
        self.keeps("image", (), torch.int64, numbered=True)

    def keeps(self, name: str, shape: tuple[int, ...], dtype: torch.dtype, *, numbered: bool = False) -> None:
        """Declares a state: rows of ``shape``.

        Args:
            name: of the state, an attribute.
            shape: of a row.
            dtype: of its numbers.
            numbered: whether the row's first number is an image's.
        """
        self.add_state(name, [], dist_reduce_fx="cat")
        self._empty[name] = torch.zeros(0, *shape, dtype=dtype)
        if numbered:
            self._numbered.append(name)

    def add(self, image: Tensor | None = None, **rows: Tensor) -> Tensor:
        """Appends rows to the states; one of them has a row for every image.

        Args:
            image: numbers of the images; ``None``: the next ones.
            rows: state -> its new rows, one row per image.

        Returns:
            The numbers.

        Raises:
            InputError: there is not one number an image.
        """
        count = len(next(iter(rows.values())))
        if image is None:
            first = self.images if self._next is None else self._next
            image = torch.arange(first, first + count)
            self._next = None if self._next is None else first + count
        else:
            check_shape(f"The numbering of images for {type(self).__name__}", image.shape, count)
            self._next = None
        for name, part in (rows | {"image": image}).items():
            getattr(self, name).append(part.to(self._empty[name].dtype))
        return image

    @property
    def images(self) -> int:
        """How many images there are, one more than the highest number."""
        return max((int(part.max()) + 1 for part in self._parts("image") if len(part)), default=0)

    def renumber(self, image: Tensor) -> None:
        """Gives the images that were numbered in the order they came their numbers in the set.

        Raises:
            InputError: there are not as many numbers as images.
        """
        if len(image) != self.images:
            raise InputError(f"{len(image)} numbers do not fit the {self.images} images that were scored.")
        for name in self._numbered:
            for part in self._parts(name):
                number = _numbers(part)
                number.copy_(image.to(number.device)[number.long()])
        self._next = None

    def reset(self) -> None:
        """Forgets all images."""
        super().reset()
        self._next = 0

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Takes a batch as ``update`` does; the measures of this batch alone."""
        before = self._next
        value = super().forward(*args, **kwargs)  # leaves the next number after the batch alone
        self._next = None if before is None or self._next is None else before + self._next
        return value

    def merge_state(self, incoming_state: dict[str, Any] | Metric) -> None:
        """Takes the images of another metric too. Those that it numbered in the order they came follow those that are
        here; numbers that it was given stay.

        Raises:
            InputError: it is no metric of this class.
        """
        name, other = type(self).__name__, incoming_state
        if not isinstance(other, ImageMetric) or type(other) is not type(self):
            raise InputError(f"{name} takes the images of another {name}, not of a {type(other).__name__}.")
        first = 0 if other._next is None else self.images
        for name in self._empty:
            parts = [part.clone() for part in other._parts(name)]
            if name in self._numbered:
                for part in parts:
                    _numbers(part).add_(first)
            setattr(self, name, self._parts(name) + parts)
        self._next = None if self._next is None or other._next is None else self._next + other._next

    def gathered(self, name: str) -> NDArray[Any]:
        """All rows of a state.

        Raises:
            InputError: one holds NaN.
        """
        parts = [part.to(torch.float32) if part.dtype == torch.bfloat16 else part for part in self._parts(name)]
        rows: NDArray[Any] = torch.cat([self._empty[name], *(part.cpu() for part in parts)]).numpy()
        if rows.dtype.kind == "f" and np.isnan(rows).any():
            raise InputError(
                f"A prediction or a target for {type(self).__name__} is not a number (NaN) and has no score; "
                "a network predicts NaN after its training diverged."
            )
        return rows

    def _parts(self, name: str) -> list[Tensor]:
        state = getattr(self, name)
        return list(state) if isinstance(state, list) else [state]

    @abstractmethod
    def measures(self, weights: Weights) -> Measures:
        """Every measure under ``weights``; NaN where there is nothing to measure."""

    def samples(self) -> dict[str, list[float]]:
        """Numbers of every image by name, where they are few enough for a record."""
        return {}

    def compute(self) -> dict[str, float]:
        """Every measure's value.

        Raises:
            InputError: a prediction or a target cannot be scored.
        """
        return {name: float(value[0]) for name, value in self.measures(np.ones((1, self.images))).items()}

    def resampled(self, weights: NDArray[Any]) -> Measures:
        """Every measure on draws of the images ``(B, images)``, but for those of single classes where there are many.

        Args:
            weights: how often each image was drawn, of all images of the set, scored or not.

        Raises:
            InputError: two images have one number, so that they would be drawn as one.
        """
        return {name: values for name, values in self.drawn(weights).items() if self.resamples(name)}

    def drawn(self, weights: NDArray[Any]) -> Measures:
        """The same with those of single classes."""
        number = self.gathered("image")
        if not self.of_objects and len(np.unique(number)) < len(number):
            raise InputError(
                f"Some of the {len(number)} images that {type(self).__name__} scored share a number and would be drawn "
                "as one; give every image its own, image=..., where several metrics or processes score a set."
            )
        rows = max(1, _AT_ONCE // max(1, self.width))
        parts = [self.measures(weights[at : at + rows].astype(np.float64)) for at in range(0, len(weights), rows)]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    @property
    def width(self) -> int:
        """Numbers that :meth:`measures` holds at once for a row of weights, about."""
        return max(sum(map(len, self._parts(name))) for name in self._empty)

    def resamples(self, measure: str) -> bool:
        """Whether a measure is resampled."""
        return True


def _numbers(rows: Tensor) -> Tensor:
    """Of numbered rows the images' numbers, ``(n,)``."""
    return rows if rows.ndim == 1 else rows[:, 0]


def exact(like: Tensor) -> torch.dtype:
    """Double precision where the device of ``like`` has it."""
    return torch.float32 if like.device.type == "mps" else torch.float64


def check_ids(what: str, ids: NDArray[Any], classes: int) -> None:
    """Raises an InputError unless all class ids are from 0 below ``classes``."""
    if len(outside := ids[(ids < 0) | (ids >= classes)]):
        raise InputError(
            f"{what} has the class id {int(outside[0])}; of {classes} classes ids should be 0 to {classes - 1}."
        )


def by_class(names: tuple[str, ...], prefix: str, values: NDArray[np.float64]) -> Measures:
    """``PREFIX/CLASS`` of values ``(B, classes)``."""
    return {f"{prefix}/{name}": values[:, place] for place, name in enumerate(names)}


def mean_of_known(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Means ``(B,)`` of the numbers in ``(B, classes)``; NaN without one."""
    known = ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        found: NDArray[np.float64] = np.where(known, values, 0).sum(1) / known.sum(1)
    return found


def constants(weights: Weights, **values: float) -> Measures:
    """Measures that weights do not change."""
    return {name: np.full(len(weights), float(value)) for name, value in values.items()}
