"""Surface normals, scored in the two spaces the literature mixes up."""

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from mtlkit.errors import check_shape
from mtlkit.metrics.spaces import SPACES, Directions, Space, decode, encode, has_normal, unit
from mtlkit.tasks.base import DenseTask

if TYPE_CHECKING:
    from mtlkit.metrics.base import ImageMetric


def tilted(normals: Tensor, degrees: float, generator: torch.Generator) -> Tensor:
    """Unit normals ``(N, 3, H, W)``, each turned by an angle in a direction of its own; zero stays zero."""
    across = torch.randn(normals.shape, generator=generator).to(normals)
    # Twice: what float32 leaves of a draw that is nearly along the normal points too much that way still.
    for _ in range(2):
        across = unit(across - (across * normals).sum(1, keepdim=True) * normals)
    angle = math.radians(degrees)
    return (math.cos(angle) * normals + math.sin(angle) * across) * (normals != 0).any(1, keepdim=True)


class Normals(DenseTask):
    """One unit vector a pixel. Output ``(N, 3, h, w)`` of any length; target ``(N, 3, H, W)``, zero or not
    finite for no value.

    ``space`` is where the network is trained: ``decoded`` compares true directions, ``encoded`` the positive
    vectors of NDDR-CNN's official code (:func:`mtlkit.metrics.spaces.encode`).
    """

    terms: ClassVar = ("cosine",)

    kind: Literal["normals"] = "normals"
    name: str = "normals"
    space: Space = "decoded"

    @property
    def outputs(self) -> int:
        """Three components."""
        return 3

    @property
    def init_bias(self) -> tuple[float, ...]:
        """A surface that faces the camera, in the space that is trained.

        The loss looks at directions only, so its gradient goes with one over the output's length. From an output near
        zero the first steps throw it so far out that no later one can turn it: the network stays a constant.
        """
        return (1.0, 0.0, 1.0) if self.space == "encoded" else (0.0, 0.0, 1.0)

    def losses(self, output: Tensor, target: Tensor) -> dict[str, Tensor]:
        """One minus the cosine, averaged over pixels that have a normal.

        Half the squared distance of unit vectors, the l2 loss of the NDDR paper, is the same number.

        Raises:
            InputError: the shapes are others than the task's.
        """
        check_shape(f"The target of {self.name}", target.shape, len(output), 3, "H", "W")
        output, target = self.matched(output, target)
        valid = has_normal(target)
        target = torch.where(valid[:, None], target, 0)  # gradients would pass on a NaN that is left out below
        truth = encode(target) if self.space == "encoded" else target
        cosine = (unit(output.float()) * unit(truth)).sum(1)
        return {"cosine": torch.where(valid, 1 - cosine, 0).sum() / valid.sum().clamp(min=1)}

    def ensemble(self, outputs: Sequence[Tensor]) -> Tensor:
        """The mean of the unit vectors."""
        return torch.stack([unit(output.float()) for output in outputs]).mean(0)

    def metric(self) -> "ImageMetric":
        """A fresh :class:`Angles`."""
        from mtlkit.metrics.angles import Angles

        return Angles(self.space)

    def constant(self, train: Iterable[Tensor], test: Iterable[Tensor]) -> "ImageMetric":
        """Scores of the best constant vector, found for each space on its own.

        The unit vector with the highest mean cosine to a set of unit vectors is their normalised mean.
        """
        from mtlkit.metrics.angles import Angles

        sums = {space: torch.zeros(3, dtype=torch.float64) for space in SPACES}
        for target in train:
            valid = has_normal(target)[:, None]
            for space in SPACES:
                truth = target if space == "decoded" else encode(target)
                sums[space] += torch.where(valid, unit(truth), 0).sum((0, 2, 3)).double()
        metric = Angles()
        for target in test:
            metric.update(
                Directions(*(sums[space].float().view(1, 3, 1, 1).expand_as(target) for space in SPACES)), target
            )
        return metric

    def postprocess(self, output: Tensor) -> Tensor:
        """Unit normals ``(N, 3, h, w)`` in the camera's frame, whatever space the network was trained in."""
        return decode(output.float()) if self.space == "encoded" else unit(output.float())

    def to_json(self, prediction: Tensor) -> dict[str, list[float]]:
        """The mean direction."""
        return {"mean": [round(part, 4) for part in prediction.flatten(1).mean(1).tolist()]}

    def draw(self, answer: Tensor) -> np.ndarray:
        """The usual image: x, y, z of the unit vector as red, green, blue; grey where there is none."""
        vector = answer.detach().float().cpu()
        shown = torch.where((vector != 0).any(0, keepdim=True), unit(vector, dim=0), 0)
        image: np.ndarray = ((shown + 1) * 127.5).permute(1, 2, 0).numpy().astype(np.uint8)
        return image
