import csv
import inspect
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from typer.testing import CliRunner

import mtlkit
from mtlkit import papers, reproduce
from mtlkit.cli import app, main
from mtlkit.data import LAYOUTS
from mtlkit.data.images import read_image
from mtlkit.errors import InputError
from mtlkit.layouts import described
from mtlkit.ledger import Ledger, Record
from mtlkit.report.figures import labelled
from mtlkit.report.style import use_style
from mtlkit.reproduce import stored
from mtlkit.results import Results
from mtlkit.runs import Training
from mtlkit.tasks import Calories
from mtlkit.worlds import WORLDS, drawer, world

RUN = CliRunner()


def said(*arguments: str) -> str:
    result = RUN.invoke(app, list(arguments))
    assert result.exit_code == 0, result.output
    return result.output


def complaint(*arguments: str) -> str:
    result = RUN.invoke(app, list(arguments))
    assert result.exit_code != 0
    assert isinstance(result.exception, InputError), result.output
    return str(result.exception)


def test_tables_lists_every_printed_table():
    listing = json.loads(said("tables", "--json"))
    assert len(listing) == 29
    assert {line["paper"] for line in listing} == {"cross_stitch", "nddr", "multi_exit", "mcn", "calorie"}
    runnable = {(line["paper"], line["table"]) for line in listing if line["runnable"]}
    assert runnable == {
        *(("nddr", number) for number in ("1", "2", "3", "4", "5", "6", "7", "A1", "A2")),
        *(("cross_stitch", number) for number in "12356"),
        *(("multi_exit", number) for number in "1234"),
        *(("mcn", number) for number in ("1", "2", "3", "4", "F7", "X1")),
        *(("calorie", number) for number in "12345"),
    }


def test_a_table_that_is_not_declared_is_one_sentence(monkeypatch, tmp_path):
    monkeypatch.setenv("MTLKIT_RESULTS", str(tmp_path))
    options = papers.options_of("mcn")
    monkeypatch.setattr(options, "tables", tuple(number for number in options.tables if number != "3"))
    assert "Table 3 of mcn is printed data only" in complaint("run", "mcn", "3")


def test_coverage_has_the_promised_shape(tmp_path):
    counted = json.loads(said("coverage", "--json", "--results-dir", str(tmp_path)))
    assert counted["papers"]["nddr"]["tables"]["4"] == {
        "rows": 5,
        "runnable": 5,
        "cells": 35,
        "measured": {
            "published": {"smoke": 0, "lite": 35, "paper": 0},
            "own": {"smoke": 0, "lite": 0, "paper": 0},
        },
    }
    assert counted["systems"]["S17"] is True
    assert len(counted["systems"]) == 75


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["tables", "ndr"], "There is no paper 'ndr'; did you mean 'nddr'?"),
        (["run", "nddr", "44"], "There is no table of nddr '44'"),
        (
            ["run", "calorie", "4", "--columns", "kcal"],
            "columns must be field=name pairs, such as kcal=energy,category=food, not 'kcal'",
        ),
        (["run", "calorie", "4", "--columns", "kcal=a, kcal=b"], "kcal is named twice, as a and as b; name it once."),
        (["run", "calorie", "4", "--columns", "kcal=a", "--columns", "kcal=b"], "kcal is named twice, as a and as b"),
        (["run", "nddr", "4", "--objective", "foo"], "'foo'; valid are AlignedMTL, ConFIG, "),
        (["plan", "nddr", "4", "-p", "results_dir", "x"], "results_dir is no part of what is run; plan and work take"),
        (["run", "nddr", "4", "--backbone", "resnet19"], "did you mean"),
        (["run", "nddr", "4", "ndr"], "did you mean 'nddr'?"),
        (["run", "nddr", "4", "--profile", "small"], "There is no profile 'small'"),
        (["run", "nddr", "4", "--dataset", "room"], "did you mean 'rooms'?"),
        (["run", "nddr", "4", "--data-root", "/nowhere"], "/nowhere"),
        (["run", "nddr", "4", "--dataset", "folder"], "set data_root"),
        (["run", "nddr", "4", "--weights", "/no/file.safetensors"], "There is no weights file"),
        (["run", "nddr", "4", "--seeds", "0,x"], "seeds must be whole numbers"),
        (["run", "nddr", "4", "--seeds", "0,0,0"], "Seed 0 is named 3 times"),
        (["run", "nddr", "4", "--epochs", "many"], "epochs must be a number above 0, not 'many'"),
        (["run", "nddr", "4", "--epochs", "-1"], "epochs must be a number above 0, not -1"),
        (["run", "nddr", "4", "--backbone", "vgg16", "--output-stride", "16"], "not 16"),
        (["run", "nddr", "4", "--epochs", "inf"], "epochs must be a number above 0, not inf"),
        (["run", "nddr", "4", "--epochs", "1e99"], "epochs must be at most 1000000.0, not 1e+99"),
        (["run", "nddr", "4", "--batch-size", "9999999"], "batch_size must be at most 1000000, not 9999999"),
        (["run", "nddr", "4", "--seeds", "9" * 30], "seeds must be at most 2147483647, not 999"),
        (["run", "nddr", "4", "--workers", "-1"], "workers must be a whole number from 0, not -1"),
        (["run", "nddr", "4", "--workers", "9999"], "workers must be at most 1024, not 9999"),
        (["run", "nddr", "4", "--image-size", "4", "4"], "height and width, two whole numbers from 8, not 4"),
        (["run", "nddr", "4", "--image-size", "9,99999"], "image_size must be at most 16384, not 99999"),
        (["run", "nddr", "4", "--results-dir", "~nouser/x"], "There is no user 'nouser' for the path ~nouser/x"),
        (["run", "nddr", "4", "--dataset", "npy", "--data-root", "~nouser"], "There is no user 'nouser'"),
        (["run", "nddr", "4", "--results-dir", "/dev/null"], "The results folder /dev/null is a file; name a folder."),
        (["run", "nddr", "4", "--results-dir", "a" * 300], "cannot be used (File name too long)"),
        (["run", "nddr", "4", "--data-root", "a\0b", "--dataset", "npy"], "cannot be used (embedded null byte)"),
        (["run", "nddr", "4", "--device", "cpu", "--results-dir", "/proc/version/x"], "cannot be written (Not a dir"),
        (["data", "make", "rooms", "x", "--size", "0", "9"], "Images have 8 to 16384 pixels a side, not 0 x 9."),
        (["data", "make", "objects", "/dev/null/x"], "/dev/null/x cannot be written (Not a directory)"),
        (["results", "verify", "/no/where"], "There is no folder /no/where; a results folder has records"),
        (["run", "nddr", "4", "--device", "tpu"], "There is no device 'tpu'"),
        (["run", "nddr", "4", "--device", "cpu", "--precision", "16-mixed"], "16-mixed needs a GPU"),
        (["data", "check", "folders", "."], "did you mean 'folder'"),
        (["data", "make", "roms", "x"], "rooms"),
    ],
)
def test_a_wrong_word_is_one_sentence(arguments, sentence, tmp_path, monkeypatch):
    monkeypatch.setenv("MTLKIT_RESULTS", str(tmp_path))
    found = complaint(*arguments)
    assert sentence in found
    assert "\n" not in found
    assert not list(tmp_path.glob("**/*.json"))  # nothing was started


def test_a_named_pipe_is_refused_and_not_waited_for(tmp_path):
    for name in ("a.toml", "a.json", "a.safetensors", "a.png", "manifest.csv"):
        os.mkfifo(tmp_path / name)
    signal.alarm(60)  # waiting for a pipe would never end
    try:
        for arguments in (
            ["work", tmp_path / "a.toml"],
            ["predict", tmp_path / "a.json", "x.png", "--out", tmp_path],
            ["predict", tmp_path / "a.safetensors", "x.png", "--out", tmp_path],
            ["run", "nddr", "4", "--weights", tmp_path / "a.safetensors"],
            ["run", "nddr", "4", "--results-dir", tmp_path / "a.png"],
            ["data", "check", "manifest", tmp_path],
        ):
            assert str(tmp_path) in complaint(*map(str, arguments))
        with pytest.raises(InputError, match="is no regular file but a pipe, a socket or a device"):
            read_image(tmp_path / "a.png")
    finally:
        signal.alarm(0)


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed. "), "was killed (DataLoader worker (pid"),
        (MemoryError(), "There is too little memory for"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: 1"), "There is too little memory"),
    ],
)
def test_what_is_the_machines_fault_is_a_sentence(monkeypatch, tmp_path, error, sentence):
    def run(self, context):
        raise error

    monkeypatch.setattr(Training, "run", run)
    assert sentence in complaint(*["run", "nddr", "4", "single", "--device", "cpu", "--results-dir"], str(tmp_path))


def test_a_batch_too_small_for_a_batch_norm_is_a_sentence(tmp_path):
    """Two images, one of either set, whose norms are each set's own, and a last map of one pixel."""
    given = ["--batch-size", "2", "--image-size", "32,32", "--epochs", "0.01", "--results-dir", str(tmp_path)]
    sentence = complaint("run", "multi_exit", "1", "mtl_norms_5", "--device", "cpu", *given)
    assert "has one value a channel, of which there is no variance; a larger batch_size or image_size" in sentence


def test_what_the_system_refuses_and_nobody_put_into_words_is_a_sentence_too(monkeypatch, capsys):
    def refuse():
        Path("/dev/null/x").read_bytes()

    monkeypatch.setattr("mtlkit.cli.app", refuse)
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 2
    told = "Error: /dev/null/x cannot be used (Not a directory); name another place.\n"
    assert capsys.readouterr().err == told


EVIL = "a|*b*<script>$x$&lt;\x1b[2J\u202e"


def test_names_of_data_sets_are_escaped_in_every_medium(tmp_path, monkeypatch, capsys):
    root, own = tmp_path / EVIL, tmp_path / "runs"
    drawer("rooms").write(root, train=3, val=2, size=(32, 40))
    arguments = ["run", "nddr", "4", "constant", "--dataset", "npy", "--data-root", str(root), "--device", "cpu"]
    arguments += ["--image-size", "32,40", "--results-dir", str(own)]
    shown = {form: said(*arguments, "--output", form) for form in ("text", "markdown", "csv", "json")}
    for form, text in shown.items():
        assert not set(text) & {"\x1b", "\u202e"}, form
    assert json.loads(shown["json"])
    assert "a\\|\\*b\\*\\<script\\>\\$x\\$\\&lt;" in shown["markdown"]
    assert all("u001b[2J" in shown[form].replace("\\", "") for form in shown)
    (column,) = stored(papers.table("nddr", "4"), Results(own))
    assert "a|*b*&lt;script&gt;$x$&amp;lt;" in column.html() + column.card_html()
    for text in (column.html(), column.card_html(), repr(column)):
        assert not set(text) & {"\x1b", "\u202e"}
        assert "<script" not in text.replace(repr(column), "")
    monkeypatch.setattr("sys.argv", ["mtlkit", "data", "check", "npy", str(tmp_path / "no" / EVIL)])
    with pytest.raises(SystemExit):
        main()
    assert f"{EVIL[:-5]}\\u001b[2J\\u202e; give the data set" in capsys.readouterr().err


def test_a_dollar_is_no_formula_in_a_figure():
    use_style()
    figure = labelled([np.zeros((4, 4, 3), np.uint8)], ["$\\frac{1$ and a\\$b"])
    figure.canvas.draw()  # a formula would be refused
    assert figure.axes[0].title.get_parse_math() is False


@pytest.mark.parametrize(("number", "what"), [(signal.SIGINT, "Ctrl-C"), (signal.SIGTERM, "SIGTERM")])
def test_what_is_stopped_says_how_to_go_on(monkeypatch, capsys, number, what):
    handlers = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr("mtlkit.cli.app", lambda: os.kill(os.getpid(), number) or time.sleep(5))
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 128 + number
    assert capsys.readouterr().err.startswith(f"Stopped by {what}. What is finished is kept; the same command goes on")
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == handlers


def test_main_prints_the_sentence_last_and_exits_with_2(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["mtlkit", "tables", "ndr"])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 2
    assert capsys.readouterr().err == "Error: There is no paper 'ndr'; did you mean 'nddr'?\n"


def test_a_value_that_nobody_checked_is_one_sentence_and_may_be_the_programs_fault(monkeypatch, capsys):
    monkeypatch.setattr("mtlkit.cli.app", lambda: Calories(unit=0.0))
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("Error: Calories.unit refuses the value 0.0 (Input should be greater than 0); ")
    assert "the program is at fault: --debug shows the traceback" in line
    monkeypatch.setattr("mtlkit.cli._debug", True)
    with pytest.raises(ValidationError):
        main()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["run", "nddr", "4", "--epoch", "3"], "No such option: --epoch"),
        (["runs"], "No such command 'runs'"),
        (["run", "nddr"], "Missing argument 'TABLE'"),
    ],
)
def test_what_the_parser_refuses_ends_in_one_sentence_too(words, sentence, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["mtlkit", *words])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 2
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert last.startswith("Error: ")
    assert sentence.lower() in last.lower()


def test_show_without_records_says_how_to_get_them(tmp_path):
    assert "mtlkit run nddr 5" in complaint("show", "nddr", "5", "--results-dir", str(tmp_path))


RESULTS = str(Path(__file__).parents[1] / "results")


def test_show_prints_above_each_column_what_tells_it_apart_and_takes_it_as_a_selection():
    every = said("show", "nddr", "4", "--results-dir", RESULTS)
    one = said("show", "nddr", "4", "--results-dir", RESULTS, "--select", "lr=0.003", "--select", "epochs=6")
    told = (
        "dataset folder; backbone mobilenetv2_100; weights FILE.safetensors; image-size 120,160; epochs 6; lr 0.003; "
        "seeds 0; split development; output-stride 16; data nyuv2-small"
    )
    assert one.startswith(f"{told}\n\nPrinted: Table 4")
    assert one.strip() in every
    assert every.count("Printed: Table 4") > one.count("Printed: Table 4") == 1
    sentence = complaint("show", "nddr", "4", "--results-dir", RESULTS, "--select", "lr=5")
    assert sentence.startswith("No stored column has lr=5; valid are ")
    lengths = dict.fromkeys(re.findall(r"^dataset .*; epochs (\S+); lr", every, re.MULTILINE))
    assert {"6", "8", "10"} <= lengths.keys()
    assert f"; epochs={' or '.join(lengths)}; lr=" in sentence


def test_show_prints_one_csv_and_one_json_document_however_many_columns_there_are():
    lines = list(csv.DictReader(io.StringIO(said("show", "nddr", "4", "--results-dir", RESULTS, "--output", "csv"))))
    found = json.loads(said("show", "nddr", "4", "--results-dir", RESULTS, "--output", "json"))
    assert len(found) > 1
    assert len({line["settings"] for line in lines}) == len(found)
    assert sum(len(one["cells"]) for one in found) == len(lines)


def test_rows_lists_ids_and_controls():
    listing = {line["row"]: line for line in json.loads(said("rows", "nddr", "4", "--json"))}
    assert listing["nddr"]["controls"] == ["no_exchange", "joint_recipe"]
    assert not listing["no_exchange"]["printed"]
    text = said("rows", "nddr", "4")
    assert "nddr: NDDR\n" in text
    assert "no_exchange: NDDR, no exchange (not in the paper)" in text
    assert all(line["what"] in text for line in listing.values())


def test_doctor_finds_this_environment_in_order():
    report = json.loads(said("doctor", "--json"))
    assert report["problems"] == []
    assert report["device"] in ("cpu", "cuda", "mps")


def test_doctor_recognises_a_torchvision_that_does_not_fit(monkeypatch):
    import subprocess

    from mtlkit import doctor

    broken = subprocess.CompletedProcess([], 1, "", "RuntimeError: operator torchvision::nms does not exist\n")
    monkeypatch.setattr(doctor.subprocess, "run", lambda *a, **k: broken)
    (problem,) = doctor.examine()["problems"]
    assert "built for different machines" in problem
    assert "pip install" in problem


def test_faces_are_made_and_checked(tmp_path):
    folder = tmp_path / "faces"
    said("data", "make", "faces", str(folder), "--train", "3", "--val", "2", "--size", "32", "32")
    assert "train: 3 samples, 2 classes" in said("data", "check", "utkface", str(folder))


def test_a_drawn_table_is_written_and_read_under_its_columns_names(tmp_path):
    folder = tmp_path / "plates"
    assert "--dataset manifest" in said("data", "make", "plates", str(folder), "--train", "2", "--val", "1")
    assert "train: 4 samples, 2 classes" in said("data", "check", "manifest", str(folder))
    complained = complaint("data", "check", "manifest", str(folder), "--columns", "kcal=energy")
    assert "has no column 'energy', which should hold the kcal" in complained


def test_worlds_are_made_and_checked(tmp_path):
    folder = tmp_path / "rooms"
    said("data", "make", "rooms", str(folder), "--train", "3", "--val", "2", "--size", "24", "32")
    assert "train: 3 samples, 13 classes" in said("data", "check", "npy", str(folder))
    (folder / "val" / "label" / "1.npy").unlink()
    assert "1.npy" in complaint("data", "check", "npy", str(folder))


def test_worlds_and_layouts_are_all_described():
    assert described() == {layout: reader.description for layout, reader in LAYOUTS.items()}
    listed = json.loads(said("data", "list", "--json"))
    assert list(listed) == [*WORLDS, *LAYOUTS]
    assert {layout: listed[layout] for layout in LAYOUTS} == described()
    for name, line in zip(listed, said("data", "list", "--markdown").splitlines()[2:], strict=True):
        assert line.startswith(f"| `{name}` | ")
        assert line.replace("\\", "").endswith(f"{listed[name]} |")


@pytest.mark.parametrize("name", WORLDS)
def test_what_is_said_of_a_world_stands_beside_its_drawing(name):
    module, found = drawer(name), world(name)
    assert (found.what, found.layout) == (module.DRAWS, module.LAYOUT)
    assert found.square == isinstance(inspect.signature(module.write).parameters["size"].default, int)
    assert found.layout in LAYOUTS
    assert module.REVISION > 0


def test_the_version_is_printed():
    assert said("--version").strip() == mtlkit.__version__


@pytest.mark.parametrize(
    "words",
    [["--help"], ["--version"], ["tables"], ["data", "list"], ["run", "--help"], ["run", "mcn", "--help"],
     ["run", "mcn", "2", "--help"]],
    ids=" ".join,
)  # fmt: skip
def test_what_only_tells_imports_no_torch(words):
    code = (
        "import sys\nfrom mtlkit.cli import main\n"
        "try:\n    main()\nexcept SystemExit as stop:\n    assert not stop.code, stop.code\n"
        "heavy = {'torch', 'numpy', 'timm'} & set(sys.modules)\nassert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code, *words], check=True, capture_output=True)


@pytest.fixture
def typed(monkeypatch):
    """Runs ``mtlkit run ...`` and returns the options, and what else the run is told."""
    found = []

    def caught(table, options, **more):
        found.append((options, more))
        raise InputError("nothing is run here")

    monkeypatch.setattr(reproduce, "reproduce", caught)

    def run(*words):
        result = RUN.invoke(app, ["run", *words])
        assert found, result.output or result.exception
        return *found.pop(), result

    return run


@pytest.mark.parametrize(
    ("words", "name", "value"),
    [
        (["nddr", "4", "--image-size", "64,80"], "image_size", (64, 80)),
        (["nddr", "4", "--image-size", "64", "80"], "image_size", (64, 80)),
        (["nddr", "4", "-p", "image_size", "64,80"], "image_size", (64, 80)),
        (["nddr", "4", "--seeds", "0,1,2"], "seeds", (0, 1, 2)),
        (["nddr", "4", "--seeds", "0", "--seeds", "1"], "seeds", (0, 1)),
        (["nddr", "4", "-p", "seeds", "3", "-p", "lr", "0.01"], "seeds", (3,)),
        (["nddr", "4", "-p", "backbone", "resnet101"], "backbone", "resnet101"),
        (["multi_exit", "1", "--dataset", "objects,places"], "dataset", ("objects", "places")),
        (["multi_exit", "1", "--dataset", "objects", "--dataset", "places"], "dataset", ("objects", "places")),
        (["mcn", "2", "only_det", "--as-official"], "as_official", True),
        (["mcn", "2", "--as-official", "only_det"], "as_official", True),
        (["mcn", "2", "--as-official", "true", "only_det"], "as_official", True),
        (["mcn", "2", "-p", "as_official", "True", "only_det"], "as_official", True),
        (["mcn", "2", "--no-as-official"], "as_official", False),
        (["calorie", "4", "--columns", "kcal=energy,category=food"], "columns", {"kcal": "energy", "category": "food"}),
        (["calorie", "4", "-p", "columns", "kcal=energy"], "columns", {"kcal": "energy"}),
        (["mcn", "2", "--epochs", "1.5", "--precision", "bf16-mixed"], "precision", "bf16-mixed"),
        (["nddr", "4", "--data-root", "2024"], "data_root", None),
    ],
)
def test_an_option_has_one_spelling_and_those_of_the_version_before(words, name, value, typed):
    options, more, _ = typed(*words)
    assert options.model_dump()[name] == value or (value is None and str(options.data_root[0]) == "2024")
    assert more["methods"] == (["only_det"] if "only_det" in words else None)


def test_running_options_say_where_and_nothing_of_the_column(typed):
    options, more, _ = typed("nddr", "4", "--device", "cpu", "--workers", "2", "--retrain", "-p", "results_dir", "here")
    assert (more["runtime"].device, more["runtime"].workers, more["runtime"].retrain) == ("cpu", 2, True)
    assert not more["runtime"].rescore
    assert str(more["results"].own) == "here"
    assert options.filled("4") == type(options)(device="cpu").filled("4")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["mcn", "4", "--epochs", "3"], "Table 4 times untrained networks and takes no epochs"),
        (["nddr", "4", "-p", "backbon", "x"], "There is no parameter 'backbon'; did you mean 'backbone'?"),
        (["nddr", "4", "-p", "backbone"], "-p takes a name and a value"),
        (["nddr", "4", "--lr", "0.1", "-p", "lr", "0.2"], "lr takes one value, not 2: 0.1 and 0.2"),
        (["mcn", "2", "--on-error", "refuse"], "There is no on_error 'refuse'; valid are raise, skip."),
        (["mcn", "2", "--workers", "-1"], "workers must be a whole number from 0"),
    ],
)
def test_a_wrong_option_of_a_table_is_one_sentence(words, sentence):
    found = complaint("run", *words)
    assert sentence in found
    assert "\n" not in found


def test_a_former_option_is_taken_with_a_sentence_on_stderr(typed):
    options, _, result = typed("mcn", "2", "--faulty", "skip", "--keep", "dog,cat")
    assert (options.on_error, options.classes) == ("skip", ("dog", "cat"))
    assert "faulty is now called on_error: write on_error=skip" in result.stderr
    assert "keep is now called classes: write classes=dog,cat" in result.stderr


def test_help_shows_what_applies_to_the_table():
    speed, quality = said("run", "mcn", "4", "--help"), said("run", "mcn", "2", "--help")
    assert "--neck" in speed
    for option in ("--epochs", "--data-root", "--classes", "--faulty", "--keep"):
        assert option not in speed
    for option in ("--epochs", "--data-root", "--classes", "--device", "--retrain", "-p"):
        assert option in quality
    assert "--keep" not in quality
    assert "resnet18 at lite" in " ".join(quality.split())
    assert "Figure 7" in said("run", "mcn", "--help")


def test_clean_of_a_folder_without_anything_says_so_whatever_is_named(tmp_path):
    for words in ((), ("weights",)):
        assert f"Nothing to remove in {tmp_path}." in said("clean", *words, "--results-dir", str(tmp_path))


def test_clean_says_what_it_would_remove_and_keeps_records(tmp_path):
    book = Ledger(tmp_path / "lite")
    book.write(Record(kind="evaluation", identity="a", settings={}))
    Ledger(tmp_path / "smoke").write(Record(kind="evaluation", identity="b", settings={}))
    book.save("weights", "t", {"x": torch.zeros(250_000)})
    book.checkpoint("u").parent.mkdir()
    book.checkpoint("u").write_bytes(b"half")
    told = CliRunner().invoke(app, ["clean", "--results-dir", str(tmp_path)], input="n\n")
    for line in ("weights: 1 file, 1.0 MB", "checkpoints: 1 file, 0.0 MB", "smoke: 1 file"):
        assert line in told.output
    assert book.keeps("weights", "t")
    assert "did you mean 'weights'" in complaint("clean", "weight", "--results-dir", str(tmp_path))
    with book.lock("u"):
        assert "Something is running" in complaint("clean", "--yes", "--results-dir", str(tmp_path))
    said("clean", "weights", "--yes", "--results-dir", str(tmp_path))
    assert not book.keeps("weights", "t")
    assert book.checkpoint("u").exists()
    # A machine that is gone renews its lock no more.
    lock = tmp_path / "lite/.state/locks/u.lock"
    lock.write_text(f"filelock/2\npid=1\nhost=elsewhere\nmode=lease\ntoken={'0' * 32}\nduration=120.0\n")
    assert "Something is running" in complaint("clean", "--yes", "--results-dir", str(tmp_path))
    os.utime(lock, (time.time() - 7200, time.time() - 7200))
    (tmp_path / "lite/evaluation/a.json.0123456789ab.part").write_text("{")
    assert "parts: 1 file" in said("clean", "--yes", "--results-dir", str(tmp_path))
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["a.json"]
    assert "Nothing to remove" in said("clean", "--results-dir", str(tmp_path))
