"""The five methods that the paper compares, on whatever tasks."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar, NamedTuple

from mtlkit import fusion
from mtlkit.backbones import family, rectified
from mtlkit.data import AnyData
from mtlkit.evaluations import Constant, TestEvaluation
from mtlkit.objectives import FixedWeights
from mtlkit.papers.declaration import Row, TrainedColumn
from mtlkit.papers.nddr.options import PRINTED, SLUICE_PENALTY
from mtlkit.papers.scenes import SceneColumn
from mtlkit.runs import Training
from mtlkit.sharing import HardSharing, SharingSettings, SoftSharing
from mtlkit.tasks import AnyTask


class Method(NamedTuple):
    """A way to fuse.

    Attributes:
        unit: the layer between the encoders.
        lr_mult: what multiplies its learning rate.
    """

    unit: fusion.FusionSettings
    lr_mult: float

    @property
    def apart(self) -> "Method":
        """The same without exchange between encoders."""
        return self._replace(unit=self.unit.model_copy(update={"exchange": False}))


CROSS_STITCH = Method(fusion.CrossStitch.Settings(per="layer", alpha=0.9, beta=0.1), 1000)
"""Start and rate as in the caption of Table A2; that a unit has four scalars per layer is our reading."""

SLUICE = Method(fusion.Sluice.Settings(subspaces=2, alpha=0.9, beta=0.1), 1000)
"""Two subspaces (Sect. 5); the rest is unprinted: start and rate are those of cross-stitch units, the penalty is the
column's."""

NDDR = Method(fusion.NDDR.Settings(norm="output", init="diagonal", alpha=0.9, beta=0.1), 100)
"""The layer of the authors' code (``nets/nddr_layer.py``), with the start and the rate of Sect. 4.1 and 4.2.

Behind stages that put out negative numbers it has no ReLU: see :func:`fitted`."""

REVISION = 2
"""Of trainings on scenes; raised when normals began to start from a unit vector (``Normals.init_bias``)."""

DECAY_SINGLE, DECAY_JOINT = 5e-4, 2.5e-4
"""Weight decay of networks with one task and with two (``train_single_task.py``, ``train_multiple_tasks.py``)."""


class NDDRColumn(TrainedColumn):
    """A column of the paper.

    Attributes:
        sluice_penalty: what weighs the orthogonality of a sluice network's subspaces.
    """

    sluice_penalty: float = SLUICE_PENALTY

    @property
    def printed_backbone(self) -> str:
        """The paper prints VGG-16 for the one with batch norm, too."""
        return PRINTED.get(self.backbone, self.backbone)

    def decided(self) -> dict[str, Any]:
        """Option -> the value that gives this column."""
        return super().decided() | {"sluice_penalty": self.sluice_penalty}


class NDDRSceneColumn(SceneColumn, NDDRColumn):
    """A column of a table of scenes; it is stored as the class that it was before it had options of the paper's own."""

    tag: ClassVar[str] = "SceneColumn"


def sluice_line(column: NDDRColumn) -> str:
    """The rate and the penalty of sluice networks, for the protocol card."""
    penalty = f"{column.sluice_penalty:g} times the penalty on subspaces" if column.sluice_penalty else "no penalty"
    return f"sluice at rate {SLUICE.lr_mult:g} with {penalty}"


def budget_line(column: TrainedColumn) -> str:
    """How long rows are trained, for the protocol card."""
    steps, batch_size = column.recipe.steps, column.recipe.images_a_step
    fused = column.recipe_after("trained networks").steps
    start = "fused rows start from single-task networks"
    return f"{steps} steps of {batch_size}; {start}, " + (
        "and are trained as long" if fused == steps else f"and are trained for {fused} steps more"
    )


CONTROLS = (
    "Controls",
    "joint recipe: single-task networks trained on with the joint networks' loss weights and decay; no exchange: fused "
    "networks whose weights between encoders are zero and stay so",
)
"""Line of the protocol card for the rows that gains of fused rows are measured against."""

CONTROLS_WITH_SHARED = (
    CONTROLS[0],
    f"{CONTROLS[1]}; multi-task, trained longer: the shared network, for as many images",
)
"""The same where there is a multi-task network."""


def fitted(sharing: SharingSettings, column: NDDRColumn) -> SharingSettings:
    """``sharing`` with its units as the column and its backbone ask for.

    An NDDR layer ends as the backbone's stages do: the ReLU of the authors' code would cut the negative half off what,
    say, a MobileNet's put out.
    """
    if not isinstance(sharing, SoftSharing.Settings):
        return sharing
    own: dict[str, Any] = {}
    match sharing.unit:
        case fusion.NDDR.Settings() if not rectified(column.backbone):
            own = {"relu": False}
        case fusion.Sluice.Settings():
            own = {"penalty": column.sluice_penalty}
    return sharing.model_copy(update={"unit": sharing.unit.model_copy(update=own)})


def rated(column: TrainedColumn, lr_mult: Mapping[str, float]) -> dict[str, float]:
    """The column's multipliers of the learning rate, and ``lr_mult``, which multiply ``units_lr``."""
    base = 1.0 if column.units_lr is None else column.units_lr / column.recipe.lr
    return column.recipe.lr_mult | {group: mult * base for group, mult in lr_mult.items()}


def nddr_line(column: TrainedColumn) -> str:
    """The form of the NDDR layer, for the protocol card."""
    if rectified(column.backbone):
        return "NDDR with batch norm and ReLU behind the 1x1 convolution (authors' code)"
    return "NDDR with batch norm behind the 1x1 convolution (authors' code), ending without a ReLU as the stages do"


def start_of(method: Method) -> str:
    """What a method starts from, for the protocol card."""
    return f"({method.unit.alpha:g}, {method.unit.beta:g})"


def rate_line(column: TrainedColumn) -> str:
    """The learning rate, for the protocol card."""
    line = f"{column.recipe.lr:g}, poly {column.recipe.power:g}"
    return line if column.units_lr is None else f"{line}; units' multipliers multiply {column.units_lr:g}"


def pools(backbone: str) -> tuple[int, ...] | None:
    """The stages of VGG and AlexNet that end in a pool, where fc6 and fc7 are stages too; ``None``: other networks."""
    return tuple(range(family(backbone).pools)) or None


def without(mapping: Mapping[str, float], key: str) -> dict[str, float]:
    """``mapping`` without a key."""
    return {name: value for name, value in mapping.items() if name != key}


@dataclass(frozen=True)
class Methods:
    """The rows that a table's networks make.

    Attributes:
        tasks: of the table.
        data: what everything is trained and scored on.
        single: a network of one task, trained; or trained on from an earlier such training.
        joint: a network of all tasks, given how it shares, the single-task trainings that it starts from and the
            multipliers of its units' rate.
        shared: how the multi-task network shares.
        after: the stages that units stand after; ``None``: all.
        start: the single-task training of a task that fused networks start from; ``None``: that of its row.
        cross_stitch: how cross-stitch units fuse.
    """

    tasks: tuple[AnyTask, ...]
    data: AnyData
    single: Callable[[AnyTask, Training | None], Training]
    joint: Callable[[SharingSettings, Mapping[str, Training], Mapping[str, float]], Training]
    shared: HardSharing.Settings = field(default_factory=HardSharing.Settings)
    after: tuple[int, ...] | None = None
    start: Callable[[AnyTask], Training] | None = None
    cross_stitch: Method = CROSS_STITCH

    @cached_property
    def alone(self) -> dict[str, Training]:
        """Task -> its single-task training."""
        return {task.name: self.single(task, None) for task in self.tasks}

    @cached_property
    def starts(self) -> dict[str, Training]:
        """Task -> the single-task training that fused networks start from."""
        return self.alone if self.start is None else {task.name: self.start(task) for task in self.tasks}

    def scored(self, training: Training) -> TestEvaluation:
        """The training on the test split."""
        return TestEvaluation(subject=training, data=self.data)

    def fused(self, method: Method, starts: Mapping[str, Training] | None = None) -> TestEvaluation:
        """A network with an encoder per task; it starts from the single-task networks unless told otherwise."""
        sharing = SoftSharing.Settings(unit=method.unit, after=self.after)
        return self.scored(self.joint(sharing, self.starts if starts is None else starts, {"fusion": method.lr_mult}))

    def baselines(self, *, printed: bool) -> list[Row]:
        """The best constant, and one network per task; whether the paper has a row for the latter."""
        return [
            Row(
                "constant",
                "Constant",
                (Constant(tasks=self.tasks, data=self.data),),
                "never looks at the image",
                printed=False,
            ),
            Row("single", "Single task", tuple(map(self.scored, self.alone.values())), "one network per task", printed),
        ]

    def trained_on(self) -> list[Training]:
        """The single-task networks, each trained for as long as a fused row in all, by its own recipe."""
        return [self.single(task, self.alone[task.name]) for task in self.tasks]

    def longer(self) -> Row:
        """What the single-task networks become when they are trained for as long as a fused row in all."""
        return Row(
            "single_longer",
            "Single task, trained longer",
            tuple(map(self.scored, self.trained_on())),
            "as many images seen as the fused rows",
            printed=False,
        )

    def joint_recipe(self, *controls: str) -> Row:
        """The same with the recipe of the fused rows, so that these differ from it in the encoders' units alone.

        Args:
            controls: of the row.
        """
        recipe = self.fused(NDDR).subject.recipe
        # One task has nothing to join.
        alone = {"lr_mult": without(recipe.lr_mult, "fusion"), "objective": FixedWeights.Settings()}
        recipe = recipe.model_copy(update=alone)
        trained_on = (
            self.single(task, self.starts[task.name]).model_copy(update={"recipe": recipe}) for task in self.tasks
        )
        return Row(
            "joint_recipe",
            "Single task, joint recipe",
            tuple(map(self.scored, trained_on)),
            "trained on with the loss weights and the decay of the fused rows",
            printed=False,
            controls=controls,
        )

    def no_exchange(self, method: Method, identifier: str, label: str) -> Row:
        """The control of a fused row: its network without exchange between encoders."""
        return Row(
            identifier,
            f"{label}, no exchange",
            (self.fused(method.apart),),
            f"as {label}, the weights between encoders zero and frozen",
            printed=False,
            controls=("joint_recipe",),
        )

    def fusions(self) -> list[Row]:
        """The three ways to fuse encoders, each with its control."""
        per = "" if self.cross_stitch.unit.per == "layer" else " and channel"  # type: ignore[union-attr]
        scalars = f"an encoder per task, a scalar for every pair of encoders{per} after every stage"
        subspaces = "an encoder per task in two subspaces, a scalar for every pair of subspaces after every stage"
        channels = "an encoder per task, a 1x1 convolution over all encoders' channels after every stage"
        rows = []
        for method, identifier, label, short, what, control in (
            (self.cross_stitch, "cross_stitch", "Cross-stitch", "Cross-stitch", scalars, "cross_stitch_no_exchange"),
            (SLUICE, "sluice", "Sluice", "Sluice", subspaces, "sluice_no_exchange"),
            (NDDR, "nddr", "NDDR", "NDDR", channels, "no_exchange"),
        ):
            rows += [
                Row(identifier, label, (self.fused(method),), what, controls=(control, "joint_recipe")),
                self.no_exchange(method, control, short),
            ]
        return rows

    def multi_task(self) -> list[Row]:
        """One network for all tasks, as long as the single-task networks and as long as a fused row in all."""
        multi = self.joint(self.shared, {}, {})
        recipe, seen = multi.recipe, self.fused(NDDR).subject.images_seen
        stretched = recipe.model_copy(update={"steps": round(recipe.steps * seen / recipe.images)})
        longer = multi.model_copy(update={"recipe": stretched})
        return [
            Row("multi", "Multi-task", (self.scored(multi),), "one trunk, a head per task"),
            Row(
                "multi_longer",
                "Multi-task, trained longer",
                (self.scored(longer),),
                "as many images seen as the fused rows, in one schedule where these have two",
                printed=False,
                controls=("joint_recipe",),
            ),
        ]

    def five(self) -> list[Row]:
        """The rows of Tables 4 to 7, and the controls that an honest reader would miss."""
        return [
            *self.baselines(printed=True),
            self.longer(),
            # What starts from other networks differs from it in more than the recipe.
            self.joint_recipe(*(["single_longer"] if self.start is None else [])),
            *self.multi_task(),
            *self.fusions(),
        ]
