"""What the figures of one paper show is what they were given."""

import matplotlib as mpl
import numpy as np
import pytest

from mtlkit.data import UTKFace
from mtlkit.fusion import NDDR
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
