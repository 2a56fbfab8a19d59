"""Measures on draws of the test pictures equal the measures of these pictures, drawn."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from mtlkit.bootstrap import draws, interval
from mtlkit.data.samples import IGNORE
from mtlkit.errors import InputError
from mtlkit.evaluation import Scores
from mtlkit.tasks import Age, Classification, Depth, Normals, Segmentation

PICTURES = 5


def normals(generator):
    target = F.normalize(torch.randn(PICTURES, 3, 6, 8, generator=generator), dim=1)
    target[torch.rand(PICTURES, 6, 8, generator=generator).unsqueeze(1).expand_as(target) < 0.1] = 0
    return Normals(), torch.randn(PICTURES, 3, 3, 4, generator=generator), target


def segmentation(generator):
    target = torch.randint(0, 4, (PICTURES, 6, 8), generator=generator).to(torch.uint8)
    target[torch.rand(target.shape, generator=generator) < 0.2] = IGNORE
    return Segmentation(classes=tuple("abcd")), torch.randn(PICTURES, 4, 3, 4, generator=generator), target


def depth(generator):
    output, target = (5 * torch.rand(PICTURES, *shape, generator=generator) for shape in ((1, 3, 4), (6, 8)))
    return Depth(), output, target * (target > 0.5)


def age(generator):
    output = 4 * torch.randn(PICTURES, 100, generator=generator)
    return Age(), output, torch.randint(0, 100, (PICTURES,), generator=generator)


def classification(generator):
    output = torch.randn(PICTURES, 7, generator=generator)
    return Classification(name="kind", classes=7), output, torch.randint(0, 7, (PICTURES,), generator=generator)


@pytest.mark.parametrize("case", [normals, segmentation, depth, age, classification])
@settings(max_examples=15)
@given(st.integers(0, 10_000))
def test_a_draw_measures_what_the_drawn_pictures_do(case, seed):
    task, output, target = case(torch.Generator().manual_seed(seed))
    metric = task.metric()
    for part in ([0, 1], [2, 3, 4]):
        metric.update(output[part], target[part])
    times = np.random.default_rng(seed).multinomial(PICTURES, [1 / PICTURES] * PICTURES, size=3)
    found = metric.resampled(times)
    assert found.keys() <= metric.compute().keys()
    for draw, counts in enumerate(times):
        drawn = task.metric()
        places = np.repeat(np.arange(PICTURES), counts)
        drawn.update(output[places], target[places])
        for name, expected in drawn.compute().items():
            if name in found and not name.endswith("/median"):  # angles in bins; see the next test
                assert found[name][draw] == pytest.approx(expected, abs=1e-4, nan_ok=True), name


def test_medians_of_many_pixels_are_right_to_a_hundredth_of_a_degree():
    generator = torch.Generator().manual_seed(0)
    target = F.normalize(torch.randn(4, 3, 120, 160, generator=generator), dim=1)
    metric = Normals().metric()
    metric.update(target + 0.5 * torch.randn(target.shape, generator=generator), target)
    whole = metric.resampled(np.ones((1, 4), np.int64))
    for name, value in metric.compute().items():
        assert whole[name][0] == pytest.approx(value, abs=0.01), name


def test_draws_are_the_same_for_the_same_pictures():
    once, again = (np.concatenate(list(draws([*"abcdeab"], 50))) for _ in range(2))
    assert (once == again).all()
    assert (once[:, 0] == once[:, 5]).all()
    assert (once[:, :5].sum(1) == 5).all()


def test_scores_hold_draws_where_there_are_two_pictures():
    task, output, target = segmentation(torch.Generator().manual_seed(0))
    metric = task.metric()
    metric.update(output, target)
    assert Scores.of({"segmentation": metric}).resampled == {}
    found = Scores.of({"segmentation": metric}, [*"abcde"])
    assert set(found.resampled) == {"segmentation/miou", "segmentation/fwiou", "segmentation/pixel_accuracy"}
    low, high = interval(np.array(found.resampled["segmentation/miou"]))
    assert low < found.metrics["segmentation/miou"] < high
    with pytest.raises(InputError, match="at least two"):
        next(draws(["a", "a"]))
