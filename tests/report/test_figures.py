"""What figures show is what they were given."""

import matplotlib as mpl

from mtlkit.report.figures import losses
from mtlkit.training import History

mpl.use("Agg")


def test_losses_of_one_term_stand_in_one_panel_whatever_networks_they_come_from():
    alone = [History(steps=[10, 20], losses={term: [2.0, 1.0]}) for term in ("age/loss", "gender/loss")]
    fused = History(
        steps=[10, 20], losses={"age/loss": [8.0, 4.0], "gender/loss": [3.0, 2.0], "sharing/penalty": [1, 1]}
    )
    age, gender = losses({"Single": alone, "Fused": [fused]}).axes
    assert (age.get_title(), gender.get_title()) == ("age/loss", "gender/loss")
    assert [list(line.get_ydata()) for line in age.lines] == [[2, 1], [8, 4]]
    assert [line.get_label() for line in gender.lines] == ["Single", "Fused"]
