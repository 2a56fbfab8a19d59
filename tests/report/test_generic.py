"""The reports know no paper."""

import re
from pathlib import Path

import pytest

import mtlkit.report
from mtlkit.data import LAYOUTS
from mtlkit.papers import SLUGS

FILES = sorted(Path(mtlkit.report.__file__).parent.glob("*.py"))
WORLDS = {"rooms", "plates", "faces"}
TASKS = {"segmentation", "normals", "depth", "age", "gender", "calories", "kcal", "detection", "pose"}
BACKBONES = {"alexnet", "vgg", "vgg16", "resnet", "resnet18", "mobilenetv2", "deeplab", "dla34"}
NAMES = {*SLUGS, *LAYOUTS, *WORLDS, *TASKS, *BACKBONES, "calorie"} - {"folder"}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_no_name_of_a_paper_a_task_a_data_set_or_a_backbone_stands_in_the_reports(file):
    words = set(re.findall(r"[a-z0-9]+(?:_[a-z0-9]+)*", file.read_text(encoding="utf-8").lower()))
    found = words & NAMES
    assert not found
