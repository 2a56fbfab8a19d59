"""The page *Use it in your code* holds what it says."""

import re
from pathlib import Path

import pytest
import torch

from mtlkit.fusion import NDDR

ROOT = Path(__file__).parents[1]
BLOCKS = re.findall(r"^```python\n(.*?)^```", (ROOT / "book/use_it.md").read_text(), re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="module")
def scopes(tmp_path_factory):
    """What is defined after each block; they run one after the other in an empty folder."""
    scope, found = {}, []
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(tmp_path_factory.mktemp("reader"))
        for number, block in enumerate(BLOCKS):
            exec(compile(block, f"block {number}", "exec"), scope)
            found.append(dict(scope))
        yield found


def after(scopes, start):
    """The scope after the block with this text."""
    (place,) = (place for place, block in enumerate(BLOCKS) if start in block)
    return scopes[place]


def test_the_layer_of_the_page_is_the_one_of_the_table(scopes):
    scope = after(scopes, "papers.table")
    layer, plain = scope["layer"], NDDR(2, 64)
    assert type(layer) is NDDR
    assert (layer.relu, layer.norm_in) == (plain.relu, plain.norm_in) == (True, None)
    assert all(torch.equal(value, plain.state_dict()[name]) for name, value in layer.state_dict().items())
    assert f"# {scope['training'].recipe.lr_mult}" in "".join(BLOCKS)
    groups = {group["name"]: group for group in scope["groups"]}
    assert groups["fusion"]["lr"] == pytest.approx(scope["training"].recipe.lr * 100)
    assert groups["trunk"]["weight_decay"] == scope["training"].recipe.weight_decay
    page = (ROOT / "book/use_it.md").read_text()
    for row in ("cross_stitch", "sluice"):
        rate = scope["rows"][row].evaluations[0].subject.recipe.lr_mult["fusion"]
        assert f"at {rate:.0f} times the base rate" in page


def test_a_network_of_ones_own_has_the_shapes_of_the_page(scopes):
    outputs = after(scopes, "class TwoTasks")["outputs"]
    assert [tuple(output.shape) for output in outputs.values()] == [(2, 13, 3, 4), (2, 3, 3, 4)]


def test_an_encoder_of_ones_own_has_the_maps_of_the_page(scopes):
    scope = after(scopes, "StagedBackbone(")
    assert [tuple(x.shape) for x in scope["encoded"]] == [(2, 16, 48, 64), (2, 32, 24, 32)]
    assert [*scope["own"].units] == ["0", "1"]


def test_an_objective_of_the_page_reaches_every_parameter(scopes):
    assert all(one.grad is not None for one in after(scopes, "JacobianDescent(")["net"].parameters())


@pytest.mark.parametrize("reader", ["Folder", "Npy", "ImageFolder", "Coco", "APascal", "Manifest", "UTKFace"])
def test_a_handful_of_files_is_read_as_the_page_says(scopes, reader):
    (block,) = (block for block in BLOCKS if f"= {reader}(" in block and "sample = " in block)
    sample = after(scopes, block)["sample"]
    names, _ = re.subn(r"\([^)]*\)", "", re.findall(r"sample = .*#(.*)", block)[0])
    assert {name.strip() for name in names.split(",")} == {*sample}
    for name, shape in re.findall(r"(\w+) \((\d[^)]*)\)", block.splitlines()[-1]):
        assert tuple(sample[name].shape) == tuple(map(int, shape.split(",")))


def test_batches_are_as_the_page_says(scopes):
    scope = after(scopes, "for batch in batches")
    shapes = {name: tuple(target.shape) for name, target in scope["batch"].targets.items()}
    assert shapes == {"segmentation": (2, 48, 64), "normals": (2, 3, 48, 64)}
    assert 0 <= scope["batch"].images.min() < scope["batch"].images.max() <= 1
    assert scope["loss"].isfinite()
    assert all(layer.weight.grad is not None for layer in scope["net"].heads.values())


def test_a_table_is_run_and_its_network_predicts(scopes):
    scope = scopes[-1]
    assert {row.id for row in scope["comparison"].rows} == {"single", "nddr"}
    predictions = scope["predictions"]
    assert {name: tuple(one.shape) for name, one in predictions.items()} == {
        "segmentation": (80, 100),
        "normals": (3, 80, 100),
    }
    assert torch.allclose(predictions["normals"].norm(dim=0), torch.ones(80, 100), atol=1e-4)
