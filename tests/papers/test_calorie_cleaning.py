"""The cleaning of a large set, and errors by bands of true calories."""

import numpy as np
import pytest
import torch
from builders import network_of
from PIL import Image

from mtlkit.data import Data
from mtlkit.data.samples import collate
from mtlkit.engine import Engine
from mtlkit.errors import InputError
from mtlkit.ledger import Ledger
from mtlkit.papers.calorie.cleaning import cleaned, dish_detector
from mtlkit.papers.calorie.estimates import Estimates, errors_by_band
from mtlkit.runtime import Runtime
from mtlkit.tasks.detections import Found
from mtlkit.worlds import plates


def found(*scores):
    return Found(torch.zeros(len(scores), 4), torch.tensor(scores), torch.zeros(len(scores), dtype=torch.int64), None)


def test_every_rule_drops_what_it_says_and_counts_it(tmp_path):
    sizes = {"one": (256, 256), "two": (300, 400), "none": (256, 300), "low": (255, 400), "narrow": (400, 255)}
    detected = {"one": found(0.9, 0.2), "two": found(0.9, 0.31), "none": found(0.3, 0.1)}
    for name, size in sizes.items():
        Image.new("RGB", size).save(tmp_path / f"{name}.png")
    looked = []

    def detect(path):
        looked.append(path.stem)
        return detected[path.stem]

    result = cleaned([tmp_path / f"{name}.png" for name in sizes], detect)
    assert {name: [path.stem for path in paths] for name, paths in result._asdict().items()} == {
        "kept": ["one"], "small": ["low", "narrow"], "several": ["two"], "none": ["none"],
    }  # fmt: skip
    assert result.counts == {"kept": 1, "small": 2, "several": 1, "none": 1}
    assert looked == ["one", "two", "none"]
    assert cleaned([tmp_path / "two.png"], detect, least_score=0.5).counts["kept"] == 1
    (tmp_path / "text.png").write_text("no image")
    with pytest.raises(InputError, match="cannot be read as an image"):
        cleaned([tmp_path / "text.png"], detect)


def dishes(root, photographs, side, **given):
    """Drawn photographs of dishes with their boxes, as a data set of the one class dish."""
    plates.write_boxes(root, photographs=photographs, side=side)
    return Data(layout="uecfood_boxes", name="dishes", fingerprint="test", keep=("dish",), root=root, **given)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return dishes(tmp_path_factory.mktemp("dishes") / "dishes", 20, 64, size=(64, 64), test_share=0.2)


def detector(data, folder, **given):
    """What a trained detector finds in the image of a file."""
    training = dish_detector(data, backbone="mobilenetv3_small_050", **given)
    assert training.network.tasks[0].classes == ("dish",)
    network = network_of(Engine(Ledger(folder), Runtime(device="cpu", progress=False)), training)

    def detect(path):
        with Image.open(path) as image:
            pixels = torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1)
        sample = data.view(data.unlabelled(pixels))
        with torch.inference_mode():
            boxes, scores, labels, _ = network.tasks["detection"].postprocess(
                network(collate([sample]).images)["detection"]
            )
        return Found(boxes[0], scores[0], labels[0], None)

    return detect


def test_a_detector_of_dishes_trains_and_cleans(data, tmp_path):
    detect = detector(data, tmp_path, steps=3, batch_size=4)
    images = sorted(data.root.rglob("*.jpg"))
    assert sum(cleaned(images, detect, least_side=64).counts.values()) == len(images)
    assert cleaned(images, detect).counts == {"kept": 0, "small": len(images), "several": 0, "none": 0}


@pytest.mark.slow
def test_a_trained_detector_keeps_single_dishes_and_drops_pairs(tmp_path):
    data = dishes(tmp_path / "dishes", 60, 48, size=(48, 96), test_share=0.3)
    test = data.split("val", ("detection",))
    boxes = {next(data.root.rglob(f"{test.name_of(at)}.jpg")): len(test[at]["boxes"]) for at in range(len(test))}
    counts = list(boxes.values())
    assert (counts.count(1), counts.count(2)) == (11, 7)
    detect = detector(data, tmp_path / "ledger", steps=250, batch_size=8, lr=0.002)
    result = cleaned(boxes, detect, least_side=48, least_score=0.15)
    kept, several = ([boxes[path] for path in paths] for paths in (result.kept, result.several))
    # Without a detector a kept photograph would show one dish in 11 of 18 cases.
    assert kept.count(1) >= 9
    assert kept.count(2) <= 1
    assert several.count(2) >= 5
    assert several.count(1) <= 1


def test_a_detector_learns_one_class(data):
    with pytest.raises(InputError, match="set keep of dishes"):
        dish_detector(data.model_copy(update={"keep": None}), backbone="resnet10t", steps=1)


def test_errors_by_band_are_the_means_of_its_images():
    truths = np.array([50.0, 150.0, 300.0, 900.0])
    estimates = np.array([[60.0, 150.0, 330.0, 450.0], [40.0, 250.0, 300.0, 900.0]])
    answers = Estimates(estimates, truths, np.arange(4.0))
    head, *lines = errors_by_band({"regression": answers}, (0, 200, 500, 700)).grid()
    assert [line[0] for line in lines] == ["0 to 200", "200 to 500", "500 to 700", "700 and more"]
    # Of the first band: 10 and 0, then 10 and 100 kcal; 20 % and 0, then 20 % and 66.7 %.
    assert lines[0][1:] == ["2", "30.0", "26.7"]
    assert lines[1][1:] == ["1", "15.0", "5.0"]
    assert lines[2][1:] == ["0", "–", "–"]
    assert lines[3][1:] == ["1", "225.0", "25.0"]
    assert len(head) == 4
