"""Options: one class a paper, from which command line, cell, card and errors follow."""

import subprocess
import sys
import warnings

import pytest
from typer.testing import CliRunner

from mtlkit import papers, reproduce
from mtlkit.cli import app
from mtlkit.errors import InputError
from mtlkit.papers.options import PROFILES, Options, RenamedOption
from mtlkit.worlds import WORLDS, drawer

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

SIZES = {"people": (64, 64), "plates": (48, 48), "rooms": (32, 40), "faces": (32, 32)}


def printed_columns():
    return [(slug, table, papers.table(slug, table).meta_column()) for slug, table in TABLES]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A folder a world, and one more of objects."""
    root = tmp_path_factory.mktemp("worlds")
    for name in WORLDS:
        module = drawer(name)
        square = WORLDS[name].square
        classes = {"classes": module.CLASSES[:3]} if square else {}
        size = {} if square or name not in SIZES else {"size": SIZES[name]}
        module.write(root / name, train=20 if square else 12, val=4, **classes, **size)
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
    file.write_bytes(b"")
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
        ("nddr", "7", {"output_stride": 8}, "Table 7 has a class an image and takes no output_stride"),
        ("nddr", "A1", {"units_lr": 1}, "Table A1 has its paper's rate for units and takes no units_lr"),
        ("nddr", "4", {"voc_weights": "x"}, "Table 4 takes no voc_weights; leave it out, or choose table 3."),
        ("cross_stitch", "6", {"split": "development"}, "Table 6 takes no split; leave it out, or choose table 5."),
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
