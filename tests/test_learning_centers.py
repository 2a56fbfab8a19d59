"""Boxes, joints and masks as points and maps are learnt, not only computed."""

import pytest
import torch
from lightning.fabric import Fabric

from mtlkit.data import Data
from mtlkit.data.sampling import eval_loader, loader
from mtlkit.data.transforms import Augmentation
from mtlkit.evaluations.constant import constant
from mtlkit.evaluations.scoring import scored
from mtlkit.heads import Branches
from mtlkit.necks import Upsampling
from mtlkit.network import NetworkSettings
from mtlkit.papers.mcn.tables import LOSS_WEIGHTS
from mtlkit.tasks import CenterDetection, Segmentation
from mtlkit.training import Recipe, train
from mtlkit.worlds import people

# At 128 pixels a quarter of them cannot hold a leg's outline: the best possible mask of persons has an IoU of 0.90.
SIZE = (192, 192)
CPU = Fabric(accelerator="cpu", devices=1)


@pytest.mark.slow
def test_boxes_joints_and_masks_overfit_two_images(tmp_path):
    people.write(tmp_path / "people", seed=0, train=2, val=1, size=SIZE)
    data = Data(layout="coco", name="people", fingerprint="test", size=SIZE, keep=("person",), root=tmp_path / "people")
    two = data.split("train", ("detection", "pose", "segmentation"))
    boxes = CenterDetection(classes=two.classes, joints=two.joints, sigmas=two.sigmas)
    tasks = (boxes, Segmentation(classes=("background", *two.classes)))
    how = Recipe(
        steps=160,
        batch_size=2,
        optimizer="adam",
        lr=4e-3,
        schedule="cosine",
        loss_weights=LOSS_WEIGHTS,
        augmentation=Augmentation(size=SIZE, scale_min=1, scale_max=1, flip=0),
    )
    head = Branches.Settings(width=32)
    torch.manual_seed(0)
    net = NetworkSettings(
        backbone="resnet10t",
        tasks=tasks,
        neck=Upsampling.Settings(width=32),
        head=head,
        heads={"detection": head.model_copy(update={"maps": boxes.maps, "heat_maps": boxes.heat_maps})},
    ).build()
    train(
        net,
        lambda first: loader([two], how.augmentation, batch_size=2, steps=how.steps, start_step=first, tasks=tasks),
        how,
        seed=0,
        fabric=CPU,
        checkpoint=tmp_path / "none.pt",
    )
    batches = eval_loader([two], data.view, 2, tasks=tasks)
    found, blind = scored([net], batches, CPU).metrics, constant(tasks, batches, batches).metrics
    for measure in ("detection/ap", "detection/pose_ap", "segmentation/miou"):
        assert found[measure] > 90 > blind[measure], measure
