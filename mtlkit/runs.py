"""The two kinds of node of the graph of runs: trainings and evaluations, frozen values with an identity."""

from collections.abc import Iterable
from typing import Any, Literal

from pydantic import Field

from mtlkit.data import AnyData, Data
from mtlkit.errors import InputError
from mtlkit.metrics.floor import FLOOR
from mtlkit.network import NetworkSettings
from mtlkit.tasks import AnyTask, Normals
from mtlkit.training import Recipe
from mtlkit.values import Value


class Balance(Value):
    """Loss weights from the history of an earlier training; see :func:`mtlkit.loss_weights.inverse_means`.

    Attributes:
        run: whose losses are looked at; it has the same loss terms.
        one: the term whose weight is to be exactly 1.
        last: how many windows of the history count, from its end; ``None``: all.
    """

    run: "Training"
    one: str
    last: int | None = None

    def canonical(self) -> dict[str, Any]:
        """As for every value, with the training by its identity."""
        return super().canonical() | {"run": self.run.identity}


class Snapshots(Value):
    """What a network says of a test split at several steps near the end of its training; its weights are not kept.

    Attributes:
        data: whose test split.
        count: of snapshots, the last of which is the trained network.
        every: steps between two of them.
    """

    data: AnyData
    count: int = Field(default=10, ge=1)
    every: int = Field(default=100, ge=1)

    def steps(self, last: int) -> tuple[int, ...]:
        """When they are taken in a training of ``last`` steps, each counted from 1.

        Raises:
            InputError: the training is too short for them.
        """
        first = last - (self.count - 1) * self.every
        if first < 1:
            raise InputError(
                f"{self.count} snapshots {self.every} steps apart do not fit into a training of {last} steps; "
                "train longer or take them closer together."
            )
        return tuple(range(first, last + 1, self.every))


class Training(Value):
    """A network trained on a data set.

    Attributes:
        network: what is trained.
        data: on what.
        recipe: how.
        seed: of the start weights and of every draw.
        starts: task -> the single-task training whose weights that task's tower and head start from; of a training of
            another task all but the classifier.
        balance: where the weights of the loss terms come from an earlier training; they replace the recipe's.
        snapshots: what it says of a test split on its way, for :class:`Averaged`.
        revision: raised when this method's numbers change on purpose; records of older ones are never mixed in.
    """

    network: NetworkSettings
    data: AnyData
    recipe: Recipe
    seed: int = 0
    starts: dict[str, "Training"] = {}
    balance: Balance | None = None
    snapshots: Snapshots | None = None
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
        starts = tuple(start for _, start in sorted(self.starts.items()))
        return starts if self.balance is None else (*starts, self.balance.run)

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


class Averaged(Value):
    """A trained network's snapshots, scored together on the test split they looked at.

    Attributes:
        subject: a training with snapshots.
        of: what is averaged: the ``estimates`` for each picture, which are then scored, or the ``scores`` of the
            snapshots.
    """

    kind: Literal["averaged"] = "averaged"
    subject: Training
    of: Literal["estimates", "scores"] = "estimates"
    revision: int = 1

    def canonical(self) -> dict[str, Any]:
        """As for every value, with the subject by its identity."""
        return super().canonical() | {"subject": self.subject.identity}

    @property
    def needs(self) -> tuple[Training, ...]:
        """What must have been trained before."""
        return (self.subject,)


class Features(Value):
    """The features of every picture of a data set, by a network that may have been trained on another one.

    Attributes:
        subject: a training, or the description of a network that is taken as it is, with the weights it names; its
            one task is :class:`mtlkit.tasks.Embedding`.
        data: whose pictures, of both splits.
        reads: what is known of each picture, ``calories`` and where there are some ``category``.
    """

    subject: Training | NetworkSettings
    data: Data
    reads: tuple[str, ...]

    def canonical(self) -> dict[str, Any]:
        """As for every value, with a training by its identity."""
        trained = isinstance(self.subject, Training)
        return super().canonical() | ({"subject": self.subject.identity} if trained else {})


class Retrieval(Value):
    """Calories by the nearest pictures of the training split, and how often these are of the query's category.

    Attributes:
        features: what pictures are compared by.
        k: how many neighbours are averaged.
        floor: kcal; no relative error is taken of less.
    """

    kind: Literal["retrieval"] = "retrieval"
    features: Features
    k: int
    floor: float = FLOOR
    revision: int = 1

    def canonical(self) -> dict[str, Any]:
        """As for every value."""
        return super().canonical() | {"features": self.features.canonical()}

    @property
    def needs(self) -> tuple[Training, ...]:
        """What must have been trained before."""
        return (self.features.subject,) if isinstance(self.features.subject, Training) else ()


class CategoryMean(Value):
    """Calories by the mean of the category among the training pictures.

    Attributes:
        subject: a training with a task ``category`` that names it; ``None``: the true category is taken.
        data: whose training split has the means and whose test split is scored.
        floor: kcal; no relative error is taken of less.
    """

    kind: Literal["category_mean"] = "category_mean"
    subject: Training | None
    data: Data
    floor: float = FLOOR
    revision: int = 1

    def canonical(self) -> dict[str, Any]:
        """As for every value, with a subject by its identity."""
        return super().canonical() | {"subject": self.subject and self.subject.identity}

    @property
    def needs(self) -> tuple[Training, ...]:
        """What must have been trained before."""
        return () if self.subject is None else (self.subject,)


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


class Tilted(Value):
    """True surface normals, each turned by one angle in a random direction: what a known error scores.

    Attributes:
        task: that scores them.
        data: whose test split.
        degrees: the angle.
    """

    kind: Literal["tilted"] = "tilted"
    task: Normals
    data: AnyData
    degrees: float
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


Evaluation = Standard | Ensemble | Averaged | Retrieval | CategoryMean | Chosen | Constant | Tilted | Cost | Speed
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
