"""Maps are brought to the image from where their cells look."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mtlkit.backbones import staged
from mtlkit.data import SCENE_LAYOUTS
from mtlkit.data.samples import IGNORE
from mtlkit.data.transforms import resized
from mtlkit.grid import Grid
from mtlkit.heads import Conv1x1Head, FCN32s, LargeFOV
from mtlkit.metrics.angles import Angles
from mtlkit.metrics.confusion import Confusion
from mtlkit.necks import Shortcut, Upsampling
from mtlkit.network import NetworkSettings
from mtlkit.tasks import Classification, Segmentation

FCN = {"fully_connected": "padded"}
CLASSES = tuple("abcde")


@pytest.mark.parametrize(
    ("name", "how", "grid"),
    [
        ("alexnet", FCN, Grid(13, 32)),  # 31 - 13 = 18 pixels are the crop of voc-fcn-alexnet/train.prototxt
        ("alexnet", FCN | {"cut": "layers"}, Grid(13, 32)),
        ("vgg11", FCN, Grid(12.5, 32)),  # 31.5 - 12.5 = 19 are that of nyud-fcn32s-color/trainval.prototxt
        ("alexnet", {}, Grid(31, 32)),
        ("vgg11", {}, Grid(15.5, 32)),
        ("vgg11", {"output_stride": 8}, Grid(0, 8)),
    ],
)
def test_cells_look_where_the_grid_says(name, how, grid):
    torch.manual_seed(0)
    backbone = staged(name, **how).eval()
    assert backbone.grid == grid
    for layer in backbone.modules():
        if isinstance(layer, nn.Conv2d):  # the mirrored image then has the mirrored map
            layer.weight.data = layer.weight.data + layer.weight.data.flip(-1)
    last = 3 if grid.offset < 31 else 2
    images = torch.randn(1, 3, 96, int(2 * grid.offset + grid.stride * last + 1))
    with torch.no_grad():
        cells, mirrored = (backbone(x)[-1] for x in (images, images.flip(-1)))
    inside = cells[..., : last + 1]
    torch.testing.assert_close(mirrored[..., : last + 1], inside.flip(-1), atol=1e-3 * float(inside.std()), rtol=0)
    assert (inside - inside.flip(-1)).abs().max() > 0.1 * inside.std() > 0


@pytest.mark.parametrize("name", ["alexnet", "vgg11"])
def test_cells_of_fully_convolutional_networks_cover_the_image(name):
    with torch.device("meta"):
        backbone = staged(name, **FCN)
        for side in (120, 240, 321, 480, 500):
            count = backbone(torch.empty(1, 3, side, 64))[-1].shape[2]
            first, last = backbone.grid.offset, backbone.grid.offset + 32 * (count - 1)
            assert first < 32
            assert side - 1 - last < 32


def test_between_cells_a_map_is_that_of_fcns_deconvolution_and_crop():
    torch.manual_seed(0)
    cells = torch.randn(2, 3, 8, 10)
    kernel = 1 - (torch.arange(63) - 31).abs() / 32
    weight = (kernel[:, None] * kernel).expand(3, 1, 63, 63)
    whole = F.conv_transpose2d(cells, weight, stride=32, groups=3)
    cropped = whole[..., 18 : 18 + 240, 18 : 18 + 320]
    found = Grid(13, 32).enlarged(cells, (240, 320))
    torch.testing.assert_close(found[..., 13:238, 13:302], cropped[..., 13:238, 13:302], atol=1e-5, rtol=1e-5)
    assert (found[..., 0, :] == found[..., 13, :]).all()


def test_the_official_resize_of_largefov_has_a_cell_at_every_eighth_pixel():
    # tf.image.resize_bilinear without align_corners: pixel p lies at p times cells over pixels.
    ramp = torch.arange(60.0).view(1, 1, 60, 1).expand(1, 1, 60, 80)
    found = Grid(0, 8).enlarged(ramp, (480, 640))[0, 0, :, 0]
    torch.testing.assert_close(found, (torch.arange(480) / 8).clamp(max=59))


def test_in_half_precision_a_map_is_enlarged_in_full():
    cells = torch.randn(1, 2, 3, 4)
    with torch.autocast("cpu", torch.bfloat16):
        found = Grid(13, 32).enlarged(cells.bfloat16(), (96, 128))
    torch.testing.assert_close(found, Grid(13, 32).enlarged(cells.bfloat16().float(), (96, 128)))


def network(backbone, head, task, **settings):
    return NetworkSettings(backbone=backbone, head=head, tasks=(task,), **settings).build().eval()


@pytest.mark.parametrize(
    ("settings", "grid"),
    [
        ({"backbone": "alexnet", "head": Conv1x1Head.Settings(), **FCN}, Grid(13, 32)),
        ({"backbone": "alexnet", "head": FCN32s.Settings(width=8, kernel=3)}, Grid(31, 32)),
        ({"backbone": "vgg11", "head": LargeFOV.Settings(width=8), "output_stride": 8}, Grid(0, 8)),
        (
            {"backbone": "vgg11", "head": LargeFOV.Settings(width=8), "output_stride": 8, "neck": Shortcut.Settings()},
            Grid(0, 8),
        ),
        ({"backbone": "resnet10t", "head": Conv1x1Head.Settings()}, None),
        ({"backbone": "resnet10t", "head": Conv1x1Head.Settings(), "neck": Upsampling.Settings(width=8)}, None),
    ],
)
def test_a_network_predicts_at_the_images_size_where_its_cells_places_are_known(settings, grid):
    with torch.device("meta"):
        built = network(task=Segmentation(classes=CLASSES), **settings)
        assert built.grid("segmentation") == grid
        assert network(task=Classification(name="segmentation", classes=5), **settings).grid("segmentation") is None
    torch.manual_seed(0)
    built = network(task=Segmentation(classes=CLASSES), **settings)
    images = torch.rand(1, 3, 64, 96)
    with torch.no_grad():
        cells, predicted = built(images)["segmentation"], built.predict(images)["segmentation"]
    assert torch.equal(predicted, cells if grid is None else grid.enlarged(cells, (64, 96)))


@pytest.mark.parametrize("loss_at", ["image", "output"])
def test_a_loss_is_taken_where_cells_look(loss_at):
    task, grid = Segmentation(classes=CLASSES, loss_at=loss_at), Grid(0, 8)
    with torch.device("meta"):
        built = network("vgg11", LargeFOV.Settings(width=8), task, output_stride=8)
    torch.manual_seed(0)
    output, target = torch.randn(2, 5, 5, 6), torch.randint(0, 5, (2, 33, 41))
    found = built.losses("segmentation", output, target)["cross_entropy"]
    if loss_at == "image":
        wanted = F.cross_entropy(grid.enlarged(output, (33, 41)), target)
    else:
        wanted = F.cross_entropy(output, target[:, ::8, ::8])
    torch.testing.assert_close(found, wanted)


def frames(shared, size):
    """Twenty real test frames at a size."""
    test = SCENE_LAYOUTS["folder"](shared / "data" / "nyuv2-small", "val", ("segmentation", "normals"))
    return test.classes, [resized(test[index], size) for index in range(0, 230, 12)]


def oracle(built, shared, size):
    """Mean IoU and mean angle of outputs that hold, in every cell, the truth at the pixel that it looks around."""
    classes, samples = frames(shared, size)
    segmentation, normals, grid = Confusion(classes), Angles(), built.grid("segmentation")
    with torch.device("meta"):
        images = torch.empty(1, 3, *size)
        cells = tuple(built(images)["segmentation"].shape[-2:])
    for sample in samples:
        ids, vectors = sample["segmentation"].as_subclass(torch.Tensor), sample["normals"].as_subclass(torch.Tensor)
        there = grid.sampled(ids, cells)
        known = F.one_hot(torch.where(there == IGNORE, 0, there).long(), len(classes)) * (there != IGNORE)[..., None]
        for metric, output, target in (
            (segmentation, known.permute(2, 0, 1).float(), ids),
            (normals, grid.sampled(vectors, cells), vectors),
        ):
            built.forward = lambda images, regions=None, output=output: {"segmentation": output[None]}
            metric.update(built.predict(images)["segmentation"], target[None])
    return segmentation.compute()["miou"], normals.compute()["decoded/mean"]


@pytest.mark.parametrize(
    ("size", "settings", "miou", "degrees"),
    [
        # As tiles of the image: 65.0 and 14.7; these cells where they look, without the image's padding: 76.4 and 9.7.
        ((480, 640), {"backbone": "alexnet", "head": Conv1x1Head.Settings(), **FCN}, 80, 8.5),
        # As tiles of the image: 84.1 and 7.4.
        ((240, 320), {"backbone": "vgg16", "head": LargeFOV.Settings(width=8), "output_stride": 8}, 90, 5.5),
    ],
)
def test_a_network_that_knows_the_truth_where_it_looks_scores_what_its_stride_allows(
    shared, size, settings, miou, degrees
):
    with torch.device("meta"):
        built = network(task=Segmentation(classes=CLASSES), **settings)
    found = oracle(built, shared, size)
    assert found[0] > miou
    assert found[1] < degrees
