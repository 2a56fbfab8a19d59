"""What is counted as running and as measured."""

import re

import pytest

from mtlkit import papers
from mtlkit.report.coverage import coverage, networks, runnable, status
from mtlkit.results import Results

TABLE = papers.table("nddr", "4")


MEASURED = {whose: {"smoke": 28 * (whose == "own"), "lite": 0, "paper": 0} for whose in ("published", "own")}


def test_coverage_counts_cells_once(filled):
    _, _, folder = filled
    counted = coverage(Results(folder))
    line = counted["papers"]["nddr"]["tables"]["4"]
    assert line == {"rows": 5, "runnable": 5, "cells": 35, "measured": MEASURED}
    cells = re.findall(r">NDDR-CNN, 2019</th><td.*?>(.*?)</td><td.*?>(.*?)</td>", status(counted))
    assert cells == [("9", "43 of 43")]


def test_runnable_builds_and_therefore_notices_what_does_not():
    column = TABLE.meta_column()
    rows = {row.id: row for row in TABLE.rows(column, 0)}
    assert runnable(rows["nddr"])
    broken = {row.id: row for row in TABLE.rows(column.model_copy(update={"output_stride": 16}), 0)}["single"]
    with pytest.raises(Exception, match="16"):
        runnable(broken)


def test_networks_are_found_however_deep_they_lie():
    def held(paper, table, row):
        declared = papers.table(paper, table)
        rows = {row.id: row for row in declared.rows(declared.meta_column(), 0)}
        return {network.identity: network for one in rows[row].evaluations for network in networks(one)}.values()

    single, fused = held("nddr", "4", "single"), held("nddr", "4", "nddr")
    assert len(single) == 2
    assert {network.identity for network in single} < {network.identity for network in fused}
    assert len(held("calorie", "4", "untrained_k10")) == 1  # not trained: the features' own network
    assert len(held("mcn", "4", "stn_two")) >= 2  # only timed
