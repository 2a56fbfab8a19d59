"""The declaration of NDDR-CNN's table on faces."""

import shutil
from datetime import date

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.io import savemat

from mtlkit import papers
from mtlkit.data import Data
from mtlkit.engine import Engine
from mtlkit.errors import InputError
from mtlkit.ledger import Ledger
from mtlkit.papers.nddr.options import NDDROptions
from mtlkit.papers.printed import printed
from mtlkit.report.side_by_side import SideBySide
from mtlkit.runtime import Runtime
from mtlkit.worlds import faces

TABLE = papers.table("nddr", "7")
SMALL = {"backbone": "mobilenetv3_small_050", "image_size": (32, 32)}


def rows(column):
    return {row.id: row for row in TABLE.rows(column, 0)}


def card(column):
    return {what: (theirs, ours) for what, theirs, ours in TABLE.protocol(column)}


def cells(values):
    row = np.empty((1, len(values)), object)
    row[0] = values
    return row


@pytest.fixture
def own(tmp_path):
    """Faces in UTKFace's layout, without lists."""
    faces.write(tmp_path / "own", train=30, val=10, size=(32, 32))
    shutil.rmtree(tmp_path / "own" / "splits")
    return tmp_path / "own"


@pytest.fixture
def crops(tmp_path):
    """IMDB's files: 24 images of 8 people, one with two faces, one too old."""
    folder = tmp_path / "imdb_crop"
    (folder / "01").mkdir(parents=True)
    count = 24
    names = [f"01/nm{n % 8}_rm{n}_1950-1-1_1990.jpg" for n in range(count)]
    for n, name in enumerate(names):
        Image.fromarray(np.full((40, 32, 3), 10 * n, np.uint8)).save(folder / name)
    second = np.full((1, count), np.nan)
    second[0, 3] = 2.0
    taken = np.full((1, count), 1990, np.uint16)
    taken[0, 5] = 2060
    struct = {
        "dob": np.full((1, count), float(date(1950, 1, 1).toordinal() + 366)), "photo_taken": taken,
        "full_path": cells(names), "gender": np.arange(count, dtype=float)[None] % 2,
        "face_score": np.ones((1, count)), "second_face_score": second,
        "celeb_id": np.arange(count, dtype=float)[None] % 8,
    }  # fmt: skip
    savemat(folder / "imdb.mat", {"imdb": struct})
    return tmp_path


def test_the_printed_networks_share_the_convolutions_and_fuse_after_the_pools():
    found = rows(TABLE.meta_column())
    assert [row.id for row in found.values() if row.printed] == [row.id for row in printed("nddr").tables["7"].rows]
    with torch.device("meta"):
        multi = found["multi"].evaluations[0].subject.network.build(weights=False)
        fused = found["nddr"].evaluations[0].subject.network.build(weights=False)
    assert [len(multi.trunk.shared), {len(branch) for branch in multi.trunk.branches.values()}] == [5, {2}]
    assert list(fused.trunk.units) == ["0", "1", "2", "3", "4"]
    assert fused.trunk.channels == (64, 128, 256, 512, 512, 4096, 4096)
    with torch.device("meta"), torch.no_grad():
        outputs = fused.eval()(torch.empty(1, 3, 224, 224))
    assert {name: tuple(output.shape) for name, output in outputs.items()} == {"age": (1, 100), "gender": (1, 2)}


def fused(column, row="nddr"):
    return rows(column)[row].evaluations[0].subject.network


def passing(settings):
    """The same fused network, each unit starting as a task's own map alone."""
    start = {"alpha": 1.0, "beta": 0.0}
    sharing = settings.sharing
    units = {name: unit.model_copy(update=start) for name in ("unit", "last") if (unit := getattr(sharing, name))}
    return settings.model_copy(update={"sharing": sharing.model_copy(update=units)})


@pytest.fixture(scope="module")
def first_outputs():
    """Which layers have a norm -> how far the first outputs in training are from the single-task networks', by task."""

    def distances(which, exchange=False):
        column = TABLE.column(NDDROptions(**SMALL | {"backbone": "resnet10t"}, nddr_norm=which))
        torch.manual_seed(0)
        alone = [value.subject.network.build() for value in rows(column)["single"].evaluations]
        both = (fused(column) if exchange else passing(fused(column))).build()
        for network in alone:
            (task,) = network.tasks
            with torch.no_grad():
                network.heads[task].classifier.weight.mul_(10)  # as after training, where its scale matters
            both.load_single_task(task, network.state_dict())
        images = torch.rand(4, 3, 32, 32)
        found = both.train()(images)
        return {
            task: (found[task] - network.train()(images)[task]).abs().max().item()
            for network in alone
            for task in network.tasks
        }

    return distances


def test_without_norms_a_fused_network_begins_exactly_as_its_single_task_networks(first_outputs):
    assert set(first_outputs("none").values()) == {0.0}
    assert min(first_outputs("none", exchange=True).values()) > 0
    assert min(first_outputs("every").values()) > 0.1


def test_nddr_norm_reaches_the_networks_the_card_and_the_command():
    found = {which: TABLE.column(NDDROptions(**SMALL, nddr_norm=which)) for which in ("every", "inner", "none")}
    assert found["every"].identity == TABLE.column(NDDROptions(**SMALL)).identity
    for which, column in found.items():
        for row in ("nddr", "no_exchange"):
            network = fused(column, row)
            with torch.device("meta"):
                units = list(network.build(weights=False).trunk.units.values())
            normed = [unit.norm_out is not None for unit in units]
            assert normed == [which != "none"] * (len(units) - 1) + [which == "every"]
            assert {unit.exchange for unit in units} == {row == "nddr"}
        assert ("--nddr-norm" in column.command) == (which != "every")
        again = TABLE.columns.model_validate(column.model_dump(mode="json"))
        assert again.options() == column.options()
    lines = {which: card(column)["Units"][1] for which, column in found.items()}
    assert "in front of the classifiers without both" in lines["inner"]
    assert "NDDR without batch norm" in lines["none"]
    others = {row: one for row, one in rows(found["every"]).items() if row not in ("nddr", "no_exchange")}
    assert {row: rows(found["inner"])[row] for row in others} == others


def test_where_fc6_and_fc7_stand_before_the_classifiers_all_layers_are_inner_ones(own):
    given = {"profile": "paper", "data_root": own, "dataset": "utkface"}
    with pytest.raises(InputError, match="take nddr_norm every or none"):
        TABLE.column(NDDROptions(**given, nddr_norm="inner"))
    with pytest.raises(InputError, match="Table 4 has convolutions behind its last NDDR layer and takes no nddr_norm"):
        papers.table("nddr", "4").column(NDDROptions(nddr_norm="none"))


def test_the_card_has_the_papers_counts_beside_ours(crops):
    column = TABLE.column(NDDROptions(dataset="imdb_wiki", data_root=crops, **SMALL))
    lines = card(column)
    assert lines["Faces"] == (
        "460,723 images of 20,284 people listed, 187,103 images of 12,325 people kept",
        "24 images of 8 people listed, 22 images of 8 people kept",
    )
    assert lines["Training"][0] == "163,013 images of 10,325 people"
    assert lines["Split"][1] == "by person"
    assert lines["Left out"][1] == "1 second face, 1 age outside 0 to 99"
    assert column.counts["train"][0] + column.counts["val"][0] == 22


def test_a_development_part_of_faces_holds_whole_people(crops):
    column = TABLE.column(NDDROptions(dataset="imdb_wiki", data_root=crops, **SMALL))
    held = column.data.model_copy(update={"part": "development"})
    people = {
        split: {name.split("_")[0] for name in map(part.name_of, range(len(part)))}
        for split in ("train", "val")
        for part in held.splits(split, ("age",))
    }
    assert people["train"]
    assert people["val"]
    assert not people["train"] & people["val"]
    whole = column.data.split("train", ("age", "gender"))
    assert sum(len(part) for split in ("train", "val") for part in held.splits(split, ("age",))) == len(whole)
    test = column.data.split("val", ("age",))
    assert not {name.split("_")[0] for name in map(test.name_of, range(len(test)))} & (people["train"] | people["val"])


def test_faulty_photos_are_refused_by_name_or_skipped_and_listed_once(own):
    (own / "image" / "30_7_0_20170101000000000.jpg").write_bytes(b"")
    (own / "image" / "31_1_0_20170101000000001.jpg").write_bytes(b"no image")
    shutil.copy(next((own / "image").glob("2*_1_4_*.jpg")), own / "image" / "105_1_0_20170101000000002.jpg")
    with pytest.raises(InputError, match=r"2 of 43 images.*30_7_0.*31_1_0.*on_error='skip'"):
        TABLE.column(NDDROptions(data_root=own, **SMALL))
    column = TABLE.column(NDDROptions(data_root=own, on_error="skip", **SMALL))
    assert column.left_out == {
        "gender neither 0 nor 1 in the file name": 1, "unreadable image": 1, "age outside 0 to 99": 1,
    }  # fmt: skip
    assert "unreadable image: 31_1_0_20170101000000001.jpg" in card(column)["Faulty images"][1]
    assert "--on-error skip" in column.command
    again = TABLE.columns.model_validate(column.model_dump(mode="json"))
    assert again.identity == column.identity


def test_a_first_look_sees_as_many_images_of_any_data_set(own):
    drawn, few = (TABLE.column(NDDROptions(data_root=root, **SMALL)) for root in (None, own))
    assert few.recipe.images <= drawn.recipe.images
    longer = TABLE.column(NDDROptions(data_root=own, epochs=5, **SMALL))
    assert longer.epochs == 5


def test_an_output_stride_is_refused():
    with pytest.raises(InputError, match="Table 7 has one class per image"):
        TABLE.column(NDDROptions(output_stride=8))


def test_the_layouts_are_part_of_what_data_is():
    for layout in ("utkface", "imdb_wiki"):
        assert Data(layout=layout, name="x", fingerprint="y", size=(8, 8)).layout == layout


def test_rows_run_and_fill_every_column(tmp_path):
    column = TABLE.column(NDDROptions(**SMALL, epochs=0.2))
    book = Ledger(tmp_path)
    wanted = rows(column)
    values = [v for row in ("constant", "multi", "nddr") for v in wanted[row].evaluations]
    Engine(book, Runtime(device="cpu", progress=False)).run(values)
    comparison = SideBySide.of(TABLE, column, book)
    for row in ("constant", "multi", "nddr"):
        for measure in (*TABLE.measures.values(), *(extra.measure for extra in TABLE.extras)):
            assert comparison.cell(row, measure).values, (row, measure)
