"""The methods that the paper compares, on whatever pair of tasks."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal, Protocol

from mtlkit.backbones import Cut
from mtlkit.data import AnyData
from mtlkit.evaluations import BestOnValidation, CategoryGains, Constant, Ensemble, TestEvaluation
from mtlkit.graph import Node
from mtlkit.papers.declaration import Extra, Row
from mtlkit.runs import Training
from mtlkit.sharing import HardSharing, SharingSettings, SoftSharing
from mtlkit.tasks import AnyTask

TRAINED_LONGER = "one_task_longer"
"""The row of one-task networks that are trained on. They have the loss weights, the decay and the length of a
cross-stitch network that starts from them, so it is a row by the joint recipe too."""

ENSEMBLE_SEEDS = 10_000
"""The ensembles' members have seeds from here on, so that no row shares a network with them."""


CONTROLS = (
    "Controls",
    "one-task, trained longer: by the recipe of the cross-stitch rows; no exchange: cross-stitch networks whose "
    "weights between encoders are zero and stay so; trained longer: splits and the shared network trained for as many "
    "images as the cross-stitch rows, and ensembles by their recipe",
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
    """A row with a cross-stitch network, and its control without exchange.

    Attributes:
        id: of the row.
        label: of the row.
        what: of the row.
        sharing: of its network.
        printed: whether the paper has the row.
        rate: of the units, in base rates; ``None``: as the table trains them.
        cut: where the stages of its encoders end; ``None``: as the table's. Tensors have the same names whether or not
            pools end the stages, so that it starts from the same one-task networks.
        length: what the table knows the length of its training as.
        started: whether it starts from the one-task networks, or from what these start from.
        trained_longer: id of the row of one-task networks that have its recipe.
        control: id of the row of its control; ``""``: one of its own.
    """

    id: str
    label: str
    what: str
    sharing: SoftSharing.Settings
    printed: bool = True
    rate: float | None = None
    cut: Cut | None = None
    length: str = "fused"
    started: bool = True
    trained_longer: str = TRAINED_LONGER
    control: str = ""

    @property
    def apart(self) -> "Stitch":
        """Its control: the same network without exchange between encoders."""
        return replace(
            self,
            id=self.control or f"{self.id}_no_exchange",
            label=f"{self.label}, no exchange",
            what=f"as {self.label}, the weights between encoders zero and frozen",
            sharing=self.sharing.model_copy(update={"unit": self.sharing.unit.model_copy(update={"exchange": False})}),
            printed=False,
        )

    def own(self, training: Training) -> Training:
        """The table's training of its network, with what is this row's own."""
        network, recipe = training.network, training.recipe
        if self.rate is not None:
            recipe = recipe.model_copy(update={"lr_mult": recipe.lr_mult | {"fusion": self.rate}})
        if self.cut is not None:
            network = network.model_copy(update={"cut": self.cut})
        return training.model_copy(update={"network": network, "recipe": recipe})


def splits(stages: int, printed: Mapping[str, int], missing: int = 0) -> dict[str, int]:
    """Row -> how many stages are shared, for every split.

    Args:
        stages: of the backbone.
        printed: row -> how many of AlexNet's seven stages its split shares; of another backbone, about the same share,
            but at least the first and at most all but the last.
        missing: stages at the end that the backbone has and this network lacks.
    """
    named = {
        min(max(1, round((stages + missing) * shared / 7)), stages - 1) if shared < 6 else stages - 1: name
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


def label_extras(task: str, group: str, categories: str) -> tuple[Extra, ...]:
    """The measured columns of what a network gains over the one-task network by category; see
    :class:`mtlkit.evaluations.CategoryGains`."""
    group = f"{group}, gain over one-task"
    return (
        *(Extra(f"{task}/gain_rarest_{n}", f"{n} rarest {categories}", group, "%", "higher", True) for n in (10, 20)),
        Extra(f"{task}/rank_correlation", "rank correlation with labels", group, "-", "lower", True),
    )


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


@dataclass(frozen=True)
class Networks:
    """The networks of a table and the rows that they make.

    Attributes:
        tasks: both.
        data: of the column.
        seed: of the rows' networks.
        train: makes a training.
        lengths: task -> the length of its one-task network; ``joint`` is that of splits and the shared network,
            ``fused`` that of a cross-stitch network.
        sorted_by_labels: the task whose categories are set beside their training labels, for what is trained on and for
            cross-stitch networks; ``""``: none.
    """

    tasks: tuple[AnyTask, ...]
    data: AnyData
    seed: int
    train: Train
    lengths: Mapping[str, str]
    sorted_by_labels: str = ""

    def scored(self, training: Training) -> TestEvaluation:
        """The training on the test split."""
        return TestEvaluation(subject=training, data=self.data)

    def over_one_task(self, training: Training) -> tuple[CategoryGains, ...]:
        """What a network gains over the one-task network, category by category."""
        name = self.sorted_by_labels
        if name not in {task.name for task in training.network.tasks}:
            return ()
        return (CategoryGains(subject=training, control=self.alone[name], data=self.data, task=name),)

    def both(self, training: Training) -> tuple[Node, ...]:
        """The training on the test split, and what it gains there by category."""
        return (self.scored(training), *self.over_one_task(training))

    def one_task(self, task: AnyTask, seed: int) -> Training:
        """The network of one task."""
        return self.train((task,), seed, self.data, HardSharing.Settings(), self.lengths[task.name], {})

    @cached_property
    def alone(self) -> dict[str, Training]:
        """Task -> its one-task network."""
        return {task.name: self.one_task(task, self.seed) for task in self.tasks}

    def trained_on(self, start: Training) -> Training:
        """A one-task network, trained on by the recipe of a cross-stitch network that starts from it."""
        (task,) = start.network.tasks
        return self.train((task,), start.seed, self.data, HardSharing.Settings(), "fused", {task.name: start})

    @cached_property
    def longer(self) -> list[Training]:
        """The one-task networks trained on."""
        return [self.trained_on(start) for start in self.alone.values()]

    def fused(self, stitch: Stitch) -> Training:
        """A cross-stitch network."""
        starts = self.alone if stitch.started else {}
        return stitch.own(self.train(self.tasks, self.seed, self.data, stitch.sharing, stitch.length, starts))

    def baselines(self, blind: Constant, *, printed: bool, identifier: str = "one_task") -> list[Row]:
        """The best constant, and one network per task, which are trained on in a row of their own.

        Args:
            blind: the constant predictor.
            printed: whether the paper has a row of one-task networks.
            identifier: of that row.
        """
        label = "One-task" if identifier == "one_task" else "One-task networks"
        alone = tuple(map(self.scored, self.alone.values()))
        return [
            Row("constant", "Constant", (blind,), "never looks at the image", printed=False),
            Row(identifier, label, alone, "one network per task", printed),
            Row(
                TRAINED_LONGER,
                "One-task, trained longer",
                tuple(value for training in self.longer for value in self.both(training)),
                "as many images seen as the cross-stitch row, and by its recipe",
                printed=False,
            ),
        ]

    def row(self, stitch: Stitch) -> Row:
        """The row of a cross-stitch network."""
        controls = (stitch.apart.id, stitch.trained_longer)
        return Row(stitch.id, stitch.label, self.both(self.fused(stitch)), stitch.what, stitch.printed, controls)

    def control(self, stitch: Stitch) -> Row:
        """The row of the same network without exchange between encoders."""
        return replace(self.row(stitch.apart), controls=(stitch.trained_longer,))

    def stitched(self, stitches: Iterable[Stitch]) -> list[Row]:
        """The rows of cross-stitch networks, each with that of its own control."""
        return [row for one in stitches for row in (self.row(one), *([] if one.control else [self.control(one)]))]

    def as_many(self, row: Row, seen: int) -> Row:
        """A row's networks by the same recipe, stretched to as many images as cross-stitch networks have seen."""
        # Where one task is trained for less alone, its network has seen fewer images than these: no control of theirs.
        controls = (TRAINED_LONGER,) if all(training.images_seen == seen for training in self.longer) else ()
        return replace(
            row,
            id=f"{row.id}_longer",
            label=f"{row.label}, trained longer",
            evaluations=tuple(lengthened(value, seen) for value in row.evaluations),  # type: ignore[arg-type]
            what="the same recipe, stretched to as many images as the cross-stitch rows have seen",
            printed=False,
            controls=controls,
        )

    def ensembles(self) -> list[Row]:
        """Two networks per task, of seeds that no other row has; and the same trained on."""
        seeds = [ENSEMBLE_SEEDS + 2 * self.seed, ENSEMBLE_SEEDS + 2 * self.seed + 1]
        several = [[self.one_task(task, seed) for seed in seeds] for task in self.tasks]
        longer = [[self.trained_on(member) for member in members] for members in several]

        def scored(groups: list[list[Training]]) -> tuple[Ensemble, ...]:
            return tuple(Ensemble(subjects=tuple(members), data=self.data) for members in groups)

        what = "two networks per task, of other seeds, their probabilities averaged"
        more = "each of them trained on to as many images seen as the cross-stitch row, and by its recipe"
        return [
            Row("ensemble", "Ensemble", scored(several), what),
            Row("ensemble_longer", "Ensemble, trained longer", scored(longer), more, printed=False),
        ]

    def split(self, every: Mapping[str, int]) -> list[Row]:
        """Every split; those whose id is no ``split_NUMBER`` are printed."""
        return [
            Row(
                name,
                f"Split, {every[name]} of {len(every) + 1} stages shared",
                (value,),
                "the first stages shared, the others one for each task",
                printed=not name.removeprefix("split_").isdigit(),
            )
            for name, value in split_trainings(self.tasks, self.data, self.seed, self.train, every).items()
        ]

    def shared(self) -> Row:
        """One network for both tasks."""
        training = self.train(self.tasks, self.seed, self.data, HardSharing.Settings(), "joint", {})
        return Row("mtl_shared", "MTL-shared", (self.scored(training),), "one trunk, two classifiers")


def compared(
    networks: Networks,
    *,
    blind: Constant,
    splits: Mapping[str, int],
    stitches: tuple[Stitch, ...],
    after_splits: tuple[Row, ...] = (),
) -> list[Row]:
    """The rows of a table of all methods: the paper's, every split, and the controls that an honest reader would miss.

    Args:
        networks: of the table.
        blind: the constant predictor.
        splits: as of :func:`splits`; rows that are not called ``split_NUMBER`` are printed.
        stitches: the cross-stitch rows.
        after_splits: rows of the table's own, of networks that share.
    """
    seen = networks.fused(stitches[0]).images_seen
    sharing = [*networks.split(splits), *after_splits, networks.shared()]
    return [
        *networks.baselines(blind, printed=True),
        *networks.ensembles(),
        *(each for row in sharing for each in (row, networks.as_many(row, seen))),
        *networks.stitched(stitches),
    ]
