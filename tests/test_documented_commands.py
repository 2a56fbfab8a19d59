"""Every command printed in pages, notebooks and messages is run where it is quick, else parsed and planned."""

import ast
import re
import shlex
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import nbformat
import numpy as np
import pytest
import typer
from PIL import Image
from typer.testing import CliRunner

from mtlkit import reproduce, results, work_command
from mtlkit.cli import app
from mtlkit.errors import InputError
from mtlkit.notebook import parameters
from mtlkit.papers.options import resolved

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "results/README.md")]
PAGES += sorted((ROOT / "book").glob("*.md")) + sorted((ROOT / "book/api").glob("*.md"))
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb")) + sorted((ROOT / "book/learn").glob("*.ipynb"))
SHELLS = ("bash", "sh", "shell", "console", "{clone}")

EXTERNAL = {
    "docker build": "it fetches an image",
    "docker run": "it needs what docker build makes",
    "sbatch": "Slurm's",
    "source": "of the shell",
    ".": "of the shell",
    "cd": "of the shell",
    "pre-commit": "it writes a hook into the checkout",
    "ruff": "'make lint' runs it",
    "mypy": "'make lint' runs it",
    "lint-imports": "'make lint' runs it",
}
"""Programs that are not called, or subcommands of theirs, and why."""

PARSED = {
    "data get": "it downloads; tests/data/test_obtain.py gets from a server on this machine",
    "data verify": "it needs files as published; tests/data/test_obtain.py verifies some",
    "costs": "half a minute at first; tests/papers/test_multi_exit.py counts",
    "coverage": "a quarter of a minute; tests/report/test_coverage.py counts",
    "predict": "it needs a trained network; tests/test_trained.py runs it",
    "export-weights": "it needs a trained network; tests/test_trained.py runs it",
    "pages": "half a minute; tests/report/test_pages.py writes them",
}
"""Commands of mtlkit whose words are read and no more, and why. Of run, plan and work the work alone is left out."""

VALUES = {
    "PAPER": "nddr", "TABLE": "4", "paper": "nddr", "table": "4", "cmd_name": "nddr", "self.paper": "nddr",
    "table.paper": "nddr", "table.id": "4", "spelled": "", "name": "run",
}  # fmt: skip
"""What stands for the placeholders of messages."""


# What is printed -------------------------------------------------------------------------------------------------


def page_texts() -> Iterator[tuple[str, str]]:
    for path in PAGES:
        yield path.relative_to(ROOT).as_posix(), path.read_text()
    for path in NOTEBOOKS:
        for cell in nbformat.read(path, 4).cells:
            if cell.cell_type == "markdown":
                yield path.name, cell.source


def message_texts() -> Iterator[tuple[str, str]]:
    """String literals of the package, docstrings included; of f-strings the placeholders in braces."""
    for path in sorted((ROOT / "mtlkit").rglob("*.py")):
        tree = ast.parse(path.read_text())
        formatted = [node for node in ast.walk(tree) if isinstance(node, ast.JoinedStr)]
        inside = {id(part) for node in formatted for part in ast.walk(node) if part is not node}
        for node in ast.walk(tree):
            if isinstance(node, ast.JoinedStr):
                yield (
                    path.name,
                    "".join(
                        str(part.value) if isinstance(part, ast.Constant) else f"{{{ast.unparse(part.value)}}}"
                        for part in node.values
                    ),
                )
            elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inside:
                yield path.name, node.value


def lines_of(text: str) -> Iterator[str]:
    """Commands of a page's shell blocks: comments left out, what ``&&`` and ``\\`` join taken apart and together."""
    for language, block in re.findall(r"^ *```(\{?\w+\}?)\n(.*?)^ *```", text, re.DOTALL | re.MULTILINE):
        if language in SHELLS:
            for line in block.replace("\\\n", " ").splitlines():
                line = re.sub(r"(^|\s)#.*", "", line)
                yield from (part.strip() for part in line.split("&&") if part.strip())


def mentions_of(text: str) -> Iterator[str]:
    """Commands between backticks within a sentence: two words or more, of which the first is a program known here."""
    text = re.sub(r"^ *```.*?^ *```", "", text, flags=re.DOTALL | re.MULTILINE)
    programs = {name.partition(" ")[0] for name in (*CHECKS, *EXTERNAL)} - {"."}
    for span in re.findall(r"(?<!`)`([^`]+)`(?!`)", text):
        words = span.split()
        if len(words) > 1 and words[0] in programs:
            yield " ".join(words)


def messages_of(text: str) -> Iterator[str]:
    """Commands in a message: up to the quote that ends it, else as far as its own words and placeholders go."""
    text = re.sub(r"\{([\w.]+)\}|\b(PAPER|TABLE)\b", lambda found: VALUES.get(found[1] or found[2], found[0]), text)
    yield from re.findall(r"(?:'|``)(mtlkit [^'`\n]+)(?:'|``)", text)
    yield from re.findall(r"(?<!['`\w])(?<!that )(?<!of )(mtlkit (?!run )[a-z][a-z-]+)(?=[ .,:;])", text)
    yield from (found.strip() for found in re.findall(r"(?<!['`])(mtlkit run [\w -]+)", text))
    yield from re.findall(r'pip install (?:"[^"]+"|[\w=. -]+?)(?=\.?$| brings)', text, re.MULTILINE)


def printed(texts: Iterator[tuple[str, str]], *kinds: str) -> list:
    found: dict[str, str] = {}
    for name, text in texts:
        for kind in kinds:
            for command in globals()[f"{kind}_of"](text):
                found.setdefault(command, name)
    return [pytest.param(command, id=f"{name}: {command}"[:90]) for command, name in found.items()]


# How it is checked -----------------------------------------------------------------------------------------------


def check(command: str) -> None:
    """Fails on a command that nothing knows, or that its program does not take."""
    words = shlex.split(command)
    if words[0] in CHECKS:
        CHECKS[words[0]](words[1:])
    else:
        assert {words[0], " ".join(words[:2])} & {*EXTERNAL}, f"neither tested nor exempt: {command}"


def mtlkit(words: list[str]) -> None:
    name = " ".join(words[: 2 if words[0] == "data" else 1])
    if name in ("run", "plan", "work"):
        planned(words)
    elif name in PARSED:
        command = typer.main.get_command(app)
        for word in name.split():
            command = command.commands[word]
        assert command.make_context(name, words[len(name.split()) :])
    else:
        # A world's own numbers of images take their time, and a question has no one to answer.
        few = {"data make": ["--train", "4", "--val", "2"], "clean": ["--yes"]}.get(name, [])
        done = CliRunner().invoke(app, [*words, *few])
        nothing = "Nothing has been measured yet" in str(done.exception)
        assert done.exit_code == 0 or nothing, done.output or done.exception


def planned(words: list[str]) -> None:
    """Reads options and campaigns, and ends before anything is looked up or run."""
    found = []

    def reproduced(table, options, **_):
        found.append(options.filled(table.id))
        raise InputError("nothing is run here")

    class Selected(work_command.Selection):
        def __init__(self, targets, parameter, variables, *_, **__):
            found.append(work_command.campaign(targets or (), parameter or (), variables or ()))
            raise InputError("nothing is run here")

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(reproduce, "reproduce", reproduced)
        patched.setattr(work_command, "Selection", Selected)
        if (ROOT / words[-1]).is_file() or "results/lite.toml" in words:
            patched.chdir(ROOT)
        result = CliRunner().invoke(app, words)
    assert found or ("--help" in words and result.exit_code == 0), result.output or result.exception


def papermill(words: list[str]) -> None:
    if words[0] == "--help-notebook":
        assert (ROOT / words[1]).is_file()
        return
    assert (ROOT / words[0]).is_file()
    assert words[1].endswith(".ipynb")
    assert words[2::3] == ["-p"] * len(words[2::3])
    options, selection = parameters(
        Path(words[0]).stem, dict(zip(words[3::3], map(resolved, words[4::3]), strict=True))
    )
    for table in selection.tables or ():
        options.check(table)


def make(words: list[str]) -> None:
    assert subprocess.run(["make", "-n", *words], cwd=ROOT, capture_output=True).returncode == 0


def pip(words: list[str]) -> None:
    """The files, the extras and the packages that a command of pip names are those of the project."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    locked = (ROOT / "constraints.txt").read_text().splitlines()
    assert words.pop(0) == "install"
    while words:
        word = words.pop(0)
        if word == "-c":
            assert (ROOT / words.pop(0)).is_file()
        elif word not in ("-e", "--force-reinstall"):
            name, _, extra = word.rstrip("]").partition("[")
            assert name in (".", "mtlkit", "pre-commit") or f"{name.partition('==')[0]}==" in "\n".join(locked), word
            assert {*filter(None, extra.split(","))} <= {*extras}, word


def pytests(words: list[str]) -> None:
    files, part = [word for word in words if "/" in word], words[words.index("-k") + 1] if "-k" in words else ""
    assert files
    for file in files:
        assert (ROOT / file).exists()
        if part and "examples" not in file:
            assert re.search(rf"def test_\w*{part}", (ROOT / file).read_text())


def python(words: list[str]) -> None:
    script = (ROOT / words[0]).read_text()
    assert [word for word in words[1:] if word.startswith("-") and f'"{word}"' not in script] == []


def ray(words: list[str]) -> None:
    scripts = pytest.importorskip("ray.scripts.scripts", reason="SKIPPED LOUDLY: Ray is not installed")
    assert scripts.cli.commands[words[0]].make_context(words[0], words[1:])


CHECKS = {
    "mtlkit": mtlkit, "papermill": papermill, "make": make, "pip": pip, "pytest": pytests, "python": python, "ray": ray,
}  # fmt: skip


@pytest.fixture(autouse=True)
def _reader(tmp_path, monkeypatch):
    """A folder without a checkout, so without published records; with weights that are kept, and images to check."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MTLKIT_RESULTS", raising=False)
    monkeypatch.setattr(results, "checkout", lambda: None)
    kept = tmp_path / "runs/smoke/.state/weights/some.safetensors"
    kept.parent.mkdir(parents=True)
    kept.touch()
    images = tmp_path / "path/to/images"
    for kind, value in {"image": 90, "label": 0, "normal": 128}.items():
        (images / kind).mkdir(parents=True)
        for place, name in enumerate("ab"):
            pixels = np.full((4, 4) if kind == "label" else (4, 4, 3), value, np.uint8)
            pixels[0, place, ...] += kind == "image"
            if kind == "normal":
                pixels[..., 2] = 255
            Image.fromarray(pixels).save(images / kind / f"{name}.png")
    (images / "splits").mkdir()
    for split, name in {"train": "a", "val": "b"}.items():
        (images / f"splits/{split}.txt").write_text(f"{name}\n")
    (images / "classes.txt").write_text("0 wall\n")


LINES = printed(page_texts(), "lines")
MENTIONS = printed(page_texts(), "mentions")
MESSAGES = printed(message_texts(), "messages")


@pytest.mark.parametrize("command", LINES)
def test_a_command_of_a_page_is_understood(command):
    check(command)


@pytest.mark.parametrize("command", MENTIONS + MESSAGES)
def test_a_command_within_a_sentence_is_understood(command):
    words = command.split()
    if words[0] == "mtlkit" and len(words) == 2:  # the name of a command, without what it takes
        assert words[1] in [*typer.main.get_command(app).commands]
    else:
        check(command)


def test_a_command_that_nothing_knows_is_a_fault():
    page = "```bash\nmtlkit run nddr 4 # as ever\nconda env create \\\n  -f environment.yml && mtlkit dance\n```\n"
    assert [*lines_of(page)] == ["mtlkit run nddr 4", "conda env create    -f environment.yml", "mtlkit dance"]
    for command in (
        "conda env create -f environment.yml", "docker compose up", "mtlkit dance", "mtlkit run nddr 4 --hue 3",
        "mtlkit plan nddr 40", "papermill notebooks/nddr.ipynb out.ipynb -p hue 3", "make tea", "make test book tea",
        'pip install "mtlkit[tea]"', "pip install tea", "pytest tests/tea", "python benchmarks/rehearse.py --tea",
    ):  # fmt: skip
        with pytest.raises((AssertionError, InputError, OSError)):
            check(command)


def test_commands_are_found_in_every_place():
    lines, mentions, messages = ({one.values[0] for one in found} for found in (LINES, MENTIONS, MESSAGES))
    assert {"mtlkit run calorie 3", "make book", "ray start --head --port=6379"} <= lines
    assert {"make slow", "python benchmarks/power_of_verdicts.py"} <= mentions
    assert {
        "mtlkit export-weights",
        "mtlkit run nddr 4",
        "mtlkit run nddr --help",
        'pip install "mtlkit[run]"',
    } <= messages
