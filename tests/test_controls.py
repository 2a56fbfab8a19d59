"""Controls: when a fused network without exchange is its single-task networks, and what every table declares."""

import pytest
import torch
from builders import NORMALS, SEGMENTATION, network, network_of, recipe, room_data, training

from mtlkit import papers
from mtlkit.engine import Engine
from mtlkit.evaluations import BestOnValidation, TestEvaluation
from mtlkit.fusion import NDDR, CrossStitch, Sluice
from mtlkit.ledger import Ledger
from mtlkit.runtime import Runtime
from mtlkit.sharing import SoftSharing

TABLES = [table for tables in papers.DECLARED.values() for table in tables]
TASKS = (SEGMENTATION, NORMALS)
JOINT = recipe(
    steps=5,
    weight_decay=2.5e-4,
    lr_mult={"classifier": 10.0, "classifier_bias": 20.0},
    loss_weights={"normals/cosine": 4.0},
)
"""Of a joint training: other loss weights and another decay than the single-task networks had."""


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    folder = tmp_path_factory.mktemp("controls")
    book = Ledger(folder / "ledger")
    return Engine(book, Runtime(device="cpu", progress=False)), room_data(folder / "rooms")


def still(settings, **more):
    """Without dropout, whose draws follow the order of the heads."""
    head = settings.head.model_copy(update={"dropout": 0.0})
    return settings.model_copy(update={"head": head} | more)


def compared(engine, unit, rate, backbone="mobilenetv3_small_050"):
    """Name -> a tensor of a network without exchange, and the same one of the single-task networks trained on."""
    run, data = engine
    alone = {task.name: training(data, network=still(network((task,), backbone=backbone))) for task in TASKS}
    how = JOINT.model_copy(update={"lr_mult": JOINT.lr_mult | {"fusion": rate}})
    both = still(network(sharing=SoftSharing.Settings(unit=unit), backbone=backbone))
    fused = training(data, network=both, recipe=how, starts=alone)
    mine = network_of(run, fused).state_dict()
    pairs = {}
    for task in TASKS:
        own = alone[task.name].network
        single = training(data, network=own, recipe=JOINT, starts={task.name: alone[task.name]})
        for key, value in network_of(run, single).state_dict().items():
            name = key.replace("trunk.shared.", f"trunk.towers.{task.name}.")
            pairs[name] = (mine.pop(name), value)
    assert all(name.startswith("trunk.units.") for name in mine)
    return pairs


@pytest.mark.parametrize(
    "unit",
    [
        CrossStitch.Settings(per="layer").model_copy(update={"exchange": False}),
        *(
            pytest.param(unit.model_copy(update={"exchange": False}), marks=pytest.mark.slow)
            for unit in (
                CrossStitch.Settings(per="channel"),
                Sluice.Settings(penalty=0.0),
                NDDR.Settings(norm="none"),
            )
        ),
    ],
    ids=["cross_stitch", "cross_stitch_channel", "sluice", "nddr"],
)
def test_no_exchange_with_standing_units_is_the_joint_recipe(engine, unit):
    """Scalars stand at 1, so the encoders are the single-task networks trained on with the joint recipe, bit by bit."""
    # A backbone whose stages end in a ReLU, as the units do, and whose kernels round alike whatever a map's layout is.
    for name, (fused, single) in compared(engine, unit, 0.0, "resnet10t").items():
        assert torch.equal(fused, single), name


@pytest.mark.parametrize(
    "unit",
    [
        CrossStitch.Settings(per="layer", exchange=False),
        Sluice.Settings(exchange=False, penalty=0.0),
        NDDR.Settings(norm="output", exchange=False),
    ],
    ids=["cross_stitch", "sluice", "nddr"],
)
def test_no_exchange_with_learning_units_is_a_control_of_its_own(engine, unit):
    """An encoder's own scalars, norms and 1x1 convolutions learn: what they bring is not the exchange's either."""
    assert not all(torch.equal(*pair) for pair in compared(engine, unit, 100.0).values())


def differing(one, other, at=()):
    """Where two canonical forms differ, as dotted paths."""
    if isinstance(one, dict) and isinstance(other, dict):
        found = (differing(one.get(key), other.get(key), (*at, key)) for key in one.keys() | other.keys())
        return set().union(*found)
    return set() if one == other else {".".join(at)}


def pairs(table, wanted=lambda row, control: True):
    """(training of a row, training of a control of it), of the pairs of rows that are wanted; the same task's, if one.

    Rows of one network a task are compared network by network.
    """
    rows = {row.id: row for row in table.rows(table.meta_column(), 0)}
    for row in rows.values():
        for control in row.controls:
            if wanted(row.id, control):
                for value in row.evaluations:
                    for other in rows[control].evaluations:
                        if isinstance(value, TestEvaluation) and isinstance(other, TestEvaluation):
                            yield row.id, value.subject, other.subject


JOINT_RECIPE = ("joint_recipe", "one_task_longer", "imagenet_one_task")
"""Ids of rows of single-task networks by the recipe of fused ones."""


def declared(*papers_):
    return pytest.mark.parametrize(
        "table", [t for t in TABLES if t.paper in papers_], ids=lambda table: f"{table.paper}-{table.id}"
    )


def is_fused(training):
    return isinstance(training.network.sharing, SoftSharing.Settings)


@declared(*papers.DECLARED)
def test_controls_are_other_rows_of_the_table_and_lead_to_an_end(table):
    found = {row.id: row for row in table.rows(table.meta_column(), 0)}
    assert len({row.label for row in found.values()}) == len(found)
    for row in found.values():
        assert set(row.controls) <= set(found) - {row.id}
        reached = [*row.controls]
        for control in reached:
            assert control != row.id
            reached += [further for further in found[control].controls if further not in reached]


@declared("nddr", "cross_stitch")
def test_no_exchange_differs_in_the_exchange_and_the_own_start_alone(table):
    found = list(pairs(table, lambda row, control: control.endswith("no_exchange")))
    assert found
    for row, fused, apart in found:
        paths = differing(fused.canonical(), apart.canonical())
        start = {f"network.sharing.unit.{weight}" for weight in ("alpha", "beta")}
        assert paths - start == {"network.sharing.unit.exchange"}, row
        ours, theirs = fused.network.sharing.unit, apart.network.sharing.unit
        assert ours.alpha + ours.beta == pytest.approx(theirs.alpha + theirs.beta)
        assert (ours.exchange, theirs.exchange) == (True, False)


@declared("nddr", "cross_stitch")
def test_the_joint_recipe_differs_from_a_fused_row_in_the_network_alone(table):
    found = [pair for pair in pairs(table, lambda row, control: control in JOINT_RECIPE)
             if is_fused(pair[1])]  # fmt: skip
    assert {len(single.network.tasks) for _, _, single in found} == {1}
    rows = [row for row, fused, _ in found if fused.network.sharing.unit.exchange]
    assert {row.id for row in table.rows(table.meta_column(), 0) if row.printed and row.controls} <= set(rows)
    for row, fused, single in found:
        assert (fused.data, fused.seed) == (single.data, single.seed), row
        (task,) = single.network.tasks
        started = {"starts"} if fused.starts else set()
        assert single.starts == ({task.name: fused.starts[task.name]} if started else {})
        paths = differing(fused.canonical(), single.canonical())
        assert {path.split(".")[0] for path in paths} == {"network", "recipe"} | started
        # Of the recipe only the rate of the units, which a single-task network lacks.
        assert {path for path in paths if path.startswith("recipe")} == {"recipe.lr_mult.fusion"}, row
        # Where stages end changes nothing of a network that has no layers between them.
        assert {path.split(".")[1] for path in paths if path.startswith("network")} <= {"tasks", "sharing", "cut"}


@declared("nddr")
def test_the_joint_recipe_differs_from_training_on_in_decay_and_loss_weights_alone(table):
    for _, joint, plain in pairs(table, lambda row, control: (row, control) == ("joint_recipe", "single_longer")):
        if joint.network.tasks == plain.network.tasks:
            paths = {path.split(".")[1] for path in differing(joint.canonical(), plain.canonical())}
            assert paths <= {"weight_decay", "loss_weights"}
            assert paths
            assert joint.images_seen == plain.images_seen


@declared("nddr", "cross_stitch")
def test_longer_rows_are_the_same_recipe_stretched_to_what_the_fused_rows_have_seen(table):
    rows = {row.id: row for row in table.rows(table.meta_column(), 0)}
    fused = [v.subject for row in rows.values() for v in row.evaluations if isinstance(v, TestEvaluation)]
    (seen,) = {training.images_seen for training in fused if is_fused(training) and training.starts}
    trained_on = ("single_longer", "one_task_longer", "ensemble_longer")  # by the fused rows' recipe
    found = [name for name in rows if name.endswith("_longer") and name not in trained_on]
    for name in found:
        for longer, short in zip(rows[name].evaluations, rows[name.removesuffix("_longer")].evaluations, strict=True):
            if isinstance(longer, BestOnValidation):
                assert longer.candidates == short.candidates
            several = [(a.subjects if isinstance(a, BestOnValidation) else (a,)) for a in (longer, short)]
            for one, other in zip(*several, strict=True):
                assert differing(one.subject.canonical(), other.subject.canonical()) == {"recipe.steps"}
                assert one.subject.images_seen == seen > other.subject.images_seen
                assert one.data == other.data
    for _, longer, control in pairs(table, lambda row, control: row in found):
        assert longer.images_seen == control.images_seen


@declared("multi_exit")
def test_filters_differ_from_their_controls_in_the_filter_alone(table):
    filtered = [pair for pair in pairs(table) if pair[1].network.head.filter]
    assert {row for row, *_ in filtered} == {
        row.id
        for row in table.rows(table.meta_column(), 0)
        if any(kind in row.id for kind in ("filter", "fixed", "half"))
    }
    for row, one, other in filtered:
        paths = differing(one.canonical(), other.canonical())
        assert paths, row
        assert {path.split(".")[0] for path in paths} == {"network"}
        assert {path.split(".")[-1] for path in paths} == {"filter"}


@declared("multi_exit")
def test_joint_networks_are_compared_with_networks_of_one_set_that_see_as_many_images(table):
    found = list(pairs(table, lambda row, control: "longer" in control))
    assert {len(single.network.tasks) for _, _, single in found} == {1}
    for row, joint, single in found:
        assert joint.images_seen == single.images_seen, row
        assert differing(joint.recipe.canonical(), single.recipe.canonical()) == set()
        (task,) = single.network.tasks
        assert single.data == joint.data.sets[task.name]
        assert task in joint.network.tasks
