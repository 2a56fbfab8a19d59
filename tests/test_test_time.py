"""Options of scoring: mirror images, and images at their own size."""

import pytest
import torch
from builders import record_of

from mtlkit.data import Data
from mtlkit.data.transforms import CentredCrop, padded
from mtlkit.engine import Engine
from mtlkit.errors import InputError
from mtlkit.evaluations import TestEvaluation
from mtlkit.evaluations.scoring import predictions, scored
from mtlkit.heads import Branches
from mtlkit.ledger import Ledger
from mtlkit.network import Network, NetworkSettings
from mtlkit.runs import Training
from mtlkit.runtime import Runtime
from mtlkit.tasks import CenterDetection, Normals, Segmentation
from mtlkit.training import Recipe
from mtlkit.worlds import people

SEGMENTATION = Segmentation(classes=("background", *people.CLASSES))
DETECTION = CenterDetection(classes=people.CLASSES, joints=people.JOINTS, sigmas=(0.1,) * 17)


def network(*tasks):
    heads = {"detection": Branches.Settings(maps=DETECTION.maps, heat_maps=DETECTION.heat_maps, width=8)}
    kept = {task.name: heads[task.name] for task in tasks if task.name in heads}
    return NetworkSettings(
        backbone="mobilenetv3_small_050", tasks=tasks, head=Branches.Settings(width=8), heads=kept, neck=None
    )


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp("people")
    people.write(root, train=4, val=5, size=(60, 96))
    return Data(layout="coco", name="people", fingerprint="test", size=(64, 96), keep=people.CLASSES, root=root)


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    return Engine(Ledger(tmp_path_factory.mktemp("results")), Runtime(device="cpu", progress=False))


class Symmetric(Network):
    """A network that mirrors its outputs where its images are mirrored, for it looks at both."""

    def predict(self, images, regions=None):
        given, turned = super().predict(images), super().predict(images.flip(-1))
        return {name: task.ensemble([given[name], task.unmirrored(turned[name])]) for name, task in self.tasks.items()}


def test_mirror_images_change_nothing_for_a_symmetric_network(data, engine):
    torch.manual_seed(0)
    settings = network(SEGMENTATION, DETECTION)
    plain, symmetric = Network(settings, weights=False).eval(), Symmetric(settings, weights=False).eval()
    with torch.no_grad():  # as a network starts, all it answers is about zero
        for name, parameter in plain.heads.named_parameters():
            parameter.mul_(3000 if "classifier" in name and parameter.ndim == 4 else 1)
    symmetric.load_state_dict(plain.state_dict())
    context = engine.context()
    batches, _ = context.batches(data, "val", settings.tasks, 5)
    (batch,) = batches
    with torch.inference_mode():
        both = predictions(symmetric, batch, mirrored=True)
        other = predictions(plain, batch, mirrored=True)
    assert len(both) == 2
    for name in both[0]:
        assert torch.allclose(both[0][name], both[1][name], atol=1e-4)
        assert not torch.allclose(other[0][name], other[1][name], atol=1e-2)
    found = [
        scored([net], batches, context.runtime.fabric(), mirrored=mirrored).metrics
        for net, mirrored in ((symmetric, False), (symmetric, True))
    ]
    assert found[1] == pytest.approx(found[0], abs=1e-3, nan_ok=True)


@pytest.fixture(scope="module")
def trained(data):
    recipe = Recipe(steps=2, batch_size=2, lr=1e-3, augmentation=CentredCrop(size=(64, 96)))
    return Training(network=network(SEGMENTATION, DETECTION), data=data, recipe=recipe)


def test_the_options_are_parts_of_the_evaluation_alone(data, trained, engine):
    plain = TestEvaluation(subject=trained, data=data)
    assert plain.identity == TestEvaluation(subject=trained, data=data, mirrored=False, native=False).identity
    flipped, native = (plain.model_copy(update={name: True}) for name in ("mirrored", "native"))
    assert len({plain.identity, flipped.identity, native.identity}) == 3
    records = engine.run([plain, flipped, native])
    for one in (flipped, native):
        assert records[one.identity].metrics.keys() == records[plain.identity].metrics.keys()


def test_mirrored_scores_are_those_of_both_outputs_as_an_ensemble(data, trained, engine):
    flipped = TestEvaluation(subject=trained, data=data, mirrored=True)
    found = record_of(engine, flipped).metrics
    net, metric = trained.trained(engine.context()), SEGMENTATION.metric()
    (batch,) = engine.context().batches(data, "val", trained.network.tasks, 5)[0]
    with torch.inference_mode():
        one, other = net(batch.images)["segmentation"], net(batch.images.flip(-1))["segmentation"].flip(-1)
    metric.update(SEGMENTATION.ensemble([one, other]), batch.targets["segmentation"])
    assert found["segmentation/miou"] == pytest.approx(metric.compute()["miou"], abs=1e-6)


def test_images_keep_their_own_size_but_for_an_edge(data, trained, engine):
    sample = data.split("val", ("detection", "segmentation"))[0]
    seen = padded(sample)
    assert tuple(seen["image"].shape) == (3, 64, 96)
    assert torch.equal(seen["image"][:, :60], sample["image"])
    assert torch.equal(seen["segmentation"][:60], sample["segmentation"])
    assert (seen["segmentation"][60:] == 255).all()
    assert torch.equal(seen["boxes"], sample["boxes"])
    large = data.model_copy(update={"size": (128, 192)})
    batches, _ = engine.context().batches(large, "val", trained.network.tasks, 5, native=True)
    assert [tuple(batch.images.shape) for batch in batches] == [(1, 3, 64, 96)] * 5
    # The frame that the network was trained in has no say any more.
    values = [TestEvaluation(subject=trained, data=some, native=True) for some in (data, large)]
    own, other = (record_of(engine, value).metrics for value in values)
    assert own == pytest.approx(other, nan_ok=True)


def test_what_knows_no_mirror_image_is_refused():
    task = Segmentation(classes=("a", "b"))
    assert task.unmirrored(torch.arange(3.0)[None]).tolist() == [[2, 1, 0]]
    with pytest.raises(InputError, match="score it without mirror images"):
        Normals().unmirrored(torch.zeros(1, 3, 2, 2))
