import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from faster_coco_eval import COCO, COCOeval_faster
from hypothesis import given, settings
from hypothesis import strategies as st

from mtlkit.data.coco import Coco
from mtlkit.data.transforms import resized
from mtlkit.errors import InputError
from mtlkit.metrics.coco_ap import CocoAP

NAMES = ("cow", "dog", "boat")
SIGMAS = (0.05, 0.1, 0.02, 0.08, 0.06)
SEEDS = st.integers(0, 999)
KINDS = ("bbox", "keypoints")
Image = dict[str, torch.Tensor]


def crowded(seed: int, kind: str, pictures: int = 4) -> list[Image]:
    """Objects and detections near some of them, of the first two of three classes; all scores differ."""
    torch.manual_seed(seed)
    every = []
    scores = iter(torch.randperm(200) / 200)
    for _ in range(pictures):
        count = int(torch.randint(0, 5, ()))
        corner, sides = torch.rand(count, 2) * 60, 10 + torch.rand(count, 2) * 40
        labels = torch.randint(0, 2, (count,))
        joints = torch.cat((corner[:, None] + torch.rand(count, 5, 2) * sides[:, None], torch.zeros(count, 5, 1)), 2)
        joints[..., 2] = torch.randint(0, 3, (count, 5))
        joints[joints[..., 2] == 0] = 0
        near = torch.arange(count).repeat(3)[: int(torch.randint(0, 9, ()))]
        boxes = torch.cat((corner, corner + sides), 1)
        guess = boxes[near] + torch.randn(len(near), 4) * 4
        if kind == "keypoints":
            guess = joints[near] + torch.randn(len(near), 5, 3) * 2
        every.append(
            {
                "found": guess,
                "scores": torch.stack([next(scores) for _ in near]) if len(near) else torch.zeros(0),
                "labels": torch.where(torch.rand(len(near)) < 0.8, labels[near], 1 - labels[near]),
                "boxes": boxes,
                "truth_labels": labels,
                "crowd": torch.rand(count) < 0.2,
                "areas": sides.prod(1) * (0.4 + torch.rand(count) / 2),
                "joints": joints,
            }
        )
    return every


def score(pictures: list[Image], kind: str, names=NAMES, sigmas=SIGMAS) -> dict[str, float]:
    metric = CocoAP(names, kind, sigmas if kind == "keypoints" else None)
    for picture in pictures:
        metric.update(**picture)
    return metric.compute()


def by_the_files(folder: Path, pictures: list[Image], kind: str) -> np.ndarray:
    """COCO's twelve or ten numbers for the same images, written to files; in per cent."""
    truth, found = [], []
    for image, each in enumerate(pictures, 1):
        for row, (left, top, right, bottom) in enumerate(each["boxes"].double().tolist()):
            joints = each["joints"][row].double()
            truth.append(
                {
                    "id": len(truth) + 1,
                    "image_id": image,
                    "category_id": int(each["truth_labels"][row]) + 1,
                    "bbox": [left, top, right - left, bottom - top],
                    "area": float(each["areas"][row]),
                    "iscrowd": int(each["crowd"][row]),
                    "keypoints": joints.flatten().tolist(),
                    "num_keypoints": int((joints[:, 2] > 0).sum()),
                }
            )
        for row, guess in enumerate(each["found"].double()):
            one = {"image_id": image, "category_id": int(each["labels"][row]) + 1, "score": float(each["scores"][row])}
            if kind == "bbox":
                left, top, right, bottom = guess.tolist()
                one["bbox"] = [left, top, right - left, bottom - top]
            else:
                one["keypoints"] = guess.flatten().tolist()
            found.append(one)
    images = [{"id": number, "width": 200, "height": 200} for number in range(1, len(pictures) + 1)]
    categories = [{"id": number, "name": name} for number, name in enumerate(NAMES, 1)]
    files = folder / "truth.json", folder / "found.json"
    files[0].write_text(json.dumps({"images": images, "categories": categories, "annotations": truth}))
    files[1].write_text(json.dumps(found))
    tools = COCO(files[0])
    scorer = COCOeval_faster(tools, tools.loadRes(str(files[1])), kind, kpt_oks_sigmas=list(SIGMAS))
    scorer.run()
    return 100 * np.asarray(scorer.stats)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(8))
def test_it_equals_the_tools_on_files(tmp_path, kind, seed):
    pictures = crowded(seed, kind)
    found = score(pictures, kind)
    ap, ap50, ap75 = by_the_files(tmp_path, pictures, kind)[:3]
    assert (found["ap"], found["ap50"], found["ap75"]) == pytest.approx((ap, ap50, ap75))
    assert 0 < ap < 100
    assert math.isnan(found["ap/boat"])
    assert found["ap"] == pytest.approx(np.nanmean([found[f"ap/{name}"] for name in NAMES]))


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=20)
@given(seed=SEEDS)
def test_perfect_answers_score_100(kind, seed):
    pictures = crowded(seed, kind)
    for each in pictures:
        there = ~each["crowd"]
        if kind == "keypoints":
            there &= (each["joints"][..., 2] > 0).any(1)
        each["found"] = each["joints" if kind == "keypoints" else "boxes"][there]
        each["scores"], each["labels"] = torch.rand(int(there.sum())), each["truth_labels"][there]
    found = score(pictures, kind)
    occur = {int(label) for each in pictures for label in each["labels"]}
    assert found["classes_averaged"] == len(occur)
    for label, name in enumerate(NAMES):
        assert found[f"ap75/{name}"] == pytest.approx(100 if label in occur else float("nan"), nan_ok=True)
    assert found["ap"] == pytest.approx(100 if occur else float("nan"), nan_ok=True)


@pytest.mark.parametrize("kind", KINDS)
def test_the_order_of_images_and_asking_twice_do_not_matter(kind):
    pictures = crowded(3, kind)
    assert score(pictures[::-1], kind) == pytest.approx(score(pictures, kind), nan_ok=True)
    metric = CocoAP(NAMES, kind, SIGMAS)
    for each in pictures:
        metric.update(**each)
    assert metric.compute() == pytest.approx(metric.compute(), nan_ok=True)


def test_a_detection_in_a_crowd_is_neither_right_nor_wrong():
    crowd, alone = torch.tensor([[0.0, 0, 50, 50]]), torch.tensor([[60.0, 60, 80, 80]])
    truth = {"boxes": torch.cat((crowd, alone)), "truth_labels": torch.zeros(2, dtype=torch.int64)}
    found = torch.cat((crowd / 4, crowd / 2, alone))
    guess = {"found": found, "scores": torch.tensor([0.9, 0.8, 0.7]), "labels": torch.zeros(3, dtype=torch.int64)}
    assert score([guess | truth | {"crowd": torch.tensor([True, False])}], "bbox")["ap"] == pytest.approx(100)
    assert score([guess | truth], "bbox")["ap"] < 40


def test_a_larger_area_or_sigma_forgives_more():
    picture = crowded(2, "keypoints")
    wide = [each | {"areas": each["areas"] * 4} for each in picture]
    found = score(picture, "keypoints")["ap"]
    assert score(wide, "keypoints")["ap"] > found
    assert score(wide, "keypoints")["ap"] == pytest.approx(
        score(picture, "keypoints", sigmas=[2 * sigma for sigma in SIGMAS])["ap"]
    )


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_found_is_zero_and_nothing_to_find_is_not_a_number(kind):
    pictures = [each for each in crowded(1, kind) if len(each["boxes"])]
    for each in pictures:
        each.update(
            {name: each[name][:0] for name in ("found", "scores", "labels")}, crowd=torch.zeros(len(each["boxes"]))
        )
    assert score(pictures, kind)["ap"] == 0
    for empty in ([], crowded(1, kind)[:1]):
        for each in empty:
            each.update({name: each[name][:0] for name in ("boxes", "truth_labels", "crowd", "areas", "joints")})
        found = score(empty, kind)
        assert found.pop("classes_averaged") == 0
        assert all(math.isnan(value) for value in found.values())
        assert len(found) == 12


def test_poses_need_joints_and_a_sigma_for_each():
    picture = crowded(1, "keypoints")[0]
    with pytest.raises(InputError, match="joints are missing; average precision of poses needs them"):
        CocoAP(NAMES, "keypoints", SIGMAS).update(**(picture | {"joints": None}))
    with pytest.raises(
        InputError, match=r"shape \(\d, 5, 3\), but there are 17 sigmas; it should be \(objects, 17, 3\)"
    ):
        CocoAP(NAMES, "keypoints").update(**picture)
    with pytest.raises(InputError, match="no kind of average precision 'boxes'; "):
        CocoAP(NAMES, "boxes")  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("label", [-1, len(NAMES)])
@pytest.mark.parametrize(("labels", "what"), [("labels", "A detection"), ("truth_labels", "An object")])
def test_a_label_outside_the_classes_is_refused(kind, label, labels, what):
    picture = next(each for each in crowded(3, kind) if len(each["labels"]))
    picture |= {labels: torch.full_like(picture[labels], label)}
    with pytest.raises(InputError, match=f"{what} has the class id {label}; of "):
        score([picture], kind)


# --- the real data ---


@pytest.mark.parametrize("name", ["tiny-coco", "animalpose"])
@pytest.mark.parametrize("size", [None, (96, 160)])
def test_the_truth_of_real_data_scores_100(shared, name, size):
    root = shared / "data" / name
    if not root.is_dir():
        pytest.skip(f"SKIPPED LOUDLY: {root} is not there")
    data = Coco(root, "val", ("detection", "pose"))
    boxes, poses = CocoAP(data.classes), CocoAP(data.classes, "keypoints", data.sigmas)
    for index in range(len(data)):
        sample = data[index] if size is None else resized(data[index], size)
        corners, labels, joints = sample["boxes"], sample["detection"], sample["pose"]
        truth = (corners, labels, sample["crowd"], sample["cover"] * (corners[:, 2:] - corners[:, :2]).prod(1), joints)
        alone, posed = ~sample["crowd"], joints.any(2).any(1)
        boxes.update(corners[alone], torch.rand(int(alone.sum())), labels[alone], *truth)
        poses.update(joints[posed], torch.rand(int(posed.sum())), labels[posed], *truth)
    assert boxes.compute()["ap"] == pytest.approx(100)
    assert boxes.compute()["classes_averaged"] == (48 if name == "tiny-coco" else 5)
    assert poses.compute()["ap"] == pytest.approx(100)
    assert poses.compute()["classes_averaged"] == (1 if name == "tiny-coco" else 5)
