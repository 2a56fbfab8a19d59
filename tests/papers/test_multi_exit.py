"""The declaration of the multi-exit paper: its rows, what they share, and what a wrong choice says."""

import re

import numpy as np
import pytest
import torch
from PIL import Image

from mtlkit import papers
from mtlkit.errors import InputError
from mtlkit.ledger import Ledger
from mtlkit.papers.multi_exit.options import MultiExitOptions
from mtlkit.papers.multi_exit.tables import exit_order
from mtlkit.papers.printed import printed
from mtlkit.report.costs import Costs, reading
from mtlkit.report.side_by_side import SideBySide
from mtlkit.reproduce import Results, costs, reproduce
from mtlkit.runs import trainings
from mtlkit.tasks import Classification
from mtlkit.training import optimizer

TABLES = {number: papers.table("multi_exit", number) for number in "1234"}


def folder(root, classes, train=20, val=2, size=32):
    """A data set of plain coloured images, told apart by their colour."""
    for split, count in (("train", train), ("val", val)):
        for place, name in enumerate(classes):
            (root / split / name).mkdir(parents=True)
            for number in range(count):
                rng = np.random.default_rng([place, number, split == "val"])
                colour = 255 * np.array([place % 2, place // 2 % 2, place // 4 % 2])
                noise = rng.integers(-30, 30, (size, size, 3))
                pixels = np.clip(colour + noise, 0, 255).astype(np.uint8)
                Image.fromarray(pixels).save(root / split / name / f"{number}.png")
    return root


@pytest.fixture
def own(tmp_path):
    """Options over two folders, quick to train on."""
    first = folder(tmp_path / "birds", ["wren", "jay", "rook", "crow"])
    second = folder(tmp_path / "habitats", ["moor", "fen"], train=40, size=20)
    return {
        "data_root": [first, second],
        "backbone": "mobilenetv3_small_050",
        "image_size": (32, 32),
        "batch_size": 8,
        "epochs": 4,
    }


def test_every_printed_row_is_declared_and_builds(counted):
    for number, table in TABLES.items():
        declared = {row.id for row in table.rows(table.meta_column(), 0) if row.printed}
        assert declared == {row.id for row in printed("multi_exit").tables[number].rows}
    tables = counted["papers"]["multi_exit"]["tables"]
    assert [(line["rows"], line["runnable"]) for line in tables.values()] == [(12, 12), (7, 7), (8, 8), (8, 8)]
    assert all(counted["systems"][f"S{number}"] for number in range(32, 45))


# Worked out by hand from ResNet-50's layers in the doubts of the printed table.
PARAMETERS = {
    "stl_imagenet": 25_557_032,
    "stl_places": 24_255_917,
    "mtl_layer4": 26_304_917,
    "mtl_layer3": 25_931_157,
    "mtl_layer2": 25_744_277,
    "mtl_layer1": 25_650_837,
    "mtl_big_head": 41_269_653,
    "mtl_layer3_filter": 25_937_301,
}


def test_the_printed_networks_cost_what_their_layers_add_up_to(tmp_path):
    counted = Costs(costs(TABLES["4"], Results(tmp_path)))
    assert {row: counted.counted(row, "cost/parameters") for row in PARAMETERS} == PARAMETERS
    assert counted.counted("stl_imagenet", "cost/macs") == 4_089_184_256
    assert counted.counted("stl_imagenet", "cost/macs_norms") == 4_111_412_224
    exits = {"mtl_layer4": 4.11226, "mtl_layer3": 4.11199, "mtl_layer2": 4.11200, "mtl_layer1": 4.11231}
    assert {row: round(counted.counted(row, "cost/macs_norms_exits") / 1e9, 5) for row in exits} == exits
    gated = [counted.counted("mtl_layer3_filter", f"cost/gated/{task}") for task in ("objects", "places")]
    assert sum(gated) == 301_056


def test_every_figure_that_is_not_its_count_is_named(tmp_path):
    counted = Costs(costs(TABLES["4"], Results(tmp_path)))
    assert len(counted.discrepancies()) == 6
    assert any("24,255,917" in line and "+1.301 M" in line for line in counted.discrepancies())
    assert any("41,269,653" in line and "truncated" in line for line in counted.discrepancies())
    assert any("25,937,301" in line and "-0.006 M" in line for line in counted.discrepancies())
    for form in (counted.text(), counted._repr_html_()):
        assert all(f"{count:,}" in form for count in PARAMETERS.values())


def test_how_a_print_follows_from_a_count():
    assert reading("25.557", 25_557_032, "M") == "rounded"
    assert reading("41.269", 41_269_653, "M") == "truncated"
    assert reading("41.270", 41_269_653, "M") == "rounded"
    assert reading("25.557", 24_255_917, "M") == "off by +1.301 M"


def test_costs_of_a_table_without_any_are_refused(tmp_path):
    with pytest.raises(InputError, match="prints no parameters"):
        costs(TABLES["1"], Results(tmp_path))


def test_fewer_classes_leave_earlier():
    assert exit_order({"objects": 1000, "places": 365}) == {"objects": -1, "places": -2}
    assert exit_order({"objects": 6, "places": 60}) == {"objects": -2, "places": -1}
    assert exit_order({"objects": 7, "places": 7}) == {"objects": -1, "places": -2}
    assert exit_order({"a": 3, "b": 9, "c": 5}) == {"a": -3, "c": -2, "b": -1}


def subject(table, column, row):
    (found,) = [r for r in table.rows(column, 0) if r.id == row]
    return found.evaluations[0].subject


def test_the_same_network_is_trained_once_for_all_tables_that_have_it():
    one, two, four = (TABLES[number].meta_column() for number in "124")
    assert subject(TABLES["1"], one, "stl_in_5").identity == subject(TABLES["2"], two, "stl_in_5").identity
    assert subject(TABLES["1"], one, "mtl_10").identity == subject(TABLES["4"], four, "mtl_layer3").identity
    assert (
        subject(TABLES["1"], one, "mtl_filter_10").identity == subject(TABLES["4"], four, "mtl_layer3_filter").identity
    )


def test_the_longer_row_sees_as_many_images_as_the_joint_one():
    column = TABLES["1"].meta_column()
    rows = {row.id: row for row in TABLES["1"].rows(column, 0)}
    for share in ("5", "10", "20"):
        joint = rows[f"mtl_{share}"].evaluations[0].subject
        for value in rows[f"longer_{share}"].evaluations:
            assert value.subject.images_seen == joint.images_seen
            assert value.subject.images_seen > rows[f"stl_in_{share}"].evaluations[0].subject.images_seen


def test_the_rows_that_the_paper_lacks():
    own = {
        "1": {
            f"{kind}_{share}"
            for kind in ("constant", "longer", "mtl_norms", "mtl_fixed", "mtl_half")
            for share in ("5", "10", "20")
        },
        "2": {f"{kind}_{partner}" for kind in ("longer", "mtl_fixed", "mtl_half") for partner in ("op", "ca")},
        "3": {"se_longer", "vgg_longer"},
        "4": {"longer"},
    }
    for number, table in TABLES.items():
        column = table.meta_column()
        rows = {row.id: row for row in table.rows(column, 0)}
        assert {row.id for row in rows.values() if not row.printed} == own[number]
        (line,) = (ours for what, _, ours in table.protocol(column) if what == "Controls")
        assert ("filters" in line) == (number in "12")
        for row in rows.values():
            key = row.id.rpartition("_")[2]
            if row.id.startswith(("mtl_filter", "mtl_fixed")) and number in "12":
                assert row.controls == (f"mtl_half_{key}", f"mtl_{key}")
            if row.id.startswith(("stl", "constant", "longer")):
                assert row.controls == ()
    assert subject(TABLES["4"], TABLES["4"].meta_column(), "longer") == subject(
        TABLES["1"], TABLES["1"].meta_column(), "longer_10"
    )


def test_own_norms_are_the_joint_row_but_for_the_norms():
    column = TABLES["1"].meta_column()
    rows = {row.id: row for row in TABLES["1"].rows(column, 0)}
    joint, own = (rows[name].evaluations[0].subject for name in ("mtl_5", "mtl_norms_5"))
    shared = own.network.model_copy(update={"sharing": own.network.sharing.model_copy(update={"norms": "shared"})})
    assert own.model_copy(update={"network": shared}) == joint != own
    assert rows["mtl_norms_5"].controls == ("mtl_5",)
    plain = column.model_copy(update={"backbone": "vgg16"})
    assert not any("norms" in row.id for row in TABLES["1"].rows(plain, 0))


def test_a_joined_set_is_compared_at_the_length_of_the_joint_training():
    rows = {row.id: row for row in TABLES["2"].rows(TABLES["2"].meta_column(), 0)}
    steps = {row: {v.subject.recipe.steps for v in rows[row].evaluations} for row in ("stl_op", "longer_op", "mtl_op")}
    assert steps == {"stl_op": {1_294}, "longer_op": {45_041}, "mtl_op": {45_041}}


def test_a_table_runs_on_two_folders_of_ones_own(own, tmp_path):
    options = MultiExitOptions(**own | {"epochs": 3}, fractions=[0.5])
    methods = [f"{kind}_50" for kind in ("constant", "stl_in", "stl_pl", "mtl", "mtl_norms", "mtl_filter")]
    found = reproduce(TABLES["1"], options, results=Results(tmp_path / "results"), methods=methods)
    assert found.cell("mtl_filter_50", "objects/accuracy").values
    assert found.cell("mtl_50", "places/accuracy").values[0] > 50  # two colours
    assert found.cell("mtl_norms_50", "places/accuracy").values[0] > 50
    assert found.cell("constant_50", "objects/accuracy").values == (25.0,)
    assert all(not row.printed for row in found.rows)
    # Alone and together a set's test images are drawn alike, so that the rows compare draw by draw.
    alone, together, places = (
        found.cell(*cell)
        for cell in (("stl_in_50", "objects/accuracy"), ("mtl_50", "objects/accuracy"), ("mtl_50", "places/accuracy"))
    )
    assert alone.drawn == together.drawn is not None
    assert len(together.resampled[0]) == 500
    assert places.drawn.key != together.drawn.key
    ledger = Ledger(tmp_path / "results" / "smoke")
    parts = {}
    for training in trainings(value for row in found.rows for value in row.evaluations).values():
        record = ledger.find("training", training.identity)
        names = [task.name for task in training.network.tasks]
        for name, part in zip(names, record.data["parts"], strict=True):
            parts.setdefault(name, set()).add(part)
    assert {name: len(several) for name, several in parts.items()} == {"objects": 1, "places": 1}


def test_the_command_on_the_card_gives_the_same_column(own):
    column = TABLES["1"].column(MultiExitOptions(**own, fractions=[0.05, 0.5], seeds=[1, 2]))
    words = dict(re.findall(r"--([\w-]+) (.*?)(?= --|$)", column.command))
    assert "--data-root FOLDER,FOLDER" in column.command
    again = MultiExitOptions(
        dataset=["imagefolder"],
        data_root=own["data_root"],
        backbone=words["backbone"],
        fractions=words["fractions"],
        image_size=words["image-size"],
        epochs=float(words["epochs"]),
        batch_size=int(words["batch-size"]),
        lr=float(words["lr"]),
        seeds=words["seeds"],
    )
    assert TABLES["1"].column(again).identity == column.identity


@pytest.mark.parametrize(
    ("table", "given", "sentence"),
    [
        ("1", {"dataset": ["objects", "plaices"]}, "did you mean 'places'"),
        ("1", {"dataset": ["objects", "places", "places"]}, r"takes 2 data sets \(objects, places\), not 3"),
        ("1", {"dataset": ["imagefolder"]}, "take 2 folders in data_root, in this order, not 0"),
        ("1", {"data_root": ["here"]}, "take 2 folders in data_root, in this order, not 1"),
        ("1", {"data_root": ["/nowhere", "/nowhere"]}, "no folder /nowhere"),
        ("1", {"fractions": [1.5]}, "fractions must be at most 1.0, not 1.5"),
        ("1", {"fractions": "half"}, "fractions must be numbers above 0"),
        ("1", {"output_stride": 8}, "There is no parameter 'output_stride'"),
        ("1", {"profile": "paper"}, "needs a folder: set data_root"),
        ("2", {"fractions": [0.05, 0.1]}, "takes one fraction, not 2"),
        ("3", {"backbone": "resnet18"}, "two backbones of its own"),
    ],
)
def test_a_wrong_choice_is_one_sentence(table, given, sentence):
    with pytest.raises(InputError, match=sentence) as error:
        TABLES[table].column(MultiExitOptions(**given))
    assert "\n" not in str(error.value)


def test_too_few_images_for_the_fraction_name_the_set_and_the_class(own, tmp_path):
    options = MultiExitOptions(**own, fractions=[0.01])
    with pytest.raises(InputError, match=r"birds .*20 training images of the class crow; take at least 0\.025"):
        reproduce(TABLES["1"], options, results=Results(tmp_path / "results"))


def test_sets_of_one_name_are_refused(own, tmp_path):
    own["data_root"][1].rename(tmp_path / "birds2")
    (tmp_path / "other").mkdir()
    (tmp_path / "birds2").rename(tmp_path / "other" / "birds")
    options = MultiExitOptions(**own | {"data_root": [own["data_root"][0], tmp_path / "other" / "birds"]})
    with pytest.raises(InputError, match="Two data sets are called birds"):
        TABLES["1"].column(options)


def test_a_table_of_two_backbones_names_both(tmp_path):
    column = TABLES["3"].meta_column()
    caption = SideBySide.of(TABLES["3"], column, Ledger(tmp_path)).caption
    assert caption.startswith("Printed: Table 3, imagenet_places365. Measured: seresnet50 and vgg16 on")
    assert "--backbone" not in column.command


def test_a_backbone_without_batch_norm_has_a_rate_of_its_own():
    column = TABLES["3"].meta_column()
    rates = {}
    for row in TABLES["3"].rows(column, 0):
        for value in row.evaluations:
            rates.setdefault(value.subject.network.backbone, set()).add(value.subject.recipe.lr)
    # 0.01 for batches of 256: Simonyan and Zisserman, ICLR 2015, Sect. 3.1.
    assert rates == {"seresnet50": {0.1}, "vgg16": {0.01}}
    (line,) = (ours for what, _, ours in TABLES["3"].protocol(column) if what == "Budget")
    assert "rate 0.1 for seresnet50 and 0.01 for vgg16, which without batch norm" in line
    assert "--second-lr 0.01" in column.command
    # The other rows of the paper are what they were.
    assert {value.subject.recipe.lr for row in TABLES["1"].rows(TABLES["1"].meta_column(), 0)
            for value in row.evaluations if hasattr(value, "subject")} == {0.1}  # fmt: skip


def mean_of_last_losses(training, seed, steps=100):
    """Of a network for four colours, in batches of eight; infinite where it diverged."""
    settings = training.network.model_copy(
        update={"tasks": (Classification(name="objects", classes=4),), "image_size": (32, 32)}
    )
    torch.manual_seed(seed)
    network = settings.build(weights=False).train()
    optimiser = optimizer(network, training.recipe.model_copy(update={"lr_mult": {}, "decay_all": True}))
    colours, losses = torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 1, 0]]), []
    for _ in range(steps):
        labels = torch.randint(0, 4, (8,))
        images = 0.8 * colours[labels][:, :, None, None] + 0.2 * torch.rand(8, 3, 32, 32)
        loss = torch.nn.functional.cross_entropy(network(images)["objects"], labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
        if not np.isfinite(losses[-1]):
            return np.inf
    return np.mean(losses[-20:])


@pytest.mark.slow
def test_vgg_learns_four_colours_at_its_own_rate_and_not_at_the_others():
    column = TABLES["3"].meta_column()
    training = {each.id: each for each in TABLES["3"].rows(column, 0)}["vgg_stl_in"].evaluations[0].subject
    faster = training.model_copy(update={"recipe": training.recipe.model_copy(update={"lr": 0.1})})
    # Guessing one of four colours costs 1.386. A rate for batches of 256 is bold for batches of eight: the losses of
    # some seeds stay or diverge, and which seeds these are hangs on how a machine rounds.
    assert any(mean_of_last_losses(training, seed) < 0.5 for seed in range(5))
    assert all(mean_of_last_losses(faster, seed) > 1.2 for seed in range(2))


@pytest.mark.parametrize(
    ("table", "given", "rates"),
    [
        ("1", {"backbone": "vgg16"}, (0.01, None)),
        ("1", {"backbone": "vgg16_bn"}, (0.1, None)),
        ("1", {"backbone": "vgg16", "lr": 0.02}, (0.02, None)),
        ("3", {"lr": 0.2}, (0.2, 0.01)),
        ("3", {"second_lr": 0.025}, (0.1, 0.025)),
    ],
)
def test_a_named_rate_is_taken_and_else_the_backbones(table, given, rates):
    options = MultiExitOptions(profile="paper", **given).filled(table)
    assert (options.lr, options.second_lr) == rates


def test_measured_costs_are_shown_in_the_units_of_the_print(tmp_path):
    found = costs(TABLES["4"], Results(tmp_path))
    lines = {(line["label"], line["measure"]): line for line in found.frame()}
    parameters, operations = (lines["big head", f"cost/{name}"] for name in ("parameters", "macs_norms_exits"))
    assert (parameters["printed"], parameters["unit"]) == ("41.269", "M")
    assert (parameters["measured"], round(operations["measured"], 4)) == (41.269653, 4.9228)
    assert operations["printed"] == "4.9226"
    alone = lines["objects alone", found.table.measures["imagenet_acc"]]
    assert (alone["printed"], alone["printed_spread"]) == ("48.242", "0.585")
