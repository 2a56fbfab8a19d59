"""Without an extra the layers work, and what needs one says so."""

import ast
import json
import sys

import pytest
from base_install import PROJECT, ROOT, SNIPPET, absent, base, plain, run

LISTED = "\nimport json, sys\nprint(json.dumps([name for name in sys.modules if name.partition('.')[0] == 'mtlkit']))"


def test_the_base_install_has_nothing_of_jupyter_plotting_detection_or_opencv():
    assert {"torch", "timm", "pydantic", "numpy"} <= base()
    lacks = {"cv2", "h5py", "scipy", "torchmetrics", "lightning", "faster_coco_eval", "typer", "matplotlib", "pandas"}
    assert lacks | {"IPython", "papermill", "ray"} <= absent()
    assert not {"torch", "PIL"} & absent()


def test_the_script_of_the_read_me_runs_anywhere_without_an_extra(tmp_path):
    result = run(SNIPPET + LISTED, tmp_path)
    assert result.returncode == 0, result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["script.py"]
    # What it loads imports by itself no package that comes along with another one only.
    named = {plain(line.split(">")[0]) for line in PROJECT["dependencies"]} | {"pil", "mtlkit"}
    outside = set()
    for name in json.loads(result.stdout.splitlines()[-1]):
        path = ROOT / name.replace(".", "/")
        tree = ast.parse((path / "__init__.py" if path.is_dir() else path.with_suffix(".py")).read_text())
        for node in tree.body:
            if isinstance(node, ast.ImportFrom | ast.Import):
                modules = [node.module or ""] if isinstance(node, ast.ImportFrom) else [one.name for one in node.names]
                tops = {module.partition(".")[0] for module in modules} - sys.stdlib_module_names
                outside |= {(name, top) for top in tops if plain(top) not in named}
    assert outside == set()


CALLS = {
    "from mtlkit.tasks import Depth; Depth().metric()": ("torchmetrics", "run"),
    "from mtlkit.metrics.coco_ap import CocoAP": ("torchmetrics", "run"),
    "from mtlkit.runtime import Runtime; Runtime(device='cpu').fabric()": ("lightning", "run"),
    "from mtlkit.data import SelectiveSearch; import numpy; SelectiveSearch().boxes(numpy.zeros((9, 9, 3), 'uint8'))": (
        "cv2",
        "run",
    ),
    "import torch; from mtlkit.tasks.coded_normals import codebook; codebook([torch.ones(3, 4, 4)], 2)": (
        "scipy",
        "run",
    ),
    "from mtlkit.report.judging import one_sided; one_sided(1.0, [(1.0, 2)])": ("scipy", "run"),
    "import mtlkit.report.style": ("matplotlib", "book"),
    "import mtlkit.papers.multi_exit.figures": ("matplotlib", "book"),
    "import mtlkit.notebook; mtlkit.notebook.show(None)": ("IPython", "book"),
    "from mtlkit.ray_executor import _ray; _ray()": ("ray", "ray"),
}


@pytest.fixture(scope="module")
def sentences(tmp_path_factory):
    """Call -> what it says; each as if it was the first of its process."""
    script = f"""
import json, sys, torch
from mtlkit.errors import InputError
first, said = set(sys.modules), {{}}
for call in {list(CALLS)}:
    for name in [name for name in sys.modules if name not in first and name.startswith("mtlkit")]:
        del sys.modules[name]
    try:
        exec(call, {{}})
    except InputError as error:
        said[call] = str(error)
print(json.dumps(said))
"""
    result = run(script, tmp_path_factory.mktemp("calls"))
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


@pytest.mark.parametrize("call", CALLS)
def test_what_needs_an_extra_says_which(sentences, call):
    package, extra = CALLS[call]
    assert sentences[call] == f'The package {package} is not installed; pip install "mtlkit[{extra}]" brings it.'


def test_the_command_says_what_to_install(tmp_path):
    result = run("from mtlkit.__main__ import main; main()", tmp_path)
    assert result.returncode == 2
    assert result.stderr.count("\n") == 1
    assert result.stderr.endswith('is not installed; pip install "mtlkit[run]" brings it.\n')
