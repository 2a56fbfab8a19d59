"""Generic modules name no paper, task, data set, world or backbone: what is particular belongs to its own file."""

import ast
import re
from pathlib import Path
from typing import get_args

import pytest
import timm

import mtlkit
from mtlkit.layouts import LAYOUTS
from mtlkit.papers import SLUGS
from mtlkit.tasks import AnyTask
from mtlkit.worlds import WORLDS

ROOT = Path(mtlkit.__file__).parent
ROOMS = (
    *(
        f"{name}.py"
        for name in (
            "cli",
            "run_command",
            "notebook",
            "reproduce",
            "graph",
            "engine",
            "ledger",
            "runtime",
            "results",
            "campaign",
            "planning",
            "estimates",
            "work",
            "work_command",
            "crew",
            "display",
            "ray_executor",
            "processes",
            "files",
        )
    ),
    *(f"{name}.py" for name in ("runs", "training", "network", "sharing", "values", "errors", "doctor")),
    *(f"{room}/base.py" for room in ("fusion", "heads", "necks", "backbones")),
    *(f"backbones/{name}.py" for name in ("__init__", "chain", "weights")),
    *(f"data/{name}.py" for name in ("base", "groups", "sampling", "transforms")),
    "literals.py",
    "worlds/__init__.py",
    *(f"papers/{name}.py" for name in ("__init__", "registry", "options", "declaration", "printed", "cell", "sources")),
    "papers/weights.py",
    *sorted(str(path.relative_to(ROOT)) for path in (ROOT / "report").glob("*.py")),
)

KINDS = get_args(get_args(AnyTask)[0])
TASKS = {kind.model_fields["kind"].default for kind in KINDS} | {kind.__name__ for kind in KINDS}
MORE_TASKS = {"gender", "kcal", "detection", "pose"}
BACKBONES = {
    *("alexnet", "vgg", "vgg11", "vgg16", "resnet", "resnet10t", "resnet18", "resnet50", "resnet101", "seresnet50"),
    *("mobilenet", "mobilenetv2", "mobilenetv3", "mobilenetv3_small_050", "dla", "dla34", "deeplab", "largefov"),
}
NAMES = {name.lower() for name in {*SLUGS, *LAYOUTS, *WORLDS, *TASKS, *MORE_TASKS, *BACKBONES}}

WORDS = {
    "folder": "where files lie",
    "parts": "of a sequence or of a data set",
    "places": "positions",
    "objects": "Python's",
    "people": "readers",
    "attributes": "of a class or of an HTML element",
    "depth": "of nesting",
}
"""Names that are everyday words too: allowed, with what they mean here."""

REGISTRATION = {
    "papers/registry.py": set(SLUGS),
    "backbones/__init__.py": {"alexnet", "vgg", "dla", "resnet"},
    "worlds/__init__.py": set(WORLDS),
    "processes.py": {"classification"},  # a module of torchmetrics
}
"""Where names have to stand: the line that registers a paper, a backbone family, a world; another library's names."""


def texts(file):
    """Identifiers and string literals of a module, docstrings and comments left out, each with its line."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    documentation = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        found = [getattr(node, field, None) for field in ("id", "attr", "arg", "name", "asname", "module")]
        if isinstance(node, ast.Constant) and id(node) not in documentation:
            found.append(node.value)
        yield from ((getattr(node, "lineno", 0), text) for text in found if isinstance(text, str))


def words(text):
    """The words of a text: as they stand, with what underscores join, and CamelCase as one word and as several."""
    apart = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", text).lower()
    return {
        *re.findall(r"[a-z0-9]+(?:_[a-z0-9]+)*", text.lower()),
        *re.findall(r"[a-z0-9]+(?:_[a-z0-9]+)*", apart),
        *re.findall(r"[a-z0-9]+", text.lower()),
    }


@pytest.mark.parametrize("room", ROOMS)
def test_no_name_of_a_paper_a_task_a_data_set_or_a_backbone_stands_in_a_generic_module(room):
    allowed = set(WORDS) | REGISTRATION.get(room, set())
    found = [(line, text, hit) for line, text in texts(ROOT / room) if (hit := words(text) & (NAMES - allowed))]
    assert not found


@pytest.mark.parametrize(
    ("source", "hits"),
    [
        ("from mtlkit.tasks import Classification", {"classification"}),
        ('row = "multi_exit"', {"multi_exit"}),
        ("def nddr_table(): ...", {"nddr"}),
        ('"""nddr, in a docstring."""\n# vgg, in a comment', set()),
        ("embeddings = vggish", set()),
    ],
)
def test_the_names_are_found_where_code_has_them(source, hits, tmp_path):
    file = tmp_path / "module.py"
    file.write_text(source)
    assert {hit for _, text in texts(file) for hit in words(text) & NAMES} == hits


def branches(file):
    """Texts that a module compares something with, or looks for at an end of it, each with its line."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        compared = [node.left, *node.comparators] if isinstance(node, ast.Compare) else []
        if isinstance(node, ast.Call) and getattr(node.func, "attr", "") in ("startswith", "endswith"):
            compared = node.args
        if isinstance(node, ast.MatchValue):
            compared = [node.value]
        for part in (inner for each in compared for inner in ast.walk(each)):
            if isinstance(part, ast.Constant) and isinstance(part.value, str):
                yield node.lineno, part.value


def names_a_backbone(text):
    return text.lower() in BACKBONES or timm.is_model(text)


def test_no_module_but_a_family_of_backbones_tests_the_name_of_a_backbone():
    files = [path for path in ROOT.rglob("*.py") if path.parent != ROOT / "backbones"]
    found = [(path, line, text) for path in files for line, text in branches(path) if names_a_backbone(text)]
    assert len(files) > 100
    assert not found


@pytest.mark.parametrize(
    "source",
    ['"x" if name == "alexnet" else "y"', 'name.startswith(("vgg", "dla"))', 'name in ("resnet18",)',
     'match name:\n    case "vgg16":\n        pass'],
)  # fmt: skip
def test_branches_on_names_are_found(source, tmp_path):
    file = tmp_path / "module.py"
    file.write_text(source)
    assert [text for _, text in branches(file) if names_a_backbone(text)]
