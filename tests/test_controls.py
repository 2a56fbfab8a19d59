"""Controls: when a fused network without exchange is its single-task networks, and what every table declares."""

import pytest
import torch
from builders import NORMALS, SEGMENTATION, network, recipe, room_data, training

from mtlkit import papers
from mtlkit.engine import Engine, Where
from mtlkit.fusion import CrossStitchSettings, NDDRSettings, SluiceSettings
from mtlkit.ledger import Ledger
from mtlkit.trunks import Fused

TABLES = [table for tables in papers.DECLARED.values() for table in tables]
TASKS = (SEGMENTATION, NORMALS)
JOINT = recipe(steps=5, weight_decay=2.5e-4, classifier_lr=(10.0, 20.0), loss_weights={"normals/cosine": 4.0})
"""Of a joint training: other loss weights and another decay than the single-task networks had."""


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    folder = tmp_path_factory.mktemp("controls")
    book = Ledger(folder / "ledger")
    return Engine(book, Where(device="cpu", progress=False)), room_data(folder / "rooms")


def still(settings, **more):
    """Without dropout, whose draws follow the order of the heads."""
    head = settings.head.model_copy(update={"dropout": 0.0})
    return settings.model_copy(update={"head": head} | more)


def compared(engine, unit, steps):
    """Name -> a tensor of a network without exchange, and the same one of the single-task networks trained on."""
    run, data = engine
    alone = {task.name: training(data, network=still(network((task,)))) for task in TASKS}
    how = JOINT.model_copy(update={"steps": steps})
    fused = training(data, network=still(network(sharing=Fused(unit=unit))), recipe=how, starts=alone)
    run.train(fused)
    mine = run.network(fused).state_dict()
    pairs = {}
    for task in TASKS:
        single = training(data, network=still(network((task,))), recipe=how, starts={task.name: alone[task.name]})
        run.train(single)
        for key, value in run.network(single).state_dict().items():
            name = key.replace("trunk.shared.", f"trunk.towers.{task.name}.")
            pairs[name] = (mine.pop(name), value)
    assert all(name.startswith("trunk.units.") for name in mine)
    return pairs


STANDING = {"exchange": False, "lr_scale": 0.0}
"""Without exchange, and units that are not trained."""


@pytest.mark.parametrize(
    "unit",
    [
        CrossStitchSettings(per="layer").model_copy(update=STANDING),
        CrossStitchSettings(per="channel").model_copy(update=STANDING),
        SluiceSettings(penalty=0.0).model_copy(update=STANDING),
        NDDRSettings(norm="none").model_copy(update=STANDING),
    ],
    ids=["cross_stitch", "cross_stitch_channel", "sluice", "nddr"],
)
@pytest.mark.parametrize("steps", [1, 5])
def test_no_exchange_with_standing_units_is_the_joint_recipe(engine, unit, steps):
    """Scalars stand at 1, so the towers are the single-task networks trained on with the joint recipe, step by step."""
    for name, (fused, single) in compared(engine, unit, steps).items():
        assert torch.equal(fused, single), name


@pytest.mark.parametrize(
    "unit",
    [
        CrossStitchSettings(per="layer", exchange=False),
        SluiceSettings(exchange=False, penalty=0.0),
        NDDRSettings(norm="output", exchange=False),
    ],
    ids=["cross_stitch", "sluice", "nddr"],
)
def test_no_exchange_with_learning_units_is_a_control_of_its_own(engine, unit):
    """A tower's own scalars, norms and 1x1 convolutions learn: what they bring is not the exchange's either."""
    assert not all(torch.equal(*pair) for pair in compared(engine, unit, 5).values())


@pytest.mark.parametrize("table", TABLES, ids=lambda table: f"{table.paper}-{table.id}")
def test_controls_are_other_rows_of_the_table_and_lead_to_an_end(table):
    found = {row.id: row for row in table.rows(table.meta_column(), 0)}
    assert len({row.label for row in found.values()}) == len(found)
    for row in found.values():
        assert set(row.controls) <= set(found) - {row.id}
        reached = [*row.controls]
        for control in reached:
            assert control != row.id
            reached += [further for further in found[control].controls if further not in reached]
