"""The built wheel works outside the repository."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import base_install
import pytest

import mtlkit

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """A folder in which the wheel alone is installed; what it needs comes from this environment."""
    folder = tmp_path_factory.mktemp("wheel")
    # A copy: building in the checkout would leave a build folder whose stale files end up in later wheels.
    source = folder / "source"
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    shutil.copytree(ROOT / "mtlkit", source / "mtlkit", ignore=shutil.ignore_patterns("__pycache__"))
    pip = [sys.executable, "-m", "pip", "-q", "--disable-pip-version-check"]
    command = [*pip, "wheel", "--no-deps", "--no-build-isolation", "--no-index", "-w", str(folder), str(source)]
    subprocess.run(command, check=True, capture_output=True)
    (built,) = folder.glob("*.whl")
    target = ["--no-deps", "--no-index", "--target", str(folder / "site")]
    subprocess.run([*pip, "install", *target, str(built)], check=True, capture_output=True)
    return folder / "site"


def test_it_holds_the_package_and_nothing_else(site):
    assert (site / "mtlkit/papers/nddr/printed.yaml").is_file()
    assert (site / "mtlkit/data/sources.yaml").is_file()
    assert (site / "mtlkit/py.typed").is_file()
    assert {path.name for path in site.iterdir()} == {"mtlkit", "bin", f"mtlkit-{mtlkit.__version__}.dist-info"}


def test_the_script_of_the_read_me_runs_without_an_extra(site, tmp_path):
    here = f"import mtlkit\nassert mtlkit.__file__.startswith({str(site)!r})\n"
    result = base_install.run(here + base_install.SNIPPET, tmp_path, site)
    assert result.returncode == 0, result.stderr
    result = base_install.run("import runpy; runpy.run_module('mtlkit', run_name='__main__')", tmp_path, site)
    assert (result.returncode, result.stderr.count("\n")) == (2, 1)
    assert 'pip install "mtlkit[run]"' in result.stderr


def test_a_table_runs_without_the_checkout_and_without_book_extras(site, tmp_path):
    extras = ["IPython", "seaborn", "nbformat", "papermill"]  # torchmetrics itself looks for matplotlib and pandas
    program = (
        f"import sys; sys.modules.update(dict.fromkeys({extras}));"
        "import mtlkit; assert mtlkit.__file__.startswith(sys.argv.pop(1));"
        "from mtlkit.__main__ import main; main()"
    )
    command = [sys.executable, "-c", program, str(site), "run", "nddr", "4", "constant", "multi", "--epochs", "0.2"]
    environment = os.environ | {"PYTHONPATH": str(site), "OMP_NUM_THREADS": "1"}
    result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert "Multi-task" in result.stdout
    assert list((tmp_path / "runs/smoke/evaluation").glob("*.json"))
