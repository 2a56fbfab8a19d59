"""The two kinds of node of the graph of runs: trainings and evaluations, frozen values with an identity."""

from collections.abc import Iterable
from typing import Any, Literal

from mtlkit.data import AnyData
from mtlkit.network import NetworkSettings
from mtlkit.tasks import AnyTask
from mtlkit.training import Recipe
from mtlkit.values import Value


class Training(Value):
    """A network trained on a data set.

    Attributes:
        network: what is trained.
        data: on what.
        recipe: how.
        seed: of the start weights and of every draw.
        starts: task -> the single-task training whose weights that task's tower and head start from; of a training of
            another task all but the classifier.
        revision: raised when this method's numbers change on purpose; records of older ones are never mixed in.
    """

    network: NetworkSettings
    data: AnyData
    recipe: Recipe
    seed: int = 0
    starts: dict[str, "Training"] = {}
    revision: int = 1

    def canonical(self) -> dict[str, Any]:
        """As for every value, with the trainings it starts from by their identity."""
        fields = super().canonical()
        if self.starts:
            fields["starts"] = {task: start.identity for task, start in sorted(self.starts.items())}
        return fields

    @property
    def needs(self) -> tuple["Training", ...]:
        """What must have been trained before."""
        return tuple(start for _, start in sorted(self.starts.items()))

    @property
    def images_seen(self) -> int:
        """Images one tower has seen by the end, those of the training it started from included."""
        return self.recipe.images + max((start.images_seen for start in self.starts.values()), default=0)


class Standard(Value):
    """A trained network scored on its data's test split."""

    kind: Literal["standard"] = "standard"
    subject: Training
    data: AnyData
    revision: int = 1

    def canonical(self) -> dict[str, Any]:
        """As for every value, with the subject by its identity."""
        return super().canonical() | {"subject": self.subject.identity}

    @property
    def needs(self) -> tuple[Training, ...]:
        """What must have been trained before."""
        return (self.subject,)


class Ensemble(Value):
    """Several trained networks of the same tasks, scored together on a test split."""

    kind: Literal["ensemble"] = "ensemble"
    subjects: tuple[Training, ...]
    data: AnyData
    revision: int = 1

    def canonical(self) -> dict[str, Any]:
        """As for every value, with the subjects by their identity."""
        return super().canonical() | {"subjects": [subject.identity for subject in self.subjects]}

    @property
    def needs(self) -> tuple[Training, ...]:
        """What must have been trained before."""
        return self.subjects


class Chosen(Value):
    """Of several networks the one that scores best where it may be chosen, and its score where it may not.

    Attributes:
        candidates: scored on data that nothing else is scored on, a development part say.
        subjects: what each candidate stands for, in the same order.
        measures: the highest mean of these, all of them shares in per cent, is the best.
    """

    kind: Literal["chosen"] = "chosen"
    candidates: tuple[Standard, ...]
    subjects: tuple[Standard, ...]
    measures: tuple[str, ...]
    revision: int = 1

    def canonical(self) -> dict[str, Any]:
        """As for every value, with candidates and subjects by their identity."""
        return super().canonical() | {
            "candidates": [candidate.identity for candidate in self.candidates],
            "subjects": [subject.identity for subject in self.subjects],
        }

    @property
    def needs(self) -> tuple[Training, ...]:
        """What must have been trained before; the subject that is chosen comes later."""
        return tuple(candidate.subject for candidate in self.candidates)


class Constant(Value):
    """The best prediction that never looks at the image."""

    kind: Literal["constant"] = "constant"
    tasks: tuple[AnyTask, ...]
    data: AnyData
    revision: int = 1

    @property
    def needs(self) -> tuple[Training, ...]:
        """Nothing is trained."""
        return ()


class Cost(Value):
    """What an untrained network holds and computes for one image."""

    kind: Literal["cost"] = "cost"
    network: NetworkSettings
    size: tuple[int, int]
    revision: int = 1

    @property
    def needs(self) -> tuple[Training, ...]:
        """Nothing is trained."""
        return ()


class Speed(Value):
    """How long untrained networks take for one image, one after the other, beside what stands for the same work.

    Attributes:
        networks: timed one after the other, as a user who runs them all would wait.
        reference: timed in turns with them, so that a machine that changes its pace changes it for both.
        size: height and width of the image.
        rounds: timings of both, after a warm-up.
    """

    kind: Literal["speed"] = "speed"
    networks: tuple[NetworkSettings, ...]
    reference: tuple[NetworkSettings, ...]
    size: tuple[int, int]
    rounds: int = 100
    revision: int = 1

    @property
    def needs(self) -> tuple[Training, ...]:
        """Nothing is trained."""
        return ()


Evaluation = Standard | Ensemble | Chosen | Constant | Cost | Speed
"""Every kind of evaluation."""


def trainings(evaluations: Iterable[Evaluation]) -> dict[str, Training]:
    """Identity -> training, for all that the evaluations need, prerequisites before what starts from them."""
    order: dict[str, Training] = {}

    def visit(training: Training) -> None:
        if training.identity not in order:
            for need in training.needs:
                visit(need)
            order[training.identity] = training

    for evaluation in evaluations:
        for need in evaluation.needs:
            visit(need)
    return order
