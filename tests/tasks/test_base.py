"""Every task refuses outputs and targets whose shapes are not its own, and leaves out what is not known."""

import pytest
import torch
import torch.nn.functional as F

from mtlkit.errors import InputError
from mtlkit.tasks import (
    Age,
    Attributes,
    Calories,
    Classification,
    CodedNormals,
    Depth,
    Embedding,
    Normals,
    RegionDetection,
    Segmentation,
)
from mtlkit.tasks.region_detection import RegionTruth

WORDS = ((0.0, 0.0, 1.0), (0.0, 1.0, 0.0), (1.0, 0.0, 0.0))
IDS = torch.zeros(4, dtype=torch.int64)

# A task, an output and a target of four images that belong together.
FITTING = [
    (Segmentation(classes=tuple("abc")), torch.randn(4, 3, 3, 4), torch.zeros(4, 6, 8, dtype=torch.uint8)),
    (Depth(), torch.randn(4, 1, 3, 4), torch.ones(4, 6, 8)),
    (Normals(), torch.randn(4, 3, 3, 4), torch.ones(4, 3, 6, 8)),
    (CodedNormals(words=WORDS), torch.randn(4, 3, 3, 4), torch.ones(4, 3, 6, 8)),
    (Classification(name="kind", classes=3), torch.randn(4, 3), IDS),
    (Embedding(name="kind", classes=3), torch.randn(4, 8), IDS),
    (Age(), torch.randn(4, 100), IDS),
    (Calories(), torch.randn(4, 1), torch.ones(4)),
    (Attributes(attributes=tuple("abc")), torch.randn(4, 3), torch.ones(4, 3)),
]
of_every_task = pytest.mark.parametrize(
    ("task", "output", "target"), FITTING, ids=[type(task).__name__ for task, *_ in FITTING]
)


@of_every_task
def test_a_task_takes_an_output_for_every_target(task, output, target):
    assert all(term.isfinite() for term in task.losses(output, target).values())
    wrong = [
        (output[:1], target),  # would be compared with every target
        (output, target[:1]),
        (output, target.unsqueeze(1)),
    ]
    if not isinstance(task, Age | Embedding):  # ages of more years have an expected one; features have any length
        wrong.append((torch.cat([output, output], 1), target))
    refused = (InputError, ValueError) if isinstance(task, Attributes) else InputError  # torch's own, of its loss
    for some, others in wrong:
        with pytest.raises(refused):
            task.losses(some, others)
        with pytest.raises(InputError, match=r"has the shape .*; it should be "):
            task.metric().update(some, others)


def test_a_sentence_says_which_shape_is_right():
    with pytest.raises(InputError, match=r"target of depth has the shape \(2, 1, 6, 8\); it should be \(2, H, W\)"):
        Depth().losses(torch.ones(2, 1, 6, 8), torch.ones(2, 1, 6, 8))
    with pytest.raises(InputError, match=r"^The output for Accuracy has the shape \(4, 5\); it should be \(4, 3\)\.$"):
        Classification(name="kind", classes=3).metric().update(torch.ones(4, 5), IDS)


def test_regions_have_an_output_each():
    target = RegionTruth(torch.rand(4, 5), torch.full((4,), -1), torch.rand(0, 5), IDS[:0])
    with pytest.raises(InputError, match=r"FoundAP has the shape \(1, 16\); it should be \(4, 16\)"):
        RegionDetection(classes=tuple("abc")).metric().update(torch.rand(1, 16), target)


@pytest.mark.parametrize("nothing", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize(
    "task", [Depth(), Normals(), Normals(space="encoded"), CodedNormals(words=WORDS)], ids=lambda task: task.kind
)
def test_a_target_that_is_not_finite_is_not_known(task, nothing):
    generator = torch.Generator().manual_seed(0)
    target = F.normalize(torch.rand(2, 3, 6, 8, generator=generator) + 0.1, dim=1)
    target = target[:, 0] if isinstance(task, Depth) else target
    unknown = target.clone()
    target[..., 2, 3], unknown[..., 2, 3] = 0, nothing
    found = []
    for truth in (target, unknown):
        output = torch.rand(2, task.outputs, 6, 8, generator=torch.Generator().manual_seed(1)).requires_grad_()
        (loss,) = task.losses(output, truth).values()
        loss.backward()
        metric = task.metric()
        metric.update(output.detach(), truth)
        constant = task.constant([truth], [truth])
        found.append((loss.item(), output.grad.tolist(), metric.compute(), constant.compute()))
    assert found[0] == found[1]
    assert torch.tensor(found[0][1]).isfinite().all()


def test_an_output_where_depth_is_not_known_does_not_count():
    output, target = torch.ones(1, 1, 2, 2), torch.tensor([[[0.0, 2.0], [2.0, 2.0]]])
    output[0, 0, 0, 0] = torch.nan
    output.requires_grad_()
    loss, metric = Depth().losses(output, target)["l1"], Depth().metric()
    loss.backward()
    metric.update(output.detach(), target)
    assert loss == metric.compute()["mean"] == 1
    assert output.grad.isfinite().all()
