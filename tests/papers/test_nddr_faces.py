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
from mtlkit.engine import Engine, Where
from mtlkit.errors import InputError
from mtlkit.ledger import Ledger
from mtlkit.papers.nddr.options import NDDROptions
from mtlkit.papers.printed import printed
from mtlkit.report.side_by_side import SideBySide
from mtlkit.worlds import faces

TABLE = papers.table("nddr", "7")
SMALL = {"backbone": "resnet10t", "image_size": (32, 32)}


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
    """IMDB's files: 24 pictures of 8 people, one with two faces, one too old."""
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
        multi = found["multi"].evaluations[0].subject.network.network(weights=False)
        fused = found["nddr"].evaluations[0].subject.network.network(weights=False)
    assert [len(multi.trunk.shared), {len(branch) for branch in multi.trunk.branches.values()}] == [5, {2}]
    assert list(fused.trunk.units) == ["0", "1", "2", "3", "4"]
    assert fused.trunk.channels == (64, 128, 256, 512, 512, 4096, 4096)
    with torch.device("meta"), torch.no_grad():
        outputs = fused.eval()(torch.empty(1, 3, 224, 224))
    assert {name: tuple(output.shape) for name, output in outputs.items()} == {"age": (1, 100), "gender": (1, 2)}


def test_the_card_has_the_papers_counts_beside_ours(crops):
    column = TABLE.column(NDDROptions(dataset="imdb_wiki", data_root=crops, **SMALL))
    lines = card(column)
    assert lines["Faces"] == (
        "460,723 pictures of 20,284 people listed, 187,103 pictures of 12,325 people kept",
        "24 pictures of 8 people listed, 22 pictures of 8 people kept",
    )
    assert lines["Training"][0] == "163,013 pictures of 10,325 people"
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
    (own / "image" / "31_1_0_20170101000000001.jpg").write_bytes(b"no picture")
    shutil.copy(next((own / "image").glob("2*_1_4_*.jpg")), own / "image" / "105_1_0_20170101000000002.jpg")
    with pytest.raises(InputError, match=r"2 of 43 pictures.*30_7_0.*31_1_0.*on_error='skip'"):
        TABLE.column(NDDROptions(data_root=own, **SMALL))
    column = TABLE.column(NDDROptions(data_root=own, on_error="skip", **SMALL))
    assert column.left_out == {
        "gender neither 0 nor 1 in the file name": 1, "unreadable picture": 1, "age outside 0 to 99": 1,
    }  # fmt: skip
    assert "unreadable picture: 31_1_0_20170101000000001.jpg" in card(column)["Faulty pictures"][1]
    assert "--on-error skip" in column.command
    again = TABLE.columns.model_validate(column.model_dump(mode="json"))
    assert again.identity == column.identity


def test_a_first_look_sees_as_many_pictures_of_any_data_set(own):
    drawn, few = (TABLE.column(NDDROptions(data_root=root, **SMALL)) for root in (None, own))
    assert few.recipe.images <= drawn.recipe.images
    longer = TABLE.column(NDDROptions(data_root=own, epochs=5, **SMALL))
    assert longer.epochs == 5


def test_an_output_stride_is_refused():
    with pytest.raises(InputError, match="Table 7 has a class an image"):
        TABLE.column(NDDROptions(output_stride=8))


def test_the_layouts_are_part_of_what_data_is():
    for layout in ("utkface", "imdb_wiki"):
        assert Data(layout=layout, name="x", fingerprint="y", size=(8, 8)).layout == layout


def test_rows_run_and_fill_every_column(tmp_path):
    column = TABLE.column(NDDROptions(**SMALL, epochs=0.2))
    book = Ledger(tmp_path)
    wanted = rows(column)
    values = [v for row in ("constant", "multi", "nddr") for v in wanted[row].evaluations]
    Engine(book, Where(device="cpu", progress=False)).run(values)
    comparison = SideBySide.of(TABLE, column, book)
    for row in ("constant", "multi", "nddr"):
        for measure in (*TABLE.measures.values(), *(extra.measure for extra in TABLE.extras)):
            assert comparison.cell(row, measure).values, (row, measure)
