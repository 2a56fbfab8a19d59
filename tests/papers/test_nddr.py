"""The declaration of NDDR-CNN's tables on scenes."""

import re

import pytest
import torch
from builders import network_of, room_data

from mtlkit import papers
from mtlkit.engine import Engine
from mtlkit.errors import InputError
from mtlkit.fusion import NDDR
from mtlkit.ledger import Ledger
from mtlkit.necks import Shortcut
from mtlkit.network import parameter_groups
from mtlkit.papers.nddr.options import NDDROptions
from mtlkit.papers.printed import printed
from mtlkit.report.side_by_side import SideBySide
from mtlkit.runs import trainings
from mtlkit.runtime import Runtime
from mtlkit.sharing import SoftSharing

PAPER = printed("nddr")
TABLES = {table.id: table for table in papers.DECLARED["nddr"]}
SMALL = {"image_size": (48, 64), "epochs": 0.2, "backbone": "mobilenetv3_small_050"}


def trained(number, column=None, seed=0):
    """Row -> the trainings that are scored in it."""
    table = TABLES[number]
    rows = table.rows(column or table.meta_column(), seed)
    return {row.id: [v.subject for v in row.evaluations] for row in rows if row.id not in ("constant", "tilted")}


def test_every_printed_row_is_declared_and_builds(counted):
    lines = counted["papers"]["nddr"]["tables"]
    for number, table in TABLES.items():
        declared = [row.id for row in table.rows(table.meta_column(), 0) if row.printed]
        assert declared == [row.id for row in PAPER.tables[number].rows]
        assert lines[number]["runnable"] == lines[number]["rows"] == len(declared)


@pytest.mark.parametrize("column", ["printed", "smoke"])
def test_rows_that_are_one_training_are_trained_once(column):
    columns = {n: t.meta_column() if column == "printed" else t.column(NDDROptions(**SMALL | {"backbone": None}))
               for n, t in TABLES.items() if n in ("1", "2", "3", "4", "A2")}  # fmt: skip
    found = {n: {row: t[0].identity for row, t in trained(n, c).items()} for n, c in columns.items()}
    assert found["1"]["a09_b01"] == found["2"]["scale_100"] == found["3"]["sing"] == found["4"]["nddr"]
    assert found["A2"]["a09_b01"] == found["A2"]["scale_1000"] == found["4"]["cross_stitch"]
    assert all(rows["single"] == found["4"]["single"] for rows in found.values())
    distinct = {identity for rows in found.values() for row, identity in rows.items() if row != "single"}
    # 20 printed rows of sweeps, of which 5 are Table 4's; Table 4 has 5 more rows than they and single, and 5 controls,
    # among them those of the sweeps.
    assert len(distinct) == 6 + 4 + 3 + 7 - 5 + 5 + 5
    for number in ("1", "2", "3", "A2"):
        apart = "cross_stitch_no_exchange" if number == "A2" else "no_exchange"
        assert found[number]["no_exchange"] == found["4"][apart]
        assert found[number]["joint_recipe"] == found["4"]["joint_recipe"]


JOINT, APART = {"single_longer", "joint_recipe"}, {"cross_stitch_no_exchange", "sluice_no_exchange", "no_exchange"}
FIVE, SWEEP = {"constant", "multi_longer"} | JOINT | APART, {"constant", "single", "joint_recipe", "no_exchange"}
OWN = {
    "1": SWEEP, "2": SWEEP, "3": SWEEP, "4": FIVE | {"tilted"}, "5": FIVE, "6": FIVE, "7": FIVE,
    "A1": {"constant", "single"} | JOINT | APART, "A2": SWEEP,
}  # fmt: skip
"""Table -> its rows that the paper lacks."""


@pytest.mark.parametrize("number", OWN)
def test_the_rows_that_the_paper_lacks(number):
    table = papers.table("nddr", number)
    column = table.meta_column()
    rows = table.rows(column, 0)
    assert {row.id for row in rows if not row.printed} == OWN[number]
    assert all(row.what for row in rows if row.controls)
    (line,) = (ours for what, _, ours in table.protocol(column) if what == "Controls")
    assert ("as many images" in line) == ("multi_longer" in OWN[number])


def test_rows_of_a_sweep_have_the_control_that_is_theirs():
    controls = {n: {row.id: row.controls for row in TABLES[n].rows(TABLES[n].meta_column(), 0)} for n in TABLES}
    both, recipe = ("no_exchange", "joint_recipe"), ("joint_recipe",)
    own = {"1": {"a10_b00", "a09_b01", "a05_b05", "a01_b09", "a00_b10"}, "2": {"scale_100"}}
    for number in ("1", "2", "A2"):
        printed_rows = {row.id for row in PAPER.tables[number].rows}
        shared = own.get(number) or {row for row in printed_rows if not row.startswith("scale") or row == "scale_1000"}
        assert {row: controls[number][row] for row in printed_rows} == {
            row: both if row in shared else recipe for row in printed_rows
        }
    assert [controls["3"][row] for row in ("init", "pret", "sing")] == [(), (), both]
    assert controls["4"]["nddr"] == both
    assert controls["4"]["cross_stitch"] == ("cross_stitch_no_exchange", "joint_recipe")
    assert controls["4"]["sluice"] == ("sluice_no_exchange", "joint_recipe")
    assert controls["4"]["joint_recipe"] == ("single_longer",)


def test_sweeps_take_their_settings_from_the_print():
    for number in ("1", "2", "A2"):
        for row in PAPER.tables[number].rows:
            training = trained(number)[row.id][0]
            unit = training.network.sharing.unit
            for name, value in row.settings.items():
                if name == "fuse_lr_scale":
                    assert training.recipe.lr_mult["fusion"] == value
                elif value is not None:
                    assert getattr(unit, name) == value
    assert trained("1")["random"][0].recipe.lr_mult["fusion"] == 1000
    rows = trained("1")
    starts = {tuple(s.identity for s in rows[row.id][0].starts.values()) for row in PAPER.tables["1"].rows}
    assert len(starts) == 1


def test_the_same_networks_stand_in_the_table_of_the_backbone(tmp_path):
    """Tables 4 and 5 differ in the backbone alone: asked for the other's, each gives the other's trainings."""
    room_data(tmp_path, size=(48, 64))  # at lite a thousand rooms would be drawn
    few = {"dataset": "npy", "data_root": tmp_path}
    for given in ({"backbone": "resnet10t"}, {"backbone": "vgg16", "profile": "lite"} | few):
        both = [TABLES[n].column(NDDROptions(**{"image_size": (48, 64)} | given)) for n in ("4", "5")]
        four, five = (trained(number, column) for number, column in zip(("4", "5"), both, strict=True))
        assert four == five
    assert [TABLES[n].printed_for("resnet101")[0] for n in ("4", "5")] == ["5", "5"]
    assert [TABLES[n].printed_for("vgg16")[0] for n in ("4", "5", "6")] == ["4", "4", "6"]
    assert TABLES["6"].printed_for("resnet101") is None


def test_table_5_fuses_at_the_ends_of_the_five_stages():
    (nddr,) = trained("5")["nddr"]
    with torch.device("meta"):
        trunk = nddr.network.build(weights=False).trunk
    assert trunk.channels == (64, 256, 512, 1024, 2048)
    assert trunk.strides[-1] == 8
    assert list(trunk.units) == ["0", "1", "2", "3", "4"]


def test_table_6_has_one_shortcut_at_the_base_rate_alone_and_shared_and_one_a_task_at_100_times_it_fused():
    for row, found in trained("6").items():
        for training in found:
            assert training.network.neck == Shortcut.Settings()
            with torch.device("meta"):
                network = training.network.build(weights=False)
            fused = isinstance(training.network.sharing, SoftSharing.Settings)
            assert set(network.necks) == (set(network.tasks) if fused else {"all"}), row
            assert next(iter(network.necks.values())).reduce.in_channels == 64 + 128 + 256 + 512 + 512
            groups = parameter_groups(network, lr=1, lr_mult=training.recipe.lr_mult)
            (rate,) = {group["lr"] for group in groups if group["name"] == "shortcut"}
            assert rate == (100 if fused or row == "joint_recipe" else 1), row


def test_a_shortcut_of_table_6_has_the_channels_of_the_last_stage():
    column = TABLES["6"].column(NDDROptions(**SMALL))
    (nddr,) = trained("6", column)["nddr"]
    with torch.device("meta"):
        network = nddr.network.build(weights=False)
    assert {neck.channels for neck in network.necks.values()} == {network.trunk.channels[-1]} != {512}


def test_table_6_fuses_the_single_task_networks_of_table_4_with_new_shortcuts():
    four = {training.network.tasks[0].name: training.identity for training in trained("4")["single"]}
    for row, found in trained("6").items():
        for training in found:
            starts = {task: start.identity for task, start in training.starts.items()}
            if isinstance(training.network.sharing, SoftSharing.Settings):
                assert starts == four, row
            if row == "joint_recipe":
                assert starts.items() <= four.items()
            if row == "single_longer":
                assert all(start.network == training.network for start in training.starts.values())
    card = {what: (paper, ours) for what, paper, ours in TABLES["6"].protocol(TABLES["6"].meta_column())}
    assert all("one, at the base rate" in side and "one a task, at 100 times" in side for side in card["Shortcut"])


def test_table_6_without_its_shortcuts_is_table_4():
    plain = trained("4")
    for row, found in trained("6").items():
        without = [t.network.model_copy(update={"neck": None}) for t in found]
        assert without == [t.network for t in plain[row]]


def test_the_pretrained_start_is_a_named_stand_in_or_the_readers_file(tmp_path):
    table = TABLES["3"]
    column = table.column(NDDROptions(**SMALL))
    (pret,) = trained("3", column)["pret"]
    elsewhere = pret.starts["segmentation"]
    assert pret.starts["normals"] == elsewhere
    assert elsewhere.data.name == "people"
    assert elsewhere.network.tasks[0].classes[0] == "background"
    card = {what: ours for what, _, ours in table.protocol(column)}
    assert "stand-in" in card["Starts of the rows"]
    file = tmp_path / "voc.safetensors"
    file.write_bytes(b"weights")
    own = table.column(NDDROptions(**SMALL, voc_weights=str(file)))
    (pret,) = trained("3", own)["pret"]
    assert not pret.starts
    assert pret.network.weights.path == file
    assert "--voc-weights" in own.command
    assert str(tmp_path) not in own.model_dump_json()
    (init,) = trained("3", own)["init"]
    assert (init.network.weights, init.starts) == (own.weights, {})


def test_another_tasks_network_gives_all_but_its_classifier(tmp_path):
    column = TABLES["3"].column(NDDROptions(**SMALL))
    (pret,) = trained("3", column)["pret"]
    engine = Engine(Ledger(tmp_path), Runtime(device="cpu", progress=False))
    given = network_of(engine, pret.starts["normals"]).state_dict()
    started = pret.started(engine.context()).state_dict()
    for task in ("segmentation", "normals"):
        own = {key: value for key, value in started.items() if f".{task}." in key}
        for key, value in given.items():
            renamed = key.replace("trunk.shared.", f"trunk.towers.{task}.").replace(
                "heads.segmentation", f"heads.{task}"
            )
            if "classifier" not in key:
                assert torch.equal(own.pop(renamed), value)
        assert {key.rpartition(".")[0] for key in own} == {f"heads.{task}.classifier"}


def test_table_a1_without_fc6_and_fc7_ends_with_pool5_and_says_so():
    column = TABLES["A1"].meta_column().model_copy(update={"fully_connected": False})
    fused = ("cross_stitch", "sluice", "nddr", "no_exchange")
    rows = {row.id: row.evaluations[0].subject.network for row in TABLES["A1"].rows(column, 0) if row.id in fused}
    with torch.device("meta"):
        trunks = {name: network.build(weights=False).trunk for name, network in rows.items()}
    assert {trunk.channels for trunk in trunks.values()} == {(64, 192, 256)}
    assert list(trunks["nddr"].units) == ["0", "1", "2"]
    card = {what: ours for what, _, ours in TABLES["A1"].protocol(column)}
    assert card["Units"].startswith("after every pool; ")
    assert "no fc6 and fc7, image not padded" in card["Network"]
    assert column.network == "alexnet without fc6 and fc7"
    assert column.options().fully_connected is False
    with pytest.raises(InputError, match="resnet10t has no fc6 and fc7 to leave out"):
        TABLES["A1"].column(NDDROptions(fully_connected=False, backbone="resnet10t"))


def test_table_a1_has_the_cross_stitch_papers_places_units_and_lengths():
    rows = trained("A1")
    (nddr,) = rows["nddr"]
    with torch.device("meta"):
        trunk = nddr.network.build(weights=False).trunk
    assert trunk.channels == (64, 192, 256, 4096, 4096)
    for method in ("cross_stitch", "sluice", "nddr", "no_exchange"):  # after pool1, pool2, pool5, fc6 and fc7
        with torch.device("meta"):
            assert list(trained("A1")[method][0].network.build(weights=False).trunk.units) == [
                "0",
                "1",
                "2",
                "3",
                "4",
            ]
    stitched = papers.table("cross_stitch", "5").rows(papers.table("cross_stitch", "5").meta_column(), 0)
    (theirs,) = (row.evaluations[0].subject.network for row in stitched if row.id == "cross_stitch")
    for method in ("cross_stitch", "cross_stitch_no_exchange"):
        (ours,) = rows[method]
        assert ours.network.sharing.unit.model_copy(update={"exchange": True}) == theirs.sharing.unit
    assert {task.loss_at for task in nddr.network.tasks} == {"image"}
    assert [t.recipe.steps for t in rows["single"]] == [25_000, 15_000]
    assert {t.recipe.steps for row in ("single_longer", "nddr", "sluice", "cross_stitch") for t in rows[row]} == {
        10_000
    }
    assert {row.id for row in TABLES["A1"].rows(TABLES["A1"].meta_column(), 0) if row.printed} == {
        "cross_stitch", "sluice", "nddr",
    }  # fmt: skip
    stitched = papers.table("cross_stitch", "5").meta_column().recipe
    own = {"steps": stitched.steps, "loss_weights": {}, "lr_mult": {"classifier_bias": 2.0}}
    assert nddr.recipe.model_copy(update=own) == stitched


@pytest.mark.parametrize("number", TABLES)
def test_a_column_is_the_same_again_and_spells_its_command(number):
    table = TABLES[number]
    column = table.column(NDDROptions(image_size=(48, 64), epochs=1))
    again = table.columns.model_validate(column.model_dump(mode="json"))
    assert again.identity == column.identity
    assert f"mtlkit run nddr {number} --profile smoke" in column.command
    assert all(len(line) == 3 for line in table.protocol(again))


def test_three_tasks_run_and_show_the_depths_columns(tmp_path):
    table = TABLES["4"]
    column = table.column(NDDROptions(**SMALL, tasks=("depth", "normals", "segmentation")))
    assert "--tasks segmentation,normals,depth" in column.command
    (nddr,) = trained("4", column)["nddr"]
    assert [task.name for task in nddr.network.tasks] == ["segmentation", "normals", "depth"]
    assert len(nddr.starts) == 3
    # The networks of one task are those of the paper's two tasks.
    two = trained("4", table.column(NDDROptions(**SMALL)))
    assert trained("4", column)["single"][:2] == two["single"]
    book = Ledger(tmp_path)
    values = [v for row in table.rows(column, 0) if row.id in ("constant", "tilted", "nddr") for v in row.evaluations]
    Engine(book, Runtime(device="cpu", progress=False)).run(values)
    comparison = SideBySide.of(table, column, book)
    assert comparison.cell("nddr", "depth/rmse").values[0] > 0
    assert comparison.cell("tilted", "normals/decoded/mean").values == pytest.approx((30.0,), rel=1e-3)
    assert comparison.cell("tilted", "normals/encoded/mean").mean < 20
    assert [extra.label for extra in comparison.lacked if extra.group == "Depth"] == ["RMSE", "Rel. error", "1.25"]
    assert ("Tasks", "segmentation, normals", "segmentation, normals, depth") in comparison.card()


@pytest.mark.parametrize(
    ("number", "given", "sentence"),
    [
        ("4", {"tasks": ("segmentation", "deph")}, "did you mean 'depth'?"),
        ("4", {"tasks": ("depth",)}, "two tasks at least"),
        ("A1", {"tasks": ("depth", "normals")}, "Table A1 has lengths of training for its own two tasks"),
        ("3", {"voc_weights": "/no/file"}, "There is no weights file /no/file"),
    ],
)
def test_wrong_choices_are_one_sentence(number, given, sentence):
    with pytest.raises(InputError, match=re.escape(sentence)):
        TABLES[number].column(NDDROptions(**SMALL | given))


@pytest.mark.parametrize(("number", "rows"), [("3", ["pret"]), ("6", ["multi", "nddr"]), ("A1", ["sluice"])])
def test_rows_run(number, rows, tmp_path):
    table = TABLES[number]
    column = table.column(NDDROptions(**SMALL))
    book = Ledger(tmp_path)
    values = [v for row in table.rows(column, 0) if row.id in rows for v in row.evaluations]
    Engine(book, Runtime(device="cpu", progress=False)).run(values)
    comparison = SideBySide.of(table, column, book)
    for row in rows:
        assert all(comparison.cell(row, measure).values for measure in table.measures.values())
    assert len(list(tmp_path.glob("training/*.json"))) == len(trainings(values))


def test_fused_networks_may_have_a_length_and_their_units_a_rate_of_their_own():
    given = {"image_size": (32, 40), "epochs": 6, "fused_epochs": 2, "lr": 0.01, "units_lr": 0.001}
    for number in ("4", "7"):
        table = papers.table("nddr", number)
        column = table.column(NDDROptions(**given))
        rows = trained(number, column)
        single, steps = rows["single"][0], column.recipe.steps
        assert single.recipe.steps == rows["multi"][0].recipe.steps == steps
        for row, rate in (("cross_stitch", 1), ("sluice_no_exchange", 1), ("nddr", 0.1), ("no_exchange", 0.1)):
            (training,) = rows[row]
            assert training.recipe.lr * training.recipe.lr_mult["fusion"] == pytest.approx(rate)
        assert rows["multi_longer"][0].images_seen == rows["nddr"][0].images_seen
        for row in ("single_longer", "joint_recipe", "cross_stitch", "sluice", "nddr", "no_exchange"):
            assert rows[row][0].recipe.steps == round(steps / 3)
            assert rows[row][0].images_seen == single.images_seen + rows[row][0].recipe.images
        assert "--fused-epochs 2" in column.command
        assert "--lr 0.01 " in column.command
        assert "--units-lr 0.001" in column.command
        (line,) = (ours for what, _, ours in table.protocol(column) if what == "Budget")
        assert f"trained for {round(steps / 3)} steps more" in line
        (line,) = (ours for what, _, ours in table.protocol(column) if what.startswith("Learning rate"))
        assert line.startswith("0.01, poly 0.9; units' multipliers multiply 0.001")
        whole = table.column(NDDROptions(**given | {"fused_epochs": None, "units_lr": None}))
        one, other = (trained(number, whole)[row][0].recipe for row in ("nddr", "multi"))
        assert one == other.model_copy(update={"lr_mult": other.lr_mult | {"fusion": 100}})
        assert "fused" not in whole.command
        assert "units" not in whole.command
    for name in ("fused_epochs", "units_lr"):
        with pytest.raises(InputError, match=f"takes no {name}"):
            papers.table("nddr", "A1").column(NDDROptions(**{name: 1}))


@pytest.mark.parametrize("number", ["4", "7", "A1"])
def test_the_penalty_on_subspaces_is_the_columns_own_and_touches_sluice_networks_alone(number):
    table, given = papers.table("nddr", number), {"image_size": (64, 80), "epochs": 0.1}
    plain, column = table.column(NDDROptions(**given)), table.column(NDDROptions(**given, sluice_penalty=0))
    assert plain.identity == table.column(NDDROptions(**given, sluice_penalty=0.1)).identity != column.identity
    with_, without = trained(number, plain), trained(number, column)
    touched = {row for row in with_ if [t.identity for t in with_[row]] != [t.identity for t in without[row]]}
    assert touched == {"sluice", "sluice_no_exchange"}
    for row in touched:
        assert with_[row][0].network.sharing.unit.penalty == 0.1
        assert without[row][0].network.sharing.unit.penalty == 0
    assert "--sluice-penalty 0" in column.command
    assert "penalty" not in plain.command
    (ours,) = (ours for what, _, ours in table.protocol(column) if what == "Units")
    assert "sluice at rate 1000 with no penalty" in ours
    with pytest.raises(InputError, match="sluice_penalty must be a number of at least 0"):
        NDDROptions(sluice_penalty=-1)


@pytest.mark.parametrize(("backbone", "relu"), [("resnet18", True), ("mobilenetv2_100", False)])
@pytest.mark.parametrize("number", ["1", "3", "4", "7", "A1"])
def test_no_relu_cuts_what_a_linear_stage_puts_out(number, backbone, relu):
    table = papers.table("nddr", number)
    column = table.column(NDDROptions(image_size=(32, 40), backbone=backbone))
    fused = [training.network.sharing for made in trained(number, column).values() for training in made]
    units = [sharing.unit for sharing in fused if isinstance(sharing, SoftSharing.Settings)]
    assert {(unit.norm, unit.relu) for unit in units if isinstance(unit, NDDR.Settings)} == {("output", relu)}
    (line,) = (ours for what, _, ours in table.protocol(column) if what == "Units")
    assert ("without a ReLU" not in line) == relu


def test_a_development_part_of_faces_is_of_training_images(tmp_path):
    table = papers.table("nddr", "7")
    column = table.column(NDDROptions(split="development"))
    whole = table.column(NDDROptions())
    (train,), (held,) = (column.data.splits(split, ("age",)) for split in ("train", "val"))
    (every,) = whole.data.splits("train", ("age",))
    assert {split: count for split, (count, _) in column.counts.items()} == {"train": len(train), "val": len(held)}
    names = [{part.name_of(index) for index in range(len(part))} for part in (train, held, every)]
    assert not names[0] & names[1]
    assert names[0] | names[1] <= names[2]
    assert "--split development" in column.command
    assert column.identity != whole.identity
