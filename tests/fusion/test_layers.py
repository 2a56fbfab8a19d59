"""What holds for every fusion layer."""

import pytest
import torch
from fusion_cases import EVERY, FORMATS, maps, same, shaken
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError
from torch.export import Dim, export

from mtlkit.errors import InputError
from mtlkit.fusion import NDDR, CrossStitch, FusionSettings, LayerMixing, Sluice


@pytest.mark.parametrize("layout", FORMATS)
@pytest.mark.parametrize("tasks", [2, 3])
@pytest.mark.parametrize(("kind", "options"), EVERY[:5])
def test_identity_returns_the_inputs_exactly(kind, options, tasks, layout):
    unit, x = kind(tasks, 4, alpha=1.0, beta=0.0, **options).double(), maps(tasks, layout=layout)
    for got, given_ in zip(unit(x), x, strict=True):
        assert torch.equal(got, given_)


@pytest.mark.parametrize("tasks", [2, 3, 5])
@pytest.mark.parametrize(("kind", "options"), EVERY[:-1])
def test_rows_of_the_start_sum_to_alpha_plus_beta(kind, options, tasks):
    unit = kind(tasks, 4, alpha=0.7, beta=0.2, **options)
    weight = unit.weight[..., 0, 0] if kind is NDDR else unit.alpha
    torch.testing.assert_close(weight.sum(-1), torch.full(weight.shape[:-1], 0.9))
    assert (weight.diagonal(dim1=-2, dim2=-1) == 0.7).all()


@pytest.mark.parametrize("tasks", [2, 3])
@pytest.mark.parametrize(("kind", "options"), EVERY)
def test_every_parameter_learns(kind, options, tasks):
    unit = kind(tasks, 4, **options)
    sum((y.square() * torch.rand_like(y)).sum() for y in unit(maps(tasks, dtype=torch.float32))).backward()
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
    """The weights between tasks, as one vector."""
    weight = unit.weight[..., 0, 0] if isinstance(unit, NDDR) else unit.alpha
    size = weight.shape[-1] // unit.tasks
    own = torch.eye(unit.tasks).kron(torch.ones(size, size)).bool()
    return weight.detach()[..., ~own]


@pytest.mark.parametrize("layout", FORMATS)
@pytest.mark.parametrize("tasks", [2, 3])
@pytest.mark.parametrize("decay", [0.0, 0.1])
@pytest.mark.parametrize(("kind", "options"), EVERY)
def test_without_exchange_no_step_lets_a_task_see_another(kind, options, decay, tasks, layout):
    unit = kind(tasks, 4, exchange=False, **options)
    assert between(kind(tasks, 4, **options)).ne(0).any()
    optimiser = torch.optim.SGD(unit.parameters(), lr=0.1, momentum=0.9, weight_decay=decay)
    for _ in range(4):
        optimiser.zero_grad()
        x = maps(tasks, layout=layout, dtype=torch.float32)
        sum((y.square() * torch.rand_like(y)).sum() for y in unit(x)).backward()
        assert all(parameter.grad.ne(0).any() for parameter in unit.parameters())
        optimiser.step()
        assert between(unit).eq(0).all()
    unit.eval()
    x = [m.requires_grad_() for m in maps(tasks, layout=layout, dtype=torch.float32)]
    first, *_ = unit(x)
    other, *_ = unit([x[0], *(m + torch.randn_like(m) for m in x[1:])])
    assert torch.equal(first, other)
    own, *others = torch.autograd.grad(first.square().sum(), x)
    assert own.ne(0).any()
    assert all(grad.eq(0).all() for grad in others)


@pytest.mark.parametrize("layout", FORMATS)
@pytest.mark.parametrize(("kind", "options"), EVERY)
def test_without_exchange_a_unit_is_the_unit_with_zeros_between_tasks(kind, options, layout):
    unit, plain, x = kind(3, 4, exchange=False, **options), kind(3, 4, **options), maps(3, layout=layout)
    shaken(unit)
    state = {key: value.clone() for key, value in unit.state_dict().items()}
    for name in ("alpha", "weight"):
        if name in state:
            state[name] = unit.effective(state[name].flatten(1) if kind is NDDR else state[name]).view_as(state[name])
    plain.double().load_state_dict(state)  # the same tensors: a control needs none of its own
    same(unit(x), plain(x))


@pytest.mark.parametrize("tasks", [2, 3])
@pytest.mark.parametrize(("kind", "options"), EVERY[:-1])
def test_without_exchange_a_task_starts_at_alpha_plus_beta(kind, options, tasks):
    unit = kind(tasks, 4, alpha=0.75, beta=0.5, exchange=False, **options)
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
        for dtype in (torch.bfloat16, torch.float32):
            assert {y.dtype for y in unit(maps(2, layout=layout, dtype=dtype))} == {torch.bfloat16}


@given(
    case=st.sampled_from(EVERY),
    tasks=st.integers(2, 4),
    channels=st.integers(1, 4).map(lambda c: 2 * c),
    size=st.tuples(st.integers(2, 3), st.integers(1, 6), st.integers(1, 6)),
    layout=st.sampled_from(FORMATS),
)
@settings(max_examples=60)
def test_any_shape_goes_in_and_comes_out(case, tasks, channels, size, layout):
    kind, options = case
    x = maps(tasks, channels, *size, layout=layout)
    unit = kind(tasks, channels, **options).double()
    got = unit(x)
    assert [y.shape for y in got] == [m.shape for m in x]
    order = list(range(tasks))[::-1]
    if options.get("init") != "xavier":
        # The start treats all tasks alike, so reversing them reverses the results.
        same(kind(tasks, channels, **options).double()([x[i] for i in order]), [got[i] for i in order])


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


@pytest.mark.parametrize("layout", FORMATS)
@pytest.mark.parametrize(("kind", "options"), EVERY)
def test_gradients(kind, options, layout):
    unit = shaken(kind(2, 2, **options))
    names = [name for name, _ in unit.named_parameters()]
    x = [m.requires_grad_() for m in maps(2, 2, h=2, w=3, layout=layout)]

    def call(*tensors):
        return tuple(torch.func.functional_call(unit, dict(zip(names, tensors[2:], strict=True)), (tensors[:2],)))

    assert torch.autograd.gradcheck(call, (*x, *unit.parameters()))


@pytest.mark.parametrize("exchange", [True, False])
@pytest.mark.parametrize("layout", FORMATS)
@pytest.mark.parametrize(("kind", "options"), EVERY)
def test_an_exported_layer_takes_any_batch_and_a_compiled_one_is_one_graph(kind, options, layout, exchange):
    unit = shaken(kind(3, 4, exchange=exchange, **options)).eval()
    exported = export(unit, (maps(3, layout=layout),), dynamic_shapes=([{0: Dim("batch")}] * 3,)).module()
    torch.compiler.reset()  # of other units of the class
    compiled = torch.compile(unit, fullgraph=True, dynamic=True, backend="eager")
    for batch in (2, 5):
        x = maps(3, n=batch, layout=layout)
        same(exported(x), unit(x))
        same(compiled(x), unit(x))


def test_parameter_counts():
    assert sum(p.numel() for p in CrossStitch(3, 8).parameters()) == 3 * 3 * 8
    assert sum(p.numel() for p in CrossStitch(3, 8, per="layer").parameters()) == 3 * 3
    assert sum(p.numel() for p in Sluice(3, 8).parameters()) == 6 * 6


def test_only_nddr_weights_decay():
    for unit in (CrossStitch(2, 4), Sluice(2, 4)):
        assert unit.no_weight_decay() == {"alpha"}
    assert NDDR(2, 4).no_weight_decay() == set()


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
        (lambda: LayerMixing([4, 8])([torch.rand(2, 4, 3, 5)]), r"4, 8 channels, one a stage, not 1 of \(2, 4, 3, 5\)"),
        (lambda: CrossStitch(2, 4)(dict(zip("ab", maps(2), strict=True))), "2 maps, one a task, not a dict of str"),
        (lambda: NDDR(2, 4)([torch.rand(2, 4)] * 2), r"\(N, 4, H, W\), not 2 of \(2, 4\)"),
        (lambda: NDDR(2, 4)([torch.rand(2, 4, 9)] * 2), r"\(N, 4, H, W\), not 2 of \(2, 4, 9\)"),
    ],
)
def test_errors_are_one_sentence(call, sentence):
    with pytest.raises(InputError, match=sentence) as caught:
        call()
    assert "\n" not in str(caught.value)
