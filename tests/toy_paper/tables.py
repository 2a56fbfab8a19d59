"""The toy paper's table."""

from typing import Any

from mtlkit.data import IMAGE_LAYOUTS, Data
from mtlkit.data.transforms import ResizedCrop
from mtlkit.evaluations import Constant, TestEvaluation
from mtlkit.heads import Exit
from mtlkit.network import NetworkSettings
from mtlkit.papers.declaration import Row, Settled, Table, TrainedColumn
from mtlkit.papers.sources import source
from mtlkit.papers.weights import weights
from mtlkit.runs import Training
from mtlkit.tasks import Classification
from mtlkit.training import Recipe
from mtlkit.worlds import objects
from toy_paper.nearest_mean import NearestMean
from toy_paper.options import ToyOptions


class ToyColumn(TrainedColumn):
    """A column of the table."""

    data: Data
    classes: int
    grid: int

    def decided(self) -> dict[str, Any]:
        """Option -> the value that gives this column."""
        return super().decided() | {"grid": self.grid}


def of(options: ToyOptions, data: Data, classes: int, images: int) -> ToyColumn:
    """Filled options and a data set as a column."""
    settled = Settled.of(options)
    recipe = Recipe(
        steps=settled.steps(images),
        batch_size=settled.batch_size,
        lr=settled.lr,
        augmentation=ResizedCrop(size=settled.size),
        precision=settled.precision,
    )
    return ToyColumn(
        paper="toy", table="1", profile=options.profile, data=data, backbone=settled.backbone,
        weights=weights(settled.weights), seeds=settled.seeds, recipe=recipe, epochs=settled.epochs, classes=classes,
        grid=options.grid,
    )  # fmt: skip


def column(given: ToyOptions) -> ToyColumn:
    """A reader's options as a column."""
    options = given.filled("1")
    found = source(options, objects, IMAGE_LAYOUTS, images=(4, 2))
    train, test = (IMAGE_LAYOUTS[found.layout](found.root, split, ("label",)) for split in ("train", "val"))
    return of(options, found.data((train, test), size=options.image_size), len(train.classes), len(train))


def printed_column() -> ToyColumn:
    """The column of the printed networks, without data."""
    options = ToyOptions(profile="paper").filled("1")
    return of(options, Data(layout="imagefolder", name="objects", fingerprint="", size=options.image_size), 24, 96)


def rows(column: ToyColumn, seed: int) -> list[Row]:
    """Three ways to tell objects apart."""
    task = Classification(name="objects", classes=column.classes)
    network = NetworkSettings(backbone=column.backbone, tasks=(task,), head=Exit.Settings())
    training = Training(network=network, data=column.data, recipe=column.recipe, seed=seed)
    return [
        Row("constant", "Constant", (Constant(tasks=(task,), data=column.data),), printed=False),
        Row("network", "Network", (TestEvaluation(subject=training, data=column.data),), controls=("constant",)),
        Row(
            "nearest",
            "Nearest mean",
            (NearestMean(task=task, data=column.data, grid=column.grid),),
            "colours of cells alone",
            controls=("constant",),
        ),
    ]


TABLES = (
    Table(
        paper="toy",
        id="1",
        measures={"acc": "objects/accuracy"},
        columns=ToyColumn,
        column=column,
        rows=rows,
        ours=lambda column: [("Cells", f"{column.grid}x{column.grid}"), ("Start", column.start_line)],
        meta_column=printed_column,
    ),
)
