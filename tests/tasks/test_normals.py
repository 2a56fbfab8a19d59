import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from mtlkit.metrics import spaces
from mtlkit.metrics.angles import STEP, Angles, angles, decode, encode
from mtlkit.tasks import Normals
from mtlkit.tasks.normals import tilted

TASK = Normals()


def unit(*shape: int, seed: int = 0) -> torch.Tensor:
    return F.normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed)), dim=1)


def naive(prediction: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Angles in degrees, pixel by pixel, in float64."""
    dot = (prediction * truth).sum(1) / np.linalg.norm(prediction, axis=1) / np.linalg.norm(truth, axis=1)
    return np.degrees(np.arccos(np.clip(dot, -1, 1)))


@settings(max_examples=20)
@given(st.integers(0, 10_000))
def test_measures_equal_the_naive_formula_in_both_spaces(seed):
    prediction, target = 3 * unit(4, 3, 5, 6, seed=seed), unit(4, 3, 5, 6, seed=seed + 1)
    target[:, :, 0] = 0
    metric = Angles()
    for row in range(4):
        metric.update(prediction[row : row + 1], target[row : row + 1])
    found = metric.compute()
    valid = (target != 0).any(1).numpy()
    p, t = F.normalize(prediction, dim=1).double().numpy(), target.double().numpy()
    eight_bit = [127 * (np.stack([v[:, 0], -v[:, 2], v[:, 1]], 1) + 1) for v in (p, t)]  # NDDR's images
    for space, (a, b) in {"decoded": (p, t), "encoded": eight_bit}.items():
        errors = naive(a, b)[valid]
        assert found[f"{space}/mean"] == pytest.approx(errors.mean(), abs=1e-3)
        assert found[f"{space}/median"] == pytest.approx(np.median(errors), abs=STEP / 2 + 1e-4)
        for threshold in (11.25, 22.5, 30):
            # One pixel may lie within rounding of the threshold.
            one_pixel = 100 / errors.size + 1e-6
            assert found[f"{space}/{threshold:g}"] == pytest.approx(100 * (errors <= threshold).mean(), abs=one_pixel)


@given(st.integers(0, 10_000), st.sampled_from([1e-3, 1.0, 1e3]))
def test_unit_vectors_and_their_gradients_are_torchs(seed, scale):
    vectors = scale * torch.randn(2, 3, 4, 5, generator=torch.Generator().manual_seed(seed))
    vectors[0, :, 0] = 0
    arriving = torch.randn(vectors.shape, generator=torch.Generator().manual_seed(seed + 1))
    ours, theirs = vectors.clone().requires_grad_(), vectors.clone().requires_grad_()
    spaces.unit(ours).backward(arriving)
    F.normalize(theirs, dim=1).backward(arriving)
    torch.testing.assert_close(spaces.unit(vectors), F.normalize(vectors, dim=1))
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-4, atol=1e-5 / scale)


def test_a_threshold_includes_itself():
    tilt = torch.tensor([0.0, math.sin(math.radians(22.5)), math.cos(math.radians(22.5))]).view(1, 3, 1, 1)
    metric = Angles()
    metric.update(tilt, torch.tensor([0.0, 0.0, 1.0]).view(1, 3, 1, 1))
    assert metric.compute()["decoded/median"] == pytest.approx(22.5, abs=1e-5)


def test_small_angles_keep_their_digits():
    for degrees in (1e-3, 0.1, 90.0, 179.99):
        a = torch.tensor([[0.0], [0.0], [1.0]])
        b = torch.tensor([[0.0], [math.sin(math.radians(degrees))], [math.cos(math.radians(degrees))]])
        assert float(angles(a.T[..., None], b.T[..., None])) == pytest.approx(degrees, rel=1e-3)


def test_encoded_angles_are_much_smaller_than_true_ones():
    # The trap of the NDDR paper's numbers: the same prediction, a good deal below half the error.
    camera_facing = F.normalize(unit(8, 3, 20, 20) + torch.tensor([0, 0, 1.5]).view(1, 3, 1, 1), dim=1)
    tilted = F.normalize(camera_facing + 0.4 * unit(8, 3, 20, 20, seed=1), dim=1)
    metric = Angles()
    metric.update(tilted, camera_facing)
    found = metric.compute()
    assert found["encoded/median"] < 0.55 * found["decoded/median"]


@settings(max_examples=30)
@given(st.integers(0, 10_000))
def test_decoding_undoes_encoding_on_the_far_side(seed):
    normals = unit(1, 3, 8, 8, seed=seed)
    x, y, z = normals.unbind(1)
    far = (x + y - z) > -0.99  # the near side, below -1, is the part that a direction cannot tell from the far one
    error = angles(decode(encode(normals)), normals)
    assert float(error[far].max()) < 0.2


def test_the_loss_is_half_the_squared_distance_of_unit_vectors():
    output, target = unit(2, 3, 4, 4) * 7, unit(2, 3, 4, 4, seed=3)
    half = 0.5 * (F.normalize(output, dim=1) - target).square().sum(1).mean()
    assert torch.allclose(TASK.losses(output, target)["cosine"], half, atol=1e-6)


def test_pixels_without_a_normal_count_nowhere():
    output, target = unit(1, 3, 2, 2).requires_grad_(), torch.zeros(1, 3, 2, 2)
    loss = TASK.losses(output, target)["cosine"]
    loss.backward()
    assert loss == 0
    assert torch.isfinite(output.grad).all()
    metric = Angles()
    metric.update(output.detach(), target)
    assert math.isnan(metric.compute()["decoded/mean"])


def test_training_in_the_encoded_space_is_scored_in_both():
    truth = F.normalize(unit(2, 3, 6, 6) + torch.tensor([0.3, 0.3, 1.0]).view(1, 3, 1, 1), dim=1)
    task = Normals(space="encoded")
    perfect = 40 * encode(truth)
    assert float(task.losses(perfect, truth)["cosine"]) == pytest.approx(0, abs=1e-6)
    metric = task.metric()
    metric.update(perfect, truth)
    assert metric.compute()["encoded/mean"] == pytest.approx(0, abs=0.05)


def test_the_constant_predictor_is_best_in_its_space():
    train = F.normalize(unit(16, 3, 8, 8) + torch.tensor([0.2, 0.4, 1.0]).view(1, 3, 1, 1), dim=1)
    best = TASK.constant([train], [train]).compute()["decoded/mean"]
    for other in (torch.tensor([0.0, 0.0, 1.0]), torch.tensor([0.0, 1.0, 0.0]), torch.tensor([0.5, 0.5, 1.0])):
        metric = Angles()
        metric.update(other.view(1, 3, 1, 1).expand_as(train), train)
        assert best <= metric.compute()["decoded/mean"] + 0.5


@given(degrees=st.floats(1, 90), seed=st.integers(0, 99))
def test_a_tilt_turns_every_normal_by_its_angle_and_leaves_no_value_alone(degrees, seed):
    generator = torch.Generator().manual_seed(seed)
    normals = F.normalize(torch.randn(2, 3, 4, 5, generator=generator), dim=1)
    normals[:, :, 0, 0] = 0
    turned = tilted(normals, degrees, generator)
    valid = (normals != 0).any(1)
    torch.testing.assert_close(angles(turned, normals)[valid], torch.full((38,), degrees), atol=0.01, rtol=1e-3)
    assert (turned[:, :, 0, 0] == 0).all()
    metric = Normals().metric()
    metric.update(turned, normals)
    assert metric.compute()["decoded/mean"] == pytest.approx(degrees, rel=1e-3)


def test_a_new_network_says_that_all_surfaces_face_the_camera():
    facing = torch.tensor([0.0, 0.0, 1.0]).view(1, 3, 1, 1)
    assert Normals().init_bias == tuple(facing.flatten().tolist())
    assert Normals(space="encoded").init_bias == tuple(encode(facing).flatten().tolist())


@pytest.mark.parametrize("degrees", [11.25, 22.5, 30.0])
def test_an_angle_that_is_a_thresholds_lies_within_it_whatever_float32_makes_of_it(degrees):
    truth = unit(4, 3, 50, 50)
    metric = Angles()
    metric.update(tilted(truth, degrees, torch.Generator().manual_seed(1)), truth)
    assert metric.compute()[f"decoded/{degrees:g}"] == 100
    metric = Angles()
    metric.update(tilted(truth, degrees + 0.001, torch.Generator().manual_seed(1)), truth)
    assert metric.compute()[f"decoded/{degrees:g}"] == 0


@pytest.mark.parametrize("nothing", [math.nan, math.inf, -math.inf])
def test_a_prediction_that_is_no_direction_is_wrong(nothing):
    truth = unit(2, 3, 4, 4)
    predicted = truth.clone()
    predicted[0, 1] = nothing
    metric = Angles()
    metric.update(predicted, truth)
    found = metric.compute()
    for space in ("decoded", "encoded"):
        assert found[f"{space}/30"] == 50
        assert found[f"{space}/mean"] == pytest.approx(90, abs=0.5)
    assert int(metric.decoded_sums[0][:, 0].sum()) == 32
