"""The features of a data set's images, by one network."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from mtlkit.data import Data
from mtlkit.data.samples import Batch, Split
from mtlkit.data.sampling import eval_loader
from mtlkit.graph import Content, Context, Node
from mtlkit.network import Network, NetworkSettings, check_size
from mtlkit.runs import Training
from mtlkit.tasks import Embedding

if TYPE_CHECKING:
    from lightning.fabric import Fabric

SPLITS: tuple[Split, Split] = ("train", "val")


class FeatureExtraction(Node):
    """The features of every image of a data set, by a network that may have been trained on another one.

    Its tensors are called ``train/features``, ``val/category`` and so on.

    Attributes:
        subject: a training, or the description of a network that is taken as it is, with the weights it names; its
            one task is :class:`mtlkit.tasks.Embedding`.
        data: whose images, of both splits.
        reads: what is known of each image.
    """

    tag: ClassVar[str] = "Features"
    kind: ClassVar[str] = "features"
    recorded: ClassVar[bool] = False
    keeps: ClassVar[str | None] = "features"

    subject: Training | NetworkSettings
    data: Data
    reads: tuple[str, ...]

    @property
    def needs(self) -> tuple[Training, ...]:
        """The training, where there is one."""
        return (self.subject,) if isinstance(self.subject, Training) else ()

    def check(self) -> None:
        """Refuses images that the network cannot take; a training checks its own.

        Raises:
            InputError: see :func:`mtlkit.network.check_size`.
        """
        if isinstance(self.subject, NetworkSettings):
            check_size(self.subject, self.data.size)

    def run(self, context: Context) -> Content:
        """Features and what is known, of both splits."""
        torch.manual_seed(0)  # what an untrained network has no weights for is drawn
        subject = self.subject
        network = subject.trained(context) if isinstance(subject, Training) else subject.build()
        fabric = context.runtime.fabric()
        tensors: dict[str, Tensor] = {}
        for split in SPLITS:
            sets = self.data.splits(split, self.reads)
            batches = eval_loader(sets, self.data.view, 32, context.runtime.readers(fabric.device))
            found = features(network, batches, fabric)
            tensors |= {f"{split}/{name}": tensor for name, tensor in found.items()}
        return Content(tensors=tensors, device=fabric.device)

    def found(self, context: Context) -> dict[str, dict[str, Tensor]]:
        """Split -> features and what is known of its images."""
        return by_split(context.tensors(self))


def by_split(tensors: dict[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """Split -> name -> tensor, of tensors called ``split/name``."""
    return {
        split: {key.removeprefix(f"{split}/"): one for key, one in tensors.items() if key.startswith(f"{split}/")}
        for split in SPLITS
    }


@torch.inference_mode()
def features(network: Network, batches: Iterable[Batch], fabric: "Fabric") -> dict[str, Tensor]:
    """``features`` ``(N, D)`` of all images of a split, and their targets ``(N,)`` by task, on the CPU.

    Args:
        network: its one task is an :class:`~mtlkit.tasks.Embedding`.
        batches: the split.
        fabric: where the network runs.
    """
    network.to(fabric.device).eval()
    ((name, task),) = network.tasks.items()
    assert isinstance(task, Embedding)
    found: dict[str, list[Tensor]] = {}
    for batch in batches:
        output = network(batch.images.to(fabric.device))[name]
        for key, part in ({"features": task.features(output).cpu()} | batch.targets).items():
            found.setdefault(key, []).append(part)
    return {key: torch.cat(parts) for key, parts in found.items()}
