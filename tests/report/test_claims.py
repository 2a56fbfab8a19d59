import re
from dataclasses import replace

import numpy as np
import pytest
from cells import cell, counted, timed

from mtlkit import papers
from mtlkit.data import Data
from mtlkit.objectives import JacobianDescent
from mtlkit.papers import SLUGS, printed
from mtlkit.report.claims import Compared, claims_html, deciding_text, on_print, on_runs
from mtlkit.report.side_by_side import Cell, SideBySide

PAPER = printed("nddr")
CLAIMS = {claim["id"]: claim for slug in SLUGS for claim in printed(slug).claims}

ROOMS = Data(layout="folder", name="rooms", fingerprint="rooms-r3-s0-24-8-32x40", size=(32, 40))
FRAMES = Data(layout="folder", name="frames", fingerprint="3d25dc3eeb54", size=(120, 160))

RECIPE = papers.table("nddr", "4").meta_column().recipe


def measured(slug, table, cells, **decided):
    """A column of a table with these cells, row and printed column -> cell."""
    declared = papers.table(slug, table)
    column = declared.meta_column().model_copy(update={"profile": "lite", **decided})
    held = {(row, declared.measures[name]): one for (row, name), one in cells.items()}
    return SideBySide(declared, column, tuple(declared.rows(column, 0)), held, 0.0)


def rows(table="4", noise=0.3, **values):
    """Cells of a table of scenes: every measure of a row has the same value, whichever way is better."""
    return {
        (row, column.id): cell(
            {seed: value if column.better == "higher" else 100 - value for seed, value in seeds.items()},
            noise,
            stream=place + 10 * (table == "6"),
        )
        for place, (row, seeds) in enumerate(values.items())
        for column in PAPER.tables[table].columns
    }


def around(value, seeds=3, spread=0.2):
    return {seed: value + spread * (seed - 1) * (-1) ** seed for seed in range(seeds)}


LOW = {row: around(30 + place, spread=0.1) for place, row in enumerate(("single", "multi", "cross_stitch", "sluice"))}


def verdict(name, *columns, slug="nddr"):
    (judged,) = on_runs(printed(slug), CLAIMS[name], columns)
    return judged.verdict


def compared(op, a, b, slug, table, column, **more):
    """One comparison of two cells of a column."""
    claim = {"compare": [{"a": [table, "a", column], "op": op, "b": [table, "b", column], **more}], "holds_if": "all"}
    (judged,) = on_runs(printed(slug), claim, [measured(slug, table, {("a", column): a, ("b", column): b})])
    return judged.verdict


@pytest.mark.parametrize(
    ("slug", "claim"), [pytest.param(s, c, id=f"{s}-{c['id']}") for s in SLUGS for c in printed(s).claims]
)
def test_the_verdict_on_the_print_is_the_transcribers(slug, claim):
    assert (on_print(printed(slug), claim) == "holds") == claim["printed_verdict"]


def test_eight_of_the_25_claims_fail_on_the_print_itself():
    assert [on_print(PAPER, claim) for claim in PAPER.claims].count("fails") == 8


def test_the_ratio_of_two_printed_times_is_a_ratio():
    claim = {
        "compare": [{"a": ["4", "seg_det", "ms"], "op": "ratio_at_least", "b": ["4", "stn_two", "ms"], "by": 2.0}],
        "holds_if": "all",
    }
    assert on_print(printed("mcn"), claim) == "fails"  # 1.654, though the times are more than 2 ms apart


@pytest.mark.parametrize(
    ("nddr", "seeds", "found"),
    [
        (40.0, 3, "holds"),
        (20.0, 3, "fails"),
        (33.1, 3, "undecided"),  # ahead by less than the seeds differ
        (40.0, 2, "undecided"),  # too few seeds
    ],
)
def test_a_claim_is_judged_on_a_column(nddr, seeds, found):
    assert verdict("beats_all_vgg16", measured("nddr", "4", rows(**LOW, nddr=around(nddr, seeds)))) == found


def test_nothing_is_judged_at_smoke_or_where_nothing_was_measured():
    full = rows(**LOW, nddr=around(40))
    assert on_runs(PAPER, CLAIMS["beats_all_vgg16"], [measured("nddr", "4", full, profile="smoke")]) == []
    assert on_runs(PAPER, CLAIMS["beats_all_vgg16"], [measured("nddr", "4", {})]) == []


def test_images_that_vary_leave_a_claim_open():
    assert verdict("beats_all_vgg16", measured("nddr", "4", rows(noise=30, **LOW, nddr=around(40)))) == "undecided"


@pytest.mark.parametrize(
    ("constant", "alone", "beside", "found"),
    [
        (0.0, 0.0, 0.0, "undecided"),  # neither has learnt the task: nothing to gain half a point of
        (0.0, 50.0, 50.1, "fails"),
        (0.0, 0.4, 0.4, "undecided"),  # better than chance, and by less than it is to gain
        (0.0, 0.6, 0.6, "fails"),
        (50.0, 50.0, 50.0, "undecided"),
        (0.0, 0.0, 50.0, "holds"),  # one of them has learnt it
        (None, 0.0, 0.0, "fails"),  # nothing says that this is little
    ],
)
def test_a_gain_is_judged_where_a_row_has_learnt_its_task(constant, alone, beside, found):
    values = {"det_pose": alone, "seg_det_pose": beside} | ({} if constant is None else {"constant": constant})
    cells = {
        (row, "pose_map"): cell(around(value, spread=0.002 * place), 0.004, stream=place)
        for place, (row, value) in enumerate(values.items())
    }
    assert verdict("pose_gains_0p5_from_seg", measured("mcn", "2", cells), slug="mcn") == found


@pytest.mark.parametrize(
    ("alone", "beside", "found"), [(0.4, 0.3, "undecided"), (50.0, 49.9, "holds"), (50.0, 0.3, "fails")]
)
def test_a_loss_is_allowed_to_rows_that_have_more_than_it_to_lose(alone, beside, found):
    values = {"constant": 0.0, "only_det": alone, "seg_det": beside}
    cells = {
        (row, "det_ap"): cell(around(value, spread=0.002 * place), 0.004, stream=place)
        for place, (row, value) in enumerate(values.items())
    }
    compare = [{"a": ["2", "seg_det", "det_ap"], "op": "at_least_by", "b": ["2", "only_det", "det_ap"], "by": -1.0}]
    claim = {"compare": compare, "holds_if": "all"}
    (judged,) = on_runs(printed("mcn"), claim, [measured("mcn", "2", cells)])
    assert judged.verdict == found
    said = deciding_text(printed("mcn"), claim, judged).note
    bare = {at: replace(one, resampled={}) for at, one in cells.items()}
    (unknown,) = on_runs(printed("mcn"), claim, [measured("mcn", "2", bare)])
    assert "open: no estimate of its noise" in deciding_text(printed("mcn"), claim, unknown).note
    assert ("open: neither row is better than a constant by more than chance and than the margin" in said) == (
        found == "undecided"
    )


def test_without_draws_nothing_is_decided():
    bare = {at: replace(one, resampled={}) for at, one in rows(**LOW, nddr=around(40)).items()}
    assert verdict("beats_all_vgg16", measured("nddr", "4", bare)) == "undecided"


def test_how_many_comparisons_hold_fail_and_stay_open_is_told():
    cells = rows(**LOW, nddr=around(40)) | {("multi", "seg_miou"): cell(around(50)), ("multi", "seg_pacc"): Cell()}
    (judged,) = on_runs(PAPER, CLAIMS["beats_all_vgg16"], [measured("nddr", "4", cells)])
    assert (judged.verdict, judged.tally) == ("fails", "26 hold, 1 fail, 1 open")


def test_100_against_103_ms_is_not_twice_as_fast():
    pace = np.random.default_rng(0).normal(0, 0.1, (2, 30))
    times = timed(*(100 + pace[0])), timed(*(103 + pace[1]))
    assert compared("ratio_at_least", *times, "mcn", "4", "ms", by=2.0) == "fails"
    assert compared("ratio_at_least", *times, "mcn", "4", "ms", by=1.02) == "holds"
    assert compared("better", *times, "mcn", "4", "ms") == "holds"
    old = [replace(one, rounds={}) for one in times]
    assert compared("better", *old, "mcn", "4", "ms") == "undecided"


@pytest.mark.parametrize(
    ("op", "a", "b", "more", "found"),
    [
        ("ratio_at_least", 20_000_000, 20_000_100, {"by": 2.9}, "fails"),
        ("ratio_at_least", 20_000_000, 58_000_000, {"by": 2.9}, "holds"),
        ("better", 20_000_000, 20_000_001, {}, "holds"),
        ("better", 20_000_000, 20_000_000, {}, "fails"),
        ("not_worse", 20_000_000, 20_000_000, {}, "holds"),
        ("at_least_by", 20_000_000, 20_100_000, {"by": 0.1}, "holds"),  # in M
        ("at_least_by", 20_000_000, 20_100_000, {"by": 0.1, "strict": True}, "fails"),
    ],
)
def test_counts_are_compared_exactly_in_the_unit_of_the_print(op, a, b, more, found):
    assert compared(op, counted(a), counted(b), "mcn", "4", "params", **more) == found


def test_a_filter_of_500_operations_does_not_exceed_a_thousandth_of_a_giga():
    macs = counted(4_000_000_500), counted(4_000_000_000)
    assert compared("at_least_by", *macs, "multi_exit", "4", "macs", by=-0.0010) == "holds"
    macs = counted(4_001_000_001), counted(4_000_000_000)
    assert compared("at_least_by", *macs, "multi_exit", "4", "macs", by=-0.0010) == "fails"


def test_a_margin_of_two_cells_is_judged_as_a_double_difference():
    claim = CLAIMS["data_starved_task_gains_more"]
    for gain, found in ((4, "holds"), (2, "undecided"), (0, "fails")):
        cells = {
            ("cross_stitch", "attr_map"): cell(around(50 + gain), stream=1),
            ("one_task", "attr_map"): cell(around(50, spread=0.1), stream=2),
            ("cross_stitch", "det_map"): cell(around(42), stream=3),
            ("one_task", "det_map"): cell(around(40, spread=0.1), stream=4),
        }
        (judged,) = on_runs(printed("cross_stitch"), claim, [measured("cross_stitch", "6", cells)])
        assert judged.verdict == found
        assert judged.comparisons[0].mean == pytest.approx(gain - 2, abs=0.1)


def columns_of(*tables, **decided):
    """Columns of the scenes' tables with NDDR ahead of everything else."""
    ids = {"4": LOW, "6": {row: around(50 + place, spread=0.1) for place, row in enumerate(LOW)}}
    return [
        measured("nddr", table, rows(table, **ids[table], nddr=around(60)), backbone="vgg16", **decided)
        for table in tables
    ]


def test_tables_of_different_settings_are_not_compared():
    frames, rooms = {"data": FRAMES}, {"data": ROOMS}
    claim = CLAIMS["shortcut_improves_every_method"]
    (four,), (six,) = columns_of("4", **frames), columns_of("6", **rooms)
    judged = on_runs(PAPER, claim, [four, six])
    assert [(one.verdict, set(one.setting)) for one in judged] == [("undecided", {"4"}), ("undecided", {"6"})]
    (apart,) = columns_of("6", **frames, profile="paper")
    assert {len(one.setting) for one in on_runs(PAPER, claim, [four, apart])} == {1}
    (apart,) = columns_of("6", **frames, recipe=RECIPE.model_copy(update={"lr": 0.5}))
    assert {len(one.setting) for one in on_runs(PAPER, claim, [four, apart])} == {1}
    combined = {"objective": JacobianDescent.Settings(aggregator="PCGrad")}
    augmented = {"augmentation": RECIPE.augmentation.model_copy(update={"scale_min": 0.9})}
    others = [combined, {"units_lr": 0.1}, {"fused_epochs": 3.0}, {"output_stride": 32}]
    others += [{"recipe": RECIPE.model_copy(update=one)} for one in ({"precision": "bf16-mixed"}, augmented)]
    for decided in others:
        (apart,) = columns_of("6", **frames | decided)
        assert {len(one.setting) for one in on_runs(PAPER, claim, [four, apart])} == {1}, decided
    (judged,) = on_runs(PAPER, claim, columns_of("4", "6", **frames))
    assert (set(judged.setting), judged.tally) == ({"4", "6"}, "28 hold, 0 fail, 7 open")


def test_tables_printed_for_two_backbones_need_not_agree_in_theirs():
    times = {
        table: {
            (row, column): timed(*(value + np.random.default_rng(place).normal(0, 0.01, 10)))
            for place, (row, column, value) in enumerate(several)
        }
        for table, several in {
            "4": [
                (row, column, value if column == "ms" else 1000 / value)
                for row, value in (("seg_det", 10), ("stn_two", 15), ("seg_det_pose", 10), ("stn_three", 21))
                for column in ("ms", "fps")
            ],
            "F7": [
                (row, column, value if column == "ms" else 1000 / value)
                for row, value in (("triple_mcn", 5), ("composite_stn", 12))
                for column in ("ms", "fps")
            ],
        }.items()
    }
    columns = [measured("mcn", table, cells) for table, cells in times.items()]
    assert [one.column.backbone for one in columns] == ["dla34", "resnet18"]
    assert verdict("shared_network_faster", *columns, slug="mcn") == "holds"
    elsewhere = measured("mcn", "F7", times["F7"], hardware="another machine")
    claim = next(one for one in printed("mcn").claims if one["id"] == "shared_network_faster")
    judged = on_runs(printed("mcn"), claim, [columns[0], elsewhere])
    assert {tuple(one.setting): one.name.rpartition("; ")[2] for one in judged} == {
        ("4",): f"timed on {columns[0].column.machine}",
        ("F7",): "timed on another machine",
    }


def test_every_setting_is_judged_paper_first_then_real_images_then_drawn_worlds():
    def ahead(by, **decided):
        return measured("nddr", "4", rows(**LOW, nddr=around(33 + by)), **decided)

    columns = [
        ahead(9, data=ROOMS),
        ahead(-9, data=FRAMES),
        ahead(9, data=FRAMES, recipe=RECIPE.model_copy(update={"lr": 0.5})),
        ahead(0, data=ROOMS, profile="paper"),
    ]
    judged = on_runs(PAPER, CLAIMS["beats_all_vgg16"], columns)
    assert [one.verdict for one in judged] == ["undecided", "holds", "fails", "holds"]
    names = [one.name for one in judged]
    assert names[0] == "paper; rooms (drawn); 32x40; vgg16_bn"
    assert len(set(names)) == 4
    assert names[1:3] == [f"lite; frames; 120x160; vgg16_bn; lr {rate:g}" for rate in (0.5, RECIPE.lr)]
    page = claims_html("nddr", ["4"], columns)
    assert all(name in page for name in names)


def test_printed_networks_that_were_only_counted_have_no_data():
    cells = {(row.id, "macs"): counted(4e9) for row in printed("multi_exit").tables["4"].rows}
    column = measured("multi_exit", "4", cells, profile="paper")
    (judged,) = on_runs(printed("multi_exit"), CLAIMS["layer4_costliest_placement"], [column])
    assert judged.name == "paper; resnet50"


def test_the_page_lists_the_claims_of_its_tables_only():
    page = claims_html("nddr", ["4"])
    assert page.count(" scope='row'") == 2
    assert "holds" in page
    assert "undecided" in page


def test_the_evidence_names_every_compared_cell_with_its_print_our_mean_and_both_p_values():
    claim = CLAIMS["beats_all_vgg16"]
    column = measured("nddr", "4", rows(nddr={0: 60, 1: 62, 2: 64}, single={0: 50, 1: 50, 2: 50}))
    lines = re.findall(r"<li>(.*?)</li>", claims_html("nddr", ["4"], [column]))
    assert len(lines) == sum(len(c["compare"]) for c in PAPER.claims if _tables(c) == {"4"})
    one = next(c for c in claim["compare"] if c["b"][1] == "single" and c["a"][2] == "seg_miou")
    texts = [PAPER.tables["4"].row(one[side][1]).cells["seg_miou"] for side in "ab"]
    label = PAPER.tables["4"].row("single").label
    (line,) = [line for line in lines if f"{label}, mIoU" in line]
    assert all(f": {text}" in line for text in texts)
    assert "ours 62.0 ±2.0 and 50.0 ±0.0: +12.0, p 0.00" in line
    assert "28 comparisons" in claims_html("nddr", ["4"])


def _tables(claim):
    return {at[0] for comparison in claim["compare"] for at in (comparison["a"], comparison["b"])}


@pytest.mark.parametrize(
    ("slug", "table", "first", "second", "column", "says"),
    [
        ("nddr", "4", "nddr", "single", "normals_mean", "“NDDR” has seen 2 times"),
        ("nddr", "4", "multi", "nddr", "seg_miou", "“NDDR” has seen 2 times"),
        ("nddr", "4", "nddr", "sluice", "normals_mean", ""),
        ("nddr", "4", "multi", "single", "seg_miou", ""),
        # Lengths are a task's own: 25 and 15 thousand steps alone, 10 more together.
        ("cross_stitch", "5", "cross_stitch", "one_task", "seg_miou", "“Cross-stitch” has seen 1.4 times"),
        ("cross_stitch", "5", "cross_stitch", "one_task", "normals_mean", "“Cross-stitch” has seen 1.67 times"),
        ("cross_stitch", "5", "mtl_shared", "cross_stitch", "normals_mean", ""),
        # An ensemble has two networks a task, each of which has seen less, and both together more.
        ("cross_stitch", "5", "cross_stitch", "ensemble", "seg_miou", ""),
        # Images of other data that a start has learnt from are none of the task.
        ("nddr", "3", "init", "pret", "normals_mean", ""),
        ("calorie", "4", "joint_k10", "vgg16_single", "rel_err", ""),
    ],
)
def test_what_decides_says_where_a_network_has_seen_more_images_of_the_task(slug, table, first, second, column, says):
    claim = {
        "compare": [{"a": [table, first, column], "op": "better", "b": [table, second, column]}],
        "holds_if": "all",
    }
    cells = {(row, column): cell(around(36 + place), stream=place) for place, row in enumerate((first, second))}
    (judged,) = on_runs(printed(slug), claim, [measured(slug, table, cells)])
    text = deciding_text(printed(slug), claim, judged).text
    assert text.rpartition("; ")[2] == f"{says} as many images" if says else "as many images" not in text


def test_sets_that_are_learnt_together_share_the_images_of_a_batch():
    table = papers.table("multi_exit", "1")
    rows_ = {row.id: row for row in table.rows(table.meta_column(), 0)}
    together = rows_["mtl_20"].evaluations[0].subject
    assert len(together.data.sets) == 2
    for task in together.network.tasks:
        assert together.images_seen_for(task.name) == together.images_seen // 2


def test_every_claim_is_decided_where_every_table_repeats_the_print():
    """On columns that repeat the print with little noise the verdicts are the print's, but for ties."""
    columns = []
    rng = np.random.default_rng(0)
    for table in papers.DECLARED["nddr"]:
        cells = {
            (row.id, column): cell({s: float(text) + 1e-4 * rng.normal() for s in range(3)}, 1e-4, stream=place)
            for place, row in enumerate(table.printed.rows)
            for column, text in row.cells.items()
        }
        columns.append(measured("nddr", table.id, cells, data=FRAMES, profile="paper"))
    ties = 0
    for claim in PAPER.claims:
        (judged,) = on_runs(PAPER, claim, columns)
        cells = {(one.table.id, row, name): one for one in columns for row, name in one.cells}
        assert cells
        tied = [one for one in judged.comparisons if abs(one.mean - _margin(claim, judged, one)) < 0.01]
        ties += bool(tied)
        if not tied:
            assert judged.verdict == on_print(PAPER, claim), claim["id"]
    assert ties < len(PAPER.claims) / 2


def _margin(claim, judged, compared):
    return float(claim["compare"][judged.comparisons.index(compared)].get("by", 0))


def test_a_comparison_alone_is_held_to_one_level():
    assert [Compared(1.0, p, 1 - p).status for p in (0.025, 0.026, 0.974, 0.976)] == ["hold", "open", "open", "fail"]


def test_drawn_rooms_do_not_stand_beside_real_objects():
    claim = CLAIMS["multi_task_edge_over_one_task"]
    objects = Data(layout="apascal", name="apascal", fingerprint="1234", size=(120, 160))
    places = {
        table: {(at[1], at[2]) for c in claim["compare"] for at in (c["a"], c["b"]) if at[0] == table} for table in "56"
    }

    def judged(scenes):
        both = ("5", scenes), ("6", objects)
        columns = [
            measured("cross_stitch", t, {at: cell(around(1)) for at in places[t]}, data=data) for t, data in both
        ]
        return [set(one.setting) for one in on_runs(printed("cross_stitch"), claim, columns)]

    assert judged(FRAMES) == [{"5", "6"}]
    assert judged(ROOMS) == [{"6"}, {"5"}]
