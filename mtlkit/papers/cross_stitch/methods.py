"""The methods that the paper compares, on whatever pair of tasks."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from mtlkit.data import AnyData
from mtlkit.papers.declaration import Row
from mtlkit.runs import Constant, Ensemble, Standard, Training
from mtlkit.tasks import AnyTask
from mtlkit.trunks import Fused, Shared, Sharing

ENSEMBLE_SEEDS = 10_000
"""The ensembles' members have seeds from here on, so that no row shares a network with them."""


class Train(Protocol):
    """Makes a training of a table."""

    def __call__(
        self,
        tasks: tuple[AnyTask, ...],
        seed: int,
        data: AnyData,
        sharing: Sharing,
        length: str,
        starts: dict[str, Training],
    ) -> Training:
        """A network of ``tasks`` trained for what the table knows as ``length``."""
        ...


@dataclass(frozen=True)
class Stitch:
    """A row with a cross-stitch network."""

    id: str
    label: str
    what: str
    sharing: Fused
    printed: bool = True


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
) -> dict[str, Standard]:
    """Row -> its network, scored."""
    return {
        name: Standard(subject=train(tasks, seed, data, Shared(split_after=after), "joint", {}), data=data)
        for name, after in splits.items()
    }


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
    """The rows of a table: the paper's, every split, and the two that an honest reader would miss.

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
        after_splits: rows of the table's own.
    """

    def scored(training: Training) -> Standard:
        return Standard(subject=training, data=data)

    def one_task(task: AnyTask, seed: int) -> Training:
        return train((task,), seed, data, Shared(), lengths[task.name], {})

    alone = {task.name: one_task(task, seed) for task in tasks}
    longer = [train((task,), seed, data, Shared(), "fused", {task.name: alone[task.name]}) for task in tasks]
    members = [ENSEMBLE_SEEDS + 2 * seed, ENSEMBLE_SEEDS + 2 * seed + 1]
    ensembles = tuple(Ensemble(subjects=tuple(one_task(task, m) for m in members), data=data) for task in tasks)
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
    shared = scored(train(tasks, seed, data, Shared(), "joint", {}))
    return [
        Row("constant", "Constant", (blind,), "never looks at the image", printed=False),
        Row("one_task", "One-task", tuple(map(scored, alone.values())), "one network a task"),
        Row(
            "one_task_longer",
            "One-task, trained on",
            tuple(map(scored, longer)),
            "as many images seen as the cross-stitch row",
            printed=False,
        ),
        Row("ensemble", "Ensemble", ensembles, "two networks a task, of other seeds, their probabilities averaged"),
        *split_rows,
        *after_splits,
        Row("mtl_shared", "MTL-shared", (shared,), "one trunk, two classifiers"),
        *(
            Row(
                row.id,
                row.label,
                (scored(train(tasks, seed, data, row.sharing, "fused", alone)),),
                row.what,
                printed=row.printed,
            )
            for row in stitches
        ),
    ]
