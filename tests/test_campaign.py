"""Campaigns and plans: what a file says, what is wrong with it in a sentence, what is missing and what it costs."""

import itertools
import json
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from typer.testing import CliRunner

from mtlkit import estimates as estimates_module
from mtlkit import runtime as runtime_module
from mtlkit.campaign import Campaign, goal
from mtlkit.cli import app
from mtlkit.errors import InputError
from mtlkit.estimates import Estimates, Rate, shape
from mtlkit.history import Divergence
from mtlkit.ledger import Record
from mtlkit.objectives import JacobianDescent
from mtlkit.planning import Plan, Total, jobs
from mtlkit.results import Results
from mtlkit.runs import Training
from mtlkit.runtime import Runtime, hardware
from mtlkit.work_command import Selection, spread, text
from mtlkit.work_command import campaign as named

FILE = """
results = "records"
threads = 1

[variables]
data = "images"

[options.small]
backbone = "resnet10t"
image_size = [32, 40]
epochs = 0.02

[[columns]]
about = "rates"
caution = "Of one pass."
paper = "nddr"
table = "4"
use = ["small"]
rows = ["constant", "single"]
each = { lr = [0.001, 0.01], seeds = [[0], [1]] }

[[columns]]
paper = "nddr"
table = "4"
use = ["small"]
rows = ["single", "multi"]
lr = 0.01
seeds = [0, 1]
"""
RUNTIME = Runtime(device="cpu", progress=False, renew=True)


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "small.toml"
    path.write_text(FILE)
    return path


def columns(path, **given):
    return [goal(wanted, **given) for wanted in Campaign.read(path).wanted]


def subjects(path):
    return [node.subject for node in columns(path)[0].nodes if hasattr(node, "subject")]


def test_a_file_gives_its_columns_in_order_every_combination_one(file, tmp_path):
    campaign = Campaign.read(file)
    assert (campaign.results, campaign.threads) == (tmp_path / "records", 1)
    assert campaign.found_in(None, 1).own == tmp_path / "records"
    assert campaign.found_in(tmp_path / "mine", 1).own == tmp_path / "mine"
    found = [(wanted.options.lr, wanted.options.seeds, wanted.rows) for wanted in campaign.wanted]
    rows = ("constant", "single")
    expected = [(0.001, (0,), rows), (0.001, (1,), rows), (0.01, (0,), rows), (0.01, (1,), rows)]
    assert found == [*expected, (0.01, (0, 1), ("single", "multi"))]
    assert [wanted.about for wanted in campaign.wanted] == ["rates"] * 4 + [""]
    assert [wanted.caution for wanted in campaign.wanted] == ["Of one pass."] * 4 + [""]


def test_variables_stand_in_paths_which_go_from_the_file(tmp_path):
    (tmp_path / "c.toml").write_text(
        '[variables]\ndata = "images"\n[[columns]]\npaper = "nddr"\ntable = "4"\ndata_root = "$data/rooms"\n'
        'weights = "none"\n[[columns]]\npaper = "nddr"\ntable = "4"\ndata_root = "rooms"'
    )
    first, second = Campaign.read(tmp_path / "c.toml").wanted
    assert first.options.data_root == (tmp_path / "images" / "rooms",)
    assert first.options.weights == "none"
    assert second.options.data_root == (tmp_path / "rooms",)
    first, _ = Campaign.read(tmp_path / "c.toml", {"data": "/elsewhere"}).wanted
    assert first.options.data_root == (Path("/elsewhere/rooms"),)
    with pytest.raises(InputError, match=r"There is no variable of .*c.toml 'date'; did you mean 'data'"):
        Campaign.read(tmp_path / "c.toml", {"date": "/elsewhere"})


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("columns = [", "is no TOML"),
        ("column = []", "column: extra inputs are not permitted"),
        ('path = "x"', "path: a campaign has no such entry"),
        ("threads = 1", "names no columns"),
        ("threads = 0\ncolumns = []", "threads: input should be greater than 0"),
        ('[[columns]]\npaper = "nddr"', "columns 1 table: field required"),
        ('[[columns]]\npaper = "ndr"\ntable = "4"', "column 1: There is no paper 'ndr'; did you mean 'nddr'?"),
        ('[[columns]]\npaper = "nddr"\ntable = 44', "column 1: There is no table of nddr '44'"),
        ('[[columns]]\npaper = "nddr"\ntable = 4\nepoch = 3', "column 1: There is no parameter 'epoch'; did you mean"),
        ('[[columns]]\npaper = "nddr"\ntable = 4\nlr = -1', "column 1: The parameter lr must be a number above 0"),
        ('[[columns]]\npaper = "nddr"\ntable = 4\nuse = ["x"]', "column 1: There is no set of options 'x'"),
        ('[[columns]]\npaper = "nddr"\ntable = 4\ndata_root = "$x"', "'$x' names a variable that the file does not"),
        ('[[columns]]\npaper = "nddr"\ntable = 4\nrows = []', "columns 1 rows: list should have at least 1 item"),
        ('[[columns]]\npaper = "nddr"\ntable = 4\neach = {lr = []}', "each lr: list should have at least 1 item"),
        ('[[columns]]\npaper = "nddr"\ntable = 4\ndevice = "cpu"', "device is no part of what is run; plan and work"),
        ('[[columns]]\npaper = "nddr"\ntable = 4\nresults_dir = "x"', "plan and work take --results-dir."),
        ('[[columns]]\npaper = "nddr"\ntable = 4\neach = 3', "columns 1 each: input should be a valid dictionary"),
        ('[[columns]]\npaper = "mcn"\ntable = 4\nepochs = 3', "column 1: Table 4 times untrained networks"),
    ],
)
def test_what_is_wrong_with_a_file_is_one_sentence_that_names_the_column(text, sentence, tmp_path):
    path = tmp_path / "wrong.toml"
    path.write_text(text)
    with pytest.raises(InputError) as error:
        Campaign.read(path)
    assert str(path) in str(error.value)
    assert sentence in str(error.value)
    assert "\n" not in str(error.value)


def test_rows_go_seed_by_seed_only_when_asked(file):
    wanted = Campaign.read(file).wanted[-1]

    def order(**how):
        named = {node.identity: node for node in goal(wanted, **how).nodes}
        return [(node.subject.title.split()[1], node.subject.seed) for node in named.values()]

    assert order() == [("single", 0), ("single", 0), ("single", 1), ("single", 1), ("shared", 0), ("shared", 1)]
    assert order(by_seed=True) == [
        ("single", 0), ("single", 0), ("shared", 0), ("single", 1), ("single", 1), ("shared", 1)
    ]  # fmt: skip


def test_a_plan_has_every_missing_node_once_and_says_what_is_there(file, tmp_path):
    goals = columns(file)
    results = Campaign.read(file).found_in(None, 1 << 30)
    known = Estimates([], RUNTIME, measure=False)
    plan = Plan.of(goals, results, RUNTIME, known)
    assert plan.there == (0, 0, 0, 0, 0)
    identities = [one.node.identity for one in plan.missing]
    assert len(set(identities)) == len(identities)
    total = Total.of(plan.missing)
    # Two rates, two seeds, two tasks; and a shared network of two seeds.
    assert (total.trainings, total.evaluations) == (8 + 2, 1 + 8 + 2)
    assert [Total.of(plan.of_goal(at)).trainings for at in range(5)] == [2, 2, 2, 2, 6]
    assert total.images == sum(one.node.recipe.images for one in plan.missing if isinstance(one.node, Training))
    graph = plan.graph()
    assert json.loads(json.dumps(graph)) == graph
    assert {node["identity"] for node in graph["nodes"]} == set(identities)
    shared = next(node for node in graph["nodes"] if node["title"].startswith("resnet10t shared"))
    assert shared["columns"] == [4]
    (job,) = jobs(goals)
    assert len(job.goals) == total.evaluations


def test_what_needs_a_training_that_diverged_is_neither_there_nor_missing(file):
    goals = columns(file)[:1]
    results = Campaign.read(file).found_in(None, 1 << 30)
    first, *others = subjects(file)
    assert others
    results.ledger("smoke").write(
        Record(
            kind="training", identity=first.identity, settings=first.canonical(),
            diverged=Divergence(step=1, loss="segmentation/cross_entropy", value="nan"),
        )
    )  # fmt: skip
    known = Estimates([], RUNTIME, measure=False)
    plan = Plan.of(goals, results, RUNTIME, known)
    assert (plan.there, plan.all_there) == ((0,), 0)
    last = text(plan, known).splitlines()[-2]
    assert last.split()[4:7] == ["0", "of", "3"]


def test_a_network_is_timed_once_however_many_trainings_have_it(file, monkeypatch, tmp_path):
    monkeypatch.setenv("MTLKIT_CACHE", str(tmp_path / "cache"))
    timed = []

    def measured(training, runtime):
        timed.append(shape(training.canonical()))
        return Rate(step=2.0, image=0.5, memory=3)

    goals = columns(file)  # their world is drawn into the other cache
    monkeypatch.setattr(estimates_module, "measured", measured)
    results = Campaign.read(file).found_in(None, 1 << 30)
    plan = Plan.of(goals, results, RUNTIME, Estimates([], RUNTIME, measure=True))
    assert len(timed) == len(set(timed)) == 3
    for one in plan.missing:
        if isinstance(one.node, Training):
            assert (one.seconds, one.memory) == (2.0 * one.node.recipe.steps, 3)
        elif one.node.needs:
            assert one.seconds == 0.5 * 32
    again = Plan.of(goals, results, RUNTIME, Estimates([], RUNTIME, measure=False))
    assert len(timed) == 3
    assert Total.of(again.missing).seconds == Total.of(plan.missing).seconds


def test_what_other_processes_take_of_the_processor_is_no_part_of_a_step(file, monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    late = SimpleNamespace(process_time=time.process_time, perf_counter=itertools.count(0, 1000).__next__)
    monkeypatch.setattr(estimates_module, "time", late)
    rate = estimates_module._timed(subjects(file)[0], RUNTIME)
    assert 0 < rate.step < 100
    assert 0 < rate.image < 100


def test_a_damaged_file_of_rates_is_no_file_and_what_cannot_be_timed_is_unknown(file, monkeypatch, tmp_path):
    monkeypatch.setenv("MTLKIT_CACHE", str(tmp_path / "cache"))
    asked = []

    def fails(training, runtime):
        asked.append(training)
        raise InputError("no room")

    monkeypatch.setattr(estimates_module, "measured", fails)
    known = Estimates([], RUNTIME, measure=True)
    known._path.parent.mkdir(parents=True)
    known._path.write_text("{half")
    known = Estimates([], RUNTIME, measure=True)
    subject = subjects(file)[0]
    assert (known.seconds(subject), known.seconds(subject), known.memory(subject)) == (None, None, None)
    assert len(asked) == 1


def test_a_precision_that_this_machine_has_not_is_left_to_another(file, monkeypatch):
    known = Estimates([], RUNTIME, measure=False)
    monkeypatch.setattr(estimates_module, "precisions", lambda device: pytest.fail("not needed"))
    subject = subjects(file)[0]
    assert known.slow(subject) == ""
    short = subject.model_copy(update={"recipe": subject.recipe.model_copy(update={"precision": "16-mixed"})})
    assert known.slow(short) == "The precision 16-mixed needs a GPU; the CPU trains at 32-true or bf16-mixed."


def test_where_channels_lie_decides_how_long_a_step_takes(file):
    subject = subjects(file)[0]
    other = subject.model_copy(update={"recipe": subject.recipe.model_copy(update={"channels_last": True})})
    assert shape(subject.canonical()) != shape(other.canonical())


def test_what_joins_losses_decides_how_long_a_step_takes(file):
    subject = subjects(file)[0]
    objective = JacobianDescent.Settings(aggregator="PCGrad")
    other = subject.model_copy(update={"recipe": subject.recipe.model_copy(update={"objective": objective})})
    assert shape(subject.canonical()) != shape(other.canonical())


def test_what_looks_at_no_network_takes_as_long_as_its_records_say(file, tmp_path):
    ledger = Results(tmp_path).ledger("smoke")
    nodes = columns(file)[0].nodes
    for node, seconds in zip(nodes, (3.0, 8.0), strict=False):
        ledger.write(
            Record(
                kind="evaluation", identity=node.identity, settings=node.canonical(), seconds=seconds,
                metrics={"a": 1.0}, data={"test_images": 16}, hardware=hardware(RUNTIME.fabric().device),
            )
        )  # fmt: skip
    known = Estimates([ledger], RUNTIME, measure=False)
    assert [known.seconds(node) for node in nodes[:2]] == [3.0, 16.0], "of 32 images the second looks at"


@pytest.mark.slow  # four processes, each with the libraries
def test_a_network_is_timed_as_it_trains_beside_processes_that_read_data(file):
    rate = estimates_module.measured(subjects(file)[0], Runtime(device="cpu", progress=False, workers=1))
    assert rate.step > 0
    assert rate.image > 0


def test_plan_and_work_agree_and_work_leaves_nothing_open(file, tmp_path):
    def said(*arguments):
        found = CliRunner().invoke(app, list(arguments))
        assert found.exit_code == 0, found.output
        return found.output

    planned = json.loads(said("plan", str(file), "--json"))
    assert all(node["seconds"] > 0 and node["memory"] > 0 for node in planned["nodes"] if node["kind"] == "training")
    text = said("plan", str(file))
    assert "1 rates; lr 0.001; seeds 0" in text
    assert "5 nddr 4" in text
    assert "all, each node once" in text
    assert "32-true 1.0, bf16-mixed" in text
    assert not (tmp_path / "records").exists(), "nothing is trained"
    log = said("work", str(file))
    assert log.count(" starts") == log.count(" done in ") == len(planned["nodes"])
    assert json.loads(said("plan", str(file), "--json"))["nodes"] == []
    assert "0 done" in said("work", str(file))
    # Now the records say how long a step takes.
    book = Results(tmp_path / "records").ledger("smoke")
    seconds = [record.seconds for record in book.all("evaluation")]
    assert all(second > 0 for second in seconds)
    known = Estimates([book], RUNTIME, measure=False)
    assert all(known.seconds(node) for one in columns(file) for node in one.nodes)


def test_times_are_of_the_threads_that_are_asked_for(tmp_path):
    words = ["plan", "mcn", "4", "--threads", "2", "--json", "--no-measure", "--results-dir", str(tmp_path)]
    found = []
    try:
        for before in (1, 2):
            torch.set_num_threads(before)
            found.append(json.loads(CliRunner().invoke(app, words).stdout)["nodes"])
    finally:
        torch.set_num_threads(1)
    assert found[0] == found[1]


def test_papers_and_tables_are_named_and_options_given(tmp_path):
    listed = CliRunner().invoke(
        app,
        [
            "plan",
            "nddr",
            "4",
            "calorie",
            "1",
            "-p",
            "epochs=0.5",
            "--json",
            "--no-measure",
            "--results-dir",
            str(tmp_path),
        ],
    )
    found = json.loads(listed.stdout)
    assert [(one["paper"], one["table"]) for one in found["columns"]] == [("nddr", "4"), ("calorie", "1")]
    assert all("--epochs 0.5" in one["command"] for one in found["columns"])
    for words, sentence in (
        (["4"], "There is no paper '4'"),
        (["nddr", "44"], "There is no table of nddr '44'"),
        (["nddr", "4", "-p", "epochs"], "-p takes a name and a value, such as -p lr 0.01."),
        (["mcn", "4", "-p", "epochs=3"], "Table 4 times untrained networks and takes no epochs"),
        (
            ["nddr", "4", "-p", "lr=0.1", "-p", "lr=0.2"],
            "lr is given twice: 0.1 and 0.2; a list is",
        ),
        (["nddr", "4", "-p", "device=cpu"], "plan and work take --device."),
        (["nddr", "4", "--set", "data=x"], "Only a campaign has variables"),
        (["none.toml"], "The campaign none.toml cannot be read"),
        (["none.toml", "nddr"], "A campaign stands alone"),
    ):
        failed = CliRunner().invoke(app, ["plan", *words])
        assert sentence in str(failed.exception)


def test_paths_on_the_command_line_go_from_the_current_folder_and_home_is_the_readers(tmp_path, monkeypatch):
    path = tmp_path / "there" / "c.toml"
    path.parent.mkdir()
    path.write_text(
        '[variables]\ndata = "~/sets"\n[[columns]]\npaper = "nddr"\ntable = "4"\ndata_root = "$data/rooms"\n'
        '[[columns]]\npaper = "nddr"\ntable = "4"\ndata_root = "~/mine"\n'
    )
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(tmp_path / "home"))

    def roots(*variables):
        return [wanted.options.data_root for wanted in named([str(path)], [], variables).wanted]

    assert roots() == [(tmp_path / "home/sets/rooms",), (tmp_path / "home/mine",)]
    assert roots("data=../sets")[0] == (tmp_path / "sets/rooms",)


@pytest.mark.parametrize(("given", "expected"), [("4,2", 4), ("3", 3), ("all", 7), ("", 7), ("0", 7)])
def test_threads_are_those_of_the_environment_where_it_names_a_number(given, expected, monkeypatch, file):
    monkeypatch.setenv("OMP_NUM_THREADS", given)
    monkeypatch.setattr(runtime_module, "cores", lambda: 7)
    before = torch.get_num_threads()
    try:
        assert Selection(["nddr", "4"], ["backbone=resnet10t"], [], None).threads == expected
    finally:
        torch.set_num_threads(before)


def test_workers_spread_over_every_gpu_unless_told(monkeypatch):
    monkeypatch.setattr(runtime_module, "devices", lambda: ("cuda:0", "cuda:1", "cpu"))
    assert spread("auto") == ["cuda:0", "cuda:1"]
    assert spread("cpu") == ["cpu"]
    assert spread("cuda:1,cpu") == ["cuda:1", "cpu"]
    monkeypatch.setattr(runtime_module, "devices", lambda: ("cpu",))
    assert spread("auto") == ["auto"]


def test_columns_whose_data_is_not_at_hand_are_named_and_the_others_run(tmp_path):
    path = tmp_path / "c.toml"
    path.write_text(
        '[[columns]]\npaper = "nddr"\ntable = 4\ndata_root = "nowhere"\n'
        '[[columns]]\npaper = "nddr"\ntable = 4\nrows = ["constant"]\nbackbone = "resnet10t"\nimage_size = [32, 40]\n'
    )
    found = CliRunner().invoke(app, ["work", str(path), "--results-dir", str(tmp_path / "own")])
    assert found.output.count("done in") == 1
    assert "nddr 4 --profile smoke --data-root FOLDER is left out: There is no folder" in str(found.exception)
    assert (tmp_path / "own/smoke/table").exists()


def test_a_plan_says_what_cannot_run_and_work_goes_on_beside_it(tmp_path):
    path = tmp_path / "c.toml"
    path.write_text(
        '[[columns]]\npaper = "nddr"\ntable = 4\nrows = ["single"]\nbackbone = "dla34"\nimage_size = [32, 40]\n'
        '[[columns]]\npaper = "nddr"\ntable = 4\nrows = ["constant"]\nbackbone = "resnet10t"\nimage_size = [32, 40]\n'
    )
    results, sentence = ["--results-dir", str(tmp_path / "own")], "dla34 cannot take images of 32 x 40 pixels"
    planned = CliRunner().invoke(app, ["plan", str(path), "--no-measure", *results])
    assert planned.exit_code != 0
    assert "all, each node once" in planned.output
    assert "--backbone dla34 --image-size 32,40 cannot run: " + sentence in str(planned.exception)
    assert "resnet10t" not in str(planned.exception)
    worked = CliRunner().invoke(app, ["work", str(path), *results])
    assert worked.exit_code == 1
    assert worked.output.count("done in") == 1
    assert f"failed: {sentence}" in worked.output
