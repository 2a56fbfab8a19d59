"""Every unit against its paper's equation written out, and the units against each other."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from mtlkit.errors import InputError
from mtlkit.fusion import NDDR, CrossStitch, FusionLayer, FusionSettings, LayerMixing, Sluice

FORMATS = [torch.contiguous_format, torch.channels_last]
EVERY: list[tuple[type[FusionLayer], dict]] = [
    (CrossStitch, {"per": "channel"}),
    (CrossStitch, {"per": "layer"}),
    (Sluice, {}),
    (Sluice, {"subspaces": 1}),
    (NDDR, {"norm": "none"}),
    (NDDR, {"norm": "input"}),
    (NDDR, {"norm": "output"}),
    (NDDR, {"norm": "output", "relu": False}),
    (NDDR, {"norm": "none", "init": "xavier"}),
]


def maps(towers, channels=4, n=2, h=3, w=5, layout=torch.contiguous_format, dtype=torch.float64):
    return [torch.randn(n, channels, h, w, dtype=dtype).to(memory_format=layout) for _ in range(towers)]


def shaken(unit):
    """The unit in float64, its parameters moved off their start at random."""
    with torch.no_grad():
        for parameter in unit.double().parameters():
            parameter.add_(torch.randn_like(parameter))
    return unit


def same(got, wanted):
    assert len(got) == len(wanted)
    for one, other in zip(got, wanted, strict=True):
        torch.testing.assert_close(one, other)


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


@pytest.mark.parametrize("layout", FORMATS)
@pytest.mark.parametrize("towers", [2, 3])
@pytest.mark.parametrize("per", ["channel", "layer"])
def test_cross_stitch_is_equation_1(towers, per, layout):
    unit, x = shaken(CrossStitch(towers, 4, per=per)), maps(towers, layout=layout)
    wanted = [torch.zeros_like(m) for m in x]
    for i in range(towers):
        for j in range(towers):
            for c in range(4):
                wanted[i][:, c] += (unit.alpha[c, i, j] if per == "channel" else unit.alpha[i, j]).detach() * x[j][:, c]
    same(unit(x), wanted)


@pytest.mark.parametrize("layout", FORMATS)
@pytest.mark.parametrize("towers", [2, 3])
@pytest.mark.parametrize("subspaces", [1, 2, 3])
def test_sluice_mixes_subspaces_of_towers(towers, subspaces, layout):
    unit, x = shaken(Sluice(towers, 6, subspaces=subspaces)), maps(towers, 6, layout=layout)
    size, wanted = 6 // subspaces, [torch.zeros_like(m) for m in x]
    for i in range(towers * subspaces):
        for j in range(towers * subspaces):
            (to, a), (of, b) = divmod(i, subspaces), divmod(j, subspaces)
            part = x[of][:, b * size : (b + 1) * size]
            wanted[to][:, a * size : (a + 1) * size] += unit.alpha[i, j].detach() * part
    same(unit(x), wanted)


def normed(x, scale, shift):
    mean, var = x.mean((0, 2, 3), keepdim=True), x.var((0, 2, 3), unbiased=False, keepdim=True)
    return (x - mean) / (var + 1e-3).sqrt() * scale.view(1, -1, 1, 1) + shift.view(1, -1, 1, 1)


@pytest.mark.parametrize("layout", FORMATS)
@pytest.mark.parametrize("towers", [2, 3])
@pytest.mark.parametrize(("norm", "relu"), [("input", True), ("output", True), ("output", False), ("none", True)])
def test_nddr_is_equations_1_and_2(towers, norm, relu, layout):
    unit, x = shaken(NDDR(towers, 4, norm=norm, relu=relu)), maps(towers, layout=layout)
    joined = torch.cat(x, 1)
    if norm == "input":
        joined = normed(joined, unit.norm_in.weight, unit.norm_in.bias)
    wanted = []
    for i in range(towers):
        y = torch.zeros(2, 4, 3, 5, dtype=torch.float64)
        for c in range(4):
            for d in range(4 * towers):
                y[:, c] += unit.weight[4 * i + c, d, 0, 0].detach() * joined[:, d].detach()
        if norm == "output":
            block = slice(4 * i, 4 * i + 4)
            y = normed(y, unit.norm_out.weight[block], unit.norm_out.bias[block])
            y = y.clamp(min=0) if relu else y
        wanted.append(y.detach())
    same(unit(x), wanted)


def test_nddr_norm_keeps_the_official_running_average():
    unit, x = NDDR(2, 4, norm="input").double(), maps(2)
    unit(x)
    torch.testing.assert_close(unit.norm_in.running_mean, 0.05 * torch.cat(x, 1).mean((0, 2, 3)))


@pytest.mark.parametrize("layout", FORMATS)
@pytest.mark.parametrize("towers", [2, 3])
@pytest.mark.parametrize(("kind", "options"), EVERY[:5])
def test_identity_returns_the_inputs_exactly(kind, options, towers, layout):
    unit, x = kind(towers, 4, alpha=1.0, beta=0.0, **options).double(), maps(towers, layout=layout)
    for got, given_ in zip(unit(x), x, strict=True):
        assert torch.equal(got, given_)


def test_nddr_output_norm_is_no_identity_for_negative_inputs():
    unit, x = NDDR(2, 4, norm="output", alpha=1.0, beta=0.0).double().eval(), maps(2)
    # Untouched running statistics leave only the ReLU and epsilon.
    same(unit(x), [m.clamp(min=0) / (1 + 1e-3) ** 0.5 for m in x])
    linear = NDDR(2, 4, norm="output", alpha=1.0, beta=0.0, relu=False).double().eval()
    same(linear(x), [m / (1 + 1e-3) ** 0.5 for m in x])


@pytest.mark.parametrize("towers", [2, 3])
def test_sluice_with_one_subspace_is_cross_stitch_per_layer(towers):
    stitch, sluice, x = (
        shaken(CrossStitch(towers, 4, per="layer")),
        Sluice(towers, 4, subspaces=1).double(),
        maps(towers),
    )
    torch.testing.assert_close(sluice.alpha, CrossStitch(towers, 4, per="layer").double().alpha)
    sluice.load_state_dict(stitch.state_dict())
    same(sluice(x), stitch(x))


@pytest.mark.parametrize("layout", FORMATS)
@pytest.mark.parametrize("towers", [2, 3])
def test_nddr_with_diagonal_blocks_is_cross_stitch_per_channel(towers, layout):
    stitch, nddr, x = shaken(CrossStitch(towers, 4)), NDDR(towers, 4, norm="none").double(), maps(towers, layout=layout)
    nddr.weight.data = torch.diag_embed(stitch.alpha.data.permute(1, 2, 0)).transpose(1, 2).reshape(nddr.weight.shape)
    same(nddr(x), stitch(x))


@pytest.mark.parametrize("subspaces", [1, 2])
def test_sluice_is_a_restricted_nddr(subspaces):
    sluice, nddr, x = shaken(Sluice(3, 4, subspaces=subspaces)), NDDR(3, 4, norm="none").double(), maps(3)
    eye = torch.eye(4 // subspaces, dtype=torch.float64)
    nddr.weight.data = sluice.alpha.data.kron(eye).reshape(nddr.weight.shape)
    same(nddr(x), sluice(x))


@pytest.mark.parametrize("towers", [2, 3, 5])
@pytest.mark.parametrize(("kind", "options"), EVERY[:-1])
def test_rows_of_the_start_sum_to_alpha_plus_beta(kind, options, towers):
    unit = kind(towers, 4, alpha=0.7, beta=0.2, **options)
    weight = unit.weight[..., 0, 0] if kind is NDDR else unit.alpha
    torch.testing.assert_close(weight.sum(-1), torch.full(weight.shape[:-1], 0.9))
    assert (weight.diagonal(dim1=-2, dim2=-1) == 0.7).all()


@pytest.mark.parametrize("towers", [2, 3])
@pytest.mark.parametrize(("kind", "options"), EVERY)
def test_every_parameter_learns(kind, options, towers):
    unit = kind(towers, 4, **options)
    sum((y.square() * torch.rand_like(y)).sum() for y in unit(maps(towers, dtype=torch.float32))).backward()
    for name, parameter in unit.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.ne(0).all() or name.startswith("norm_out"), name
        assert parameter.grad.ne(0).any(), name


@pytest.mark.parametrize(("kind", "options"), [*EVERY[:5], (NDDR, {"norm": "input"})])
def test_without_exchange_a_task_is_independent_of_the_others(kind, options):
    unit, x = kind(3, 4, beta=0.0, **options), [m.requires_grad_() for m in maps(3, dtype=torch.float32)]
    own, *others = torch.autograd.grad(unit(x)[1].square().sum(), [x[1], x[0], x[2]])
    assert own.ne(0).any()
    assert all(grad.eq(0).all() for grad in others)


def between(unit):
    """The weights between towers, as one vector."""
    weight = unit.weight[..., 0, 0] if isinstance(unit, NDDR) else unit.alpha
    size = weight.shape[-1] // unit.tasks
    own = torch.eye(unit.tasks).kron(torch.ones(size, size)).bool()
    return weight.detach()[..., ~own]


@pytest.mark.parametrize("layout", FORMATS)
@pytest.mark.parametrize("towers", [2, 3])
@pytest.mark.parametrize("decay", [0.0, 0.1])
@pytest.mark.parametrize(("kind", "options"), EVERY)
def test_without_exchange_no_step_lets_a_tower_see_another(kind, options, decay, towers, layout):
    unit = kind(towers, 4, exchange=False, **options)
    assert between(kind(towers, 4, **options)).ne(0).any()
    optimiser = torch.optim.SGD(unit.parameters(), lr=0.1, momentum=0.9, weight_decay=decay)
    for _ in range(4):
        optimiser.zero_grad()
        x = maps(towers, layout=layout, dtype=torch.float32)
        sum((y.square() * torch.rand_like(y)).sum() for y in unit(x)).backward()
        assert all(parameter.grad.ne(0).any() for parameter in unit.parameters())
        optimiser.step()
        assert between(unit).eq(0).all()
    unit.eval()
    x = [m.requires_grad_() for m in maps(towers, layout=layout, dtype=torch.float32)]
    first, *_ = unit(x)
    other, *_ = unit([x[0], *(m + torch.randn_like(m) for m in x[1:])])
    assert torch.equal(first, other)
    own, *others = torch.autograd.grad(first.square().sum(), x)
    assert own.ne(0).any()
    assert all(grad.eq(0).all() for grad in others)


@pytest.mark.parametrize("layout", FORMATS)
@pytest.mark.parametrize(("kind", "options"), EVERY)
def test_without_exchange_a_unit_is_the_unit_with_zeros_between_towers(kind, options, layout):
    unit, plain, x = kind(3, 4, exchange=False, **options), kind(3, 4, **options), maps(3, layout=layout)
    shaken(unit)
    state = {key: value.clone() for key, value in unit.state_dict().items()}
    for name in ("alpha", "weight"):
        if name in state:
            state[name] = unit.effective(state[name].flatten(1) if kind is NDDR else state[name]).view_as(state[name])
    plain.double().load_state_dict(state)  # the same tensors: a control needs none of its own
    same(unit(x), plain(x))


@pytest.mark.parametrize("towers", [2, 3])
@pytest.mark.parametrize(("kind", "options"), EVERY[:-1])
def test_without_exchange_a_tower_starts_at_alpha_plus_beta(kind, options, towers):
    unit = kind(towers, 4, alpha=0.75, beta=0.5, exchange=False, **options)
    weight = unit.weight[..., 0, 0] if kind is NDDR else unit.alpha
    assert torch.equal(weight, (1.25 * torch.eye(weight.shape[-1])).expand_as(weight))


def test_own_subspaces_and_own_channels_are_mixed_without_exchange():
    sluice, nddr = Sluice(2, 4, exchange=False), NDDR(2, 4, exchange=False)
    for unit, weight in ((sluice, sluice.alpha), (nddr, nddr.weight)):
        sum((y.square() * torch.rand_like(y)).sum() for y in unit(maps(2, dtype=torch.float32))).backward()
        size = len(weight) // 2
        assert weight.grad[:size, :size].ne(0).all()
        assert weight.grad[:size, size:].eq(0).all()


@pytest.mark.parametrize("layout", FORMATS)
@pytest.mark.parametrize(("kind", "options"), EVERY)
def test_memory_format_and_dtype_are_kept(kind, options, layout):
    unit = kind(2, 4, **options)
    for y in unit(maps(2, layout=layout, dtype=torch.float32)):
        assert y.is_contiguous(memory_format=layout)
    with torch.autocast("cpu", torch.bfloat16):
        assert {y.dtype for y in unit(maps(2, layout=layout, dtype=torch.bfloat16))} == {torch.bfloat16}


@given(
    case=st.sampled_from(EVERY),
    towers=st.integers(2, 4),
    channels=st.integers(1, 4).map(lambda c: 2 * c),
    size=st.tuples(st.integers(2, 3), st.integers(1, 6), st.integers(1, 6)),
    layout=st.sampled_from(FORMATS),
)
@settings(max_examples=60)
def test_any_shape_goes_in_and_comes_out(case, towers, channels, size, layout):
    kind, options = case
    x = maps(towers, channels, *size, layout=layout)
    unit = kind(towers, channels, **options).double()
    got = unit(x)
    assert [y.shape for y in got] == [m.shape for m in x]
    order = list(range(towers))[::-1]
    if options.get("init") != "xavier":
        # The start treats all towers alike, so reversing them reverses the results.
        same(kind(towers, channels, **options).double()([x[i] for i in order]), [got[i] for i in order])


@pytest.mark.parametrize(("kind", "options"), EVERY)
@pytest.mark.parametrize(
    ("shapes", "given"),
    [
        ([(2, 4, 3, 5)], r"not 1 of \(2, 4, 3, 5\)\.$"),
        ([], r"not 0 of no shape\.$"),
        ([(2, 4, 3, 5)] * 3, "not 3 of "),
        ([(2, 8, 3, 5)] * 2, r"2 maps of one shape \(N, 4, H, W\), not 2 of \(2, 8, 3, 5\), \(2, 8, 3, 5\)\.$"),
        ([(2, 4, 3, 5), (2, 4, 6, 10)], r"\(2, 4, 6, 10\)\.$"),
        ([(2, 4, 3, 5), (1, 4, 3, 5)], r"\(1, 4, 3, 5\)\.$"),
        ([(4,)] * 2, r"not 2 of \(4,\), \(4,\)\.$"),
    ],
)
def test_maps_of_a_wrong_shape_are_refused(kind, options, shapes, given):
    with pytest.raises(InputError, match=f"{kind.__name__} takes .*{given}"):
        kind(2, 4, **options)([torch.zeros(shape) for shape in shapes])


def test_the_default_layers_are_those_that_the_tables_measure():
    layer, default = NDDR(2, 4), NDDR.Settings(norm="output").build(2, 4)
    assert [name for name, _ in layer.named_parameters()] == [name for name, _ in default.named_parameters()]
    assert (layer.norm_in, layer.relu) == (None, True)
    for kind in (CrossStitch, Sluice):
        assert torch.equal(kind(3, 4).alpha, kind.Settings().build(3, 4).alpha)


@pytest.mark.parametrize("per", ["channel", "layer"])
def test_cross_stitch_takes_vectors_and_empty_batches(per):
    unit = CrossStitch(2, 4, per=per).double()
    x = maps(2, h=1, w=1)
    same(unit([m.flatten(1) for m in x]), [y.flatten(1) for y in unit(x)])
    assert unit(maps(2, n=0))[0].shape == (0, 4, 3, 5)


@pytest.mark.parametrize("layout", FORMATS)
@pytest.mark.parametrize(("kind", "options"), EVERY)
def test_gradients(kind, options, layout):
    unit = shaken(kind(2, 2, **options))
    names = [name for name, _ in unit.named_parameters()]
    x = [m.requires_grad_() for m in maps(2, 2, h=2, w=3, layout=layout)]

    def call(*tensors):
        return tuple(torch.func.functional_call(unit, dict(zip(names, tensors[2:], strict=True)), (tensors[:2],)))

    assert torch.autograd.gradcheck(call, (*x, *unit.parameters()))


def test_nddr_weights_on_vgg16_are_the_printed_number():
    units = [NDDR(2, c) for c in (64, 128, 256, 512, 512)]
    assert sum(unit.weight[: unit.channels].numel() for unit in units) == 1_220_608
    assert sum(unit.weight.numel() for unit in units) == 2_441_216


def test_parameter_counts():
    assert sum(p.numel() for p in CrossStitch(3, 8).parameters()) == 3 * 3 * 8
    assert sum(p.numel() for p in CrossStitch(3, 8, per="layer").parameters()) == 3 * 3
    assert sum(p.numel() for p in Sluice(3, 8).parameters()) == 6 * 6


def test_xavier_uses_the_fans_of_one_tower():
    unit = NDDR(3, 64, init="xavier")
    bound = (6 / (3 * 64 + 64)) ** 0.5
    assert 0.99 * bound < unit.weight.abs().max() <= bound


def test_only_nddr_weights_decay():
    for unit in (CrossStitch(2, 4), Sluice(2, 4)):
        assert unit.no_weight_decay() == {"alpha"}
    assert NDDR(2, 4).no_weight_decay() == set()


@pytest.mark.parametrize("subspaces", [1, 2, 3])
def test_penalty_is_the_squared_frobenius_norm(subspaces):
    weights, size, wanted = [torch.randn(6, 3, 2, 2, dtype=torch.float64) for _ in range(2)], 6 // subspaces, 0.0
    for weight in weights:
        for i in range(6):
            for j in range(i):
                if i // size != j // size:
                    wanted += float((weight[i] * weight[j]).sum()) ** 2
    assert float(Sluice(2, 6, subspaces=subspaces).penalty(weights)) == pytest.approx(wanted)


def test_penalty_is_zero_for_orthogonal_halves_only():
    unit, weight = Sluice(2, 4), torch.eye(4)[:, :, None, None]
    assert unit.penalty([weight, weight]) == 0
    assert unit.penalty([weight, torch.ones(4, 4, 1, 1)]) > 0
    assert CrossStitch(2, 4).penalty([weight, weight]) is None
    assert NDDR(2, 4).penalty([weight, weight]) is None


def test_layer_mixing_weighs_pooled_projected_maps():
    mixing = LayerMixing([2, 4, 4]).double()
    torch.testing.assert_close(mixing.beta.data, torch.tensor([0.05, 0.05, 0.9], dtype=torch.float64))
    x = [torch.randn(2, c, s, s, dtype=torch.float64) for c, s in ((2, 8), (4, 4), (4, 2))]
    shrunk = x[0].view(2, 2, 2, 4, 2, 4).mean((3, 5))
    projected = torch.einsum("oc,nchw->nohw", mixing.projections[0].weight[..., 0, 0], shrunk)
    wanted = 0.05 * projected + 0.05 * x[1].view(2, 4, 2, 2, 2, 2).mean((3, 5)) + 0.9 * x[2]
    torch.testing.assert_close(mixing(x), wanted)
    mixing(x).square().sum().backward()
    assert all(p.grad is not None and p.grad.ne(0).all() for p in mixing.parameters())


def test_layer_mixing_of_the_last_stage_alone_is_that_stage():
    x = [torch.randn(1, 2, 2, 3), torch.randn(1, 2, 4, 6)]
    assert torch.equal(LayerMixing([2, 2], last=1.0)(x), x[1])
    enlarged = F.interpolate(x[0], (4, 6), mode="bilinear", align_corners=False)
    torch.testing.assert_close(LayerMixing([2, 2], last=0.0)(x), enlarged)


class Holder(BaseModel):
    fusion: FusionSettings


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ({"kind": "cross_stitch", "per": "layer"}, CrossStitch),
        ({"kind": "sluice", "subspaces": 4}, Sluice),
        ({"kind": "nddr", "norm": "output"}, NDDR),
    ],
)
def test_settings_build_their_unit(values, kind):
    fusion = Holder(fusion=values).fusion
    unit = fusion.build(3, 8)
    assert type(unit) is kind
    assert (unit.tasks, unit.channels) == (3, 8)
    assert Holder.model_validate_json(Holder(fusion=values).model_dump_json()).fusion == fusion


def test_settings_reach_the_unit():
    assert CrossStitch.Settings(per="layer", alpha=0.8, beta=0.4).build(3, 2).alpha[0].tolist() == pytest.approx(
        [0.8, 0.2, 0.2]
    )
    assert Sluice.Settings(subspaces=4).build(2, 8).alpha.shape == (8, 8)
    assert Sluice.Settings().penalty == 0.1
    for fusion in (CrossStitch.Settings, Sluice.Settings, NDDR.Settings):
        assert fusion().build(2, 4).exchange
        unit = fusion(exchange=False).build(2, 4)
        assert not unit.exchange
        assert "exchange=False" in repr(unit)
    unit = NDDR.Settings(norm="output", init="xavier").build(2, 4)
    assert unit.norm_in is None
    assert unit.norm_out is not None
    assert unit.weight.ne(0).all()


@pytest.mark.parametrize(
    "values",
    [
        {"kind": "stitch"},
        {"kind": "cross_stitch", "per": "pixel"},
        {"kind": "nddr", "norm": "batch"},
        {"kind": "nddr", "init": "zeros"},
        {"kind": "sluice", "subspaces": 0},
        {"kind": "sluice", "penalty": -1},
    ],
)
def test_settings_refuse(values):
    with pytest.raises(ValidationError):
        Holder(fusion=values)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: CrossStitch(1, 4), "at least two tasks, not 1"),
        (lambda: CrossStitch(2, 4, per="chanel"), "did you mean 'channel'"),
        (lambda: NDDR(2, 4, norm="inputs"), "did you mean 'input'"),
        (lambda: NDDR(2, 4, init="glorot"), "valid are diagonal, xavier"),
        (lambda: Sluice(2, 5), "5 channels do not divide into 2"),
        (lambda: LayerMixing([4]), "at least two stages, not 1"),
    ],
)
def test_errors_are_one_sentence(call, sentence):
    with pytest.raises(InputError, match=sentence) as caught:
        call()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("towers", [2, 3])
def test_shares_say_where_an_nddr_layer_looks(towers):
    start = NDDR(towers, 4, alpha=0.9, beta=0.1).shares()
    torch.testing.assert_close(start, torch.tensor([[0.9, 0, 0.1, 0]]).repeat(towers, 1), atol=1e-6, rtol=0)
    layer = shaken(NDDR(towers, 4))
    weight = layer.weight.detach()[..., 0, 0].abs()
    for tower in range(towers):
        sums = [0.0] * 4
        for row in range(4):
            for column in range(4 * towers):
                foreign, other = column // 4 != tower, column % 4 != row
                sums[2 * foreign + other] += float(weight[4 * tower + row, column])
        found = layer.shares()[tower]
        torch.testing.assert_close(found, torch.tensor(sums, dtype=found.dtype) / sum(sums))
