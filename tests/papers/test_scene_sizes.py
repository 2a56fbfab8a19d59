"""Scenes whose images have another size on disk than networks see: both parts see things at one size."""

import numpy as np
import planes
import pytest
import torch
from PIL import Image

from mtlkit import papers
from mtlkit.data.base import SceneReader
from mtlkit.data.folder import Folder
from mtlkit.data.npy import Npy
from mtlkit.data.nyuv2 import NYUv2
from mtlkit.papers.cross_stitch.options import CrossStitchOptions
from mtlkit.papers.nddr.options import NDDROptions
from mtlkit.papers.nddr.sweeps import drawn_at, stand_in
from mtlkit.worlds import rooms

SEEN = (48, 64)
TABLES = [("nddr", "4", NDDROptions), ("nddr", "A1", NDDROptions), ("cross_stitch", "5", CrossStitchOptions)]


def folder(root, size, names=("0", "1", "2", "3")):
    """A data set in the plain layout, every image of one size, or of the sizes given name by name."""
    for name in ("image", "label", "normal", "splits"):
        (root / name).mkdir(parents=True)
    for place, name in enumerate(names):
        height, width = size[place] if isinstance(size, list) else size
        left = Image.new("RGB", (width, height), (40, 40, 40))
        left.paste((200, 200, 200), (width // 2, height // 2, width, height))
        left.save(root / f"image/{name}.png")
        label = Image.new("L", (width, height), 0)
        label.paste(1, (width // 2, height // 2, width, height))
        label.save(root / f"label/{name}.png")
        normals = np.random.default_rng(place).integers(1, 256, (height, width, 3), dtype=np.uint8)
        Image.fromarray(normals).save(root / f"normal/{name}.png")
    (root / "classes.txt").write_text("0 wall\n1 box\n")
    (root / "splits/train.txt").write_text("\n".join(names[:-1]))
    (root / "splits/val.txt").write_text(names[-1])
    return root


def column(paper, table, kind, root):
    given = {"backbone": "mobilenetv3_small_050"} if paper == "cross_stitch" or table == "4" else {}
    return papers.table(paper, table).column(
        kind(dataset=("folder",), data_root=(root,), image_size=SEEN, epochs=1.0, **given)
    )


def card(paper, table, found):
    """What the protocol card says of the sizes of images."""
    return next(ours for label, _, ours in papers.table(paper, table).protocol(found) if label == "Resolution")


@pytest.mark.parametrize("stored", [(24, 32), (96, 128), (96, 96)], ids=["half", "double", "other-proportions"])
@pytest.mark.parametrize(("paper", "table", "kind"), TABLES, ids=["nddr-4", "nddr-A1", "cross_stitch-5"])
def test_a_training_image_at_factor_1_is_the_scored_view(paper, table, kind, stored, tmp_path):
    found = column(paper, table, kind, folder(tmp_path / "frames", stored))
    plain = {"scale_min": 1.0, "scale_max": 1.0, "flip": 0.0}
    augmentation = found.recipe.augmentation.model_copy(update=plain)
    sample = found.data.split("train", ("segmentation", "normals"))[0]
    trained, scored = augmentation(sample), found.data.view(sample)
    assert tuple(trained["image"].shape[-2:]) == SEEN
    for name in sample:
        assert torch.equal(trained[name], scored[name]), name
    assert "another size on disk" in card(paper, table, found)


@pytest.mark.parametrize(("paper", "table", "kind"), TABLES, ids=["nddr-4", "nddr-A1", "cross_stitch-5"])
def test_images_that_have_the_size_are_trained_on_as_before(paper, table, kind, tmp_path):
    found = column(paper, table, kind, folder(tmp_path / "frames", SEEN))
    assert found.recipe.augmentation.whole is None
    assert "disk" not in card(paper, table, found)


def test_one_image_of_another_size_is_enough(tmp_path):
    sizes = [SEEN, SEEN, (60, 80), SEEN]
    found = column(*TABLES[0], folder(tmp_path / "frames", sizes))
    assert found.recipe.augmentation.whole == SEEN


def test_layouts_know_the_sizes_on_disk(tmp_path):
    root = folder(tmp_path / "frames", [(20, 30), (20, 30), (40, 30), (9, 9)])
    assert Folder(root, "train", ()).sizes() == {(20, 30), (40, 30)}
    assert SceneReader.sizes(Folder(root, "train", ())) == {(20, 30), (40, 30)}
    rooms.write(tmp_path / "drawn", train=2, val=1, size=(32, 40))
    assert Npy(tmp_path / "drawn", "train", ()).sizes() == {(32, 40)}


def test_official_frames_have_their_size_without_a_look_at_each(tmp_path):
    planes.write(tmp_path)
    official = NYUv2(tmp_path, "train", ("segmentation",))
    assert official.sizes() == SceneReader.sizes(official) == {(480, 640)}


def test_a_stand_in_is_trained_on_at_the_size_at_which_it_is_scored(tmp_path):
    """Whatever size the reader's own images have; people are drawn no smaller than a least size."""
    found = []
    for place, stored in enumerate([SEEN, (24, 32)]):
        root = folder(tmp_path / str(place), stored)
        given = {"backbone": "mobilenetv3_small_050", "image_size": SEEN, "epochs": 1.0}
        found.append(papers.table("nddr", "3").column(NDDROptions(dataset=("folder",), data_root=(root,), **given)))
    first, second = (stand_in(one, 0) for one in found)
    assert first.identity == second.identity
    assert (first.recipe.augmentation.whole is None) == (drawn_at(SEEN) == SEEN)
