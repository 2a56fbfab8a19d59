"""What figures show is what they were given."""

import matplotlib as mpl

from mtlkit import papers
from mtlkit.history import History
from mtlkit.report.figures import dots, losses
from mtlkit.report.side_by_side import Cell, SideBySide

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


def test_a_panel_of_dots_has_every_printed_and_measured_number():
    table = papers.table("nddr", "4")
    column = table.meta_column()
    rows = tuple(row for row in table.rows(column, 0) if row.id in ("single", "nddr"))
    cells = {("nddr", "segmentation/miou"): Cell({0: 30.0, 1: 31.0})}
    figure = dots(SideBySide(table, column, rows, cells, 0.0))
    panel = next(axis for axis in figure.axes if "mIoU" in axis.get_title())
    shown = {round(float(x), 3) for dots_ in panel.collections for x in dots_.get_offsets()[:, 0]}
    assert shown == {30.0, 31.0, *(float(table.printed.row(row.id).cells["seg_miou"]) for row in rows)}
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["printed", "measured"]
