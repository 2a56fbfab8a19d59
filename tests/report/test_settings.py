"""Which settings tell columns apart."""

import pytest

from mtlkit import papers
from mtlkit.errors import InputError
from mtlkit.report.settings import described, joined, matching, settings_of, telling

FAST = {"profile": "lite", "lr": "0.01", "epochs": "6", "column": "a"}
SLOW = {"profile": "lite", "lr": "0.003", "epochs": "6", "part": "development", "column": "b"}


def test_what_not_all_columns_have_tells_them_apart():
    assert [described(one) for one in telling([FAST, SLOW])] == ["lr 0.01", "lr 0.003; part development"]
    assert telling([FAST]) == [{}]


def test_columns_that_agree_in_every_option_are_told_apart_by_their_identity():
    assert telling([FAST, FAST | {"column": "c"}, SLOW])[:2] == [
        {"lr": "0.01", "column": "a"},
        {"lr": "0.01", "column": "c"},
    ]
    assert telling([FAST, FAST]) == [{}, {}]


def test_columns_that_belong_together_show_all_their_values():
    assert joined([FAST, SLOW]) == {
        "profile": "lite", "lr": "0.01, 0.003", "epochs": "6", "column": "a, b", "part": "development"
    }  # fmt: skip


def test_the_settings_of_a_column_are_its_options_and_name_no_folder():
    column = papers.table("nddr", "4").meta_column()
    found = settings_of(column)
    assert found["backbone"] == column.backbone
    assert found["column"] == column.identity
    assert "data-root" not in found
    assert all(isinstance(value, str) for value in found.values())


def test_columns_are_selected_by_name_and_value():
    assert matching([FAST, SLOW], []) == [0, 1]
    assert matching([FAST, SLOW], ["lr=0.003"]) == [1]
    assert matching([FAST, SLOW], ["profile=lite", "epochs=6"]) == [0, 1]
    assert matching([{"image-size": "120 160"}], ["image_size=120 160"]) == [0]


@pytest.mark.parametrize("wanted", [["lr=1"], ["rate=0.01"], ["lr"], ["lr=0.01", "part=development"]])
def test_what_matches_nothing_is_answered_with_what_would(wanted):
    with pytest.raises(InputError) as stop:
        matching([FAST, SLOW], wanted)
    assert str(stop.value) == (
        f"No stored column has {' and '.join(wanted)}; valid are lr=0.01 or 0.003; part=development."
    )
