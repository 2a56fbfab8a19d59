"""Draws ``book/_static/predicted_rooms.png``: what a stored network predicts, for pages built without its weights.

    python book/predicted.py COLUMN

COLUMN is the identity of a stored column of NDDR's Table 4 on drawn rooms, on a machine that has its networks' weights.
The file's text ``records`` names the trainings that it shows; a test asks that they are committed.
"""

import sys
from pathlib import Path

import matplotlib.pyplot as plt
import torch

from mtlkit import papers
from mtlkit.data.samples import collate
from mtlkit.engine import Engine
from mtlkit.metrics.resize import enlarged
from mtlkit.report.figures import gallery
from mtlkit.report.stored import stored
from mtlkit.report.style import use_style
from mtlkit.results import Results
from mtlkit.runs import trainings
from mtlkit.runtime import Runtime

HERE = Path(__file__).parent
INDICES = (2, 5, 11)
"""Of the test images; chosen before any prediction was looked at."""


def main(identity: str) -> None:
    """Draws images, truths and predictions of the shared network of a column's first seed."""
    results = Results.of(HERE.parent / "results")
    table = papers.table("nddr", "4")
    (column,) = (one for one in stored(table, results) if one.column.identity == identity)
    (row,) = (row for row in column.rows if row.id == "multi")
    (training,) = trainings(row.evaluations).values()
    engine = Engine(results.ledger(column.column.profile), Runtime())
    engine.tensors(training)
    network = training.trained(engine.context())
    data = table.column(column.column.options()).data  # a stored column does not know where its images lie
    (test,) = data.splits("val", tuple(network.tasks))
    batch = collate([data.view(test[index]) for index in INDICES], network.tasks.values())
    columns = [("image", [(image.permute(1, 2, 0) * 255).byte().numpy() for image in batch.images])]
    with torch.inference_mode():
        outputs = network.predict(batch.images)
    for name, task in network.tasks.items():
        predicted = task.postprocess(enlarged(outputs[name], batch.targets[name]))
        columns.append((name, [task.draw(target) for target in batch.targets[name]]))
        columns.append(("predicted", [task.draw(one) for one in predicted]))
    use_style()
    plt.rcParams["savefig.dpi"] = 144
    figure = gallery(columns, width=1.6)
    for axis in figure.axes:  # to be read on a narrow screen too
        axis.title.set_fontsize(13)
    figure.savefig(HERE / "_static" / "predicted_rooms.png", metadata={"Software": None, "records": training.identity})


if __name__ == "__main__":
    main(*sys.argv[1:])
