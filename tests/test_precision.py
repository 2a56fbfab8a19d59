"""What stays in float32 where networks are trained with shorter numbers, and that such a training resumes exactly."""

from itertools import repeat
from typing import get_args

import pytest
import torch
from builders import NORMALS, SEGMENTATION, SIZE, fused, network, recipe
from lightning.fabric import Fabric
from lightning.fabric.plugins import MixedPrecision
from torch import Tensor

from mtlkit import training
from mtlkit.data.samples import Batch
from mtlkit.evaluations.scoring import outputs, scored
from mtlkit.heads import Branches, Conv1x1Head, Embedding, Exit, FCN32s, HeadSettings, LargeFOV
from mtlkit.history import TrainingDiverged
from mtlkit.metrics.spaces import SPACES
from mtlkit.necks import Deconvolution, DLAUp, NeckSettings, Shortcut, Upsampling
from mtlkit.network import NetworkSettings
from mtlkit.tasks import (
    Age,
    AnyTask,
    Attributes,
    Calories,
    CenterDetection,
    Classification,
    CodedNormals,
    Depth,
    Normals,
    RegionDetection,
    Segmentation,
)
from mtlkit.tasks import Embedding as EmbeddingTask
from mtlkit.tasks.center_detection import Objects
from mtlkit.tasks.region_detection import RegionTruth
from mtlkit.training import loss_terms, train

STEPS = 10
TOLERANCE = 0.1
"""Of a loss at the first step. bfloat16 keeps 8 bits, so that each of some twenty layers is off by up to 2^-9; in ten
steps of Adam this makes up to 0.035 here, most where a loss has the gradient's sign alone (L1). Three times that."""

WORDS = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
REGIONS = torch.tensor([[0.0, 0, 0, 60, 60], [1, 10, 20, 50, 64], [0, 30, 5, 64, 40], [1, 0, 0, 64, 64]])


def dense(*tasks, **more) -> NetworkSettings:
    head = LargeFOV.Settings(width=16, dilation=1, dropout=0.0)
    return network(tasks or (SEGMENTATION, NORMALS)).model_copy(update={"head": head} | more)


def images_network(*tasks, head, **more) -> NetworkSettings:
    return NetworkSettings(backbone="resnet10t", tasks=tasks, head=head, **more)


def centers(neck) -> NetworkSettings:
    task = CenterDetection(classes=("person", "dog"), joints=("head", "hand"), sigmas=(0.1, 0.2))
    head = Branches.Settings(width=8, maps=task.maps, heat_maps=task.heat_maps)
    return images_network(task, head=head, neck=neck)


NETWORKS = {
    "one backbone": dense(SEGMENTATION, NORMALS, Depth()),
    "batch norm in the head": dense(head=LargeFOV.Settings(width=16, dilation=1, dropout=0.0, batch_norm=True)),
    "shortcut": dense(neck=Shortcut.Settings(width=16)),
    "fcn": dense(CodedNormals(words=WORDS), head=FCN32s.Settings(width=16, kernel=1, dropout=0.0)),
    "score": dense(Depth(), Normals(space="encoded"), head=Conv1x1Head.Settings()),
    **{
        unit: dense(sharing=fused(unit))
        for unit in ("cross_stitch", "cross_stitch_channel", "sluice", "nddr", "nddr_input")
    },
    "exit": images_network(
        Classification(name="breed", classes=5),
        Age(),
        Calories(unit=350),
        head=Exit.Settings(),
        heads={"breed": Exit.Settings(stage=2, filter="input"), "calories": Exit.Settings(filter="fixed", width=8)},
    ),
    "embedding": images_network(EmbeddingTask(name="dish", classes=3), head=Embedding.Settings(stage=-2)),
    "unit length": images_network(
        EmbeddingTask(name="dish", classes=3, normalised=True, squared=True), head=Embedding.Settings()
    ),
    "regions": images_network(
        RegionDetection(classes=("cow", "dog")),
        Attributes(attributes=("head", "leg", "furry")),
        head=Exit.Settings(),
        regions=True,
    ),
    "deformable": centers(Deconvolution.Settings(widths=(8, 8, 8), deformable=True)),
    "dla_up": centers(DLAUp.Settings(deformable=False)),
    "upsampling": centers(Upsampling.Settings(width=8, mode="bilinear")),
}


def target(task, count: int, size: tuple[int, int]):
    """Something to learn for ``count`` images, or regions of them."""
    torch.manual_seed(1)
    if isinstance(task, Segmentation):
        return torch.randint(0, task.outputs, (count, *size), dtype=torch.uint8)
    if isinstance(task, Normals | CodedNormals):
        return torch.nn.functional.normalize(torch.randn(count, 3, *size), dim=1)
    if isinstance(task, Depth):
        return 1 + 3 * torch.rand(count, *size)
    if isinstance(task, Calories):
        return torch.linspace(100, 900, count)
    if isinstance(task, Attributes):
        return torch.randint(0, 2, (2, task.outputs), dtype=torch.uint8)
    if isinstance(task, RegionDetection):
        return RegionTruth(REGIONS, torch.tensor([0, -1, 1, -1]), REGIONS[[0, 2]] + 1, torch.tensor([0, 1]))
    if isinstance(task, CenterDetection):
        boxes = torch.tensor([[4.0, 4, 40, 50], [8, 20, 30, 60], [10, 4, 60, 60]])
        joints = torch.tensor([[[10.0, 10, 2], [20, 30, 2]]]).expand(3, -1, -1)
        of = torch.tensor([0, 1, 1]), torch.tensor([0, 0, 1]), torch.zeros(3, dtype=torch.bool)
        return Objects(boxes, *of, (boxes[:, 2:] - boxes[:, :2]).prod(1), joints, torch.tensor(count))
    assert isinstance(task, Classification)
    return torch.arange(count) % 2


def batch_for(settings: NetworkSettings) -> Batch:
    size = (64, 64) if settings.backbone == "resnet10t" else SIZE
    torch.manual_seed(0)
    images = torch.rand(4, 3, *size)
    targets = {task.name: target(task, len(images), size) for task in settings.tasks}
    rows = {name: torch.arange(4) for name in targets}
    if settings.regions:
        rows["attributes"] = torch.tensor([0, 2])
    return Batch(images, targets, rows, REGIONS if settings.regions else None)


def fabric_of(precision: str) -> Fabric:
    if precision == "16-mixed":
        # Fabric by itself would take bfloat16 on a CPU, although torch has both and the scaler too.
        return Fabric(accelerator="cpu", devices=1, plugins=MixedPrecision("16-mixed", device="cpu"))
    return Fabric(accelerator="cpu", devices=1, precision=precision)


def trained(settings, precision, folder, monkeypatch):
    """The network after some steps, its losses by step, and the types that were seen on the way."""
    # In kcal the absolute error would be hundreds of times as steep as the other terms.
    how = recipe(steps=STEPS, precision=precision, optimizer="adam", loss_weights={"calories/absolute": 1 / 350})
    torch.manual_seed(0)
    net, batch = settings.build(), batch_for(settings)
    losses: dict[str, list[float]] = {}
    types: dict[str, set[torch.dtype]] = {"outputs": set(), "terms": set(), "state": set()}

    def watched(net, outputs, batch):
        terms = loss_terms(net, outputs, batch)
        types["outputs"] |= {output.dtype for output in outputs.values()}
        types["terms"] |= {term.dtype for term in terms.values()}
        for name, term in terms.items():
            losses.setdefault(name, []).append(term.item())
        return terms

    made = training.optimizer

    def optimizer(*given):
        optimizers.append(made(*given))
        return optimizers[-1]

    optimizers: list[torch.optim.Optimizer] = []
    with monkeypatch.context() as patched:
        patched.setattr(training, "loss_terms", watched)
        patched.setattr(training, "optimizer", optimizer)
        train(net, lambda first: repeat(batch), how, seed=0, fabric=fabric_of(precision), checkpoint=folder / "none.pt")
    state = [value for one in optimizers[0].state.values() for value in one.values() if isinstance(value, Tensor)]
    types["state"] = {value.dtype for value in state}
    return net, losses, types


def members(union) -> set[type]:
    return set(get_args(get_args(union)[0]))


def test_every_kind_of_head_neck_and_task_is_among_the_networks():
    heads = {type(one) for each in NETWORKS.values() for one in (each.head, *each.heads.values())}
    assert heads == members(HeadSettings)
    assert {type(each.neck) for each in NETWORKS.values()} - {type(None)} == members(NeckSettings)
    assert {type(task) for each in NETWORKS.values() for task in each.tasks} == members(AnyTask)
    assert {task.space for each in NETWORKS.values() for task in each.tasks if isinstance(task, Normals)} == set(SPACES)


@pytest.mark.parametrize("name", NETWORKS)
def test_ten_steps_in_bfloat16_are_those_of_float32_but_for_its_rounding(name, tmp_path, monkeypatch):
    _, full, _ = trained(NETWORKS[name], "32-true", tmp_path, monkeypatch)
    net, half, types = trained(NETWORKS[name], "bf16-mixed", tmp_path, monkeypatch)
    assert types == {"outputs": {torch.float32}, "terms": {torch.float32}, "state": {torch.float32}}
    assert {parameter.dtype for parameter in net.parameters()} == {torch.float32}
    assert {parameter.grad.dtype for parameter in net.parameters() if parameter.grad is not None} == {torch.float32}
    assert {buffer.dtype for buffer in net.buffers()} <= {torch.float32, torch.int64}
    assert full.keys() == half.keys()
    for term, losses in full.items():
        assert len(half[term]) == STEPS
        assert torch.tensor(half[term]).isfinite().all()
        assert half[term] == pytest.approx(losses, abs=TOLERANCE * losses[0]), term


def test_what_goes_into_a_network_is_not_rounded(tmp_path):
    # bfloat16 knows the numbers between 256 and 512 by twos: a region would be moved by a pixel.
    settings = NETWORKS["regions"]
    batch = batch_for(settings)
    regions = REGIONS + torch.tensor([0, 0, 0, 250.3, 220.7])
    batch = Batch(torch.rand(4, 3, 288, 320), batch.targets, batch.rows, regions)
    net, given = settings.build(), []
    net.trunk.register_forward_pre_hook(lambda trunk, arguments: given.append(arguments))
    how = recipe(steps=1, precision="bf16-mixed")
    train(net, lambda first: [batch], how, seed=0, fabric=fabric_of("bf16-mixed"), checkpoint=tmp_path / "none.pt")
    ((images, seen),) = given
    assert torch.equal(images, batch.images)
    assert torch.equal(seen, regions)


def test_features_are_the_mean_of_a_map_and_not_rounded_again():
    # What images are compared by is the difference of two features that are nearly alike.
    torch.manual_seed(0)
    head, last = Embedding.Settings(stage=0).build((8, 4), outputs=3), torch.rand(2, 4, 1, 1)
    features = 1 + torch.rand(2, 8, 6, 5).bfloat16()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = head(features, last)
    torch.testing.assert_close(output[:, :8], features.float().mean((2, 3)))


def test_a_network_is_scored_in_float32_whatever_the_fabric(tmp_path):
    net, batch = NETWORKS["one backbone"].build(), batch_for(NETWORKS["one backbone"])
    full, half = (fabric_of(precision) for precision in ("32-true", "bf16-mixed"))
    assert scored([net], [batch], half) == scored([net], [batch], full)
    found, expected = outputs(net, [batch], half), outputs(net, [batch], full)
    assert all(torch.equal(found[task], expected[task]) for task in expected)


class Killed(Exception):
    pass


def killed_at(step: int, monkeypatch, run) -> None:
    """Runs what trains a network until just before a step."""
    original = training.set_rates

    def set_rates(optimizer, how, at):
        if at == step:
            raise Killed
        original(optimizer, how, at)

    with monkeypatch.context() as patched:
        patched.setattr(training, "set_rates", set_rates)
        with pytest.raises(Killed):
            run()


def with_scaler(scale: float) -> Fabric:
    """float16 on the CPU with losses scaled by ``scale`` at first, which every two good steps double."""
    scaler = torch.amp.GradScaler("cpu", init_scale=scale, growth_interval=2)
    return Fabric(accelerator="cpu", devices=1, plugins=MixedPrecision("16-mixed", device="cpu", scaler=scaler))


@pytest.mark.parametrize("precision", ["bf16-mixed", "16-mixed"])
def test_a_resumed_run_is_exact(precision, tmp_path, monkeypatch):
    """The scale changes from step to step and begins so high that steps are skipped: a new one would show."""
    monkeypatch.setattr(training, "CHECK_EVERY", 2)
    settings, how = network(sharing=fused("nddr")), recipe(steps=8, precision=precision)
    batch, scales = batch_for(settings), []

    def run(name):
        torch.manual_seed(0)
        net = settings.build()
        fabric = with_scaler(2.0**24) if precision == "16-mixed" else fabric_of(precision)
        checkpoint = tmp_path / name
        history, _ = train(
            net, lambda first: repeat(batch), how, seed=0, fabric=fabric, checkpoint=checkpoint, checkpoint_seconds=0
        )
        scales.append(fabric.strategy.precision.state_dict())
        return net.state_dict(), history

    whole, history = run("whole.pt")
    killed_at(5, monkeypatch, lambda: run("killed.pt"))
    assert torch.load(tmp_path / "killed.pt", weights_only=True)["step"] == 4
    again, resumed = run("killed.pt")
    assert resumed == history
    assert scales[0] == scales[1]
    for name, value in whole.items():
        assert torch.equal(again[name], value), name


def test_a_step_that_the_scaler_skips_is_no_divergence_and_losses_are_those_before_scaling(tmp_path, monkeypatch):
    settings = NETWORKS["one backbone"]
    batch, before = batch_for(settings), None
    histories = []
    for fabric in (fabric_of("32-true"), with_scaler(2.0**90)):
        torch.manual_seed(0)
        net = settings.build()
        before = {name: value.clone() for name, value in net.named_parameters()}
        how = recipe(steps=1, precision="16-mixed")
        histories.append(train(net, lambda first: [batch], how, seed=0, fabric=fabric, checkpoint=tmp_path / "c.pt")[0])
    assert all(torch.equal(before[name], value) for name, value in net.named_parameters())
    full, half = histories
    for term, (loss,) in half.losses.items():
        assert loss == pytest.approx(full.losses[term][0], rel=TOLERANCE), term


def test_a_loss_that_is_infinite_before_scaling_is_a_divergence(tmp_path):
    """float16 ends at 65,504: what a layer cannot hold is no matter of the scale."""
    settings = NETWORKS["one backbone"]
    net, batch = settings.build(), batch_for(settings)
    with torch.no_grad():
        net.heads["depth"].fc6[0].weight.fill_(1e6)
    how = recipe(steps=1, precision="16-mixed")
    with pytest.raises(TrainingDiverged, match=r"depth/l1 is .* at step 1"):
        train(net, lambda first: [batch], how, seed=0, fabric=with_scaler(1.0), checkpoint=tmp_path / "c.pt")
