"""What figures show is what they were given."""

import matplotlib as mpl
import numpy as np
import pytest

from mtlkit.data import UTKFace
from mtlkit.fusion import NDDR
from mtlkit.report.figures import ages_and_genders, fusion_shares, losses
from mtlkit.training import History
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


def test_losses_of_one_term_stand_in_one_panel_whatever_networks_they_come_from():
    alone = [History(steps=[10, 20], losses={term: [2.0, 1.0]}) for term in ("age/loss", "gender/loss")]
    fused = History(
        steps=[10, 20], losses={"age/loss": [8.0, 4.0], "gender/loss": [3.0, 2.0], "sharing/penalty": [1, 1]}
    )
    age, gender = losses({"Single": alone, "Fused": [fused]}).axes
    assert (age.get_title(), gender.get_title()) == ("age/loss", "gender/loss")
    assert [list(line.get_ydata()) for line in age.lines] == [[2, 1], [8, 4]]
    assert [line.get_label() for line in gender.lines] == ["Single", "Fused"]
