"""p-values, intervals and claims of several comparisons, against scipy's tests and the rules' own words."""

import itertools
import math

import numpy as np
import pytest
from cells import cell, fixed, timed
from scipy import stats

from mtlkit.ledger import Drawn
from mtlkit.report.judging import LEVEL, combined, difference, one_sided, several_hold
from mtlkit.report.side_by_side import Cell, at_one_pace

SEEDS = {0: 1.0, 1: 1.3, 2: 0.8, 3: 1.4}


def test_without_image_noise_it_is_the_t_test_over_seeds():
    values = np.array(list(SEEDS.values()))
    p = one_sided(values.mean(), ((values.var(ddof=1) / 4, 3), (0.0, 199)))
    assert p == pytest.approx(stats.ttest_1samp(values, 0, alternative="greater").pvalue)


def test_without_seeds_the_draws_decide_alone():
    lead = difference(fixed(2.0, stream=1), fixed(1.9, stream=2))
    ((variance, freedom),) = lead.noise
    assert freedom == 199
    assert lead.above() == pytest.approx(stats.t.sf(0.1 / math.sqrt(variance), 199))


def test_both_sources_have_their_share():
    lead = difference(cell(SEEDS, stream=1), fixed(0.7, stream=2))
    seeds, images = lead.noise
    assert seeds == pytest.approx((np.var(list(SEEDS.values()), ddof=1) / 4, 3))
    draws = np.random.default_rng(1).normal(size=500) - np.random.default_rng(2).normal(size=500)
    assert images == pytest.approx((np.var(0.1 * draws, ddof=1) * 200 / 199, 199))
    error = math.sqrt(seeds[0] + images[0])
    share = seeds[0] / error**2
    t = (lead.mean - 0.2) / error
    assert lead.above(0.2) == pytest.approx(share * stats.t.sf(t, 3) + (1 - share) * stats.t.sf(t, 199))
    assert lead.above(0.2) + lead.below(0.2) == pytest.approx(1)


@pytest.mark.parametrize("groups", [3, 22])
def test_draws_of_few_groups_vary_as_other_groups_would(groups):
    """The variance of a mean over groups: that of the groups by their number, without the bias of drawing."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=groups)
    draws = values[rng.integers(groups, size=(40_000, groups))].mean(1)
    drawn = Drawn(of="portion", groups=groups, key="portions")
    first = Cell(by_seed=SEEDS, resampled=dict.fromkeys(SEEDS, tuple(draws)), drawn=drawn)
    second = Cell(by_seed=SEEDS, resampled=dict.fromkeys(SEEDS, (0.0,) * len(draws)), drawn=drawn)
    _, (variance, freedom) = difference(first, second).noise
    assert variance == pytest.approx(values.var(ddof=1) / groups, rel=0.02)
    assert freedom == groups - 1


def test_an_interval_holds_what_is_refused_on_neither_side():
    lead = difference(cell(SEEDS, stream=1), fixed(0.7, stream=2))
    low, high = lead.interval
    assert lead.above(low) == pytest.approx(LEVEL)
    assert lead.below(high) == pytest.approx(LEVEL)
    assert low + high == pytest.approx(2 * lead.mean)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_several_of_many_hold_as_the_rule_says(count):
    levels = (0.0, 0.004, 0.012, 0.02, 0.03, 1.0)
    for p, needed in itertools.product(itertools.product(levels, repeat=count), range(1, count + 1)):
        mth = sorted(p)[needed - 1]
        assert several_hold(p, needed) == (mth <= 0.025 / (count - needed + 1))
        # What is shown of both sides at once stands as it is said first; a p-value is at most 1 on both together.
        other = [1 - one for one in p]
        verdict = combined(p, other, needed)
        fails = sorted(other)[count - needed] <= 0.025 / needed
        assert verdict == ("holds" if several_hold(p, needed) else "fails" if fails else "undecided")


def test_an_open_comparison_counts_on_neither_side():
    assert combined([0.001, 1.0], [0.999, 1.0], 2) == "undecided"
    assert combined([0.001, 1.0], [0.999, 1.0], 1) == "holds"
    assert combined([0.999, 1.0], [0.001, 1.0], 2) == "fails"
    assert combined([0.999, 1.0], [0.001, 1.0], 1) == "undecided"


def test_three_agreeing_signs_no_longer_decide():
    lead = difference(cell({0: 1.0, 1: 3.0, 2: 0.2}, stream=1), fixed(0.0, stream=2))
    assert min(lead.values) > 0
    assert lead.above() > LEVEL


def test_cells_without_draws_are_never_decided():
    plain = Cell({0: 5.0, 1: 5.1, 2: 5.2})
    lead = difference(plain, cell({0: 1, 1: 1, 2: 1}))
    assert (lead.mean, lead.noise, lead.interval) == (pytest.approx(4.1), (), None)
    assert lead.above() == lead.below() == 1


def test_seeds_are_paired_by_number():
    lead = difference(cell({0: 1, 1: 2, 2: 3, 3: 4}), cell({1: 2, 2: 3, 3: 4, 4: 9}))
    assert lead.values == (0, 0, 0)
    assert difference(cell({0: 1}), cell({1: 1})) is None


def test_a_row_that_no_seed_changes_counts_once_against_every_seed():
    lead = difference(cell(SEEDS, stream=1), fixed(1.0, stream=2))
    assert lead.values == pytest.approx([value - 1 for value in SEEDS.values()])
    assert difference(fixed(1.0, stream=1), fixed(2.0, stream=2)).values == (-1,)


def test_two_seeds_are_too_few():
    assert difference(cell({0: 5, 1: 5.1}, stream=1), cell({0: 1, 1: 1.2}, stream=2)).noise == ()


def test_differences_without_any_noise_stay_open():
    lead = difference(cell({0: 12.1, 1: 13.1, 2: 14.1}), cell({0: 10.1, 1: 11.1, 2: 12.1}))
    assert lead.mean == pytest.approx(2)
    assert lead.noise == ()  # though 12.1 - 10.1 and 13.1 - 11.1 differ as binary fractions


@pytest.mark.parametrize(
    ("drawn", "draws"),
    [(Drawn(of="image", groups=200, key="others"), 500), (Drawn(of="image", groups=200, key="images"), 499)],
)
def test_draws_of_other_images_are_not_paired(drawn, draws):
    other = cell({0: 1, 1: 2, 2: 4}, stream=2, drawn=drawn)
    other = Cell(other.by_seed, {seed: several[:draws] for seed, several in other.resampled.items()}, drawn)
    assert difference(cell({0: 5, 1: 6, 2: 7}), other).noise == ()


def test_too_narrow_draws_show_an_interval_and_decide_nothing():
    drawn = Drawn(of="image", groups=200, key="images", too_narrow=True)
    lead = difference(cell({0: 5, 1: 6, 2: 7}, stream=1, drawn=drawn), cell({0: 1, 1: 2, 2: 4}, stream=2, drawn=drawn))
    assert lead.interval[0] > 0
    assert lead.above() == lead.below() == 1


def test_a_ratio_is_taken_on_logs():
    slow, fast = cell({0: 30, 1: 33, 2: 36}, stream=1), cell({0: 10, 1: 11, 2: 12}, stream=2)
    lead = difference(fast, slow, -1, log=True)
    assert lead.values == pytest.approx([math.log(3)] * 3)
    assert lead.above(math.log(2)) < LEVEL < lead.above(math.log(3))
    assert difference(cell({0: 1, 1: 2, 2: 0}), fast, log=True) is None
    assert difference(cell({0: 1, 1: 2, 2: 3}, noise=5), fast, log=True).noise == ()  # draws below 0


def test_100_ms_are_not_twice_as_fast_as_103():
    times = np.random.default_rng(0).normal(0, 1, (2, 30))
    lead = difference(timed(*(100 + times[0])), timed(*(103 + times[1])), -1, log=True)
    assert lead.below(math.log(2)) < 1e-6
    assert lead.above(0) < LEVEL


def test_timings_are_paired_by_round():
    pace = np.random.default_rng(0).normal(100, 20, 30)  # a machine whose pace changes
    lead = difference(timed(*pace), timed(*(pace * 1.02)), -1, log=True)
    assert lead.mean == pytest.approx(math.log(1.02))
    ours, theirs = pace, 1.02 * pace + np.random.default_rng(1).normal(0, 0.1, 30)
    t = stats.ttest_rel(theirs, ours, alternative="greater")
    assert difference(timed(*ours), timed(*theirs), -1).above() == pytest.approx(t.pvalue)
    assert difference(timed(1, 2), timed(3, 5), -1).noise == ()  # two rounds


def test_a_margin_that_is_a_difference_has_noise_too():
    shared = {0: 0.0, 1: 4.0, 2: -3.0}  # what a seed does to both gains cancels
    a = cell({seed: 6 + 2 * value for seed, value in shared.items()}, stream=1)
    b, d = (cell(shared, stream=stream) for stream in (2, 4))
    c = cell({seed: 2 * value + 0.01 * seed for seed, value in shared.items()}, stream=3)
    lead = difference(a, b, beyond=(c, d, 1))
    assert lead.values == pytest.approx([6, 5.99, 5.98])
    assert lead.noise[1][0] == pytest.approx(4 * 0.01, rel=0.2)
    assert lead.above() < LEVEL < difference(a, b).above()
    # In the other column less is better.
    assert difference(a, b, beyond=(d, c, -1)).values == pytest.approx(lead.values)


def test_differences_on_two_data_sets_are_paired_each_within_itself():
    other = Drawn(of="portion", groups=40, key="portions")
    a, b = cell(SEEDS, stream=1), cell(SEEDS, stream=2)
    c, d = cell(SEEDS, stream=1, drawn=other), cell(SEEDS, stream=2, drawn=other)
    (_, _), (within, _) = difference(a, b).noise
    seeds, (variance, freedom) = difference(a, b, beyond=(c, d, 1)).noise
    assert seeds == (0, 3)
    assert variance == pytest.approx(within + within * 199 / 200 * 40 / 39)
    assert freedom == 39
    assert difference(a, d, beyond=(c, b, 1)).noise == ()


def test_rows_that_were_timed_minutes_apart_are_compared_at_one_pace():
    """Against one reference: a machine that was slower while one of the rows was timed is not that row's fault."""
    rng = np.random.default_rng(0)
    slow = {"fast": np.full(30, 1.3), "slow": np.ones(30)}  # throttled while the faster row was timed
    truth, cells = {"fast": 10.0, "slow": 12.0}, {}
    for row, time in truth.items():
        beside = 20 * slow[row]
        own = time * slow[row] * (1 + rng.normal(0, 0.001, 30))
        rounds = {"ms": own, "fps": 1000 / own, "ratio": own / beside}
        cells |= {(row, name): timed(*values) for name, values in rounds.items()}
    assert difference(cells["fast", "ms"], cells["slow", "ms"], -1).above() > 0.9, "as it was timed"
    level = at_one_pace(cells, "ms", "ratio", {"ms": -1, "fps": 1, "ratio": -1})
    for measure, sign in (("ms", -1), ("fps", 1)):
        lead = difference(level["fast", measure], level["slow", measure], sign, log=True)
        assert lead.mean == pytest.approx(math.log(1.2), abs=0.001)
        assert lead.above() < LEVEL
    assert level["fast", "ratio"] == cells["fast", "ratio"]
    assert level["fast", "ms"].by_seed == cells["fast", "ms"].by_seed, "what is shown is what was timed"
    assert at_one_pace({("fast", "ms"): cell({0: 1})}, "ms", "ratio", {}) == {("fast", "ms"): cell({0: 1})}
