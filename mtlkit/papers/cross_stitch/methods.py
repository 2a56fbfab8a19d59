"""The methods that the paper compares, on whatever pair of tasks."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal, Protocol

from mtlkit.data import AnyData
from mtlkit.evaluations import BestOnValidation, Constant, Ensemble, TestEvaluation
from mtlkit.papers.declaration import Row
from mtlkit.runs import Training
from mtlkit.sharing import HardSharing, SharingSettings, SoftSharing
from mtlkit.tasks import AnyTask

TRAINED_ON = "one_task_longer"
"""The row of one-task networks that are trained on. They have the loss weights, the decay and the length of a
cross-stitch network that starts from them, so it is a row by the joint recipe too."""

ENSEMBLE_SEEDS = 10_000
"""The ensembles' members have seeds from here on, so that no row shares a network with them."""


CONTROLS = (
    "Controls",
    "one-task, trained on: by the recipe of the cross-stitch rows; no exchange: cross-stitch networks whose weights "
    "between encoders are zero and stay so; as many: splits and the shared network trained for as many images as the "
    "cross-stitch rows",
)
"""Line of the protocol card for the rows that gains of cross-stitch rows are measured against."""


class Train(Protocol):
    """Makes a training of a table."""

    def __call__(
        self,
        tasks: tuple[AnyTask, ...],
        seed: int,
        data: AnyData,
        sharing: SharingSettings,
        length: str,
        starts: dict[str, Training],
    ) -> Training:
        """A network of ``tasks`` trained for what the table knows as ``length``."""
        ...


@dataclass(frozen=True)
class Stitch:
    """A row with a cross-stitch network, which brings its control without exchange."""

    id: str
    label: str
    what: str
    sharing: SoftSharing.Settings
    printed: bool = True

    def row(self, evaluation: TestEvaluation) -> Row:
        """The row of its network, scored."""
        controls = (f"{self.id}_no_exchange", TRAINED_ON)
        return Row(self.id, self.label, (evaluation,), self.what, self.printed, controls)

    @property
    def apart(self) -> SoftSharing.Settings:
        """How its control shares."""
        return self.sharing.model_copy(update={"unit": self.sharing.unit.model_copy(update={"exchange": False})})

    def control(self, evaluation: TestEvaluation) -> Row:
        """The row of the same network without exchange between encoders, scored."""
        return Row(
            f"{self.id}_no_exchange",
            f"{self.label}, no exchange",
            (evaluation,),
            f"as {self.label}, the weights between encoders zero and frozen",
            printed=False,
            controls=(TRAINED_ON,),
        )


def splits(stages: int, printed: Mapping[str, int]) -> dict[str, int]:
    """Row -> how many stages are shared, for every split.

    Args:
        stages: of the backbone.
        printed: row -> how many of AlexNet's seven stages its split shares; of another backbone, about the same share,
            but at least the first and at most all but the last.
    """
    named = {
        min(max(1, round(stages * shared / 7)), stages - 1) if shared < 6 else stages - 1: name
        for name, shared in printed.items()
    }
    return {named.get(after, f"split_{after}"): after for after in range(1, stages)}


def split_trainings(
    tasks: tuple[AnyTask, ...], data: AnyData, seed: int, train: Train, splits: Mapping[str, int]
) -> dict[str, TestEvaluation]:
    """Row -> its network, scored."""
    return {
        name: TestEvaluation(
            subject=train(tasks, seed, data, HardSharing.Settings(split_after=after), "joint", {}), data=data
        )
        for name, after in splits.items()
    }


@dataclass(frozen=True)
class Choice:
    """What chooses the best split for a task.

    Attributes:
        measure: of the task.
        label: in words.
        better: which way is better.
    """

    measure: str
    label: str
    better: Literal["higher", "lower"] = "higher"


def best_split(
    tasks: tuple[AnyTask, ...],
    data: AnyData,
    seed: int,
    train: Train,
    splits: Mapping[str, int],
    choices: tuple[Choice, ...],
) -> tuple[Row, ...]:
    """The row of each task's best split, chosen on a development part of the training images.

    There is none where the data is such a part itself: what is chosen there must not be scored there.
    """
    if data.part == "development":
        return ()
    held = data.model_copy(update={"part": "development"})
    candidates, subjects = (tuple(split_trainings(tasks, some, seed, train, splits).values()) for some in (held, data))
    best = (
        BestOnValidation(candidates=candidates, subjects=subjects, measure=one.measure, better=one.better)
        for one in choices
    )
    what = "for each task the split that is best on a development part"
    return (Row("best_split", "Best split", tuple(best), what, printed=False),)


def best_split_line(choices: tuple[Choice, ...]) -> tuple[str, str]:
    """Line of the protocol card."""
    named = ", ".join(f"{one.measure.split('/')[0]} by {one.label} ({one.better} is better)" for one in choices)
    return "Best split", f"one a task, chosen on a development part of the training images: {named}"


def lengthened(value: TestEvaluation | BestOnValidation, seen: int) -> TestEvaluation | BestOnValidation:
    """The same network trained for ``seen`` images by its recipe, stretched; of a choice its subjects alone."""
    if isinstance(value, BestOnValidation):
        return value.model_copy(update={"subjects": tuple(lengthened(subject, seen) for subject in value.subjects)})
    recipe = value.subject.recipe
    stretched = recipe.model_copy(update={"steps": round(recipe.steps * seen / recipe.images)})
    return value.model_copy(update={"subject": value.subject.model_copy(update={"recipe": stretched})})


def compared(
    tasks: tuple[AnyTask, ...],
    data: AnyData,
    seed: int,
    *,
    train: Train,
    lengths: Mapping[str, str],
    blind: Constant,
    splits: Mapping[str, int],
    stitches: tuple[Stitch, ...],
    after_splits: tuple[Row, ...] = (),
) -> list[Row]:
    """The rows of a table: the paper's, every split, and the controls that an honest reader would miss.

    Args:
        tasks: both.
        data: of the column.
        seed: of the rows' networks.
        train: makes a training.
        lengths: task -> the length of its one-task network; ``joint`` is that of splits and the shared network,
            ``fused`` that of a cross-stitch network.
        blind: the constant predictor.
        splits: as of :func:`splits`; rows that are not called ``split_NUMBER`` are printed.
        stitches: the cross-stitch rows.
        after_splits: rows of the table's own, of networks that share.
    """

    def scored(training: Training) -> TestEvaluation:
        return TestEvaluation(subject=training, data=data)

    def one_task(task: AnyTask, seed: int) -> Training:
        return train((task,), seed, data, HardSharing.Settings(), lengths[task.name], {})

    alone = {task.name: one_task(task, seed) for task in tasks}
    longer = [
        train((task,), seed, data, HardSharing.Settings(), "fused", {task.name: alone[task.name]}) for task in tasks
    ]
    members = [ENSEMBLE_SEEDS + 2 * seed, ENSEMBLE_SEEDS + 2 * seed + 1]
    ensembles = tuple(Ensemble(subjects=tuple(one_task(task, m) for m in members), data=data) for task in tasks)
    fused = [train(tasks, seed, data, row.sharing, "fused", alone) for row in stitches]
    apart = [train(tasks, seed, data, row.apart, "fused", alone) for row in stitches]
    seen = fused[0].images_seen
    # Where one task is trained for less alone, its network has seen fewer images than these rows: no control of theirs.
    controls = (TRAINED_ON,) if all(training.images_seen == seen for training in longer) else ()

    def as_many(row: Row) -> Row:
        return replace(
            row,
            id=f"{row.id}_longer",
            label=f"{row.label}, as many",
            evaluations=tuple(lengthened(value, seen) for value in row.evaluations),  # type: ignore[arg-type]
            what="the same recipe, stretched to as many images as the cross-stitch rows have seen",
            printed=False,
            controls=controls,
        )

    stages = len(splits) + 1
    split_rows = [
        Row(
            name,
            f"Split after stage {splits[name]} of {stages}",
            (value,),
            "the first stages shared, the others one for each task",
            printed=not name.removeprefix("split_").isdigit(),
        )
        for name, value in split_trainings(tasks, data, seed, train, splits).items()
    ]
    shared = scored(train(tasks, seed, data, HardSharing.Settings(), "joint", {}))
    sharing = [*split_rows, *after_splits, Row("mtl_shared", "MTL-shared", (shared,), "one trunk, two classifiers")]
    return [
        Row("constant", "Constant", (blind,), "never looks at the image", printed=False),
        Row("one_task", "One-task", tuple(map(scored, alone.values())), "one network a task"),
        Row(
            TRAINED_ON,
            "One-task, trained on",
            tuple(map(scored, longer)),
            "as many images seen as the cross-stitch row, and by its recipe",
            printed=False,
        ),
        Row("ensemble", "Ensemble", ensembles, "two networks a task, of other seeds, their probabilities averaged"),
        *(each for row in sharing for each in (row, as_many(row))),
        *(
            each
            for row, with_, without in zip(stitches, fused, apart, strict=True)
            for each in (row.row(scored(with_)), row.control(scored(without)))
        ),
    ]
