"""Detection and attributes by regions are learnt, not only computed."""

import pytest
import torch
from lightning.fabric import Fabric

from mtlkit.data import Data
from mtlkit.data.proposals import SelectiveSearch
from mtlkit.data.regions import RegionSampling
from mtlkit.data.sampling import eval_loader, loader
from mtlkit.evaluations.constant import constant
from mtlkit.evaluations.scoring import scored
from mtlkit.heads import Exit
from mtlkit.network import NetworkSettings
from mtlkit.tasks import Attributes, RegionDetection
from mtlkit.training import Recipe, train
from mtlkit.worlds import parts

SIZE = (96, 128)
CPU = Fabric(accelerator="cpu", devices=1)


@pytest.mark.slow
def test_detection_and_attributes_overfit_four_images(tmp_path):
    parts.write(tmp_path / "parts", seed=0, train=4, val=1)
    data = Data(
        layout="apascal",
        name="parts",
        fingerprint="test",
        size=SIZE,
        proposals=SelectiveSearch(least_side=8),
        proposals_folder=tmp_path / "proposals",
        root=tmp_path / "parts",
    )
    tasks = (RegionDetection(classes=parts.CLASSES), Attributes(attributes=parts.ATTRIBUTES))
    how = Recipe(
        steps=200,
        batch_size=2,
        optimizer="adam",
        lr=1e-3,
        weight_decay=5e-4,
        schedule="cosine",
        augmentation=RegionSampling(size=SIZE, count=24, flip=0),
    )
    four = data.splits("train", ("detection", "attributes"))
    torch.manual_seed(0)
    net = NetworkSettings(backbone="resnet10t", tasks=tasks, head=Exit.Settings(), regions=True).build()
    train(
        net,
        lambda first: loader(four, how.augmentation, batch_size=2, steps=how.steps, start_step=first, tasks=tasks),
        how,
        seed=0,
        fabric=CPU,
        checkpoint=tmp_path / "none.pt",
    )
    batches = eval_loader(four, data.view, 2, tasks=tasks)
    found = scored([net], batches, CPU).metrics
    blind = constant(tasks, batches, batches).metrics
    assert found["detection/map"] > 90 > blind["detection/map"]
    assert found["attributes/map"] > 90 > blind["attributes/map"]
