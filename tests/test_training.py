import copy
from functools import partial
from itertools import repeat

import pytest
import torch
from builders import NORMALS, SEGMENTATION, SIZE, fused, network, recipe, room_data
from lightning.fabric import Fabric
from torchvision import tv_tensors

from mtlkit import papers, training
from mtlkit.data.samples import IGNORE, Batch
from mtlkit.data.sampling import Part, eval_loader, loader
from mtlkit.data.transforms import Augmentation, resized
from mtlkit.errors import DamagedFile, InputError
from mtlkit.evaluations.scoring import finite, outputs, scored
from mtlkit.history import TrainingDiverged
from mtlkit.papers.nddr.options import NDDROptions
from mtlkit.papers.nddr.scenes import single
from mtlkit.tasks import Normals
from mtlkit.training import Recipe, loss_terms, optimizer, set_rates, train

at_size = partial(resized, size=SIZE)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return room_data(tmp_path_factory.mktemp("rooms") / "set").split("train", ("segmentation", "normals"))


def batches(dataset, how: Recipe, seed=0):
    return lambda first: loader(
        [dataset],
        how.augmentation,
        batch_size=how.batch_size,
        steps=how.steps * how.accumulate,
        start_step=first,
        seed=seed,
    )


def run(dataset, how, tmp_path, net=None, name="checkpoint.pt", **more):
    torch.manual_seed(0)
    net = net or network(sharing=fused("cross_stitch")).build()
    fabric = Fabric(accelerator="cpu", devices=1)
    history, _ = train(net, batches(dataset, how), how, seed=0, fabric=fabric, checkpoint=tmp_path / name, **more)
    return net, history


def test_the_fusion_units_keep_their_rate_at_every_step_and_after_resume():
    # The fault of the best-known public code: each epoch sets one rate for all groups, and the 100x never acts.
    net, mult = network(sharing=fused("nddr")).build(), {"classifier": 10, "classifier_bias": 20, "fusion": 100}
    for schedule in ("poly", "step", "cosine", "constant"):
        how = recipe(steps=50, schedule=schedule, milestones=(0.3, 0.6), lr_mult=mult)
        opt = optimizer(net, how)
        for step in range(50):
            if step == 25:  # a resume
                opt_again = optimizer(net, how)
                opt_again.load_state_dict(copy.deepcopy(opt.state_dict()))
                opt = opt_again
            set_rates(opt, how, step)
            rate = {group["name"]: group["lr"] for group in opt.param_groups}
            assert rate["fusion"] / rate["trunk"] == pytest.approx(100)
            assert rate["classifier_bias"] / rate["trunk"] == pytest.approx(20)


def test_schedules():
    assert [recipe(steps=4, power=1.0).lr_factor(step) for step in range(4)] == [1, 0.75, 0.5, 0.25]
    how = recipe(steps=100, schedule="step", milestones=(0.5, 0.75))
    assert [how.lr_factor(step) for step in (0, 49, 50, 75)] == pytest.approx([1, 1, 0.1, 0.01])
    assert recipe(steps=10, schedule="cosine").lr_factor(5) == pytest.approx(0.5)


def test_resuming_gives_the_same_network_bit_for_bit(dataset, tmp_path, monkeypatch):
    monkeypatch.setattr(training, "CHECK_EVERY", 2)
    how = recipe(steps=8)
    whole, history = run(dataset, how, tmp_path)

    class Killed(Exception):
        pass

    original, calls = training.set_rates, []

    def killed_at_step_5(opt, rec, step):
        calls.append(step)
        if step == 5:
            raise Killed
        original(opt, rec, step)

    monkeypatch.setattr(training, "set_rates", killed_at_step_5)
    with pytest.raises(Killed):
        run(dataset, how, tmp_path, name="killed.pt", checkpoint_seconds=0)
    monkeypatch.setattr(training, "set_rates", original)
    torch.manual_seed(1234)  # whatever the generator's state is, it must not matter
    again = network(sharing=fused("cross_stitch")).build()
    again, resumed = run(dataset, how, tmp_path, net=again, name="killed.pt")
    assert calls[-1] == 5
    assert resumed == history
    for name, value in whole.state_dict().items():
        assert torch.equal(again.state_dict()[name], value), name


@pytest.mark.parametrize("damage", ["flipped", "truncated", "empty", "another's"])
def test_a_damaged_checkpoint_is_set_aside_and_the_training_begins_anew(dataset, tmp_path, monkeypatch, damage):
    how = recipe(steps=4)
    whole, history = run(dataset, how, tmp_path)
    original = training.set_rates

    def killed_at_step_3(opt, rec, step):
        original(opt, rec, step)
        if step == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(training, "CHECK_EVERY", 2)
    monkeypatch.setattr(training, "set_rates", killed_at_step_3)
    name = "other.pt" if damage == "another's" else "killed.pt"
    with pytest.raises(KeyboardInterrupt):
        run(dataset, how, tmp_path, name=name, checkpoint_seconds=0)
    monkeypatch.undo()
    path = (tmp_path / name).rename(tmp_path / "killed.pt")
    content = bytearray(path.read_bytes())
    for place in range(len(content) // 3, len(content) // 3 + 20):
        content[place] ^= 1
    path.write_bytes({"flipped": content, "truncated": content[:-100], "empty": b""}.get(damage, path.read_bytes()))
    with pytest.warns(DamagedFile, match=r"killed\.pt was damaged and is killed\.pt\.damaged now"):
        again, resumed = run(dataset, how, tmp_path, name="killed.pt")
    assert resumed == history
    for key, value in whole.state_dict().items():
        assert torch.equal(again.state_dict()[key], value), key


def test_a_loss_that_is_not_finite_stops_at_once_and_names_task_and_step(dataset, tmp_path, monkeypatch):
    monkeypatch.setattr(training, "CHECK_EVERY", 2)

    def poisoned(net, outputs, batch):
        terms = loss_terms(net, outputs, batch)
        poisoned.step += 1
        return terms | {"normals/cosine": terms["normals/cosine"] * (float("nan") if poisoned.step == 4 else 1)}

    poisoned.step = 0
    monkeypatch.setattr(training, "loss_terms", poisoned)
    with pytest.raises(TrainingDiverged, match="normals/cosine is nan at step 4"):
        run(dataset, recipe(steps=8), tmp_path, checkpoint_seconds=0)
    kept = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    assert kept["step"] == 2
    assert all(torch.isfinite(value).all() for value in kept["network"].values())


def test_a_misspelt_loss_weight_is_one_sentence(dataset, tmp_path):
    with pytest.raises(InputError, match="'normals/cosin'; did you mean 'normals/cosine'"):
        run(dataset, recipe(loss_weights={"normals/cosin": 100.0}), tmp_path)
    # A network of one task may have the recipe of one of several.
    run(dataset, recipe(steps=1, loss_weights={"depth/l1": 2.0}), tmp_path)


@pytest.mark.parametrize("mirrored", [False, True])
def test_a_network_whose_outputs_are_not_finite_is_not_scored(dataset, mirrored):
    net, fabric = network().build(), Fabric(accelerator="cpu", devices=1)
    with torch.no_grad():
        next(net.parameters()).fill_(float("nan"))
    found = eval_loader([dataset], at_size, 4)
    with pytest.raises(InputError, match="output for segmentation is not finite"):
        scored([net], found, fabric, mirrored=mirrored)
    with pytest.raises(InputError, match="output for segmentation is not finite"):
        finite(outputs(net, found, fabric))


def test_a_task_without_a_label_in_the_batch_adds_nothing(dataset):
    net = network().build()
    images = torch.rand(3, 3, 64, 64)
    target = torch.randint(0, 13, (1, 64, 64)).to(torch.uint8)
    terms = loss_terms(net, net(images), Batch(images, {"segmentation": target}, {"segmentation": torch.tensor([1])}))
    assert terms["normals/cosine"].item() == 0
    alone = net.tasks["segmentation"].losses(net(images)["segmentation"][1:2], target)
    net.eval()
    one = loss_terms(net, net(images), Batch(images, {"segmentation": target}, {"segmentation": torch.tensor([1])}))
    same = net.tasks["segmentation"].losses(net(images)["segmentation"][1:2], target)
    assert torch.allclose(one["segmentation/cross_entropy"], same["cross_entropy"])
    assert alone["cross_entropy"].ndim == 0


def test_accumulated_batches_equal_one_large_batch(dataset, tmp_path):
    # Without dropout and with batch norm frozen, two batches of two have the mean gradient of one of four.
    def frozen():
        torch.manual_seed(0)
        settings = network((NORMALS,))
        net = settings.model_copy(update={"head": settings.head.model_copy(update={"dropout": 0.0})}).build()
        net.train = lambda mode=True: torch.nn.Module.train(net, False)
        return net

    # The whole image, so that every batch has as many valid pixels: a loss is a mean over those.
    plain = {"scale_min": 1.0, "scale_max": 1.0, "flip": 0.0}
    augmentation = {"augmentation": recipe().augmentation.model_copy(update=plain)}
    large, _ = run(dataset, recipe(steps=1, batch_size=4, **augmentation), tmp_path, net=frozen())
    small, _ = run(dataset, recipe(steps=1, batch_size=2, accumulate=2, **augmentation), tmp_path, net=frozen())
    for name, value in large.state_dict().items():
        assert torch.allclose(value, small.state_dict()[name], atol=1e-4), name


@pytest.mark.slow  # half a minute each
@pytest.mark.parametrize(
    ("task", "measure", "margin"), [(SEGMENTATION, "pixel_accuracy", -3.0), (NORMALS, "decoded/mean", 3.0)]
)
def test_each_task_overfits_eight_images(dataset, tmp_path, task, measure, margin):
    """To within three points (degrees) of what an output at stride 8 can say about these images at all."""
    torch.manual_seed(0)
    settings = network((task,), backbone="resnet10t").model_copy(update={"output_stride": 8})
    settings = settings.model_copy(update={"head": settings.head.model_copy(update={"width": 64, "dropout": 0.0})})
    net = settings.build()
    whole = Augmentation(size=SIZE, scale_min=1, scale_max=1, flip=0)
    run(dataset, recipe(steps=150, batch_size=8, optimizer="adam", lr=3e-3, augmentation=whole), tmp_path, net=net)
    found = scored([net], eval_loader([dataset], at_size, 8), Fabric(accelerator="cpu", devices=1))

    perfect = task.metric()  # the truth itself, reduced to the output's size
    for batch in eval_loader([dataset], at_size, 8):
        target = batch.targets[task.name]
        coarse = torch.empty(len(target), task.outputs, SIZE[0] // 8, SIZE[1] // 8)
        _, reduced = task.model_copy(update={"loss_at": "output"}).matched(coarse, target)
        if task is SEGMENTATION:
            void = (reduced == IGNORE).unsqueeze(1)
            reduced = torch.nn.functional.one_hot(reduced.long() * ~void[:, 0], 13).permute(0, 3, 1, 2).float() * ~void
        perfect.update(reduced, target)
    best = perfect.compute()[measure]
    found = found.metrics[f"{task.name}/{measure}"]
    assert found >= best + margin if margin < 0 else found <= best + margin, (found, best)


def test_normals_leave_the_constant_at_the_papers_rates(dataset, tmp_path):
    """From an output near zero, ten times the rate for the classifier would end all learning in a few steps."""
    column = papers.table("nddr", "4").column(NDDROptions(image_size=SIZE))
    settings = single(column, Normals(), seed=0)
    (batch,) = eval_loader([Part(dataset, range(8))], at_size, 8)
    torch.manual_seed(0)
    net, how = settings.network.build(), settings.recipe.model_copy(update={"steps": 60})
    assert net.heads["normals"].classifier.bias.tolist() == [0, 0, 1]
    fabric = Fabric(accelerator="cpu", devices=1)
    history, _ = train(net, lambda first: repeat(batch), how, seed=0, fabric=fabric, checkpoint=tmp_path / "c.pt")
    truth = batch.targets["normals"]
    blind = Normals().losses(truth.sum((0, 2, 3), keepdim=True).expand_as(truth), truth)["cosine"]
    assert history.losses["normals/cosine"][-1] < 0.8 * blind


def test_the_history_of_a_step_of_several_batches_is_the_mean_over_those_with_a_target(dataset, tmp_path):
    settings = network(sharing=fused("cross_stitch"))
    still = settings.model_copy(update={"head": settings.head.model_copy(update={"dropout": 0.0})})
    how = recipe(steps=1, batch_size=2, lr=1e-12)
    (whole,) = batches(dataset, how)(0)
    partly = Batch(whole.images, *({"segmentation": of["segmentation"]} for of in (whole.targets, whole.rows)))
    cut = how.model_copy(update={"accumulate": 2})
    fabric, found = Fabric(accelerator="cpu", devices=1), []
    for recipe_, several in ((how, [whole]), (cut, [partly, whole]), (cut, [whole, partly])):
        torch.manual_seed(0)
        history, _ = train(
            still.build(),
            lambda first, some=several: some,
            recipe_,
            seed=0,
            fabric=fabric,
            checkpoint=tmp_path / "no",
        )
        found.append(history.losses)
    assert found[1] == found[2]
    for term, (mean,) in found[1].items():
        assert mean == pytest.approx(found[0][term][0], rel=1e-5), term


class Filled:
    """A data set whose targets of some tasks are one number everywhere, but for some samples."""

    def __init__(self, dataset, filling, but=()):
        self._dataset, self._filling, self._but = dataset, filling, but
        self.classes, self.tasks = dataset.classes, dataset.tasks

    def __len__(self):
        return len(self._dataset)

    def __getitem__(self, index):
        sample = dict(self._dataset[index])
        for task, number in self._filling.items() if index not in self._but else ():
            target = sample[task]
            sample[task] = tv_tensors.wrap(torch.full_like(target.as_subclass(torch.Tensor), number), like=target)
        return sample


VOID = {"segmentation": IGNORE, "normals": 0}


@pytest.mark.parametrize("task", [SEGMENTATION, NORMALS])
def test_a_training_without_any_target_of_a_task_is_none(dataset, tmp_path, task):
    void = {task.name: VOID[task.name]}
    for tasks in ((task,), (SEGMENTATION, NORMALS)):
        with pytest.raises(InputError, match=f"^Nothing was learnt of {task.name}: its losses are 0 in all 12 steps, "):
            run(Filled(dataset, void), recipe(), tmp_path, net=network(tasks).build())
    _, history = run(Filled(dataset, void, but=(3,)), recipe(), tmp_path)  # one image is labelled
    assert all(any(losses) for losses in history.losses.values())


def test_the_time_of_looks_at_a_network_is_none_of_its_training(dataset, tmp_path, monkeypatch):
    clock = iter(range(1000))
    monkeypatch.setattr(training.time, "perf_counter", lambda: next(clock))
    times = []
    for looked in (0, 100):  # clock ticks
        fabric, how = Fabric(accelerator="cpu", devices=1), recipe(steps=4)
        _, timing = train(
            network().build(),
            batches(dataset, how),
            how,
            seed=0,
            fabric=fabric,
            checkpoint=tmp_path / "checkpoint.pt",
            snapshots=(2,),
            snapshot=lambda step, ticks=looked: [next(clock) for _ in range(ticks)],
        )
        times.append(timing.training)
    assert times[0] == times[1] > 0
