"""The share of a training step spent waiting for data.

    python benchmarks/data_wait.py FOLDER [--backbone mobilenetv2_100] [--workers 2] [--steps 30]

FOLDER is a data set in the plain folder layout. The loop's own clock is read: time inside ``next(batches)`` over the
time of the whole loop. The first steps, in which workers start, are counted like all others.
"""

import argparse
import tempfile
from pathlib import Path

from lightning.fabric import Fabric

from mtlkit.data.sampling import loader
from mtlkit.papers.nddr.options import NDDROptions
from mtlkit.papers.nddr.scenes import joint, scene_column
from mtlkit.sharing import HardSharing
from mtlkit.training import train


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--backbone", default="mobilenetv2_100")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--steps", type=int, default=30)
    arguments = parser.parse_args()
    column = scene_column(
        "4",
        NDDROptions(
            dataset="folder",
            data_root=arguments.folder,
            backbone=arguments.backbone,
            image_size=(120, 160),
            batch_size=8,
        ),
    )
    training = joint(column, HardSharing.Settings(), 0, {})
    recipe = training.recipe.model_copy(update={"steps": arguments.steps})
    dataset = column.data.split("train", ("segmentation", "normals"))
    with tempfile.TemporaryDirectory() as folder:
        _, timing = train(
            training.network.build(),
            lambda first: loader(
                [dataset],
                recipe.augmentation,
                batch_size=8,
                steps=recipe.steps,
                start_step=first,
                workers=arguments.workers,
            ),
            recipe,
            seed=0,
            fabric=Fabric(accelerator="auto", devices=1),
            checkpoint=Path(folder) / "none.pt",
        )
    share = timing.waiting_for_data / timing.training
    print(f"{arguments.steps} steps of 8 at 160x120, {arguments.backbone}, {arguments.workers} workers:")
    print(f"{timing.training / arguments.steps:.3f} s a step, {100 * share:.1f} % of it waiting for data")


if __name__ == "__main__":
    main()
