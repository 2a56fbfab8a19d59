"""What the files of formats say of themselves, and what one more of them needs."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torchvision import tv_tensors

import mtlkit
from mtlkit.data import FACE_LAYOUTS, IMAGE_LAYOUTS, LAYOUTS, OBJECT_LAYOUTS, SCENE_LAYOUTS, TABLE_LAYOUTS, Data
from mtlkit.data.groups import held_out
from mtlkit.data.sampling import development, groups_of
from mtlkit.data.transforms import centred, fitted, resized
from mtlkit.errors import InputError
from mtlkit.worlds import WORLDS, drawer

ROOT = Path(mtlkit.__file__).parent
SIZE = (24, 32)


def of(layout, **settings):
    return Data(layout=layout, name="x", fingerprint="y", size=SIZE, **settings)


def test_every_layout_is_of_one_kind():
    kinds = [SCENE_LAYOUTS, IMAGE_LAYOUTS, OBJECT_LAYOUTS, TABLE_LAYOUTS, FACE_LAYOUTS]
    assert sum(map(len, kinds)) == len(LAYOUTS)
    assert {name for kind in kinds for name in kind} == set(LAYOUTS)
    assert {"folder", "npy", "nyuv2"} <= set(SCENE_LAYOUTS)
    assert {"apascal", "coco", "uecfood_boxes"} == set(OBJECT_LAYOUTS)


def test_an_unknown_layout_is_refused_with_the_nearest():
    with pytest.raises(ValueError, match="no layout 'nyuv3'; did you mean 'nyuv2'"):
        of("nyuv3")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_settings_are_fields_of_data_and_arguments_of_the_reader(layout):
    reader = LAYOUTS[layout]
    assert set(reader.settings.values()) <= set(Data.model_fields)
    assert set(reader.settings) <= set(reader.__init__.__code__.co_varnames)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_how_an_image_is_prepared_for_scoring(layout):
    image = tv_tensors.Image(torch.randint(0, 256, (3, 40, 36), dtype=torch.uint8))
    whole = layout in OBJECT_LAYOUTS | TABLE_LAYOUTS
    expected = fitted({"image": image}, SIZE) if whole else resized({"image": image}, SIZE)
    assert torch.equal(of(layout).view({"image": image})["image"], expected["image"])
    assert not torch.equal(fitted({"image": image}, SIZE)["image"], resized({"image": image}, SIZE)["image"])
    middle = of(layout, crop=0.8).view({"image": image})["image"]
    assert torch.equal(middle, expected["image"] if whole else centred({"image": image}, SIZE, 0.8)["image"])


@pytest.mark.parametrize(
    ("world", "layout", "tasks", "share"),
    [
        ("rooms", "npy", ("segmentation",), "blocks"),
        ("parts", "apascal", ("detection",), "blocks without gaps"),
        ("people", "coco", ("detection",), "blocks without gaps"),
        ("objects", "imagefolder", ("label",), "strata"),
        ("plates", "manifest", ("calories",), "strata"),
        ("faces", "utkface", ("age",), "groups"),
    ],
)
def test_how_a_development_part_is_cut(world, layout, tasks, share, tmp_path):
    drawer(world).write(tmp_path / "x", train=32, val=2)
    train, held = (
        of(layout, part="development", root=tmp_path / "x").split(split, tasks) for split in ("train", "val")
    )
    whole = of(layout, root=tmp_path / "x").split("train", tasks)
    if share.startswith("blocks"):
        wanted = development(len(whole), gap=1 if share == "blocks" else 0)
    else:
        strata = list(map(str, whole.labels)) if share == "strata" else None
        out = held_out(groups_of(whole), 0.2, strata)
        wanted = np.flatnonzero(~out).tolist(), np.flatnonzero(out).tolist()
    names = [[whole.name_of(index) for index in indices] for indices in wanted]
    assert [[part.name_of(index) for index in range(len(part))] for part in (train, held)] == names
    assert len(held) > 0


@pytest.mark.parametrize(("world", "layout", "task", "enough"), [
    ("rooms", "npy", "segmentation", 30), ("people", "coco", "detection", 10)
])  # fmt: skip
def test_a_list_too_short_for_a_development_part_says_how_many_images_it_needs(world, layout, task, enough, tmp_path):
    for count in (1, enough - 1, enough):
        drawer(world).write(tmp_path / f"{count}", train=count, val=1, size=(64, 64))
        data = of(layout, part="development", root=tmp_path / f"{count}")
        if count == enough:
            assert len(data.split("train", (task,))) >= enough / 2
        else:
            with pytest.raises(InputError) as caught:
                data.split("train", (task,))
            assert str(caught.value) == (
                f"x ({tmp_path / str(count)}): --split development needs at least {enough} training images, or less "
                f"than half of them are left to train on; there are {count}."
            )


def test_every_layout_and_world_has_a_section_in_the_book():
    page = (ROOT.parent / "book/data.md").read_text()
    headings = " ".join(line for line in page.splitlines() if line.startswith("### "))
    for name in [*LAYOUTS, *WORLDS]:
        assert f"`{name}`" in headings
    assert "{include} _generated/layouts.md" in page
    assert not [reader.description for reader in LAYOUTS.values() if reader.description in page]


FORMAT = '''"""Grey images of one value, a line each."""
import torch
from torchvision import tv_tensors
from mtlkit.data.base import SceneReader
from mtlkit.data.samples import checked


class Greys(SceneReader):
    """One split of it."""

    description = "greys.txt: a value a line"
    classes = ("grey",)

    def __init__(self, root, split, tasks=("segmentation",)):
        self.tasks = checked(root, split, tasks, ("segmentation",))
        self._values = [int(line) for line in (root / "greys.txt").read_text().split()]

    def __len__(self):
        return len(self._values)

    def __getitem__(self, index):
        image = torch.full((3, 8, 8), self._values[index], dtype=torch.uint8)
        return {"image": tv_tensors.Image(image), "segmentation": tv_tensors.Mask(torch.zeros(8, 8, dtype=torch.uint8))}

    def name_of(self, index):
        return str(index)

    def fingerprint(self):
        return "0" * 12
'''


def test_one_file_and_one_line_add_a_format(tmp_path):
    shutil.copytree(ROOT, tmp_path / "mtlkit", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "mtlkit/data/greys.py").write_text(FORMAT)
    registry = tmp_path / "mtlkit/layouts.py"
    line = "LAYOUTS = {\n"
    assert registry.read_text().count(line) == 1
    registry.write_text(registry.read_text().replace(line, f'{line}    "greys": "mtlkit.data.greys:Greys",\n'))
    (tmp_path / "greys.txt").write_text("\n".join(map(str, range(0, 250, 8))))
    code = (
        "import sys, mtlkit.cli, pathlib; from mtlkit.layouts import described\n"
        "assert described()['greys'] == 'greys.txt: a value a line' and 'torch' not in sys.modules\n"
        "from mtlkit.data import SCENE_LAYOUTS, Data\n"
        "data = Data(layout='greys', name='g', fingerprint='f', size=(4, 6), part='development', root=pathlib.Path())\n"
        "part = data.split('val', ('segmentation',))\n"
        "print('greys' in SCENE_LAYOUTS, len(part), tuple(data.view(part[0])['segmentation'].shape))\n"
    )
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.stdout.strip() == "True 5 (4, 6)", done.stderr
