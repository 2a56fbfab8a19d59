"""Learning is shown, not assumed."""

import json
from functools import partial

import pytest
import torch
from builders import NORMALS, SEGMENTATION, network, recipe, room_data
from lightning.fabric import Fabric

from mtlkit import papers
from mtlkit.data import Data, Mixture
from mtlkit.data.samples import Batch
from mtlkit.data.sampling import eval_loader, loader
from mtlkit.data.transforms import Augmentation, ResizedCrop, resized
from mtlkit.evaluations.constant import constant
from mtlkit.evaluations.scoring import scored
from mtlkit.heads import Exit
from mtlkit.network import NetworkSettings, Weights
from mtlkit.runs import trainings
from mtlkit.tasks import Attributes, Calories, CenterDetection, Classification, RegionDetection, Segmentation
from mtlkit.tasks.center_detection import Objects
from mtlkit.tasks.region_detection import RegionTruth
from mtlkit.training import loss_terms, optimizer, set_rates, train
from mtlkit.worlds import objects, places

SIZE = (48, 64)
at_size = partial(resized, size=SIZE)
CPU = Fabric(accelerator="cpu", devices=1)


@pytest.mark.slow
def test_a_short_training_beats_the_constant_predictors_on_rooms_it_never_saw(tmp_path):
    data = room_data(tmp_path / "rooms", train=96, val=24, size=SIZE)
    tasks = ("segmentation", "normals")
    train_set, test_set = (data.split(split, tasks) for split in ("train", "val"))
    torch.manual_seed(0)
    settings = network((SEGMENTATION, NORMALS), backbone="resnet10t").model_copy(update={"output_stride": 8})
    net = settings.model_copy(update={"head": settings.head.model_copy(update={"width": 64})}).build()
    how = recipe(
        steps=105,
        batch_size=8,
        optimizer="adam",
        lr=2e-3,
        loss_weights={"normals/cosine": 4.0},
        augmentation=Augmentation(size=SIZE, scale_min=0.75),
    )
    train(
        net,
        lambda first: loader([train_set], how.augmentation, batch_size=8, steps=how.steps, start_step=first),
        how,
        seed=0,
        fabric=CPU,
        checkpoint=tmp_path / "none.pt",
    )
    test = eval_loader([test_set], at_size, 8)
    ours = scored([net], test, CPU).metrics
    blind = constant((SEGMENTATION, NORMALS), eval_loader([train_set], at_size, 8), test).metrics
    assert ours["segmentation/pixel_accuracy"] > blind["segmentation/pixel_accuracy"] + 10
    assert ours["segmentation/miou"] > 2 * blind["segmentation/miou"]
    assert ours["normals/decoded/mean"] < blind["normals/decoded/mean"] - 10
    assert ours["normals/encoded/mean"] < blind["normals/encoded/mean"] - 4


def image_sets(folder, train, val, classes=8):
    """Drawn objects and places as one mixture, and the two tasks."""
    sets = {}
    for world in (objects, places):
        name = world.__name__.rpartition(".")[2]
        world.write(folder / name, seed=0, train=train, val=val, size=32, classes=world.CLASSES[:classes])
        sets[name] = Data(layout="imagefolder", name=name, fingerprint="test", size=(32, 32), root=folder / name)
    return Mixture(sets=sets), tuple(Classification(name=name, classes=classes) for name in sets)


def two_exits(data, tasks, augmentation, steps, tmp_path, batch_size=32):
    """A network with an exit and a feature filter for each task, trained on all sets of ``data`` together."""
    torch.manual_seed(0)
    settings = NetworkSettings(
        backbone="resnet10t",
        tasks=tasks,
        head=Exit.Settings(filter="input"),
        heads={"places": Exit.Settings(stage=-2, filter="input")},
    )
    net, names = settings.build(), tuple(task.name for task in tasks)
    how = recipe(steps=steps, batch_size=batch_size, optimizer="adam", lr=2e-3, augmentation=augmentation)
    sets = data.splits("train", names)
    train(
        net,
        lambda first: loader(sets, how.augmentation, batch_size=batch_size, steps=how.steps, start_step=first),
        how,
        seed=0,
        fabric=CPU,
        checkpoint=tmp_path / "none.pt",
    )
    return net


def test_both_exits_overfit_eight_images_of_each_set(tmp_path):
    data, tasks = image_sets(tmp_path, train=1, val=1)
    whole = Augmentation(size=(32, 32), scale_min=1, scale_max=1, flip=0)
    net = two_exits(data, tasks, whole, 40, tmp_path, batch_size=16)
    found = scored([net], eval_loader(data.splits("train", ("objects", "places")), data.view, 8), CPU).metrics
    assert found["objects/accuracy"] == found["places/accuracy"] == 100


@pytest.mark.slow
def test_a_short_joint_training_names_places_it_never_saw(tmp_path):
    data, tasks = image_sets(tmp_path, train=24, val=8)
    net = two_exits(data, tasks, ResizedCrop(size=(32, 32), area_min=0.5), 90, tmp_path)
    found = scored([net], eval_loader(data.splits("val", ("objects", "places")), data.view, 8), CPU).metrics
    assert found["places/accuracy"] > 3 * 100 / 8
    assert found["objects/accuracy"] > 100 / 8


def random_batch(network, pictures=2, side=64):
    """Noise with a target for every task of the network."""
    places = torch.tensor([[4.0, 8.0, 40.0, 60.0], [20.0, 10.0, 50.0, 30.0], [0.0, 0.0, 63.0, 63.0]]).repeat(
        pictures, 1
    )
    rows = torch.arange(pictures).repeat_interleave(3)
    boxes, targets, of = torch.cat([rows[:, None], places], 1), {}, {}
    regions = boxes if network.trunk.regions else None
    for name, task in network.tasks.items():
        of[name] = torch.arange(pictures)
        match task:
            case Classification():
                targets[name] = torch.randint(0, task.classes, (pictures,))
            case Calories():
                targets[name] = 500 * torch.rand(pictures)
            case Segmentation():
                targets[name] = torch.randint(0, task.outputs, (pictures, side, side)).to(torch.uint8)
            case RegionDetection():
                objects = boxes[rows.diff(prepend=torch.tensor([-1])) > 0]
                matched = torch.where(rows.diff(prepend=torch.tensor([-1])) > 0, rows, -1)
                targets[name] = RegionTruth(boxes, matched, objects, torch.zeros(pictures, dtype=torch.int64))
                of[name] = torch.arange(len(boxes))
            case Attributes():
                targets[name], of[name] = torch.randint(0, 2, (pictures, task.outputs)), torch.arange(pictures) * 3
            case CenterDetection():
                joints = torch.cat(
                    [torch.rand(len(rows), len(task.joints), 2) * side, torch.ones(len(rows), len(task.joints), 1)], 2
                )
                free = torch.zeros(len(rows), dtype=torch.bool)
                areas = torch.ones(len(rows))
                targets[name] = Objects(places, free.long(), rows, free, areas, joints, torch.tensor(pictures))
            case _:
                normals = torch.randn(pictures, 3, side, side)
                targets[name] = torch.nn.functional.normalize(normals, dim=1)
    return Batch(torch.rand(pictures, 3, side, side), targets, of, regions)


def printed_networks():
    """Every network behind a printed row, one of those that differ in their start and their rates alone."""
    found = {}
    for tables in papers.DECLARED.values():
        for table in tables:
            for row in filter(lambda row: row.printed, table.rows(table.meta_column(), 0)):
                for evaluation in row.evaluations:
                    for need in trainings([evaluation]).values():
                        settings = need.network.canonical()
                        settings.pop("weights", None)
                        for number in ("init", "alpha", "beta"):
                            settings.get("sharing", {}).get("unit", {}).pop(number, None)
                        found.setdefault(json.dumps(settings), (f"{table.paper}-{table.id}-{row.id}", need))
    return [
        pytest.param(
            need,
            id=f"{name}-{'+'.join(task.name for task in need.network.tasks)}",
        )
        for name, need in found.values()
    ]


@pytest.mark.slow  # three minutes of large networks; that they build is quick and tested with the tables
@pytest.mark.parametrize("training", printed_networks())
def test_every_printed_network_trains(training):
    torch.manual_seed(0)
    settings = training.network.model_copy(update={"weights": Weights()})
    net = settings.build().train()
    before = {name: parameter.detach().clone() for name, parameter in net.named_parameters()}
    opt = optimizer(net, training.recipe)
    set_rates(opt, training.recipe, 0)
    batch = random_batch(net)
    for _ in range(2):  # residual branches that start at zero stand still in the first step
        opt.zero_grad()
        terms = loss_terms(net, net(batch.images, batch.regions), batch)
        assert all(torch.isfinite(loss) for loss in terms.values())
        sum(training.recipe.loss_weights.get(name, 1.0) * loss for name, loss in terms.items()).backward()
        opt.step()
        # Behind a branch that has only just left zero a step may be smaller than a float can show; its gradient is not.
        still = [key for key, p in net.named_parameters() if torch.equal(p, before[key]) and not p.grad.count_nonzero()]
        if not still:
            break
    assert still == []
