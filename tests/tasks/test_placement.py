"""From a network's canvas back to the image, for every way in which an image comes onto a canvas."""

from functools import partial

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torchvision import tv_tensors

from mtlkit.data.transforms import centred, fitted, resized
from mtlkit.tasks.placement import Placement

VIEWS = {"resized": resized, "fitted": fitted, "centred": partial(centred, share=0.8)}
SIDE = st.integers(5, 90)


def placed(view, size, canvas):
    image = tv_tensors.Image(torch.zeros(3, *size, dtype=torch.uint8))
    return Placement.of({"image": image}, partial(VIEWS[view], size=canvas))[1]


@pytest.mark.parametrize("view", VIEWS)
@given(size=st.tuples(SIDE, SIDE), canvas=st.tuples(SIDE, SIDE), seed=st.integers(0, 99))
def test_places_go_to_the_canvas_as_an_objects_box_does_and_come_back(view, size, canvas, seed):
    height, width = size
    ends = torch.rand(4, 2, 2, generator=torch.Generator().manual_seed(seed)).sort(1).values
    boxes = (ends * torch.tensor([width, height])).flatten(1)
    there = placed(view, size, canvas)
    on_canvas = there.on_canvas(boxes)
    torch.testing.assert_close(there.boxes(on_canvas), boxes, atol=1e-3, rtol=1e-4)
    torch.testing.assert_close(there.points(on_canvas[:, :2]), boxes[:, :2], atol=1e-3, rtol=1e-4)
    sample = {
        "image": tv_tensors.Image(torch.zeros(3, *size, dtype=torch.uint8)),
        "boxes": tv_tensors.BoundingBoxes(boxes, format="XYXY", canvas_size=size),
    }
    seen = VIEWS[view](sample, size=canvas)["boxes"].as_subclass(torch.Tensor)
    edges = torch.tensor([canvas[1], canvas[0]] * 2)
    torch.testing.assert_close(on_canvas.clamp(min=0).minimum(edges), seen, atol=1e-3, rtol=1e-4)


def test_a_box_beyond_the_image_is_cut_off_at_its_edges():
    there = placed("fitted", (50, 100), (100, 100))
    assert there.boxes(torch.tensor([[-5.0, 10.0, 40.0, 90.0]])).tolist() == [[0, 10, 40, 50]]


@pytest.mark.parametrize("view", VIEWS)
def test_a_pixel_of_the_image_has_what_the_canvas_shows_of_it(view):
    """Of a canvas whose pixels say which place of the image they show, every pixel of the image finds its own."""
    size, canvas = (60, 83), (96, 64)
    there = placed(view, size, canvas)
    left, top, right, bottom = there.edges
    x = (torch.arange(canvas[1]) + 0.5 - left) / (right - left) * size[1]
    y = (torch.arange(canvas[0]) + 0.5 - top) / (bottom - top) * size[0]
    shown = torch.stack(torch.meshgrid(x, y, indexing="xy"))[None]
    found = there.maps(shown, lambda output: output)
    own = torch.stack(torch.meshgrid(torch.arange(83) + 0.5, torch.arange(60) + 0.5, indexing="xy"))
    # Beyond what the outermost pixels of the canvas show the nearest of these counts.
    low, high = shown.amin((2, 3))[0, :, None, None], shown.amax((2, 3))[0, :, None, None]
    torch.testing.assert_close(found, own.maximum(low).minimum(high), atol=1e-3, rtol=1e-4)
    assert (high - low > 30).all()


def test_a_map_of_an_image_that_is_the_canvas_stays_as_it_is_and_another_is_enlarged_as_for_the_metric():
    torch.manual_seed(0)
    there = placed("resized", (40, 56), (40, 56))
    output = torch.randn(1, 3, 40, 56)
    assert there.maps(output, lambda same: same).equal(output[0])
    small = torch.randn(1, 3, 5, 7)
    large = F.interpolate(small, size=(40, 56), mode="bilinear", align_corners=False)
    assert there.maps(small, lambda same: same).equal(large[0])


def test_a_whole_image_is_enlarged_like_any_map_and_decoded_after_that():
    torch.manual_seed(0)
    there = placed("resized", (150, 100), (40, 56))
    output = torch.randn(1, 5, 40, 56)
    wanted = F.interpolate(output, size=(150, 100), mode="bilinear", align_corners=False)[0]
    torch.testing.assert_close(there.maps(output, lambda same: same), wanted, atol=1e-4, rtol=1e-4)
    labels = there.maps(output, lambda logits: logits.argmax(1))
    assert labels.shape == (150, 100)
    assert (labels == wanted.argmax(0)).float().mean() > 0.999
