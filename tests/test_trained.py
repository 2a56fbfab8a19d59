"""Trained networks as a reader gets them: read back from records, predicting for images of any size."""

import json
import re
import shlex
from contextlib import nullcontext
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from builders import NORMALS, SEGMENTATION, SIZE, fused, network, recipe, room_data, training
from PIL import Image
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

import mtlkit
from mtlkit.cli import app
from mtlkit.data import AnyData, Data
from mtlkit.data.proposals import SelectiveSearch
from mtlkit.data.sampling import eval_loader
from mtlkit.engine import Engine
from mtlkit.errors import DamagedFile, InputError, WeightsMissing
from mtlkit.evaluations import TestEvaluation
from mtlkit.heads import Branches, Exit, LargeFOV
from mtlkit.heads import Embedding as EmbeddingHead
from mtlkit.history import Divergence
from mtlkit.ledger import Ledger, Record
from mtlkit.metrics.resize import enlarged
from mtlkit.metrics.spaces import encode, unit
from mtlkit.necks import Upsampling
from mtlkit.network import NetworkSettings
from mtlkit.runtime import Runtime
from mtlkit.tasks import (
    Age,
    Attributes,
    Calories,
    CenterDetection,
    Classification,
    CodedNormals,
    Depth,
    Embedding,
    Normals,
    RegionDetection,
)
from mtlkit.tasks.placement import Placement
from mtlkit.trained import Trained, write_predictions
from mtlkit.values import from_canonical
from mtlkit.worlds import parts

ROOT = Path(__file__).parents[1]
RECORDS = sorted((ROOT / "results").glob("*/training/*.json"))
PAGE = ROOT / "book/get_started.md"
QUIET = Runtime(device="cpu", progress=False)
RUN = CliRunner()


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return room_data(tmp_path_factory.mktemp("rooms") / "set")


@pytest.fixture(scope="module")
def evaluation(data):
    alone = {t.name: training(data, network=network((t,)), recipe=recipe(steps=2)) for t in (SEGMENTATION, NORMALS)}
    both = training(data, network=network(sharing=fused("nddr")), recipe=recipe(steps=2), starts=alone)
    return TestEvaluation(subject=both, data=data)


@pytest.fixture(scope="module")
def results(evaluation, tmp_path_factory):
    """A reader's runs with one fused network and the two that it starts from."""
    folder = tmp_path_factory.mktemp("runs")
    Engine(Ledger(folder / "smoke"), QUIET).run([evaluation])
    return folder


def untrained(*tasks, data=None, **more):
    """As if it had been trained."""
    torch.manual_seed(0)
    settings = NetworkSettings(**({"backbone": "mobilenetv3_small_050", "tasks": tasks} | more))
    data = data or Data(layout="manifest", name="some", fingerprint="", size=(64, 64))
    about = {"network": settings.canonical(), "data": data.canonical()}
    return Trained("untrained", about, settings.build().state_dict())


def complaint(call, *arguments, kind=InputError):
    with pytest.raises(kind) as caught:
        call(*arguments)
    assert caught.type is kind
    assert "\n" not in str(caught.value)
    return str(caught.value)


# Settings ------------------------------------------------------------------------------------------------------


def test_the_settings_of_every_committed_training_are_read_back():
    assert len(RECORDS) >= 100
    for path in RECORDS:
        settings = json.loads(path.read_text())["settings"]
        for name, kind in {"network": NetworkSettings, "data": AnyData}.items():
            value = from_canonical(settings[name], kind)
            assert value.canonical() == settings[name], path
            assert json.loads(json.dumps(value.canonical())) == settings[name], path


def test_a_value_is_read_back_whatever_it_holds(evaluation):
    for value in (
        evaluation.subject.network,
        untrained(Calories(), Age(), head=Exit.Settings(width=8)).network.settings,
        evaluation.subject.recipe,
    ):
        again = from_canonical(json.loads(json.dumps(value.canonical())), type(value))
        assert again == value
        assert again.identity == value.identity


@pytest.mark.parametrize(
    "change",
    [
        {"tasks": [{"is": "Sculpture"}]},
        {"tasks": [{"is": "LargeFOV.Settings"}]},
        {"sharing": {"is": "Shared", "split_after": "all"}},
        {"colour": "red"},
        {"revision": 99},
        {"neck": None},
    ],
)
def test_settings_of_another_version_are_one_sentence(change, evaluation):
    stored = evaluation.subject.network.canonical() | change
    assert "would be others in this version" in complaint(from_canonical, stored, NetworkSettings)


# Finding ---------------------------------------------------------------------------------------------------------


def test_a_training_is_found_by_identity_its_beginning_path_or_record(evaluation, results):
    identity = evaluation.subject.identity
    ledger = Ledger(results / "smoke")
    record = ledger.find("training", identity)
    for named in (identity, identity[:9], record):
        found = mtlkit.load(named, results)
        assert (found.identity, found.digest) == (identity, record.weights)
        assert found.network.settings == evaluation.subject.network
        assert not found.network.training
    assert mtlkit.load(ledger.path("training", identity)).digest == record.weights


def test_what_is_no_training_is_one_sentence(evaluation, results, tmp_path):
    training = evaluation.subject
    assert f"There is no training '0123456789ab' in {results}" in complaint(mtlkit.load, "0123456789ab", results)
    assert "There is no training 'resnet18'" in complaint(mtlkit.load, "resnet18", results)
    assert f"evaluation; it looks at {training.identity}; name" in complaint(mtlkit.load, evaluation.identity, results)
    assert "There is no record nothing.json" in complaint(mtlkit.load, "nothing.json")
    (tmp_path / "text.json").write_text("{}")
    assert "is not a record" in complaint(mtlkit.load, tmp_path / "text.json")
    assert "There is no training ''" in complaint(mtlkit.load, "", results)
    first, second = next(pair for pair in pairwise(path.stem for path in RECORDS) if pair[0][0] == pair[1][0])
    many = complaint(mtlkit.load, first[0], results)
    assert many.startswith(f"{first[0]} begins ")
    assert first in many
    assert second in many


def test_weights_that_are_gone_or_damaged_are_one_sentence(evaluation, data, tmp_path):
    ledger = Ledger(tmp_path / "smoke")
    subject = training(data, network=network((SEGMENTATION,)), recipe=recipe(steps=1))
    Engine(ledger, QUIET).run([subject])
    path = ledger.tensors_path("weights", subject.identity)
    whole = path.read_bytes()
    path.write_bytes(whole[:-3] + b"abc")
    for _ in range(2):  # the file is named once, then it is gone
        with nullcontext() if not path.exists() else pytest.warns(DamagedFile, match=f"{path.name} was damaged"):
            said = complaint(mtlkit.load, subject.identity, tmp_path, kind=WeightsMissing)
    assert not path.exists()
    assert f"The weights of the training {subject.identity} are not kept here; run what trained it again" in said


def test_a_training_that_diverged_has_no_weights_in_a_sentence(evaluation, tmp_path):
    diverged = Divergence(step=7, loss="normals/cosine", value="nan")
    subject = evaluation.subject.model_copy(update={"seed": 77})
    record = Record(kind="training", identity=subject.identity, settings=subject.canonical(), diverged=diverged)
    Ledger(tmp_path / "smoke").write(record)
    said = complaint(mtlkit.load, subject.identity, tmp_path)
    assert said == f"The training {subject.identity} has no weights: {diverged}."
    assert "step 7" in said


def test_the_command_that_is_named_for_lost_weights_trains_them_again(tmp_path):
    words = ["run", "nddr", "4", "single", "multi", "--epochs", "0.2", "--results-dir", str(tmp_path)]
    assert RUN.invoke(app, words).exit_code == 0
    paths = sorted((tmp_path / "smoke/training").glob("*.json"))
    assert len(paths) == 3
    weights = {path.stem: Ledger(tmp_path / "smoke").tensors_path("weights", path.stem) for path in paths}
    before = {key: load_file(path) for key, path in weights.items()}
    for path in weights.values():
        path.unlink()
    sentences = [complaint(mtlkit.load, identity, tmp_path, kind=WeightsMissing) for identity in weights]
    commands = {sentence.partition("train it again with: mtlkit ")[2] for sentence in sentences}
    assert len(commands) == 2
    for command in commands:
        assert re.match(r"run nddr 4 (single|multi) --profile smoke .*--seeds 0 ", command)
        assert RUN.invoke(app, shlex.split(command)).exit_code == 0
    for identity, state in before.items():
        again = mtlkit.load(identity, tmp_path).network.state_dict()
        assert all(again[name].equal(value) for name, value in state.items())


# Predicting ------------------------------------------------------------------------------------------------------


def test_predictions_at_the_networks_size_are_what_the_evaluation_scored(evaluation, results, data):
    found = mtlkit.load(evaluation.subject.identity, results)
    (test,) = data.splits("val", ("segmentation", "normals"))
    assert test[0]["image"].shape[-2:] == SIZE
    size = evaluation.subject.recipe.batch_size
    predictions = found.predict([test[index]["image"] for index in range(len(test))], batch_size=size)
    outputs = {name: [] for name in found.network.tasks}
    metrics = {name: task.metric() for name, task in found.network.tasks.items()}
    rows = iter(predictions)
    for batch in eval_loader([test], data.view, size):
        with torch.inference_mode():
            for name, output in found.network.predict(batch.images).items():
                outputs[name].append(enlarged(output, batch.targets[name]))
        for row in range(len(batch.images)):
            for name, prediction in next(rows).items():
                metrics[name].update(prediction[None], batch.targets[name][row : row + 1])
    logits, directions = (torch.cat(parts) for parts in outputs.values())
    assert torch.stack([each["segmentation"] for each in predictions]).equal(logits.argmax(1))
    assert torch.stack([each["normals"] for each in predictions]).equal(unit(directions))
    record = Ledger(results / "smoke").find("evaluation", evaluation.identity)
    measured = {name: metric.compute() for name, metric in metrics.items()}
    scored = {f"{name}/{measure}": value for name, each in measured.items() for measure, value in each.items()}
    known = {name: value for name, value in record.metrics.items() if value is not None}
    assert {name: scored[name] for name in known} == pytest.approx(known, rel=1e-4, abs=1e-3)
    exact = {name: value for name, value in known.items() if name.startswith("segmentation/")}
    assert exact
    assert {name: scored[name] for name in exact} == exact


def test_an_image_of_any_kind_and_size_has_predictions_of_its_own_size(evaluation, results, tmp_path):
    found = mtlkit.load(evaluation.subject.identity, results)
    pixels = np.random.default_rng(0).integers(0, 256, (70, 45, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "some.png")
    tensor = torch.from_numpy(pixels).permute(2, 0, 1)
    same = [tmp_path / "some.png", str(tmp_path / "some.png"), Image.fromarray(pixels), tensor, tensor / 255]
    same.append(torch.stack([tensor, tensor]))
    predictions = found.predict(same, batch_size=1)
    assert len(predictions) == 7
    for one in predictions:
        assert one["segmentation"].shape == (70, 45)
        assert one["segmentation"].dtype == torch.int64
        assert one["normals"].shape == (3, 70, 45)
        torch.testing.assert_close(one["normals"].norm(dim=0), torch.ones(70, 45))
        assert all(value.equal(predictions[0][name]) for name, value in one.items())
    (wide,) = found.predict(torch.zeros(3, 20, 200, dtype=torch.uint8))
    assert wide["segmentation"].shape == (20, 200)


def test_a_map_whose_cells_are_known_to_look_somewhere_is_brought_to_the_image_from_there():
    data = Data(layout="folder", name="some", fingerprint="", size=(48, 64))
    found = untrained(Depth(), data=data, backbone="vgg11", head=LargeFOV.Settings(width=8))
    assert found.network.grid("depth") is not None
    image = torch.rand(3, 48, 64)
    (predictions,) = found.predict(image)
    with torch.inference_mode():
        wanted = found.network.predict((image * 255).round()[None] / 255)["depth"][0, 0]
    assert wanted.shape == (48, 64)
    assert predictions["depth"].equal(wanted)


@pytest.mark.parametrize(
    ("image", "sentence"),
    [
        (Path("nowhere.jpg"), "There is no image nowhere.jpg"),
        (torch.zeros(1, 8, 8), "shape (1, 8, 8)"),
        (torch.zeros(8, 8), "shape (8, 8)"),
        (torch.zeros(3, 0, 8), "shape (3, 0, 8)"),
        (torch.full((3, 8, 8), 200.0), "from 0 to 1"),
        (torch.full((3, 8, 8), float("nan")), "from 0 to 1"),
        (torch.zeros(3, 8, 8, dtype=torch.int64), "torch.int64"),
        (Image.new("F", (8, 8)), "floating-point"),
    ],
)
def test_what_is_no_image_is_one_sentence(image, sentence):
    found = untrained(Depth(), head=LargeFOV.Settings(width=8))
    assert sentence in complaint(found.predict, image)


def test_a_damaged_image_is_one_sentence(tmp_path):
    (tmp_path / "some.jpg").write_bytes(b"\xff\xd8\xff\xe0 no jpeg")
    found = untrained(Depth(), head=LargeFOV.Settings(width=8))
    assert "some.jpg cannot be read" in complaint(found.predict, tmp_path / "some.jpg")


def test_every_kind_of_answer_about_a_whole_image():
    words = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
    image = torch.rand(3, 50, 90, generator=torch.Generator().manual_seed(1))
    found = untrained(
        Calories(unit=400),
        Age(),
        Classification(name="gender", classes=2),
        Embedding(name="category", classes=5, normalised=True),
        CodedNormals(words=words),
        Depth(),
        head=Exit.Settings(width=8),
        heads={
            "category": EmbeddingHead.Settings(),
            "normals": LargeFOV.Settings(width=8),
            "depth": LargeFOV.Settings(width=8),
        },
    )
    with torch.inference_mode():
        outputs = found._outputs([found.data.view(found.data.unlabelled((image * 255).round().byte()))["image"]])
    (predictions,) = found.predict(image)
    assert list(predictions) == ["calories", "age", "gender", "category", "normals", "depth"]
    assert predictions["calories"] == pytest.approx(400 + 400 * float(outputs["calories"]))
    years = outputs["age"][0].softmax(0) @ torch.arange(100.0)
    assert predictions["age"] == pytest.approx(float(years))
    gender, category = predictions["gender"], predictions["category"]
    torch.testing.assert_close(gender.probabilities, outputs["gender"][0].softmax(0))
    assert gender.label == int(gender.probabilities.argmax())
    assert category.label == int(outputs["category"][0, -5:].argmax())
    torch.testing.assert_close(category.features, F.normalize(outputs["category"][0, :-5], dim=0))
    assert predictions["normals"].shape == (3, 50, 90)
    torch.testing.assert_close(predictions["normals"].norm(dim=0), torch.ones(50, 90))
    assert predictions["depth"].shape == (50, 90)
    picture = (image * 255).byte().permute(1, 2, 0).numpy()
    for name, task in found.network.tasks.items():
        json.dumps(task.to_json(predictions[name]))
        drawn = task.draw_on(picture, predictions[name])
        assert (drawn.shape, drawn.dtype) == ((50, 90, 3), np.uint8)
        assert (drawn != picture).any()


@pytest.mark.parametrize("space", ["decoded", "encoded"])
def test_normals_come_in_the_cameras_frame_whatever_space_was_trained(space):
    task = Normals(space=space)
    truth = F.normalize(torch.tensor([0.3, 0.5, 0.8]).view(1, 3, 1, 1).expand(1, 3, 4, 5), dim=1)
    output = 7 * (encode(truth) if space == "encoded" else truth)
    here = Placement((4, 5), (4, 5), (0, 0, 5, 4))
    torch.testing.assert_close(task.prediction(output, here), truth[0], atol=1e-4, rtol=1e-4)
    wanted = Normals().draw(truth[0])
    assert abs(task.draw_on(wanted, truth[0]).astype(int) - wanted).max() == 0


def test_boxes_and_joints_lie_where_the_image_has_them():
    """A photograph of 300 x 150 fitted into 64 x 64 is shown at 64 / 300; the maps have a cell for 4 pixels of that."""
    task = CenterDetection(classes=("cat", "dog"), joints=("nose", "tail"), sigmas=(0.1, 0.1))
    found = untrained(task, head=Branches.Settings(width=8), neck=Upsampling.Settings(width=8))
    output = torch.full((1, task.outputs, 16, 16), -20.0)
    heat, size, offset, _, joint_offset, shift = task._split(output)
    for maps in (size, offset, joint_offset, shift):
        maps.zero_()
    heat[0, 1, 3, 5] = 2.0  # a dog around column 5, row 3
    size[0, :, 3, 5] = torch.tensor([6.0, 4.0])
    offset[0, :, 3, 5] = torch.tensor([0.5, 0.25])
    shift[0, :, 3, 5] = torch.tensor([1.0, 0.0, -2.0, 1.0])
    found._outputs = lambda canvases: {"detection": output}
    (predictions,) = found.predict(torch.zeros(3, 150, 300))
    dog = predictions["detection"]
    scale = 4 * 300 / 64
    assert dog.labels.tolist()[0] == 1
    assert dog.scores[0].item() == pytest.approx(torch.tensor(2.0).sigmoid().item())
    left, top, right, bottom = 2.5 * scale, 1.25 * scale, 8.5 * scale, 5.25 * scale
    assert dog.boxes[0].tolist() == pytest.approx([left, top, right, bottom], rel=1e-4)
    nose, tail = dog.joints[0, :, :2].tolist()
    assert nose == pytest.approx([6 * scale, 3 * scale])
    assert tail == pytest.approx([3 * scale, 4 * scale])
    assert (dog.scores > 0).all()
    entry = task.to_json(dog)[0]
    assert (entry["class"], list(entry["joints"])) == ("dog", ["nose", "tail"])
    black = np.zeros((150, 300, 3), np.uint8)
    drawn = task.draw_on(black, dog)
    assert drawn[round(bottom) - 1, round(left) : round(right)].any(1).mean() > 0.9
    assert not drawn[round(bottom) + 2 :].any()


@pytest.fixture(scope="module")
def regions(tmp_path_factory):
    """A network that looks at regions, and the data that it would be scored on."""
    folder = tmp_path_factory.mktemp("parts")
    parts.write(folder / "parts", seed=0, train=2, val=2)
    search = SelectiveSearch(least_side=8, most=60)
    data = Data(
        layout="apascal", name="parts", fingerprint="test", size=(48, 64), root=folder / "parts", proposals=search,
        proposals_folder=folder / "proposals",
    )  # fmt: skip
    tasks = (RegionDetection(classes=parts.CLASSES), Attributes(attributes=parts.ATTRIBUTES))
    return untrained(*tasks, data=data, backbone="resnet10t", head=Exit.Settings(), regions=True), data


def test_objects_are_found_in_proposals_and_described_where_they_were_found(regions):
    found, data = regions
    (test,) = data.splits("val", ("detection", "attributes"))
    (predictions,) = found.predict(test[0]["image"])
    objects, described = predictions["detection"], predictions["attributes"]
    (batch,) = eval_loader([test], data.view, 2, tasks=tuple(found.network.tasks.values()))
    batch.images, batch.regions = batch.images[:1], batch.regions[batch.regions[:, 0] == 0]
    proposed = batch.regions[: len(batch.regions) - len(test[0]["boxes"])]
    with torch.inference_mode():
        output = found.network.predict(batch.images, proposed)["detection"]
    boxes, scores, labels = found.network.tasks["detection"].found(output, proposed[:, 1:])
    height, width = test[0]["image"].shape[-2:]
    scale = max(height / 48, width / 64)
    wanted = (boxes * scale).clamp(min=0).minimum(torch.tensor([width, height] * 2))
    assert len(objects.boxes) > 0
    torch.testing.assert_close(objects.boxes, wanted, atol=0.02, rtol=1e-3)
    torch.testing.assert_close(objects.scores, scores)
    assert objects.labels.equal(labels)
    torch.testing.assert_close(described.boxes, objects.boxes, atol=1e-3, rtol=1e-4)
    assert described.probabilities.shape == (len(objects.boxes), len(parts.ATTRIBUTES))
    for name, task in found.network.tasks.items():
        json.dumps(task.to_json(predictions[name]))
        assert task.draw_on(np.zeros((height, width, 3), np.uint8), predictions[name]).shape == (height, width, 3)


def test_an_image_without_proposals_has_no_objects(regions):
    found, _ = regions
    (predictions,) = found.predict(torch.rand(3, 7, 7))
    assert predictions["detection"].boxes.shape == (0, 4)
    assert predictions["attributes"].probabilities.shape == (0, len(parts.ATTRIBUTES))


def test_attributes_alone_have_no_objects_to_be_of(regions):
    _, data = regions
    found = untrained(
        Attributes(attributes=("red",)), data=data, backbone="resnet10t", head=Exit.Settings(), regions=True
    )
    assert "describes objects whose boxes are known" in complaint(found.predict, torch.zeros(3, 60, 60))


# Taking along -----------------------------------------------------------------------------------------------------


def test_exported_weights_say_what_they_are(evaluation, results, tmp_path):
    found = mtlkit.load(evaluation.subject.identity, results)
    path = tmp_path / "mine.safetensors"
    found.save(path)
    again = mtlkit.load(path)
    assert (again.identity, again.settings, again.digest) == (found.identity, found.settings, found.digest)
    image = torch.rand(3, 50, 60)
    for name, value in found.predict(image)[0].items():
        assert again.predict(image)[0][name].equal(value)
    assert "ends in .safetensors" in complaint(found.save, tmp_path / "mine.pt")
    tensors = load_file(path)
    save_file(tensors, tmp_path / "plain.safetensors")
    assert "does not say which network" in complaint(mtlkit.load, tmp_path / "plain.safetensors")
    whole = path.read_bytes()
    path.write_bytes(whole[:-4] + b"abcd")
    assert "not those that were written" in complaint(mtlkit.load, path)
    backbone = found.settings["network"]["backbone"].encode()
    path.write_bytes(whole.replace(backbone, backbone[:-1] + b"x"))
    assert "The settings in" in complaint(mtlkit.load, path)
    path.write_bytes(whole[:100])
    assert "damaged" in complaint(mtlkit.load, path)
    assert "There is no weights file" in complaint(mtlkit.load, tmp_path / "none.safetensors")


def test_weights_of_another_network_are_one_sentence(evaluation, data):
    about = {"network": evaluation.subject.network.canonical(), "data": data.canonical()}
    assert "another shape" in complaint(Trained, "some", about, {"some": torch.zeros(1)})


# The commands -----------------------------------------------------------------------------------------------------


def printed(start):
    """The commands of a page that begin so."""
    found = re.findall(rf"^{start}[^#\n]*", PAGE.read_text(), re.MULTILINE)
    assert found, f"the page shows no {start}"
    return [shlex.split(line)[1:] for line in found]


def test_a_file_name_need_not_be_utf_8(evaluation, results, tmp_path):
    image = tmp_path / "caf\udce9.png"
    try:
        Image.new("RGB", (40, 30)).save(image)
    except (OSError, UnicodeError):
        pytest.skip("this file system takes no such name")
    write_predictions(mtlkit.load(evaluation.subject.identity, results), [image], tmp_path / "drawn")
    (entry,) = json.loads((tmp_path / "drawn/predictions.json").read_text())["images"]
    assert entry["image"] == str(image)


def test_the_commands_of_the_page_draw_a_photograph_that_was_taken_upright(evaluation, results, tmp_path, monkeypatch):
    """As shown, with an identity of these runs: a photograph that is stored lying on its side."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MTLKIT_RESULTS", str(results))
    upright = np.zeros((90, 60, 3), np.uint8)
    upright[:45] = 200, 90, 20
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter, clockwise
    Image.fromarray(upright).transpose(Image.Transpose.ROTATE_90).save("photo.jpg", exif=exif, quality=95)
    assert Image.open("photo.jpg").size == (90, 60)
    identity = evaluation.subject.identity
    for start in ("mtlkit export-weights", "mtlkit predict"):
        for words in printed(start):
            result = RUN.invoke(app, [identity if word == "IDENTITY" else word for word in words])
            assert result.exit_code == 0, result.output or result.exception
    assert Path("seg_normals.safetensors").exists()
    about = json.loads(Path("drawn/predictions.json").read_text())
    found = mtlkit.load(identity, results)
    assert (about["identity"], about["weights"]) == (identity, found.digest)
    (entry,) = about["images"]
    assert (entry["image"], entry["size"]) == ("photo.jpg", [90, 60])
    assert entry["drawings"] == {name: f"photo.{name}.png" for name in ("segmentation", "normals")}
    stored = torch.from_numpy(np.array(Image.open("photo.jpg"))).permute(2, 0, 1)
    (predictions,) = found.predict(stored.rot90(-1, (1, 2)))
    for name, task in found.network.tasks.items():
        drawn = np.array(Image.open(Path("drawn") / entry["drawings"][name]))
        assert (drawn == task.draw(predictions[name])).all()
        assert drawn.shape == (90, 60, 3)
        assert entry["predictions"][name] == task.to_json(predictions[name])
    assert sum(entry["predictions"]["segmentation"].values()) == pytest.approx(1, abs=0.01)
    (script,) = re.findall(r"```python\n(import mtlkit\n.*?)```", PAGE.read_text(), re.DOTALL)
    scope = {}
    exec(script, scope)
    assert scope["predictions"]["segmentation"].equal(predictions["segmentation"])


def test_what_predict_cannot_do_is_one_sentence(evaluation, results, tmp_path):
    def said(*words):
        result = RUN.invoke(app, ["predict", *words, "--results-dir", str(results)])
        assert isinstance(result.exception, InputError), result.output
        return str(result.exception)

    out, identity = ("--out", str(tmp_path / "drawn")), evaluation.subject.identity
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        Image.new("RGB", (40, 32)).save(tmp_path / folder / "x.png")
    twice = [str(tmp_path / folder / "x.png") for folder in ("a", "b")]
    assert "Several images are called x" in said(identity, *twice, *out)
    assert "There is no training" in said("0123456789ab", twice[0], *out)
    assert "There is no device 'tpu'" in said(identity, twice[0], *out, "--device", "tpu")
    assert not (tmp_path / "drawn").exists()
    (tmp_path / "file").write_text("")
    assert "cannot be written" in said(identity, twice[0], "--out", str(tmp_path / "file"))


@pytest.fixture(scope="module")
def depth():
    return untrained(Depth(), head=LargeFOV.Settings(width=8))


def photographs(folder, *stems):
    folder.mkdir(parents=True, exist_ok=True)
    for place, stem in enumerate(stems):
        Image.new("RGB", (40, 32), (40 * place, 90, 20)).save(folder / f"{stem}.png")
    return [folder / f"{stem}.png" for stem in stems]


def bytes_of(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def listed(folder):
    return [Path(entry["image"]).stem for entry in json.loads((folder / "predictions.json").read_text())["images"]]


@pytest.mark.parametrize("bad", [["empty.jpg"], ["empty.jpg", "none.png", "text.webp"]])
def test_images_that_begin_as_none_are_named_before_the_network_runs(depth, tmp_path, monkeypatch, bad):
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "text.webp").write_text("no image")
    monkeypatch.setattr(depth, "predict", lambda pixels: pytest.fail("the network ran"))
    images = [*photographs(tmp_path, "a", "b"), *(tmp_path / name for name in bad)]
    said = complaint(write_predictions, depth, images, tmp_path / "drawn")
    many = "" if len(bad) == 1 else "3 of 5 images cannot be read: "
    assert said.startswith(f"{many}{tmp_path / 'empty.jpg'} cannot be read as an image")
    assert not (tmp_path / "drawn").exists()


def test_an_image_that_is_damaged_behind_its_header_costs_no_other(depth, tmp_path):
    images = photographs(tmp_path / "given", "a", "b", "c")
    images[1].write_bytes(images[1].read_bytes()[:60])
    said = complaint(write_predictions, depth, images, tmp_path)
    assert said.startswith(f"1 of 3 images could not be read; the others are done: {images[1]} cannot be read")
    assert listed(tmp_path) == ["a", "c"]
    assert {path.name for path in tmp_path.glob("*.png")} == {"a.depth.png", "c.depth.png"}
    alone = complaint(write_predictions, depth, images[1:2], tmp_path)
    assert alone.startswith(f"1 of 1 images could not be read: {images[1]} cannot be read")


def test_what_was_done_is_listed_whatever_ends_the_work(depth, tmp_path, monkeypatch):
    images, predict = photographs(tmp_path / "given", "a", "b", "c"), depth.predict
    calls = iter([predict, predict])
    with monkeypatch.context() as patched:
        patched.setattr(depth, "predict", lambda pixels: next(calls)(pixels))
        with pytest.raises(StopIteration):
            write_predictions(depth, images, tmp_path)
    assert listed(tmp_path) == ["a", "b"]
    # A process that is killed writes nothing at its end.
    monkeypatch.setattr("mtlkit.trained.LIST_SECONDS", -1.0)
    seen = []
    monkeypatch.setattr(depth, "predict", lambda pixels: seen.append(listed(tmp_path)) or predict(pixels))
    write_predictions(depth, images, tmp_path)
    assert seen == [["a", "b"], ["a", "b"], ["a", "b"]]
    assert listed(tmp_path) == ["a", "b", "c"]
    (tmp_path / "predictions.json").unlink()
    monkeypatch.setattr(
        depth, "predict", lambda pixels: seen.append((tmp_path / "predictions.json").exists()) or predict(pixels)
    )
    write_predictions(depth, images, tmp_path)
    assert seen[3:] == [False, True, True]


@pytest.mark.parametrize("name", ["b.depth.png", "predictions.json"])
def test_nobody_elses_file_is_replaced(depth, tmp_path, monkeypatch, name):
    images = photographs(tmp_path, "a", "b")
    (tmp_path / name).write_bytes(images[0].read_bytes() if name.endswith("png") else b'{"mine": 1}')
    monkeypatch.setattr(depth, "predict", lambda pixels: pytest.fail("the network ran"))
    before = bytes_of(tmp_path)
    said = complaint(write_predictions, depth, images, tmp_path)
    assert (
        said
        == f"{tmp_path / name} is there, and is not what untrained predicted with these weights; name another folder."
    )
    assert bytes_of(tmp_path) == before


def test_the_same_network_goes_on_in_its_folder_and_no_other_does(depth, tmp_path):
    images, out = photographs(tmp_path / "given", "a", "b", "c"), tmp_path / "out"
    write_predictions(depth, images[:2], out)
    first = bytes_of(out)
    write_predictions(depth, images[:2], out)
    assert bytes_of(out) == first
    write_predictions(depth, images[1:], out)
    assert listed(out) == ["a", "b", "c"]
    before = bytes_of(out)
    (namesake,) = photographs(tmp_path / "other", "a")
    said = complaint(write_predictions, depth, [namesake], out)
    assert said == f"{out / 'a.depth.png'} is a drawing of another image, {images[0]}; name another folder."
    other = untrained(Depth(), head=LargeFOV.Settings(width=8))
    with torch.no_grad():
        next(other.network.parameters()).add_(1)
    other = Trained(other.identity, other.settings, other.network.state_dict())
    assert "is not what untrained predicted with these weights" in complaint(write_predictions, other, images, out)
    (out / "predictions.json").unlink()  # as a killed process leaves the drawings
    assert f"{out / 'a.depth.png'} is there" in complaint(write_predictions, other, images, out)
    assert bytes_of(out).items() <= before.items()
    write_predictions(depth, images, out)
    assert bytes_of(out) == before
