"""The committed notebooks, their parameters, and what a wrong parameter says."""

import json
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from mtlkit.errors import InputError
from mtlkit.notebook import Reproduction

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
PARAMETERS = {"profile": "smoke", "tables": ["4"], "methods": None, "device": "cpu"}


@pytest.fixture(autouse=True)
def _results(tmp_path, monkeypatch):
    monkeypatch.setenv("MTLKIT_RESULTS", str(tmp_path / "results"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
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
        ({"workers": -1}, "workers must be a whole number from 0"),
        ({"weights": "/no/file"}, "There is no weights file /no/file"),
        ({"results_dir": 7}, "results_dir"),
    ],
)
def test_a_wrong_parameter_is_one_sentence(given, sentence):
    with pytest.raises(InputError) as error:
        Reproduction("nddr", PARAMETERS | given)
    assert sentence in str(error.value)
    assert "\n" not in str(error.value)
    assert error.value._render_traceback_() == [f"InputError: {error.value}"]


def test_answers_about_faces_are_years_and_genders():
    paper = Reproduction(
        "nddr", PARAMETERS | {"tables": "7", "methods": ["multi"], "epochs": 0.1, "image_size": [32, 32]}
    )
    found = paper.answers(paper.table("7"), 5)
    assert set(found) == {"age", "gender"}
    for name, valid in (("age", set(map(str, range(100)))), ("gender", {"male", "female"})):
        assert len(found[name].images) == len(found[name].truth) == len(found[name].said["Multi-task"]) == 5
        assert {*found[name].truth, *found[name].said["Multi-task"]} <= valid


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
