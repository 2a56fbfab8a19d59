import math

import numpy as np
import pytest
import torch
from sklearn.metrics import mean_absolute_error, mean_absolute_percentage_error, root_mean_squared_error

from mtlkit.data.samples import Depth as Map
from mtlkit.data.transforms import Augmentation, each_placed, resized
from mtlkit.tasks import Depth

TASK = Depth()


def case(seed=0, unknown=0.3):
    generator = torch.Generator().manual_seed(seed)
    true = 0.5 + 5 * torch.rand(3, 6, 7, generator=generator)
    said = (true * (0.6 + 0.8 * torch.rand(true.shape, generator=generator)))[:, None]
    return said, torch.where(torch.rand(true.shape, generator=generator) < unknown, 0, true)


def test_measures_equal_trusted_libraries_over_all_known_pixels():
    said, true = case()
    metric = TASK.metric()
    for row in range(3):  # in parts: pooling over pixels, not a mean of images
        metric.update(said[row : row + 1], true[row : row + 1])
    found, known = metric.compute(), true > 0
    pair = true[known].numpy(), said[:, 0][known].numpy()
    assert found["rmse"] == pytest.approx(root_mean_squared_error(*pair))
    assert found["mean"] == pytest.approx(mean_absolute_error(*pair))
    assert found["relative"] == pytest.approx(100 * mean_absolute_percentage_error(*pair))
    ratio = np.maximum(pair[0] / pair[1], pair[1] / pair[0])
    assert found["within_1.25"] == pytest.approx(100 * (ratio <= 1.25).mean())


def test_the_loss_is_the_mean_over_known_pixels_and_zero_without_one():
    said, true = case()
    known = true > 0
    assert TASK.losses(said, true)["l1"] == pytest.approx(float((said[:, 0] - true)[known].abs().mean()))
    assert TASK.losses(said, torch.zeros_like(true)) == {"l1": 0}
    assert all(math.isnan(value) for value in TASK.metric().compute().values())
    said.requires_grad_()
    TASK.losses(said, true)["l1"].backward()
    assert not said.grad[:, 0][~known].any()


def test_a_smaller_output_is_enlarged_or_the_target_reduced():
    said, true = torch.full((1, 1, 2, 2), 3.0), torch.full((1, 4, 6), 5.0)
    for loss_at in ("image", "output"):
        assert TASK.model_copy(update={"loss_at": loss_at}).losses(said, true) == {"l1": 2}


def test_the_constant_is_the_median():
    _, true = case()
    best = TASK.constant([true[:2], true[2:]], [true]).compute()["mean"]
    assert best == pytest.approx(float((true[true > 0] - true[true > 0].median()).abs().mean()), abs=1e-3)


def test_maps_keep_their_depths_and_follow_the_image():
    depth = Map(torch.arange(12.0).view(3, 4) + 1)
    image = torch.zeros(3, 3, 4, dtype=torch.uint8)
    whole = Augmentation(size=(5, 6), scale_min=1, scale_max=1, flip=1)({"image": image, "depth": depth})["depth"]
    assert isinstance(whole, Map)
    assert whole[:3, :4].tolist() == depth.flip(-1).tolist() or whole[:3, -4:].tolist() == depth.flip(-1).tolist()
    assert whole[3:].eq(0).all()
    half = resized({"image": torch.zeros(3, 6, 8), "depth": Map(depth.repeat_interleave(2, 0).repeat_interleave(2, 1))},
                   (3, 4))["depth"]  # fmt: skip
    assert half.tolist() == depth.tolist()
    assert isinstance(each_placed({"depth": depth}, lambda value: value)["depth"], Map)


def test_near_is_light_and_unknown_black():
    picture = TASK.draw(torch.tensor([[0.0, 1.0, 5.0]]))
    assert picture[0, :, 0].tolist() == [0, 255, 51]
    assert TASK.draw(TASK.postprocess(torch.ones(1, 1, 2, 2))[0]).shape == (2, 2, 3)
