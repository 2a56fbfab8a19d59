"""The best of several networks, chosen where it may be and scored where it may not."""

from typing import ClassVar

from mtlkit.evaluations.test_split import TestEvaluation
from mtlkit.graph import Content, Context, Node


class BestOnValidation(Node):
    """Of several networks the one that scores best where it may be chosen, and its score where it may not.

    Attributes:
        candidates: scored on data that nothing else is scored on, a development part say.
        subjects: what each candidate stands for, in the same order.
        measures: the highest mean of these, all of them shares in per cent, is the best.
    """

    tag: ClassVar[str] = "Chosen"

    candidates: tuple[TestEvaluation, ...]
    subjects: tuple[TestEvaluation, ...]
    measures: tuple[str, ...]

    @property
    def needs(self) -> tuple[TestEvaluation, ...]:
        """Candidates and subjects."""
        return (*self.candidates, *self.subjects)

    def run(self, context: Context) -> Content:
        """The measures of the subject whose candidate is the best, and which that was."""
        means = [sum(context.record(one).metrics[name] or 0.0 for name in self.measures) for one in self.candidates]
        best = means.index(max(means))
        record = context.record(self.subjects[best])
        return Content(
            {name: score for name, score in record.metrics.items() if score is not None},
            resampled=record.resampled,
            drawn=record.drawn,
            data=record.data | {"chosen": best},
        )
