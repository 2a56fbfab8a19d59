"""The built wheel works outside the repository."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    # A copy: building in the checkout would leave a build folder whose stale files end up in later wheels.
    source = folder / "source"
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE", "mtlkit"):
        subprocess.run(["cp", "-r", str(ROOT / name), str(source)], check=True)
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "-o", str(folder), str(source)]
    subprocess.run(command, check=True, capture_output=True)
    (built,) = folder.glob("*.whl")
    return built


def test_the_wheel_runs_a_table_without_the_checkout_and_without_book_extras(wheel, tmp_path):
    site, work = tmp_path / "site", tmp_path / "work"
    work.mkdir()
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        archive.extractall(site)
    assert "mtlkit/papers/nddr/printed.yaml" in names
    assert "mtlkit/py.typed" in names
    assert not any(name.startswith(("tests", "notebooks", "book")) for name in names)
    extras = ["IPython", "seaborn", "nbformat", "papermill"]  # torchmetrics itself looks for matplotlib and pandas
    blocked = f"import sys; sys.modules.update(dict.fromkeys({extras}));"
    program = blocked + (
        "import mtlkit, pathlib; assert str(pathlib.Path(mtlkit.__file__)).startswith(sys.argv.pop(1));"
        "from mtlkit.cli import main; main()"
    )
    command = [sys.executable, "-c", program, str(site), "run", "nddr", "4", "constant", "multi", "--epochs", "0.2"]
    environment = os.environ | {"PYTHONPATH": str(site), "OMP_NUM_THREADS": "1"}
    result = subprocess.run(command, cwd=work, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert "Multi-task" in result.stdout
    assert list((work / "runs/smoke/evaluation").glob("*.json"))
