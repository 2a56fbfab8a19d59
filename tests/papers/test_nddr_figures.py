"""What the figures of one paper show is what they were given."""

import matplotlib as mpl
import numpy as np
import pytest

from mtlkit.data import UTKFace
from mtlkit.fusion import NDDR
from mtlkit.notebook import Reproduction
from mtlkit.papers.nddr.figures import ages_and_genders, fusion_shares
from mtlkit.worlds import faces

mpl.use("Agg")


def test_every_layer_of_every_task_has_a_bar_of_its_shares():
    units = {str(place): NDDR(2, 4, alpha=0.9 - 0.1 * place, beta=0.1 + 0.1 * place) for place in range(3)}
    figure = fusion_shares(units, ("segmentation", "normals"))
    assert [axis.get_title() for axis in figure.axes] == ["segmentation", "normals"]
    for axis in figure.axes:
        bars = np.array([bar.get_height() for bar in axis.patches]).reshape(4, 3)
        assert bars[0] == pytest.approx([0.9, 0.8, 0.7], abs=1e-6)
        assert bars.sum(0) == pytest.approx([1, 1, 1])


def test_all_faces_of_both_splits_are_counted(tmp_path):
    faces.write(tmp_path / "faces", train=12, val=5, size=(32, 32))
    sets = [UTKFace(tmp_path / "faces", split) for split in ("train", "val")]
    left, right = ages_and_genders(sets).axes
    assert [sum(bar.get_height() for bar in axis.patches) for axis in (left, right)] == [17, 17]
    counts = np.bincount(np.concatenate([one.ages for one in sets]), minlength=100)
    assert [bar.get_height() for bar in right.patches] == counts.tolist()


def test_figures_1_and_2_are_drawn_from_the_declared_networks():
    paper = Reproduction("nddr", {"profile": "smoke", "device": "cpu"})
    plain, shortcut = (paper.drawing(number, "nddr") for number in ("4", "6"))
    for diagram, necks in ((plain, 0), (shortcut, 2)):
        kinds = ("stage", "fusion", "neck", "task")
        assert [diagram.svg.count(f'class="mtl-{kind}"') for kind in kinds] == [10, 5, necks, 2]
        # A dot is a map of an earlier stage that a shortcut takes beside the last one's.
        assert diagram.svg.count("<circle") == 4 * necks
        assert "2 encoders of 5 stages, NDDR after stages 0, 1, 2, 3 and 4" in diagram.description
    assert "the neck Shortcut for each task" in shortcut.description
