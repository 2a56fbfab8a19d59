"""A trained network scored on a test split."""

from typing import ClassVar

from mtlkit.data import AnyData
from mtlkit.evaluations.scoring import Groups, scored
from mtlkit.graph import Content, Context, Node
from mtlkit.runs import Training


class TestEvaluation(Node):
    """A trained network scored on its data's test split.

    Attributes:
        subject: the training.
        data: whose test split.
        mirrored: whether the outputs for every image are averaged with those for its mirror image.
        native: whether images keep their own size.
    """

    tag: ClassVar[str] = "Standard"
    __test__: ClassVar[bool] = False  # no test case for pytest, whatever its name

    subject: Training
    data: AnyData
    mirrored: bool = False
    native: bool = False

    @property
    def needs(self) -> tuple[Training, ...]:
        """The training."""
        return (self.subject,)

    def run(self, context: Context) -> Content:
        """Its tasks' measures."""
        return together(self.needs, self.data, context, mirrored=self.mirrored, native=self.native)


def together(
    subjects: tuple[Training, ...],
    data: AnyData,
    context: Context,
    *,
    mirrored: bool = False,
    native: bool = False,
) -> Content:
    """The measures of trained networks of the same tasks, their predictions joined where there are several."""
    network, recipe = subjects[0].network, subjects[0].recipe
    fabric = context.runtime.fabric()  # in float32, however they were trained
    batches, tested = context.batches(data, "val", network.tasks, recipe.batch_size, fabric.device, native=native)
    groups = Groups.by_task([task.name for task in network.tasks], tested)
    networks = [subject.trained(context) for subject in subjects]
    return scored(networks, batches, fabric, groups, mirrored=mirrored).content(tested, fabric.device)
