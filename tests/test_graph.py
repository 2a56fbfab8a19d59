"""The graph of runs on nodes of the tests' own: what is planned, in what order, what is asked of whom."""

from typing import ClassVar

import pytest
import torch
from builders import record_of
from hypothesis import given
from hypothesis import strategies as st

from mtlkit.engine import Engine
from mtlkit.errors import WeightsMissing
from mtlkit.graph import Content, Node, ordered
from mtlkit.ledger import Ledger
from mtlkit.runtime import Runtime

RAN: list[str] = []


class Number(Node):
    """A number, and the sum of what it needs."""

    name: str
    after: tuple["Number", ...] = ()

    @property
    def needs(self):
        return self.after

    @property
    def loads(self):
        return ()

    def run(self, context):
        RAN.append(self.name)
        return Content({"sum": 1.0 + sum(context.record(one).metrics["sum"] for one in self.after)})


class Kept(Number):
    """A number that keeps a tensor, and reads the tensors of those it needs."""

    keeps: ClassVar[str | None] = "kept"
    costly: ClassVar[bool] = True

    @property
    def loads(self):
        return self.after

    def run(self, context):
        RAN.append(self.name)
        total = 1.0 + sum(context.tensors(one)["sum"].item() for one in self.after)
        for rider in context.riders:
            context.keep(rider, {"sum": torch.tensor(-total)})
        return Content({"sum": total}, tensors={"sum": torch.tensor(total)})


class Look(Node):
    """Made while another node runs."""

    kind: ClassVar[str] = "looks"
    recorded: ClassVar[bool] = False
    keeps: ClassVar[str | None] = "looks"

    at: Kept

    @property
    def needs(self):
        return (self.at,)

    @property
    def during(self):
        return self.at


@pytest.fixture
def engine(tmp_path):
    RAN.clear()
    return Engine(Ledger(tmp_path), Runtime(device="cpu", progress=False))


def names(steps):
    return [step.node.name for step in steps]


@given(st.lists(st.lists(st.integers(0, 6), max_size=3), min_size=1, max_size=7))
def test_the_order_has_every_node_once_after_what_it_needs(shape):
    nodes = []
    for place, needs in enumerate(shape):
        nodes.append(Number(name=str(place), after=tuple(nodes[need] for need in needs if need < place)))
    order = list(ordered(nodes).values())
    assert sorted(node.name for node in order) == sorted(node.name for node in nodes)
    for place, node in enumerate(order):
        assert {need.identity for need in node.needs} <= {one.identity for one in order[:place]}


def test_a_node_stands_in_another_by_its_identity():
    first = Number(name="a")
    assert Number(name="b", after=(first,)).canonical() == {"is": "Number", "name": "b", "after": [first.identity]}
    assert first.model_copy(update={"name": "c"}).identity == Number(name="c").identity != first.identity
    assert first.model_copy(update={"revision": 2}).identity != first.identity


def test_what_is_missing_is_planned_and_run_once(engine):
    first = Number(name="a")
    second, third = Number(name="b", after=(first,)), Number(name="c", after=(first,))
    last = Number(name="d", after=(second, third))
    assert names(engine.plan([last, third])) == ["a", "b", "c", "d"]
    assert engine.run([last])[last.identity].metrics == {"sum": 5.0}
    assert engine.plan([last, third]) == []
    engine.ledger.path("evaluation", second.identity).unlink()
    assert names(engine.plan([last])) == []  # what is there needs nothing
    assert names(engine.plan([Number(name="e", after=(second, last))])) == ["b", "e"]


def test_tensors_are_asked_for_where_they_are_read_alone(engine):
    first = Kept(name="a")
    reader, counter = Kept(name="b", after=(first,)), Number(name="c", after=(first,))
    engine.run([first])
    engine.ledger.tensors_path("kept", first.identity).unlink()
    assert record_of(engine, counter).metrics == {"sum": 2.0}
    with pytest.raises(WeightsMissing, match=f"The kept of evaluation {first.identity} .* --retrain"):
        engine.run([reader])
    told = Engine(engine.ledger, Runtime(device="cpu", retrain=True))
    assert record_of(told, reader).metrics == {"sum": 2.0}
    assert RAN == ["a", "c", "a", "b"]


def test_what_is_made_while_another_runs_needs_it_once_whatever_the_order(engine):
    host = Kept(name="a")
    for goals in ([host, Look(at=host)], [Look(at=host), host]):
        (step,) = engine.plan(goals)
        assert (step.node, step.riders) == (host, (Look(at=host),))
    assert engine.tensors(Look(at=host))["sum"] == -1
    assert engine.plan([host, Look(at=host)]) == []
    engine.ledger.tensors_path("looks", Look(at=host).identity).unlink()
    with pytest.raises(WeightsMissing, match=f"The looks of evaluation {host.identity}"):
        engine.plan([Look(at=host)])
    assert RAN == ["a"]


def test_scoring_again_runs_the_goals_and_what_they_need_but_nothing_costly(engine):
    first = Number(name="a")
    last = Number(name="b", after=(first,))
    engine.run([last])
    again = Engine(engine.ledger, Runtime(device="cpu", rescore=True))
    again.run([last])
    assert RAN == [
        "a",
        "b",
        "a",
        "b",
    ]  # what is not costly is scored again first: a choice among old scores would be old
    RAN.clear()
    kept = Kept(name="c")
    engine.run([Number(name="d", after=(kept,))])
    again.run([Number(name="d", after=(kept,))])
    assert RAN == ["c", "d", "d"]
