import pytest
import torch
import torch.nn.functional as F
from pydantic import TypeAdapter, ValidationError

from mtlkit.heads.branches import HEAT_MAP_BIAS, Branches
from mtlkit.network import parameter_count

OUTPUTS = (3, 2, 5)


@pytest.fixture
def head():
    torch.manual_seed(0)
    return Branches.Settings(width=6, maps=OUTPUTS, heat_maps=(0, 2)).build((9, 4), sum(OUTPUTS))


def naive(head, x):
    """Every branch by itself."""
    filters = zip(head.hidden[0].weight.chunk(len(OUTPUTS)), head.hidden[0].bias.chunk(len(OUTPUTS)), strict=True)
    hidden = [F.relu(F.conv2d(x, weight, bias, padding=1)) for weight, bias in filters]
    maps = [F.conv2d(h, last.weight, last.bias) for h, last in zip(hidden, head.classifier, strict=True)]
    return torch.cat(maps, 1)


def test_merged_branches_are_the_separate_ones(head):
    x = torch.randn(2, 4, 7, 9)
    assert head(x).shape == (2, sum(OUTPUTS), 7, 9)
    torch.testing.assert_close(head(x), naive(head, x))


def test_a_branch_hears_only_of_its_own_loss(head):
    start = 0
    for branch, width in enumerate(OUTPUTS):
        head.zero_grad()
        head(torch.randn(2, 4, 7, 9))[:, start : start + width].square().sum().backward()
        moved = [grad.abs().max() > 0 for grad in head.hidden[0].weight.grad.chunk(len(OUTPUTS))]
        assert moved == [i == branch for i in range(len(OUTPUTS))]
        start += width


def test_it_has_the_parameters_of_separate_branches(head):
    assert parameter_count(head) == sum(9 * 4 * 6 + 6 + 6 * width + width for width in OUTPUTS)
    assert parameter_count(head.classifier) == sum(6 * width + width for width in OUTPUTS)


def test_heat_maps_start_at_a_probability_of_a_tenth(head):
    starts = [layer.bias.unique().tolist() for layer in head.classifier]
    assert starts == [[pytest.approx(HEAT_MAP_BIAS)], [0], [pytest.approx(HEAT_MAP_BIAS)]]
    assert torch.tensor(HEAT_MAP_BIAS).sigmoid() == pytest.approx(0.1, abs=1e-3)


def test_a_number_is_one_branch(head):
    one = Branches.Settings(width=6).build((4,), 21)
    assert one(torch.randn(2, 4, 7, 9)).shape == (2, 21, 7, 9)
    assert len(one.classifier) == 1


def test_gradients_reach_every_parameter(head):
    head(torch.randn(2, 4, 7, 9)).square().sum().backward()
    assert all(p.grad.abs().max() > 0 for p in head.parameters())


def test_the_map_is_enlarged_where_asked(head):
    large = Branches.Settings(width=6, upsample=4, maps=OUTPUTS).build((9, 4), sum(OUTPUTS))
    large.load_state_dict(head.state_dict())
    x = torch.randn(2, 4, 7, 9)
    torch.testing.assert_close(large(x), F.interpolate(head(x), scale_factor=4, mode="bilinear"))
    assert large(x).shape == (2, sum(OUTPUTS), 28, 36)


def test_settings_survive_json_and_refuse_nonsense():
    settings = Branches.Settings(width=256, upsample=4)
    assert TypeAdapter(Branches.Settings).validate_json(settings.model_dump_json()) == settings
    for wrong in ({"width": 0}, {"upsample": 0}):
        with pytest.raises(ValidationError):
            Branches.Settings(**wrong)
