"""The examples of docstrings and of the read-me run."""

import doctest
import importlib
import pkgutil
import re
from pathlib import Path

import pytest

import mtlkit
from mtlkit import fusion

ROOT = Path(mtlkit.__file__).parents[1]
MODULES = [
    info.name
    for info in pkgutil.walk_packages(mtlkit.__path__, "mtlkit.")
    if ">>> " in (ROOT / Path(*info.name.split("."), "__init__" if info.ispkg else "")).with_suffix(".py").read_text()
]


@pytest.mark.parametrize("name", MODULES)
def test_examples_of_docstrings(name):
    failed, attempted = doctest.testmod(importlib.import_module(name))
    assert attempted > 0
    assert failed == 0


@pytest.mark.parametrize("name", ["CrossStitch", "Sluice", "NDDR", "LayerMixing"])
def test_every_method_has_an_example_and_a_source(name):
    text = getattr(fusion, name).__doc__
    assert ">>> " in text
    assert re.search(r"\d{4}", text)
