"""The declaration of the cross-stitch paper's Tables 1, 2, 3 and 5."""

from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace

import matplotlib as mpl
import pytest
import torch
import torchvision
from builders import SEGMENTATION, network, network_of, recipe, record_of, room_data, training
from cells import cell
from safetensors.torch import save_file

from mtlkit import papers
from mtlkit.backbones import staged
from mtlkit.engine import Engine
from mtlkit.errors import InputError
from mtlkit.evaluations import BestOnValidation, CategoryGains, Ensemble, TestEvaluation
from mtlkit.fusion import CrossStitch
from mtlkit.graph import ordered
from mtlkit.history import History
from mtlkit.ledger import Ledger, Record
from mtlkit.papers.cross_stitch.figures import (
    gain_by_labels,
    sorted_weights,
    splits_against_one_task,
    weights_of_starts,
)
from mtlkit.papers.cross_stitch.methods import splits
from mtlkit.papers.cross_stitch.options import CrossStitchOptions
from mtlkit.papers.cross_stitch.rarity import _printed, judged, rarity_html
from mtlkit.papers.cross_stitch.scenes import read_out
from mtlkit.papers.printed import printed
from mtlkit.report.side_by_side import SideBySide
from mtlkit.reproduce import Results, reproduce
from mtlkit.runs import trainings
from mtlkit.runtime import Runtime
from mtlkit.sharing import SoftSharing

mpl.use("Agg")

TABLE = papers.table("cross_stitch", "5")
COLUMN = TABLE.meta_column()
ROWS = {row.id: row for row in TABLE.rows(COLUMN, 3)}
BEFORE_POOLS = ("cross_stitch_before_pools", "cross_stitch_convolutions")


def test_every_printed_row_is_declared_and_builds(counted):
    assert {row.id for row in ROWS.values() if row.printed} == {r.id for r in printed("cross_stitch").tables["5"].rows}
    line = counted["papers"]["cross_stitch"]["tables"]["5"]
    assert (line["rows"], line["runnable"]) == (5, 5)


def test_the_stages_are_alexnets_layers():
    with torch.device("meta"):
        built = staged("alexnet", fully_connected="padded", cut="layers")
    assert COLUMN.stages == len(built.stages) == 7
    assert built.channels == (64, 192, 384, 256, 256, 4096, 4096)
    after = ROWS["cross_stitch"].evaluations[0].subject.network.sharing.after
    assert [built.channels[stage] for stage in after] == [64, 192, 256, 4096, 4096]  # pool1, pool2, pool5, fc6, fc7


def test_every_split_is_tried_and_the_printed_one_lies_before_conv4():
    tried = [row for row in ROWS.values() if row.id.startswith("split") and not row.id.endswith("_longer")]
    assert [row.evaluations[0].subject.network.sharing.split_after for row in tried] == [1, 2, 3, 4, 5, 6]
    assert [row.id for row in tried if row.printed] == ["split_conv4"]
    net = ROWS["split_conv4"].evaluations[0].subject.network
    with torch.device("meta"):
        shared = net.build(weights=False).trunk.shared
    assert [name for name, _ in shared.named_parameters() if name.endswith("weight")] == [
        "0.features_0.weight",
        "1.features_3.weight",
        "2.features_6.weight",
    ]


def test_the_ensembles_share_no_network_with_any_row():
    members = {training.identity for value in ROWS["ensemble"].evaluations for training in value.subjects}
    assert len(members) == 4
    assert all(isinstance(value, Ensemble) for value in ROWS["ensemble"].evaluations)
    for seed in range(5):
        others = [row for row in TABLE.rows(COLUMN, seed) if not row.id.startswith("ensemble")]
        assert members.isdisjoint(trainings(value for row in others for value in row.evaluations))
    next_seed = {row.id: row for row in TABLE.rows(COLUMN, 4)}["ensemble"]
    assert members.isdisjoint(training.identity for value in next_seed.evaluations for training in value.subjects)


def test_the_longer_ensemble_has_seen_as_many_images_of_each_task_as_the_cross_stitch_row():
    stitched = ROWS["cross_stitch"].evaluations[0].subject
    short, longer = (
        {t.network.tasks[0].name: value.subjects for value in ROWS[row].evaluations for t in value.subjects}
        for row in ("ensemble", "ensemble_longer")
    )
    for task, members in longer.items():
        assert [one.images_seen for one in members] == [stitched.images_seen_for(task)] * 2
        assert [one.starts[task] for one in members] == list(short[task])
        assert [one.recipe.lr_mult for one in members] == [ROWS["one_task"].evaluations[0].subject.recipe.lr_mult] * 2
    assert stitched.images_seen == max(map(stitched.images_seen_for, longer))


def test_steps_keep_the_prints_ratio():
    named = ("one_task", "one_task_longer", "mtl_shared", "mtl_shared_longer", "split_conv4_longer", "cross_stitch",
             "cross_stitch_no_exchange")  # fmt: skip
    steps = {
        name: [value.subject.recipe.steps for value in ROWS[name].evaluations if isinstance(value, TestEvaluation)]
        for name in named
    }
    assert steps == {
        "one_task": [25_000, 15_000], "one_task_longer": [10_000, 10_000], "mtl_shared": [25_000],
        "mtl_shared_longer": [35_000], "split_conv4_longer": [35_000], "cross_stitch": [10_000],
        "cross_stitch_no_exchange": [10_000],
    }  # fmt: skip


def test_the_rows_that_the_paper_lacks():
    every = {"split_conv4", *(f"split_{after}" for after in (1, 2, 4, 5, 6))}
    assert {row.id for row in ROWS.values() if not row.printed} == {
        "constant", "one_task_longer", "ensemble_longer", "mtl_shared_longer", "cross_stitch_no_exchange",
        *BEFORE_POOLS, *(f"{row}_no_exchange" for row in BEFORE_POOLS),
        "best_split", "best_split_longer", *every - {"split_conv4"}, *(f"{split}_longer" for split in every),
    }  # fmt: skip
    assert ROWS["cross_stitch"].controls == ("cross_stitch_no_exchange", "one_task_longer")
    # The one-task network of normals has seen fewer images than the longer shared ones.
    assert ROWS["mtl_shared_longer"].controls == ()
    (line,) = (ours for what, _, ours in TABLE.protocol(COLUMN) if what == "Controls")
    assert "71%" in line


def test_units_in_front_of_pools_are_all_that_those_rows_change():
    printed_ = ROWS["cross_stitch"].evaluations[0].subject
    for row, after in zip(BEFORE_POOLS, [(0, 1, 4, 5, 6), None], strict=True):
        training = ROWS[row].evaluations[0].subject
        assert (training.network.cut, training.network.sharing.after) == ("convolutions", after)
        sharing = training.network.sharing.model_copy(update={"after": printed_.network.sharing.after})
        back = training.network.model_copy(update={"cut": "layers", "sharing": sharing})
        assert training.model_copy(update={"network": back}) == printed_
    with torch.device("meta"):
        moved, same = (ROWS[row].evaluations[0].subject.network.build(weights=False)
                       for row in ("cross_stitch_before_pools", "cross_stitch"))  # fmt: skip
        # So it starts from the same one-task networks.
        assert {name: tensor.shape for name, tensor in moved.state_dict().items()} == {
            name: tensor.shape for name, tensor in same.state_dict().items()
        }  # fmt: skip


def test_a_network_that_is_not_cut_at_its_layers_has_no_units_in_front_of_pools():
    column = TABLE.column(CrossStitchOptions(image_size=(32, 40), epochs=1))
    assert not set(BEFORE_POOLS) & {row.id for row in TABLE.rows(column, 0)}
    vgg = COLUMN.model_copy(update={"backbone": "vgg16", "stages": 15})
    assert [row for row in BEFORE_POOLS if row in {r.id for r in TABLE.rows(vgg, 0)}] == ["cross_stitch_convolutions"]


def test_alexnet_without_its_fully_connected_layers_keeps_its_units_and_splits_up_to_pool5():
    column = COLUMN.model_copy(update={"fully_connected": False, "stages": 5})
    rows = {row.id: row for row in TABLE.rows(column, 0)}
    assert not set(BEFORE_POOLS) & rows.keys()
    networks = {name: rows[name].evaluations[0].subject.network for name in ("one_task", "split_conv4", "cross_stitch")}
    assert all((net.fully_connected, net.cut) == ("none", "layers") for net in networks.values())
    assert networks["cross_stitch"].sharing.after == (0, 1, 4)
    tried = [row for row in rows.values() if row.id.startswith("split") and not row.id.endswith("_longer")]
    assert [row.evaluations[0].subject.network.sharing.split_after for row in tried] == [1, 2, 3, 4]
    assert networks["split_conv4"].sharing.split_after == 3
    assert read_out(column) == {"pool1": 0, "pool5": 4}
    card = {what: ours for what, _, ours in TABLE.protocol(column)}
    assert "no fc6 and fc7" in card["Network"]
    assert card["Units"].startswith("after pool1, pool2, pool5, one per channel")
    with torch.device("meta"):
        built = networks["cross_stitch"].build(weights=False)
        assert built.trunk.channels == (64, 192, 384, 256, 256)
    assert column.options().fully_connected is False
    assert TABLE.rows(COLUMN.model_copy(update={"backbone": "vgg16", "fully_connected": False, "stages": 13}), 0)


def alexnet_file(folder, *, whole):
    """A file of AlexNet's weights, or of its convolutions alone."""
    path = folder / f"alexnet_{whole}.safetensors"
    state = torchvision.models.alexnet().state_dict()
    save_file({key: one.half() for key, one in state.items() if whole or key.startswith("features")}, path)
    return path


def test_the_card_says_which_layers_start_at_random(tmp_path):
    small = {"backbone": "alexnet", "image_size": (64, 80), "epochs": 0.1}
    whole, short = (alexnet_file(tmp_path, whole=one) for one in (True, False))
    for path, given, random in [(whole, {}, False), (short, {}, True), (short, {"fully_connected": False}, False)]:
        column = TABLE.column(CrossStitchOptions(weights=str(path), **small, **given))
        card = {what: ours for what, _, ours in TABLE.protocol(column)}
        assert ("ends with the convolutions; fc6 and fc7 random" in card["Start"]) == random
        assert column.weights.convolutions_only == random
        assert ("without fc6 and fc7" in column.networks) == bool(given)
        network_ = next(row for row in TABLE.rows(column, 0) if row.id == "one_task").evaluations[0].subject.network
        assert network_.build()
        assert network_.build(weights=False)
        again = TABLE.column(column.options().model_copy(update={"weights": str(path)}))
        assert again.identity == column.identity
    with pytest.raises(InputError, match="Table 3 is about the weights that encoders start from"):
        SWEEPS["3"].column(CrossStitchOptions(weights=str(short), **small))
    assert SWEEPS["3"].column(CrossStitchOptions(weights=str(short), fully_connected=False, **small)).whole is False


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"backbone": "resnet10t"}, "resnet10t has no fc6 and fc7 to leave out"),
        ({"backbone": "alexnet", "units_after": "convolutions"}, "the last pool belongs to fc6"),
    ],
)
def test_what_cannot_be_left_out(options, message):
    with pytest.raises(InputError, match=message):
        SWEEPS["1"].column(CrossStitchOptions(fully_connected=False, **options))


def chosen_on(column, **metrics):
    """The places of the splits that are chosen, task by task, where candidates have these metrics."""
    row = {row.id: row for row in TABLE.rows(column, 0)}["best_split"]
    with TemporaryDirectory() as folder:
        ledger = Ledger(Path(folder))
        for place, (candidate, subject) in enumerate(
            zip(row.evaluations[0].candidates, row.evaluations[0].subjects, strict=True)
        ):
            for value, found in ((candidate, {name: at[place] for name, at in metrics.items()}), (subject, metrics)):
                found = dict.fromkeys(found, float(place)) if value is subject else found
                ledger.write(Record(kind="evaluation", identity=value.identity, settings={}, metrics=found))
        records = Engine(ledger, Runtime(device="cpu", progress=False)).run(row.evaluations)
    return [(record.data["chosen"], dict(record.metrics)) for record in records.values()]


def test_the_best_split_is_the_highest_iou_for_segmentation_and_the_smallest_angle_for_normals():
    iou, angle = (1, 9, 3, 9, 5, 6), (30, 20, 10, 15, 10, 40)
    found = chosen_on(COLUMN, **{"segmentation/miou": iou, "normals/decoded/mean": angle})
    assert found == [(1, {"segmentation/miou": 1.0}), (2, {"normals/decoded/mean": 2.0})]
    card = {what: ours for what, _, ours in TABLE.protocol(COLUMN)}
    assert "normals by mean angle (lower is better)" in card["Best split"]


def test_a_column_on_a_development_part_chooses_nothing_there():
    held = COLUMN.model_copy(update={"data": COLUMN.data.model_copy(update={"part": "development"})})
    assert {row.id for row in ROWS.values()} - {row.id for row in TABLE.rows(held, 0)} == {
        "best_split", "best_split_longer",
    }  # fmt: skip
    assert "Best split" not in {what for what, *_ in TABLE.protocol(held)}


def test_a_column_carries_its_codebook_and_is_the_same_again():
    options = CrossStitchOptions(image_size=(32, 40), epochs=1)
    column = TABLE.column(options)
    assert len(column.words) == 20
    assert column.identity == TABLE.column(options).identity
    assert TABLE.columns.model_validate(column.model_dump(mode="json")).identity == column.identity


def test_an_impossible_stride_is_one_sentence():
    with pytest.raises(InputError, match="alexnet can be built at output stride 32 here, not 8"):
        TABLE.column(CrossStitchOptions(backbone="alexnet", output_stride=8, image_size=(32, 40)))


def test_scores_of_coded_normals_are_of_the_second_revision():
    nodes = ordered(value for row in ROWS.values() for value in row.evaluations).values()
    scored = [node for node in nodes if node.kind == "evaluation" and not isinstance(node, BestOnValidation)]
    for value in scored:
        coded = any("normals" in [t.name for t in n.network.tasks] for n in value.needs)
        assert value.revision == (2 if coded else 1)
    # What a choice needs is scored once for the rows of the splits, too.
    tried = {ROWS[name].evaluations[0].identity for name in ROWS if name.startswith("split_")}
    subjects = {one.identity for value in ROWS["best_split"].evaluations for one in value.subjects}
    assert subjects <= tried


@pytest.mark.parametrize(("slug", "number"), [("cross_stitch", "5"), ("nddr", "A1")])
def test_lite_has_a_map_that_scenes_fit_on(slug, number):
    filled = papers.table(slug, number).options(profile="lite").filled(number)
    assert (filled.backbone, filled.image_size) == ("alexnet", (240, 320))
    with torch.device("meta"):
        cells = staged("alexnet", fully_connected="padded")(torch.empty(1, 3, *filled.image_size))[-1]
    assert cells.shape[2:] == (8, 11)


def test_the_card_says_how_maps_come_to_the_image():
    (line,) = (ours for what, _, ours in TABLE.protocol(COLUMN) if what == "Network")
    assert "padded by 100 pixels" in line
    assert "dropout behind fc6 and fc7" in line
    (line,) = (ours for what, _, ours in TABLE.protocol(TABLE.column(CrossStitchOptions())) if what == "Network")
    assert "tiles of the image" in line


# Tables 1, 2 and 3 ------------------------------------------------------------------------------------------------

SWEEPS = {number: papers.table("cross_stitch", number) for number in "123"}
SWEPT = {number: {row.id: row for row in table.rows(table.meta_column(), 3)} for number, table in SWEEPS.items()}


def subject_of(number, row):
    return SWEPT[number][row].evaluations[0].subject


@pytest.mark.parametrize(("number", "rows"), [("1", 4), ("2", 4), ("3", 2)])
def test_every_row_of_a_sweep_is_declared_and_builds(number, rows, counted):
    ids = {row.id for row in printed("cross_stitch").tables[number].rows}
    assert {row.id for row in SWEPT[number].values() if row.printed} == ids
    line = counted["papers"]["cross_stitch"]["tables"][number]
    assert (line["rows"], line["runnable"]) == (rows, rows)
    assert all(counted["systems"][system] for system in ("S64", "S65", "S66", "S67", "S68", "S75"))


def test_the_starts_and_rates_are_the_printed_ones_on_the_units_alone():
    units = {row: subject_of("1", row).network.sharing.unit for row in SWEPT["1"] if SWEPT["1"][row].printed}
    assert [(unit.per, unit.alpha, unit.beta) for unit in units.values()] == [
        ("channel", 0.1, 0.9), ("channel", 0.5, 0.5), ("channel", 0.7, 0.3), ("channel", 0.9, 0.1),
    ]  # fmt: skip
    rates = {row: subject_of("2", row).recipe.lr_mult for row in SWEPT["2"] if row[-1] == "0" or row == "scale_1"}
    one = {"classifier_bias": 2.0}
    assert list(rates.values()) == [one | {"fusion": rate} for rate in (1.0, 10.0, 100.0, 1000.0, 10_000.0)]
    steps = {row: subject_of("3", row).recipe.steps for row in ("imagenet", "imagenet_longer", "one_task")}
    assert steps == {"imagenet": 30_000, "imagenet_longer": 35_000, "one_task": 10_000}
    starts = [subject_of("3", row).starts.keys() for row in ("imagenet", "one_task")]
    assert starts == [set(), {"segmentation", "normals"}]


def test_sweeps_share_their_networks_with_table_5_and_with_each_other():
    """Whatever is the same is one node, so it is trained once."""
    whole = {
        number: set(trainings(v for row in rows.values() for v in row.evaluations)) for number, rows in SWEPT.items()
    }
    five = set(trainings(value for row in ROWS.values() for value in row.evaluations))
    assert subject_of("1", "s09_d01") == subject_of("2", "scale_100")
    assert subject_of("1", "no_exchange") == subject_of("2", "scale_100_no_exchange")
    for of in (subject_of("2", "scale_1000"), subject_of("3", "one_task")):
        assert of == ROWS["cross_stitch"].evaluations[0].subject
    assert subject_of("3", "one_task_no_exchange") == ROWS["cross_stitch_no_exchange"].evaluations[0].subject
    # Beyond Table 5: four starts and their control; four rates, each with its control; ImageNet, its three controls
    # of which one is a network a task.
    assert {number: len(found - five) for number, found in whole.items()} == {"1": 5, "2": 8, "3": 5}
    assert len(set.union(*whole.values()) - five) == 5 + 8 + 5 - 2


def test_without_exchange_all_starts_are_one_network():
    """Why Table 1 has one control: the units of every start are the same module then."""
    units = [subject_of("1", row).network.sharing.unit for row in SWEPT["1"] if SWEPT["1"][row].printed]
    alphas = [unit.model_copy(update={"exchange": False}).build(2, 3).alpha for unit in units]
    control = subject_of("1", "no_exchange").network.sharing.unit.build(2, 3)
    assert all(torch.equal(alpha, control.alpha) for alpha in alphas)


@pytest.mark.parametrize("number", "123")
def test_the_units_of_a_sweep_may_stand_after_convolutions(number):
    table = SWEEPS[number]
    moved = table.meta_column().model_copy(update={"units_after": "convolutions"})
    for row, other in zip(table.rows(moved, 3), SWEPT[number].values(), strict=True):
        for value, before in zip(row.evaluations, other.evaluations, strict=True):
            if not hasattr(value, "subject") or len(value.subject.network.tasks) == 1:
                assert value == before
                continue
            network = value.subject.network
            assert (network.cut, network.sharing.after) == ("convolutions", None)
            assert value.subject.recipe == before.subject.recipe
    assert "--units-after convolutions" in moved.command
    assert "every convolution" in {what: ours for what, _, ours in table.protocol(moved)}["Units"]
    with pytest.raises(InputError, match="mobilenetv3_small_050 is cut where timm cuts it"):
        table.column(table.options(units_after="convolutions", image_size=(32, 40)))
    with pytest.raises(InputError, match="Table 5 has rows of units after convolutions and takes no units_after"):
        TABLE.options(units_after="convolutions")


def test_smaller_profiles_keep_the_rates_of_the_rows():
    column = SWEEPS["2"].column(CrossStitchOptions(image_size=(32, 40), epochs=1))
    rates = {row.id: row.evaluations[0].subject.recipe.lr_mult["fusion"] for row in SWEEPS["2"].rows(column, 0)
             if row.id.startswith("scale") and not row.id.endswith("exchange")}  # fmt: skip
    assert list(rates.values()) == [1, 10, 100, 1000, 10_000]


def test_a_rate_that_is_too_high_ends_in_a_cell_that_says_so(tmp_path):
    given = SWEEPS["2"].options(image_size=(32, 40), epochs=3.0, lr=1.0)
    shown = reproduce(
        SWEEPS["2"], given, runtime=Runtime(device="cpu", progress=False), results=Results(tmp_path),
        methods=["one_task", "scale_10000"],
    )  # fmt: skip
    assert shown.cell("one_task", "segmentation/miou").values
    assert shown.cell("scale_10000", "segmentation/miou").text("%") == "diverged"
    assert "is nan at step" in shown.caption or "is inf at step" in shown.caption


def test_the_cards_say_what_differs():
    cards = {number: {what: (theirs, ours) for what, theirs, ours in table.protocol(table.meta_column())}
             for number, table in SWEEPS.items()}  # fmt: skip
    assert "start: the rows; 100 times" in cards["1"]["Start and rate of the units"][1]
    assert "10000 more, or 30000 from ImageNet" in cards["3"]["Budget"][1]
    assert all(theirs != "unstated" for card in cards.values() for what, (theirs, _) in card.items()
               if what not in ("Precision", "Checkpoint scored", "Runs"))  # fmt: skip


# Figures ----------------------------------------------------------------------------------------------------------


def test_what_units_learnt_stands_in_the_record_of_their_training(tmp_path):
    sharing = SoftSharing.Settings(unit=CrossStitch.Settings(per="channel", alpha=0.7, beta=0.3), after=(0, 4))
    fused = training(
        room_data(tmp_path / "rooms"),
        network=network(sharing=sharing),
        recipe=recipe(steps=2, lr_mult={"fusion": 100.0}),
    )
    engine = Engine(Ledger(tmp_path / "ledger"), Runtime(device="cpu", progress=False))
    learnt = record_of(engine, fused).history.mixing
    units = network_of(engine, fused).trunk.units
    tasks = ("segmentation", "normals")
    assert learnt.keys() == {f"{stage}/{i}/{j}" for stage in (0, 4) for i in tasks for j in tasks}
    for stage, unit in units.items():
        for i, task in enumerate(tasks):
            for j, source in enumerate(tasks):
                values = unit.alpha.detach()[:, i, j].double().sort().values
                found = learnt[f"{stage}/{task}/{source}"]
                if len(values) == len(found):
                    assert found == pytest.approx(values.tolist(), abs=1e-6)
                assert (found[0], found[-1]) == pytest.approx((float(values[0]), float(values[-1])), abs=1e-6)
                assert len(set(found)) > 1, "they were trained"
    # A network without such units has none.
    alone = fused.model_copy(update={"network": network((SEGMENTATION,))})
    assert record_of(engine, alone).history.mixing == {}


def test_figure_4_draws_own_and_other_weights_of_every_start_sorted():
    tasks, places = ("segmentation", "normals"), {"pool1": 0, "fc7": 6}
    learnt = {
        start: {f"{stage}/{i}/{j}": sorted(torch.rand(5).tolist()) for stage in (0, 6) for i in tasks for j in tasks}
        for start in ("(0.9, 0.1)", "(0.5, 0.5)")
    }
    figure = sorted_weights(learnt, places, tasks)
    for axis, (task, (place, stage)) in zip(figure.axes, [(t, p) for t in tasks for p in places.items()], strict=True):
        assert axis.get_title() == f"{task}, {place}"
        drawn = [list(line.get_ydata()) for line in axis.get_lines()]
        assert drawn == [weights[f"{stage}/{task}/{source}"] for weights in learnt.values() for source in tasks]
        own = [line.get_linestyle() for line in axis.get_lines()]
        assert own == (["-", "--"] if task == "segmentation" else ["--", "-"]) * 2
    assert read_out(COLUMN) == {"pool1": 0, "pool5": 4, "fc7": 6}
    assert read_out(TABLE.column(CrossStitchOptions(image_size=(32, 40)))) == {"stage 0": 0, "stage 2": 2, "stage 4": 4}


@pytest.mark.parametrize(("number", "shown"), [("1", 4), ("5", 1)])
def test_figure_4_takes_the_printed_rows_with_units_from_their_records(number, shown):
    table = papers.table("cross_stitch", number)
    column = table.meta_column()
    rows = tuple(table.rows(column, 0))
    history = History(
        mixing={f"{at}/{i}/{j}": [0.1, 0.2] for at in (0, 4, 6) for i in column.tasks for j in column.tasks}
    )
    asked = []

    def find(kind, identity):
        asked.append(identity)
        return SimpleNamespace(history=history)

    comparison = SideBySide(table, column, rows, {}, 0.0)
    figure = weights_of_starts(comparison, SimpleNamespace(find=find))
    assert len(asked) == len(set(asked)) == shown
    assert [len(axis.get_lines()) for axis in figure.axes] == [2 * shown] * 6
    lacking = SimpleNamespace(find=lambda kind, identity: SimpleNamespace(history=History()))
    assert weights_of_starts(comparison, lacking) is None


def test_figure_2_shows_every_split_less_the_one_task_network():
    tasks = {"segmentation/miou": 1, "normals/decoded/mean": -1}
    rows = {"one_task": 30.0, **{name: 30.0 + place for place, name in enumerate(splits(7, {"split_conv4": 3}), 1)}}
    cells = {(row, measure): cell({0: value, 1: value + 0.5, 2: value + 1.0}, stream=len(row))
             for row, value in rows.items() for measure in tasks}  # fmt: skip
    column = COLUMN.model_copy(update={"seeds": (0, 1, 2)})
    figure = splits_against_one_task([SideBySide(TABLE, column, tuple(ROWS.values()), cells, 0.0)])
    for axis, sign in zip(figure.axes, (-1, 1), strict=True):  # in the order of the printed columns
        dots = {line.get_xdata()[0]: line.get_ydata()[0] for line in axis.get_lines() if line.get_marker() == "o"}
        assert [dots[shared] for shared in range(1, 7)] == pytest.approx([sign * shared for shared in range(1, 7)])
        printed_ = {
            name: float(printed("cross_stitch").tables["5"].row(name).cells[column_id])
            for column_id in ["seg_miou" if sign > 0 else "normals_mean"]
            for name in ("split_conv4", "one_task")
        }
        assert dots[3.15] == pytest.approx(sign * (printed_["split_conv4"] - printed_["one_task"]))  # fmt: skip
        bars = [line for line in axis.get_lines() if line.get_marker() == "None" and len(line.get_xdata()) == 2]
        assert len(bars) == 6 + 1  # and the line at zero


def test_figures_5_and_6_sort_categories_by_their_labels():
    gain, labels = {"bag": 4.0, "wall": -1.0, "board": 2.0}, {"bag": 3, "wall": 900, "board": 40, "unseen": 1}
    bars, counts = gain_by_labels(gain, labels, "gain", "pixels").axes
    assert [tick.get_text() for tick in bars.get_xticklabels()] == ["bag", "board", "wall"]
    assert [bar.get_height() for bar in bars.patches] == [4.0, 2.0, -1.0]
    assert list(counts.get_lines()[0].get_ydata()) == [3, 40, 900]


def test_the_statements_on_rare_categories_are_judged_over_the_one_task_network_and_over_no_exchange():
    names = [f"segmentation/{name}" for name in ("gain_rarest_10", "gain_rarest_20", "rank_correlation")]
    values = {"cross_stitch": (4.0, 3.0, -0.5), "cross_stitch_no_exchange": (3.9, 5.0, -0.5)}
    cells = {
        (row, name): cell({s: value + 0.01 * s * (row == "cross_stitch") for s in range(3)}, 0.02, stream=len(row))
        for row, several in values.items()
        for name, value in zip(names, several, strict=True)
    }
    column = COLUMN.model_copy(update={"seeds": (0, 1, 2)})
    shown = SideBySide(TABLE, column, tuple(ROWS.values()), cells, 0.0)
    ten, twenty, correlation = judged(shown)
    assert ten.text == "the 10 rarest classes gain"
    assert ten.over["one_task"].mean == pytest.approx(4.01)
    assert ten.over["cross_stitch_no_exchange"].mean == pytest.approx(0.11)
    assert (ten.verdicts["one_task"], twenty.verdicts["cross_stitch_no_exchange"]) == ("holds", "fails")
    assert correlation.verdicts == {"one_task": "holds", "cross_stitch_no_exchange": "undecided"}
    html = rarity_html([shown])
    assert "+4.0" in html
    assert "\N{MINUS SIGN}0.490" in html  # of the correlation, not of its sign turned for the verdict
    assert rarity_html([SideBySide(TABLE, column, tuple(ROWS.values()), {}, 0.0)]) == ""


def test_gains_of_categories_are_over_the_one_task_network_of_the_row():
    for table, task in ((TABLE, "segmentation"), (papers.table("cross_stitch", "6"), "attributes")):
        rows = {row.id: row for row in table.rows(table.meta_column(), 3)}
        alone = {v.subject.network.tasks[0].name: v.subject for v in rows["one_task"].evaluations}
        found = {row.id: [v for v in row.evaluations if isinstance(v, CategoryGains)] for row in rows.values()}
        assert {row for row, values in found.items() if values} == {
            "one_task_longer", *(row for row in rows if row.startswith("cross_stitch")),
        }  # fmt: skip
        for row, (value,) in ((row, values) for row, values in found.items() if values):
            assert (value.task, value.control) == (task, alone[task])
            assert value.subject in [v.subject for v in rows[row].evaluations if isinstance(v, TestEvaluation)]
    print_ = {one["id"]: one["value"] for one in printed("cross_stitch").text_numbers}
    assert (print_["gain_attributes_10_rarest"], print_["gain_attributes_20_rarest"]) == ("4.6", "4.3")
    assert _printed("attributes", "gain_rarest_10") == "4.6"
