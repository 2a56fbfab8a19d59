from hashlib import sha256
from typing import get_args

import pytest
import torch
from torchvision import tv_tensors
from torchvision.transforms.v2 import functional as F

from mtlkit.data.samples import Normals, collate, contents, digest, evenly_spaced, unit
from mtlkit.errors import InputError
from mtlkit.tasks import AnyTask, Segmentation


def directions(height: int = 6, width: int = 9) -> Normals:
    return unit(torch.randn(3, height, width, generator=torch.Generator().manual_seed(1)))


def test_a_mirror_moves_pixels_and_negates_x():
    normals = directions()
    mirrored = F.horizontal_flip(normals)
    assert isinstance(mirrored, Normals)
    assert torch.equal(mirrored[0], -normals[0].flip(-1))
    assert torch.equal(mirrored[1:], normals[1:].flip(-1))


def test_mirrored_twice_is_the_same():
    normals = directions()
    assert torch.equal(F.horizontal_flip(F.horizontal_flip(normals)), normals)


def test_unit_keeps_directions_and_drops_short_vectors():
    vectors = torch.tensor([[3.0, 0.01, 0.0], [0.0, 0.01, 0.0], [4.0, 0.0, 0.0]])[:, None]
    assert torch.allclose(unit(vectors), torch.tensor([[0.6, 0, 0], [0, 0, 0], [0.8, 0, 0]])[:, None])


def test_a_batch_holds_only_the_rows_a_task_has_labels_for():
    image = tv_tensors.Image(torch.full((3, 4, 4), 255, dtype=torch.uint8))
    label = tv_tensors.Mask(torch.ones(4, 4, dtype=torch.uint8))
    batch = collate([{"image": image}, {"image": image, "segmentation": label}, {"image": image}])
    assert batch.images.shape == (3, 3, 4, 4)
    assert batch.images.max() == 1
    assert batch.rows["segmentation"].tolist() == [1]
    assert batch.targets["segmentation"].shape == (1, 4, 4)


class Counted(Segmentation):
    """How many pixels are labelled."""

    def collate(self, samples):
        rows = [row for row, sample in enumerate(samples) if self.name in sample]
        return torch.tensor([int((samples[row][self.name] != 255).sum()) for row in rows]), torch.tensor(rows)


def test_a_task_decides_what_its_targets_are_in_a_batch():
    image = tv_tensors.Image(torch.zeros(3, 4, 4, dtype=torch.uint8))
    label = tv_tensors.Mask(torch.ones(4, 4, dtype=torch.uint8))
    samples = [{"image": image, "depth": torch.tensor(1.0)}, {"image": image, "segmentation": label}]
    batch = collate(samples, (Counted(classes=("a", "b")),))
    assert {task: target.tolist() for task, target in batch.targets.items()} == {"segmentation": [16]}
    assert batch.rows["segmentation"].tolist() == [1]
    assert set(collate(samples).targets) == {"depth", "segmentation"}
    assert collate(samples[:1], (Counted(classes=("a",)),)).targets == {}


def test_every_task_collates_what_stands_under_its_name_as_it_is_unless_it_says_otherwise():
    own = {kind.__name__ for kind in get_args(get_args(AnyTask)[0]) if "collate" in vars(kind)}
    assert own == {"RegionDetection", "CenterDetection"}


def test_targets_of_objects_are_not_left_out_in_silence():
    image = torch.zeros(3, 4, 4, dtype=torch.uint8)
    sample = {"image": image, "boxes": torch.zeros(1, 4), "detection": torch.zeros(1, dtype=torch.int64)}
    with pytest.raises(InputError, match=r"targets of objects \(boxes, detection\); give tasks"):
        collate([sample])


@pytest.mark.parametrize("count", [0, 1, 511, 512, 513, 1024, 1500])
def test_a_fingerprint_opens_at_most_512_evenly_spaced_files(count):
    """The entries that readers of earlier versions opened, so that fingerprints stay."""
    opened = evenly_spaced(range(count))
    assert opened == [number * count // min(count, 512) for number in range(min(count, 512))]
    assert opened[:1] == [0][:count]
    assert len({*opened}) == len(opened) == min(count, 512)


def test_contents_are_the_files_in_the_order_given_and_what_cannot_be_read_is_named(tmp_path):
    for name in "ab":
        (tmp_path / name).write_text(name)
    both = contents(tmp_path, ["b", "a"])
    assert both == sha256(b"b").digest() + sha256(b"a").digest() != contents(tmp_path, ["a", "b"])
    for read in (contents, digest):
        with pytest.raises(InputError, match=r"c cannot be read \(No such file or directory\); copy it again\.$"):
            read(tmp_path, ["a", "c"])
