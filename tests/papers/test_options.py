"""Options: one class a paper, from which command line, cell, card and errors follow."""

import subprocess
import sys
import warnings

import pytest
import torch
from safetensors.torch import save_file
from typer.testing import CliRunner

from mtlkit import papers, reproduce
from mtlkit.cli import app
from mtlkit.data import Mixture
from mtlkit.errors import InputError
from mtlkit.graph import ordered
from mtlkit.ledger import Record
from mtlkit.papers.options import PROFILES, Options, RenamedOption
from mtlkit.runs import trainings
from mtlkit.worlds import WORLDS, drawer, world

TABLES = [(slug, table) for slug in papers.SLUGS for table in papers.options_of(slug).tables]
FOLDERS = {
    ("nddr", "7"): ("utkface", "faces"),
    ("nddr", ""): ("npy", "rooms"),
    ("cross_stitch", "6"): ("apascal", "parts"),
    ("cross_stitch", ""): ("npy", "rooms"),
    ("mcn", ""): ("coco", "people"),
    ("calorie", ""): ("manifest", "plates"),
    ("multi_exit", "2"): ("imagefolder", "places,objects,more"),
    ("multi_exit", ""): ("imagefolder", "places,objects"),
}
"""Paper and table (or none) -> a layout and the small folders that it is read from here."""

TRAIN = {"rooms": 40, "plates": 40}
"""Worlds with more images: next to a development part frames are left out, and every category keeps a portion."""

SIZES = {"people": (64, 64), "plates": (48, 48), "rooms": (32, 40), "faces": (32, 32)}


def printed_columns():
    return [(slug, table, papers.table(slug, table).meta_column()) for slug, table in TABLES]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A folder a world, and one more of objects."""
    root = tmp_path_factory.mktemp("worlds")
    for name in WORLDS:
        module = drawer(name)
        square = world(name).square
        classes = {"classes": module.CLASSES[:3]} if square else {}
        size = {} if square or name not in SIZES else {"size": SIZES[name]}
        module.write(root / name, train=TRAIN.get(name, 20 if square else 12), val=4, **classes, **size)
    drawer("objects").write(root / "more", train=20, val=4, classes=drawer("objects").CLASSES[3:5])
    return root


@pytest.fixture
def typed(monkeypatch):
    """Runs a printed command and returns the table and options that it asks for."""
    found = []

    def caught(table, options, **_):
        found.append((table, options))
        raise InputError("nothing is run here")

    monkeypatch.setattr(reproduce, "reproduce", caught)

    def run(command):
        name, *words = command.split()
        assert name == "mtlkit"
        result = CliRunner().invoke(app, words)
        assert found, (command, result.output, result.exception)
        return found.pop()

    return run


@pytest.mark.parametrize("slug", papers.SLUGS)
def test_declared_tables_are_those_of_the_options(slug):
    assert [table.id for table in papers.DECLARED[slug]] == list(papers.options_of(slug).tables)
    assert set(papers.options_of(slug).first_tables) <= set(papers.options_of(slug).tables)


@pytest.mark.parametrize("slug", papers.SLUGS)
def test_every_option_is_described_and_its_tables_exist(slug):
    options = papers.options_of(slug)
    for name in options.model_fields:
        about = options.about(name)
        assert about.help
        assert set(about.tables or ()) | set(about.reasons or ()) <= set(options.tables)
        assert not set(about.tables or options.tables) & set(about.reasons or ())


@pytest.mark.parametrize(("slug", "table"), TABLES)
@pytest.mark.parametrize("profile", PROFILES)
def test_filling_twice_is_filling_once(slug, table, profile):
    filled = papers.options_of(slug)(profile=profile).filled(table)
    assert filled.filled(table) == filled


@pytest.mark.parametrize("profile", PROFILES)
def test_the_command_of_every_printed_column_parses_to_the_columns_options(profile, typed):
    for slug, number, printed in printed_columns():
        column = printed.model_copy(update={"profile": profile})
        table, options = typed(column.command)
        assert (table.paper, table.id) == (slug, number)
        assert options == column.options(), column.command


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize(("slug", "number"), TABLES)
def test_the_command_on_the_card_gives_the_same_column(slug, number, profile, folders, typed):
    table, kind = papers.table(slug, number), papers.options_of(slug)
    given = {"profile": profile, "image_size": (48, 64)}
    if kind.takes(number, "data_root"):
        layout, names = FOLDERS.get((slug, number)) or FOLDERS[slug, ""]
        given |= {"dataset": layout, "data_root": [str(folders / name) for name in names.split(",")]}
        given |= {"epochs": 1.3, "lr": 0.0123456789, "seeds": [2, 5], "precision": "bf16-mixed"}
    file = folders / "weights.safetensors"
    save_file({"features.0.weight": torch.zeros(1)}, file)
    given |= {name: str(file) for name in ("voc_weights",) if name in kind.model_fields and kind.takes(number, name)}
    given |= {"weights": str(file)} if slug == "nddr" else {}
    column = table.column(table.options(**given))
    roots = ",".join(given.get("data_root", ()))
    assert str(folders) not in column.command
    command = column.command.replace(",FOLDER", "").replace("FOLDER", roots).replace("FILE.safetensors", str(file))
    again, options = typed(command)
    assert again.column(options).identity == column.identity
    assert options == column.options()


@pytest.mark.parametrize(
    "given", [{"as_official": True, "classes": "person"}, {"on_error": "skip", "neck": "upsampling"}]
)
def test_flags_and_rows_stand_beside_each_other(given, folders, typed):
    table = papers.table("mcn", "2")
    column = table.column(table.options(data_root=folders / "people", image_size=(64, 64), **given))
    again, options = typed(column.command.replace("FOLDER", str(folders / "people")))
    assert again.column(options).identity == column.identity
    bare = column.command.replace("--as-official true", "--as-official")
    assert typed(bare.replace("FOLDER", str(folders / "people")))[1] == options


@pytest.mark.parametrize(
    ("slug", "table"),
    [
        ("nddr", "4"),
        ("nddr", "7"),
        ("nddr", "A1"),
        ("cross_stitch", "5"),
        ("mcn", "2"),
        ("mcn", "F7"),
        ("calorie", "5"),
    ],
)
def test_a_drawn_column_is_that_of_its_own_options(slug, table):
    table = papers.table(slug, table)
    column = table.column(table.options(image_size=(48, 48)))
    assert table.column(column.options()).identity == column.identity


def test_precision_is_part_of_a_column_and_the_device_is_not():
    table = papers.table("nddr", "4")
    plain = table.column(table.options(image_size=(32, 40)))
    mixed = table.column(table.options(image_size=(32, 40), precision="bf16-mixed"))
    assert mixed.identity != plain.identity
    assert {t.recipe.precision for row in table.rows(mixed, 0) for v in row.evaluations for t in v.needs} == {
        "bf16-mixed"
    }
    assert "--precision bf16-mixed" in mixed.command
    elsewhere = table.column(table.options(image_size=(32, 40), device="cpu"))
    assert elsewhere.identity == plain.identity
    assert "device" not in elsewhere.command


@pytest.mark.parametrize(
    ("slug", "given"),
    [
        ("nddr", {"seeds": ("0,1,2", [0, 1, 2]), "image_size": ("96,128", (96, 128)), "tasks": ("a,b", ["a", "b"])}),
        ("multi_exit", {"fractions": ("0.05,0.5", [0.05, 0.5]), "dataset": ("objects, places", ("objects", "places"))}),
        ("multi_exit", {"data_root": ("birds,habitats", ["birds", "habitats"])}),
        ("calorie", {"columns": ("kcal=energy,category=food", {"kcal": "energy", "category": "food"})}),
        ("mcn", {"classes": ("dog,cat", ["dog", "cat"])}),
        ("nddr", {"seeds": (3, [3]), "dataset": ("rooms", ["rooms"]), "data_root": (2024, ["2024"])}),
    ],
)
def test_a_list_in_text_is_the_list(slug, given):
    kind = papers.options_of(slug)
    text, values = ({name: pair[side] for name, pair in given.items()} for side in (0, 1))
    assert kind(**text) == kind(**values)


def test_a_folder_with_a_comma_in_its_name_is_one_folder(tmp_path):
    folder = tmp_path / "rooms, two"
    folder.mkdir()
    assert papers.options_of("nddr")(data_root=str(folder)).data_root == (folder,)


@pytest.mark.parametrize(
    ("slug", "table", "given", "sentence"),
    [
        ("nddr", "7", {"output_stride": 8}, "Table 7 has one class per image and takes no output_stride"),
        ("nddr", "A1", {"units_lr": 1}, "Table A1 has its paper's rate for units and takes no units_lr"),
        ("nddr", "4", {"voc_weights": "x"}, "Table 4 takes no voc_weights; leave it out, or choose table 3."),
        ("mcn", "F7", {"split": "development"}, "Table F7 times untrained networks and takes no split"),
        ("mcn", "4", {"accumulate": 2}, "Table 4 times untrained networks and takes no accumulate"),
        ("multi_exit", "1", {"second_lr": 0.1}, "Table 1 has one backbone and takes no second_lr"),
        ("mcn", "4", {"epochs": 3}, "Table 4 times untrained networks and takes no epochs"),
        ("mcn", "4", {"precision": "bf16-mixed"}, "takes no precision"),
        ("calorie", "3", {"averaging": "last"}, "takes no averaging"),
        ("nddr", "4", {"bakbone": "x"}, "There is no parameter 'bakbone'; did you mean 'backbone'?"),
    ],
)
def test_what_a_table_has_no_use_for_is_one_sentence(slug, table, given, sentence):
    with pytest.raises(InputError) as error:
        papers.table(slug, table).options(**given)
    assert sentence in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("slug", "old", "new", "sentence"),
    [
        ("nddr", {"faulty": "skip"}, {"on_error": "skip"}, "faulty is now called on_error: write on_error=skip"),
        ("nddr", {"faulty": "refuse"}, {"on_error": "raise"}, "write on_error=raise"),
        ("nddr", {"part": "all"}, {"split": "test"}, "part is now called split: write split=test"),
        ("cross_stitch", {"part": "development"}, {"split": "development"}, "split=development"),
        ("mcn", {"keep": ["dog", "cat"]}, {"classes": ("dog", "cat")}, "keep is now called classes"),
    ],
)
def test_a_former_name_is_taken_with_a_sentence(slug, old, new, sentence):
    kind = papers.options_of(slug)
    with pytest.warns(RenamedOption) as told:
        assert kind(**old) == kind(**new)
    assert sentence in str(told[0].message)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        kind(**new)
    with pytest.raises(InputError, match="both are given"):
        kind(**old, **new)


def test_importing_the_options_of_all_papers_imports_no_torch():
    code = (
        "import sys\nfrom mtlkit import papers\nfrom mtlkit.papers.cell import parameters_cell\n"
        "for slug in papers.SLUGS:\n    papers.options_of(slug); papers.printed(slug); parameters_cell(slug)\n"
        "heavy = {'torch', 'timm', 'numpy', 'mtlkit.data', 'mtlkit.network'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_paper_without_options_of_its_own_has_the_generic_ones():
    class Plain(Options):
        paper = "plain"
        tables = ("1",)

    assert Plain(lr=0.1).command("1") == "mtlkit run plain 1 --profile smoke --lr 0.1"


TRAINED = [(slug, number) for slug, number in TABLES if papers.options_of(slug).takes(number, "epochs")]
"""Tables whose networks are trained."""


def of_folders(slug, number, folders, **more):
    """Options of a trained table over small folders."""
    layout, names = FOLDERS.get((slug, number)) or FOLDERS[slug, ""]
    roots = [str(folders / name) for name in names.split(",")]
    return {"dataset": layout, "data_root": roots, "image_size": (48, 64), "weights": "none"} | more


def sets_in(data):
    return list(data.sets.values()) if isinstance(data, Mixture) else [data]


def names_of(data, split, tasks):
    part = data.split(split, tasks)
    return {part.name_of(index) for index in range(len(part))}


READS = {"mcn": ("detection",), "calorie": ("calories",), "multi_exit": ("label",)}


@pytest.mark.parametrize(("slug", "number"), TRAINED)
def test_every_trained_table_has_a_development_split(slug, number, folders, typed, tmp_path):
    table = papers.table(slug, number)
    given = of_folders(slug, number, folders, split="development")
    if slug == "multi_exit":
        given["fractions"] = [0.5]
    column = table.column(table.options(**given))
    assert column.data.part == "development"
    tasks = READS.get(slug) or (
        ("age",) if number == "7" else ("detection",) if number == "6" and slug == "cross_stitch" else ("segmentation",)
    )

    # Nothing is scored that is trained on, and nothing is of the test images.
    for data in sets_in(column.data):
        whole = data.model_copy(update={"part": "all"})
        train, scored, every = (names_of(*which, tasks) for which in ((data, "train"), (data, "val"), (whole, "train")))
        assert train
        assert scored
        assert not train & scored
        assert train | scored <= every
        # A fraction is of what the development part leaves.
        if slug == "multi_exit":
            some = data.model_copy(update={"fraction": 0.5})
            assert names_of(some, "train", tasks) < train
            assert names_of(some, "val", tasks) == scored
            labels = [data.split(split, tasks).labels for split in ("train", "val")]
            assert set(labels[0]) == set(labels[1]) == set(whole.split("train", tasks).labels)
    held = {data.fingerprint for data in sets_in(column.data)}
    nodes = ordered(value for row in table.rows(column, column.seeds[0]) for value in row.evaluations)
    for data in [one for node in nodes.values() if hasattr(node, "data") for one in sets_in(node.data)]:
        assert data.part == "development" or data.fingerprint not in held

    # The command on the card gives the column again, the card says so, and show lists it.
    roots = ",".join(given["data_root"])
    again, options = typed(column.command.replace(",FOLDER", "").replace("FOLDER", roots))
    assert again.column(options).identity == column.identity
    assert "--split development" in column.command
    assert any(what == "Scored on" and "nothing is trained" in ours for what, _, ours in table.protocol(column))
    plain = table.column(table.options(**given | {"split": "test"}))
    assert plain.identity != column.identity
    scored = table.rows(column, column.seeds[0])[0].evaluations[0]
    metrics = dict.fromkeys(table.measures.values(), 50.0)
    book = reproduce.opened(column, reproduce.Results(tmp_path))
    book.write(Record(kind=scored.kind, identity=scored.identity, settings={}, metrics=metrics))
    shown = CliRunner().invoke(app, ["show", slug, number, "--results-dir", str(tmp_path)])
    assert "(development part of its training images)" in " ".join(shown.output.split())


@pytest.mark.parametrize(("slug", "number"), TRAINED)
def test_the_images_of_a_step_may_be_cut_into_batches(slug, number, folders, typed):
    table = papers.table(slug, number)
    given = of_folders(slug, number, folders, batch_size=6)
    whole, cut = (table.column(table.options(**given | more)) for more in ({}, {"accumulate": 3}))
    assert (cut.recipe.batch_size, cut.recipe.accumulate) == (2, 3)
    assert (cut.recipe.images, cut.recipe.steps, cut.recipe.lr) == (
        whole.recipe.images,
        whole.recipe.steps,
        whole.recipe.lr,
    )
    lengths = [
        {
            key: node.recipe.images
            for row in table.rows(column, 0)
            for key, node in enumerate(trainings(row.evaluations).values())
        }
        for column in (whole, cut)
    ]
    assert lengths[0] == lengths[1]
    lines = {what: ours for what, _, ours in table.protocol(cut)}
    assert "3 batches of 2" in lines["Accumulated gradient"]
    assert "Accumulated gradient" not in {what for what, _, _ in table.protocol(whole)}
    roots = ",".join(given["data_root"])
    again, options = typed(cut.command.replace(",FOLDER", "").replace("FOLDER", roots))
    assert again.column(options).identity == cut.identity
    with pytest.raises(InputError, match="A step of 6 images cannot be cut into 4 equal batches"):
        table.column(table.options(**given | {"accumulate": 4}))


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"epochs": float("inf")}, "epochs must be a number above 0"),
        ({"lr": float("nan")}, "lr must be a number above 0"),
        ({"dataset": ""}, "dataset must be"),
        ({"data_root": ""}, "data_root must be"),
        ({"backbone": ""}, "backbone must be"),
    ],
)
def test_neither_infinity_nor_nothing_is_a_value(given, sentence):
    with pytest.raises(InputError, match=sentence):
        papers.table("nddr", "4").options(**given)


def test_a_home_that_nobody_has_is_a_folder_that_is_not_there():
    with pytest.raises(InputError, match="nosuchuser"):
        papers.table("nddr", "4").column(papers.table("nddr", "4").options(data_root="~nosuchuser/rooms"))


def test_sets_share_a_batch_in_equal_parts():
    table = papers.table("multi_exit", "1")
    with pytest.raises(InputError, match="must be a multiple of 2, not 1"):
        table.column(table.options(accumulate=8))


def test_joint_learning_of_features_sees_whole_batches():
    table = papers.table("calorie", "3")
    column = table.column(table.options(accumulate=4))
    recipes = [one.recipe for row in table.rows(column, 0) for one in trainings(row.evaluations).values()]
    assert {(recipe.batch_size, recipe.accumulate) for recipe in recipes} == {(16, 1)}
