"""Constants of modules, read from the source: what only describes must not import what computes."""

import ast
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any


def literals(module: str, kind: str | None = None) -> dict[str, Any]:
    """The names that a module, or a class in it, binds to literals (strings, numbers, tuples of them ...).

    Args:
        module: its full name.
        kind: the name of a class in it; ``None``: the module itself.

    >>> literals("mtlkit.data.imagefolder", "ImageFolder")["description"]
    'train/CLASS/* and val/CLASS/*: your own images with a class each'
    """
    package, *rest = module.split(".")
    spec = find_spec(package)  # of the package alone: for a module in it, find_spec would import the package
    assert spec is not None
    assert spec.origin is not None
    path = Path(spec.origin).parent.joinpath(*rest).with_suffix(".py")
    body = ast.parse(path.read_text(encoding="utf-8")).body
    if kind is not None:
        (body,) = (node.body for node in body if isinstance(node, ast.ClassDef) and node.name == kind)
    found = {}
    for node in body:
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            target = node.targets[0] if isinstance(node, ast.Assign) else node.target
            with suppress(ValueError):  # a value that is computed
                found[ast.unparse(target)] = ast.literal_eval(node.value)
    return found
