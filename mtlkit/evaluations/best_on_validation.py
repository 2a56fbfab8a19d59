"""The best of several networks for a task, chosen where it may be and scored where it may not."""

from typing import ClassVar, Literal

from mtlkit.errors import InputError
from mtlkit.evaluations.test_split import TestEvaluation
from mtlkit.graph import Content, Context, Node


class BestOnValidation(Node):
    """Of several networks the one that is best for a task where it may be chosen, and its score where it may not.

    Attributes:
        candidates: scored on data that nothing else is scored on, a development part say.
        subjects: what each candidate stands for, in the same order.
        measure: ``task/measure`` that chooses; the measures of this task alone are found.
        better: which way is better.
    """

    tag: ClassVar[str] = "Chosen"

    candidates: tuple[TestEvaluation, ...]
    subjects: tuple[TestEvaluation, ...]
    measure: str
    better: Literal["higher", "lower"] = "higher"

    @property
    def needs(self) -> tuple[TestEvaluation, ...]:
        """Candidates and subjects."""
        return (*self.candidates, *self.subjects)

    def run(self, context: Context) -> Content:
        """The task's measures of the subject whose candidate is the best, and which that was.

        Of equals the first is taken; a candidate without a value comes last.

        Raises:
            InputError: None has a value.
        """
        sign = 1 if self.better == "higher" else -1
        values = [context.record(one).metrics[self.measure] for one in self.candidates]
        if all(value is None for value in values):
            raise InputError(f"No candidate has a value of {self.measure} where it may be chosen, so none is the best.")
        ranks = [float("-inf") if value is None else sign * value for value in values]
        best = ranks.index(max(ranks))
        record, task = context.record(self.subjects[best]), self.measure.split("/")[0]

        def own(name: str) -> bool:
            return name.split("/")[0] == task

        return Content(
            {name: score for name, score in record.metrics.items() if score is not None and own(name)},
            resampled={name: draws for name, draws in record.resampled.items() if own(name)},
            drawn={name: drawn for name, drawn in record.drawn.items() if name == task},
            data=record.data | {"chosen": best},
        )
