"""The committed notebooks, their parameters, and what a wrong parameter says."""

import ast
import importlib
import io
import json
import re
import subprocess
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import nbformat
import numpy as np
import PIL.Image
import pytest

from mtlkit.errors import InputError
from mtlkit.notebook import Reproduction, parameters, show
from mtlkit.papers import options_of
from mtlkit.papers.cell import parameters_cell
from mtlkit.worlds import faces, rooms

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
LEARN = sorted((ROOT / "book/learn").glob("*.ipynb"))
PARAMETERS = {"profile": "smoke", "tables": ["4"], "methods": None, "device": "cpu"}


@pytest.fixture(autouse=True)
def _results(tmp_path, monkeypatch):
    monkeypatch.setenv("MTLKIT_RESULTS", str(tmp_path / "results"))


@pytest.mark.parametrize("path", NOTEBOOKS + LEARN, ids=lambda path: path.stem)
def test_committed_notebooks_are_executed_small_and_free_of_paths_and_times(path):
    text = path.read_text()
    assert len(text) < 1.5 * 1024**2
    assert "site-packages" not in text
    notebook = nbformat.read(path, 4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(cell.execution_count for cell in code)
    streams = [output for cell in code for output in cell.outputs if output.output_type == "stream"]
    assert all(output.name == "stdout" for output in streams)
    assert not any(output.output_type == "error" for cell in code for output in cell.outputs)
    assert '"execution"' not in json.dumps([cell.metadata for cell in notebook.cells])


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_papermill_lists_every_parameter_with_its_type_and_help(path):
    from papermill.inspection import inspect_notebook
    from papermill.iorw import load_notebook_node
    from papermill.utils import find_first_tagged_cell_index

    listed = inspect_notebook(str(path))
    notebook = load_notebook_node(str(path))
    source = notebook.cells[find_first_tagged_cell_index(notebook, "parameters")].source
    written = [line.split(":")[0] for line in source.splitlines() if line and not line.startswith(("from", "import"))]
    assert sorted(listed) == sorted(written)
    assert all(found["help"] and found["inferred_type_name"] != "None" for found in listed.values())


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"backbon": "resnet18"}, "There is no parameter 'backbon'; did you mean 'backbone'?"),
        ({"backbone": "nosuchnet"}, "nosuchnet"),
        ({"backbone": "resnet19"}, "resnet18"),
        ({"data_root": "/nowhere"}, "/nowhere"),
        ({"epochs": "many"}, "The parameter epochs must be a number above 0, not 'many'."),
        ({"epochs": True}, "epochs must be a number"),
        ({"batch_size": 0}, "batch_size must be a whole number above 0, not 0."),
        ({"image_size": [64]}, "image_size must be height and width"),
        ({"image_size": 64}, "image_size must be height and width"),
        ({"seeds": ["a"]}, "seeds must be whole numbers from 0"),
        ({"seeds": [0, 1, 0]}, "Seed 0 is named 2 times"),
        ({"profile": "smok"}, "There is no profile 'smok'; did you mean 'smoke'?"),
        ({"tables": ["44"]}, "There is no table of nddr '44'"),
        ({"tables": "F3"}, "There is no table of nddr 'F3'"),
        ({"tables": True}, "tables must be a name or a list"),
        ({"methods": ["nddrs"]}, "did you mean 'nddr'?"),
        ({"device": "gpu"}, "There is no device 'gpu'"),
        ({"precision": "16-mixed"}, "16-mixed needs a GPU"),
        ({"workers": -1}, "workers must be a whole number from 0"),
        ({"weights": "/no/file"}, "There is no weights file /no/file"),
        ({"results_dir": True}, "results_dir must be a folder, not True"),
    ],
)
def test_a_wrong_parameter_is_one_sentence(given, sentence):
    with pytest.raises(InputError) as error:
        Reproduction("nddr", PARAMETERS | given)
    assert sentence in str(error.value)
    assert "\n" not in str(error.value)
    assert error.value._render_traceback_() == [f"InputError: {error.value}"]


def test_a_gallery_has_the_truth_and_the_answer_of_every_pixel_as_images():
    paper = Reproduction(
        "nddr", PARAMETERS | {"tables": "4", "methods": ["multi"], "epochs": 0.1, "image_size": [32, 48]}
    )
    found = paper.predictions(paper.table("4"), 2)
    assert set(found) == {"segmentation", "normals"}
    for columns in found.values():
        assert [heading for heading, _ in columns][2:] == ["Multi-task"]
        for _, pictures in columns:
            assert [(one.shape, one.dtype) for one in pictures] == [((32, 48, 3), np.uint8)] * 2


def test_a_figure_can_show_every_trained_network_of_the_paper_and_says_which():
    paper = Reproduction(
        "nddr", PARAMETERS | {"methods": ["constant", "single_longer", "multi"], "epochs": 0.1, "image_size": [32, 48]}
    )
    comparison = paper.table("4")
    found = paper.trained(comparison)
    assert list(found) == ["multi"]
    recipe = found["multi"].recipe
    shown = paper.origin(comparison, found.values())
    assert shown.startswith("Networks of profile smoke: mobilenetv3_small_050; ")
    assert f"steps: {recipe.steps}; images per step: {recipe.images_a_step}" in shown


def test_a_large_figure_is_stored_in_few_colours_and_says_the_same(monkeypatch):
    stored = []
    monkeypatch.setattr("IPython.display.display", stored.append)
    for side in (8, 700):
        figure = plt.figure(figsize=(side / 72, side / 72))
        figure.figimage(np.random.default_rng(0).random((side, side, 3)))
        figure.set_label(f"Noise of {side} pixels.")
        show(figure)
    assert [PIL.Image.open(io.BytesIO(one.data)).mode for one in stored] == ["RGBA", "P"]
    assert [one.alt for one in stored] == ["Noise of 8 pixels.", "Noise of 700 pixels."]


def test_class_predictions_of_faces_are_years_and_genders():
    paper = Reproduction(
        "nddr", PARAMETERS | {"tables": "7", "methods": ["multi"], "epochs": 0.1, "image_size": [32, 32]}
    )
    found = paper.class_predictions(paper.table("7"), 5)
    assert set(found) == {"age", "gender"}
    for name, valid in (("age", set(map(str, range(100)))), ("gender", {"male", "female"})):
        assert len(found[name].images) == len(found[name].truth) == len(found[name].predictions["Multi-task"]) == 5
        assert {*found[name].truth, *found[name].predictions["Multi-task"]} <= valid


def test_what_papermill_may_pass_is_understood():
    for given in ({"tables": 4}, {"tables": "4"}, {"seeds": 3}, {"seeds": [0, 1]}, {"epochs": 2}, {"methods": "nddr"}):
        Reproduction("nddr", PARAMETERS | given)
    assert Reproduction("nddr", PARAMETERS | {"seeds": 0}).options.seeds == (0,)


def test_names_of_the_shell_modules_and_functions_are_no_parameters():
    Reproduction("nddr", PARAMETERS | {"_i": 1, "In": [], "json": json, "print_it": print, "Path": Path})


def test_the_sentence_is_the_last_line_papermill_prints(tmp_path):
    command = [sys.executable, "-m", "papermill", "-k", "python3", str(ROOT / "notebooks/nddr.ipynb")]
    result = subprocess.run(
        [*command, str(tmp_path / "out.ipynb"), "-p", "backbon", "resnet18"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode != 0
    assert result.stderr.strip().splitlines()[-1] == (
        "InputError: There is no parameter 'backbon'; did you mean 'backbone'?"
    )
    cells = nbformat.read(tmp_path / "out.ipynb", 4).cells
    (stopped,) = [o for c in cells if c.cell_type == "code" for o in c.outputs if o.output_type == "error"]
    assert stopped.traceback == ["InputError: There is no parameter 'backbon'; did you mean 'backbone'?"]


def code_of(path):
    return [cell for cell in nbformat.read(path, 4).cells if cell.cell_type == "code"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_parameters_cell_is_written_from_the_papers_options(path):
    (cell,) = (cell for cell in code_of(path) if "parameters" in cell.metadata.get("tags", []))
    assert cell.source == parameters_cell(path.stem)
    scope = {}
    exec(cell.source, scope)
    del scope["__builtins__"]
    options, selection = parameters(path.stem, scope)
    assert options == type(options)()
    assert selection.tables is None


def conditions(node):
    """The names that a statement asks not to be ``None`` before its body runs."""
    test = ast.unparse(node.test) if isinstance(node, ast.If) else ""
    return set(re.findall(r"(\w+) is not None", test))


def bound(node):
    """Names that a statement binds, comprehensions' and functions' own apart."""
    found = {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    found |= {(a.asname or a.name).split(".")[0] for n in ast.walk(node) if hasattr(n, "names")
              and isinstance(n, (ast.Import, ast.ImportFrom)) for a in n.names}  # fmt: skip
    return found | {n.name for n in ast.walk(node) if isinstance(n, (ast.FunctionDef, ast.ClassDef))}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_cells_cope_with_any_subset_of_tables(path):
    where = {}
    for cell in code_of(path):
        for statement in ast.parse(cell.source).body:
            here = conditions(statement)
            own = bound(statement)
            read = {n.id for n in ast.walk(statement) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}
            for name in (read & where.keys()) - own:
                assert any(needed <= here for needed in where[name]), f"{name} in: {cell.source[:80]}"
            for name in own:
                where.setdefault(name, []).append(here)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("own")
    rooms.write(root / "rooms", train=12, val=4, size=(32, 40))
    faces.write(root / "faces", train=24, val=8, size=(32, 32))
    return root


SMALL = {"device": "cpu", "image_size": "32,40"}


@pytest.mark.parametrize(
    ("given", "runs", "left", "why"),
    [
        ({"dataset": "npy", "data_root": "rooms"}, "4", "7", "There is no data set 'npy'"),
        ({"data_root": "faces"}, "7", "4", "faces"),
        ({"dataset": "utkface", "data_root": "faces"}, "7", "4", "There is no data set 'utkface'"),
        ({"output_stride": 16}, "4", "7", "Table 7 has one class per image and takes no output_stride"),
    ],
)
def test_tables_that_cannot_read_the_data_are_left_out_with_a_line(given, runs, left, why, folders, capsys):
    given = {name: str(folders / value) if name == "data_root" else value for name, value in given.items()}
    paper = Reproduction("nddr", SMALL | given)
    assert list(paper.tables) == [runs]
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith(f"Table {left} is left out: ")
    assert why in line
    with pytest.raises(InputError, match=re.escape(why)):
        Reproduction("nddr", SMALL | given | {"tables": ["4", "7"]})


def test_where_no_table_can_read_the_data_the_first_error_is_raised(tmp_path):
    with pytest.raises(InputError) as error:
        Reproduction("nddr", SMALL | {"data_root": str(tmp_path)})
    with pytest.raises(InputError) as first:
        Reproduction("nddr", SMALL | {"data_root": str(tmp_path), "tables": "4"})
    assert str(error.value) == str(first.value)


def test_nothing_is_left_out_where_nothing_is_chosen(capsys):
    assert list(Reproduction("mcn", {"device": "cpu"}).tables) == ["2", "4"]
    assert capsys.readouterr().out == ""


def test_a_former_name_is_taken_with_a_sentence(capsys):
    paper = Reproduction("nddr", SMALL | {"tables": "7", "faulty": "skip", "part": "all"})
    assert (paper.options.on_error, paper.options.split) == ("skip", "test")
    assert "faulty is now called on_error" in capsys.readouterr().err


@pytest.mark.parametrize(
    "given", [{"backbon": "x"}, {"epochs": "many"}, {"tables": "44"}, {"tables": "A1", "units_lr": 1}]
)
def test_a_wrong_name_or_type_is_told_before_torch_is_imported(given):
    code = (
        "import sys\nfrom mtlkit.notebook import Reproduction\nfrom mtlkit.errors import InputError\n"
        f"try:\n    Reproduction('nddr', {given!r})\nexcept InputError:\n    pass\nelse:\n    raise SystemExit(1)\n"
        "assert 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_declared_table_can_be_asked_for(path):
    asked = set()
    for cell in code_of(path):
        for statement in ast.parse(cell.source).body:
            calls = [n for n in ast.walk(statement) if isinstance(n, ast.Call) and isinstance(n.func, ast.Attribute)]
            if any(call.func.attr == "table" for call in calls):
                asked |= {n.value for n in ast.walk(statement) if isinstance(n, ast.Constant)}
    assert set(options_of(path.stem).tables) <= asked


@pytest.mark.parametrize("path", NOTEBOOKS + LEARN, ids=lambda path: path.stem)
def test_what_a_notebook_imports_is_there(path):
    """Cells for tables that are not run by default import too."""
    for cell in code_of(path):
        for node in ast.walk(ast.parse(cell.source)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("mtlkit"):
                module = importlib.import_module(node.module)
                assert [name.name for name in node.names if not hasattr(module, name.name)] == []


@pytest.mark.parametrize("path", LEARN, ids=lambda path: path.stem)
def test_a_learners_page_has_a_box_three_hidden_solutions_a_summary_and_figures_in_words(path):
    cells = nbformat.read(path, 4).cells
    text = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    headings = re.findall(r"^#+ (.*)", text, re.MULTILINE)
    assert headings[-5:] == ["Exercise 1", "Exercise 2", "Exercise 3", "Summary", "Further reading"]
    assert all(f"| {row} |" in text for row in ("You will learn", "You need", "It takes"))
    asked = [n for n, cell in enumerate(cells) if re.search(r"^### Exercise", cell.source, re.MULTILINE)]
    hidden = [n for n, cell in enumerate(cells) if "hide-cell" in cell.metadata.get("tags", [])]
    assert hidden == [n + 1 for n in asked]
    for n in hidden:  # folded in HTML by the tag, in JupyterLab by the other two
        assert cells[n].metadata.jupyter == {"source_hidden": True, "outputs_hidden": True}
        assert cells[n].outputs
    for cell in cells:
        if any("image/png" in output.get("data", {}) for output in cell.get("outputs", [])):
            assert len(cell.metadata.mystnb.image.alt) > 60


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_chapter_says_first_what_was_found_and_folds_what_only_shows_that_it_runs(path):
    cells = nbformat.read(path, 4).cells
    text = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    order = ["What we found", "The idea", "Run it yourself", "Claims", "Where this differs from the paper", "Exercises"]
    headings = [one for one in re.findall(r"^## (.*)", text, re.MULTILINE) if one in [*order, "Try it"]]
    assert headings == [*order, "Try it"]
    assert all(f"| {row} |" in text for row in ("You will learn", "You need", "It costs"))
    assert next(cell for cell in cells if "parameters" in cell.metadata.tags).metadata.tags.count("hide-input") == 1
    asked = [n for n, cell in enumerate(cells) if re.search(r"^### Exercise \d$", cell.source, re.MULTILINE)]
    solutions = [n for n, cell in enumerate(cells) if "source_hidden" in cell.metadata.get("jupyter", {})]
    assert len(asked) == 3
    assert solutions == [n + 1 for n in asked]
    assert all(cells[n].outputs and "hide-cell" in cells[n].metadata.tags for n in solutions)
    runs = [cell for cell in cells if re.search(r"(?<!papers)\.table\(", cell.source)]
    assert runs
    assert all("hide-cell" in cell.metadata.tags for cell in runs)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_figure_of_a_chapter_says_what_it_shows(path):
    for cell in code_of(path):
        for output in cell.outputs:
            if "image/png" in output.get("data", {}):
                assert len(output.metadata["image/png"]["alt"]) > 40
