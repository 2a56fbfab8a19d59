import torch
from torchvision import tv_tensors
from torchvision.transforms.v2 import functional as F

from mtlkit.data.samples import Normals, collate, unit


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
