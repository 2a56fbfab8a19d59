"""The figures of MultiTask-CenterNet show what its networks predict."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from cells import timed
from matplotlib import pyplot as plt

from mtlkit import papers
from mtlkit.errors import InputError
from mtlkit.papers.mcn.figures import centre_map, centre_maps, drawn, networks, time_ratios
from mtlkit.report.side_by_side import SideBySide
from mtlkit.tasks import CenterDetection, Segmentation
from mtlkit.tasks.drawing import palette

SEGMENTATION = Segmentation(classes=("background", "person", "dog"))
DETECTION = CenterDetection(classes=("person", "dog"))
IMAGES = torch.rand(2, 3, 64, 96, generator=torch.Generator().manual_seed(0))


def network(*tasks):
    """Predicts a dog in the left half of the first image, with its box, and a person nowhere."""
    masks = torch.zeros(2, 3, 16, 24)
    masks[:, 0] = 1.0
    masks[0, 2, :, :12] = 5.0
    maps = torch.full((2, DETECTION.outputs, 16, 24), -9.0)
    maps[:, 2:] = 0.0
    maps[0, 1, 8, 6] = 3.0  # the dog's centre
    maps[0, 2:4, 8, 6] = torch.tensor([8.0, 6.0])  # 32 by 24 pixels
    maps[0, 4:6, 8, 6] = 0.5
    outputs = {"segmentation": masks, "detection": maps}
    return SimpleNamespace(
        tasks={task.name: task for task in tasks},
        predict=lambda images: {task.name: outputs[task.name][: len(images)] for task in tasks},
    )


def test_pixels_have_the_colour_of_their_class_and_the_background_its_own():
    shown = drawn(network(SEGMENTATION), IMAGES)
    plain = [(image.permute(1, 2, 0) * 255).round().byte().numpy() for image in IMAGES]
    assert np.array_equal(shown[0][:, :44], plain[0][:, :44] // 2 + palette(3)[2] // 2)
    assert np.array_equal(shown[0][:, 52:], plain[0][:, 52:])
    assert np.array_equal(shown[1], plain[1])


def test_boxes_stand_where_they_are_found_and_the_unsure_are_left_out():
    net = network(DETECTION)
    shown, plain = drawn(net, IMAGES), drawn(net, IMAGES, least=0.99)
    # Centre (26, 34): from 10 to 42 and from 22 to 46; three times as large.
    frame = palette(256)[1]
    assert (shown[0][137, 30:126] == frame).all()
    assert (shown[0][114:138, 125] == frame).all()
    assert not np.array_equal(shown[0], plain[0])
    assert np.array_equal(shown[1], plain[1])
    assert shown[0].shape == (192, 288, 3)
    # Nothing is sure in the second image, and one object of each is drawn all the same.
    surest = drawn(net, IMAGES, surest=1)
    assert np.array_equal(surest[0], shown[0])
    assert not np.array_equal(surest[1], plain[1])


def test_the_map_of_centres_is_the_surest_class():
    found = centre_map(network(SEGMENTATION, DETECTION), IMAGES)
    assert found.shape == (2, 16, 24)
    assert found[0, 8, 6] == pytest.approx(torch.tensor(3.0).sigmoid().item())
    assert found[1].max() < 1e-3
    with pytest.raises(InputError, match="has no map of centres"):
        centre_map(network(SEGMENTATION), IMAGES)


def test_a_line_a_network():
    net = network(SEGMENTATION, DETECTION)
    figure = networks(IMAGES, {"boxes": network(DETECTION), "both": net})
    assert [title for axis in figure.axes if (title := axis.get_title("left"))] == ["image", "boxes", "both"]
    shown = [axis.get_images()[0].get_array() for axis in figure.axes]
    assert all(map(np.array_equal, shown[4:], drawn(net, IMAGES)))
    plt.close(figure)
    figure = centre_maps(network(DETECTION), IMAGES)
    shown = [axis.get_images()[0].get_array() for axis in figure.axes]  # image, centres, boxes; a line each
    dog = 0.35 * shown[0][34, 26] + 0.65 * 255 * np.array(plt.get_cmap("magma")(1.0)[:3])
    assert np.allclose(shown[1][34, 26], dog, atol=8)  # the likeliest cell, where its centre is
    assert np.array_equal(shown[2], drawn(network(DETECTION), IMAGES)[0])
    assert "centres" in figure.get_label()
    plt.close(figure)


def test_times_are_drawn_over_that_of_the_network_of_three_tasks_as_the_printed_ones_are():
    table = papers.table("mcn", "F7")
    column = table.meta_column().model_copy(update={"profile": "lite"})
    cells = {
        ("composite_stn", "speed/ratio"): timed(2.0, 2.4, 3.0, 3.2, 2.5),
        ("triple_mcn", "speed/ratio"): timed(1.0, 1.1, 0.9, 1.0, 1.0),
    }
    figure = time_ratios([SideBySide(table, column, tuple(table.rows(column, 0)), cells, 0.0)])
    (axis,) = figure.axes
    drawn_at = [line.get_xdata() for line in axis.lines]  # a bar, a dot and a circle a row
    assert np.allclose(drawn_at[0], (2.4, 3.0))
    assert [x[0] for x in drawn_at[1::3]] == [2.5, 1.0]
    assert [x[0] for x in drawn_at[2::3]] == [17 / 7, 1.0]
    assert "Three networks, One network" in figure.get_label()
    plt.close(figure)
    del cells["composite_stn", "speed/ratio"]
    some, none = (SideBySide(table, column, tuple(table.rows(column, 0)), held, 0.0) for held in (cells, {}))
    figure = time_ratios([none, some])
    assert len(figure.axes) == 1
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["One network"]
    plt.close(figure)
    with pytest.raises(InputError, match="was timed"):
        time_ratios([none])
