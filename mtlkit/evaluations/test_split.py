"""A trained network scored on a test split."""

from typing import ClassVar

from mtlkit.data import AnyData
from mtlkit.evaluations.scoring import Groups, scored
from mtlkit.graph import Content, Context, Node
from mtlkit.runs import Training


class TestEvaluation(Node):
    """A trained network scored on its data's test split."""

    tag: ClassVar[str] = "Standard"
    __test__: ClassVar[bool] = False  # no test case for pytest, whatever its name

    subject: Training
    data: AnyData

    @property
    def needs(self) -> tuple[Training, ...]:
        """The training."""
        return (self.subject,)

    def run(self, context: Context) -> Content:
        """Its tasks' measures."""
        return together(self.needs, self.data, context)


def together(subjects: tuple[Training, ...], data: AnyData, context: Context) -> Content:
    """The measures of trained networks of the same tasks, their predictions joined where there are several."""
    network, recipe = subjects[0].network, subjects[0].recipe
    fabric = context.runtime.fabric()  # in float32, however they were trained
    batches, tested = context.batches(data, "val", network.tasks, recipe.batch_size, fabric.device)
    groups = Groups.by_task([task.name for task in network.tasks], tested)
    networks = [subject.trained(context) for subject in subjects]
    return scored(networks, batches, fabric, groups).content(tested, fabric.device)
