import json

import pytest
from typer.testing import CliRunner

from mtlkit.cli import app, main
from mtlkit.errors import InputError

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
        *(("cross_stitch", number) for number in "56"),
        *(("multi_exit", number) for number in "1234"),
        *(("mcn", number) for number in ("2", "4", "F7")),
        *(("calorie", number) for number in "12345"),
    }


def test_coverage_has_the_promised_shape(tmp_path):
    counted = json.loads(said("coverage", "--json", "--results-dir", str(tmp_path)))
    assert counted["papers"]["nddr"]["tables"]["4"] == {
        "rows": 5,
        "runnable": 5,
        "cells": 35,
        "measured": {"smoke": 0, "lite": 0, "paper": 0},
    }
    assert counted["systems"]["S17"] is True
    assert len(counted["systems"]) == 75


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["tables", "ndr"], "There is no paper 'ndr'; did you mean 'nddr'?"),
        (["run", "nddr", "44"], "There is no table of nddr '44'"),
        (["run", "mcn", "1"], "printed data only"),
        (
            ["run", "calorie", "4", "--columns", "kcal"],
            "columns must be field=name pairs, such as kcal=energy,category=food, not 'kcal'",
        ),
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
        (["run", "nddr", "4", "--device", "tpu"], "There is no device 'tpu'"),
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


def test_main_prints_the_sentence_last_and_exits_with_2(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["mtlkit", "tables", "ndr"])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 2
    assert capsys.readouterr().err == "Error: There is no paper 'ndr'; did you mean 'nddr'?\n"


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
    assert "mtlkit run nddr 4" in complaint("show", "nddr", "4", "--results-dir", str(tmp_path))


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
