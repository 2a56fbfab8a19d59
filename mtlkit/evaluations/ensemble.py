"""Several trained networks scored together."""

from mtlkit.data import AnyData
from mtlkit.evaluations.test_split import together
from mtlkit.graph import Content, Context, Node
from mtlkit.runs import Training


class Ensemble(Node):
    """Several trained networks of the same tasks, scored together on a test split."""

    subjects: tuple[Training, ...]
    data: AnyData

    @property
    def needs(self) -> tuple[Training, ...]:
        """The trainings."""
        return self.subjects

    def run(self, context: Context) -> Content:
        """The measures of their joined predictions."""
        return together(self.subjects, self.data, context)
