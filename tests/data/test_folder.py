import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mtlkit.data.folder import Folder
from mtlkit.errors import InputError

REAL = Path(__file__).parents[3] / "shared" / "data" / "nyuv2-small"


def image(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels.astype(np.uint8)).save(path)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two samples of 6 x 8 pixels: left half wall seen head-on, right half floor, a corner without values."""
    root = tmp_path / "rooms"
    for name in ("a", "b", "c"):
        image(root / f"image/{name}.png", np.full((6, 8, 3), 100))
        label = np.repeat([[0] * 4 + [1] * 4], 6, axis=0)
        label[0, 0] = 255
        image(root / f"label/{name}.png", label)
        normal = np.where(label[..., None] == 1, (128, 255, 128), (128, 128, 255))
        normal[0, 0] = 0
        image(root / f"normal/{name}.png", normal)
    (root / "splits").mkdir()
    (root / "splits/train.txt").write_text("a\n\nb\n")
    (root / "splits/val.txt").write_text("c\n")
    (root / "classes.txt").write_text("0 wall\n1 night stand\n")
    return root


def test_reads_images_ids_and_normals(root):
    data = Folder(root, "train")
    assert (len(data), data.classes, data.tasks) == (2, ("wall", "night stand"), ("segmentation", "normals"))
    assert [data.name_of(i) for i in range(2)] == ["a", "b"]
    sample = data[0]
    assert sample["image"].shape == (3, 6, 8)
    assert sample["segmentation"].tolist()[0] == [255, 0, 0, 0, 1, 1, 1, 1]
    assert sample["normals"][:, 0, 0].tolist() == [0, 0, 0]
    assert torch.allclose(sample["normals"][:, 3, 1], torch.tensor([0.0, 0, 1]), atol=0.01)
    assert torch.allclose(sample["normals"][:, 3, 7], torch.tensor([0.0, 1, 0]), atol=0.01)


def test_palette_images_read_as_their_colours(root):
    before = Folder(root, "train")[0]["normals"]
    path = root / "normal/a.png"
    Image.open(path).quantize(256).save(path)
    assert torch.allclose(Folder(root, "train")[0]["normals"], before, atol=0.02)


@pytest.mark.parametrize(
    ("name", "other"), [("image/a.png", "image/a.PNG"), ("label/b.png", "label/b.Png"), ("image/b.png", "image/b.JPEG")]
)
def test_endings_may_be_in_any_case(root, name, other):
    pixels = Image.open(root / name)
    pixels.save(root / "again", format="JPEG" if other.endswith("JPEG") else "PNG")
    before = Folder(root, "train")[1]["segmentation"]
    (root / name).unlink()
    (root / "again").rename(root / other)
    assert torch.equal(Folder(root, "train")[1]["segmentation"], before)


@pytest.mark.parametrize("name", ["normals", "Normal", "norml"])
def test_a_folder_under_a_name_like_a_targets_is_told(root, name):
    data = Folder(root, "train", ("segmentation",))
    (root / "depth").mkdir()
    (root / "label_before").mkdir()
    assert data.overlooked() == []
    (root / "normal").rename(root / name)
    assert data.overlooked() == [f"{root / name} is not read; did you mean normal/?"]
    (root / "label").rename(root / "segmentation")
    assert data.overlooked()[0] == f"{root / 'segmentation'} is not read; did you mean label/?"


def test_only_the_asked_targets_are_read(root):
    shutil.rmtree(root / "normal")
    assert set(Folder(root, "train", ("segmentation",))[0]) == {"image", "segmentation"}


def test_fingerprint_knows_the_content_but_not_the_place_or_the_tasks(root, tmp_path):
    first = Folder(root, "train").fingerprint()
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(root, elsewhere)
    assert Folder(elsewhere, "train", ("normals",)).fingerprint() == first
    assert len(first) == 12
    assert Folder(root, "val").fingerprint() != first
    image(elsewhere / "label/b.png", np.zeros((6, 8)))
    assert Folder(elsewhere, "train").fingerprint() != first


def truncate(path: Path) -> None:
    image(path, np.random.default_rng(0).integers(0, 255, (60, 80, 3)))
    path.write_bytes(path.read_bytes()[:5000])


def append(path: Path, line: str) -> None:
    path.write_text(f"{path.read_text()}{line}\n")


def write_classes(root: Path, count: int) -> None:
    (root / "classes.txt").write_text("".join(f"{number} class{number}\n" for number in range(count)))


def break_list(root: Path) -> None:
    (root / "splits/train.txt").write_text("a\nd\n")


def break_normal(root: Path) -> None:
    (root / "normal/b.png").unlink()


def break_classes(root: Path) -> None:
    (root / "classes.txt").write_text("0 wall\n2 bed\n")


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (shutil.rmtree, "There is no folder .*rooms; give"),
        (lambda root: (root / "splits/train.txt").unlink(), r"There is no .*splits/train\.txt; it should hold"),
        (lambda root: (root / "splits/train.txt").write_text("\n"), r"train\.txt is empty; it needs"),
        (break_list, r"train\.txt, line 2, lists 'd', but there is no image/d\.jpg or \.jpeg or \.png\."),
        (break_normal, r"train\.txt, line 3, lists 'b', but there is no normal/b\.png\."),
        (lambda root: shutil.rmtree(root / "label"), "There is no folder .*label; it should hold"),
        (lambda root: (root / "classes.txt").unlink(), r"There is no .*classes\.txt"),
        (lambda root: (root / "classes.txt").write_text(""), r"classes\.txt is empty"),
        (
            lambda root: append(root / "splits/train.txt", "a"),
            r"train\.txt, line 4, repeats 'a', which train\.txt has in",
        ),
        (lambda root: append(root / "splits/val.txt", "b"), r"val\.txt, line 2, repeats 'b', which train\.txt has in"),
        (lambda root: append(root / "classes.txt", "2 wall"), r"classes\.txt names two classes 'wall'"),
        (lambda root: write_classes(root, 256), r"classes\.txt names 256 classes, but 8-bit maps have place for 255"),
        (lambda root: (root / "classes.txt").write_bytes(b"0 \xff"), r"classes\.txt cannot be read as text"),
        (
            lambda root: image(root / "image/b.jpg", np.zeros((6, 8))),
            r"image holds b\.jpg and b\.png, two files",
        ),
        (break_classes, r"classes\.txt, line 2, is '2 bed'; it should be 1 and a name\."),
    ],
)
def test_what_is_missing_is_named_at_once(root, damage, sentence):
    damage(root)
    with pytest.raises(InputError, match=sentence):
        Folder(root, "train")


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (
            lambda root: image(root / "label/a.png", np.zeros((5, 8))),
            r"label/a\.png is 8 x 5 .* image/a\.png is 8 x 6",
        ),
        (lambda root: image(root / "normal/a.png", np.zeros((6, 7, 3))), r"normal/a\.png is 7 x 6 pixels"),
        (
            lambda root: Image.new("RGB", (8, 6)).save(root / "normal/a.png", "JPEG"),
            r"normal/a\.png holds JPEG content; normals need a PNG",
        ),
        (
            lambda root: image(root / "label/a.png", np.full((6, 8), 7)),
            r"label/a\.png holds the class id 7; .*0 to 1",
        ),
        (lambda root: image(root / "label/a.png", np.zeros((6, 8, 3))), r"label/a\.png has the pixel mode RGB"),
        (lambda root: (root / "image/a.png").write_bytes(b"no image"), r"image/a\.png cannot be read as an image"),
        (
            lambda root: truncate(root / "image/a.png"),
            r"image/a\.png cannot be read as an image",
        ),
    ],
)
def test_a_bad_file_is_named_when_it_is_read(root, damage, sentence):
    damage(root)
    data = Folder(root, "train")
    data[1]
    with pytest.raises(InputError, match=sentence):
        data[0]


def test_lists_that_an_editor_of_windows_wrote_are_the_same(root):
    first = [Folder(root, "train").name_of(index) for index in range(2)], Folder(root, "train").classes
    for name in ("classes.txt", "splits/train.txt", "splits/val.txt"):
        text = (root / name).read_text()
        (root / name).write_bytes(b"\xef\xbb\xbf" + text.replace("\n", " \r\n").encode())
    assert ([Folder(root, "train").name_of(index) for index in range(2)], Folder(root, "train").classes) == first


def test_a_name_of_thousands_of_digits_is_no_frame_number(root):
    (root / "splits/val.txt").write_text("9" * 5000)
    for name in ("image/1.png", "label/1.png", "normal/1.png"):
        shutil.copy((root / name).with_name("a.png"), root / name)
    (root / "splits/train.txt").write_text("1\n")
    assert Folder(root, "train").groups == ["1"]


def test_unknown_names_get_the_nearest(root):
    with pytest.raises(InputError, match="no split 'trian'; did you mean 'train'"):
        Folder(root, "trian")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="no task in this data set 'normal'; did you mean 'normals'"):
        Folder(root, "train", ("normal",))


@pytest.mark.skipif(not REAL.is_dir(), reason=f"REAL DATA NOT TESTED: {REAL} is not there")
def test_real_frames():
    train, val = Folder(REAL, "train"), Folder(REAL, "val")
    assert (len(train), len(val), len(train.classes)) == (420, 230, 40)
    assert (train.classes[0], train.classes[39]) == ("wall", "otherprop")
    assert train.fingerprint() != val.fingerprint()
    ups = []
    for index in range(0, 420, 60):
        sample = train[index]
        assert sample["image"].shape == (3, 120, 160)
        length = sample["normals"].norm(dim=0)
        assert torch.all((length == 0) | ((length - 1).abs() < 1e-5))
        assert (length == 0).float().mean() < 0.05
        ups.append(sample["normals"][1][(sample["segmentation"] == train.classes.index("floor")) & (length > 0)])
        assert sample["normals"][2].mean() > 0.2  # surfaces that are seen face the camera
    assert torch.cat(ups).median() > 0.85
