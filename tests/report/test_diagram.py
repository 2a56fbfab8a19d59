"""Diagrams show the modules that a network has, each once, and no text or line where it cannot be read."""

import re
import sys
import xml.etree.ElementTree as ET
from collections import Counter
from functools import partial
from pathlib import Path

import pytest
import torch
from PIL import ImageFont
from torch import nn

from mtlkit import papers
from mtlkit.backbones import aside, staged
from mtlkit.errors import InputError
from mtlkit.fusion import NDDR, CrossStitch, Sluice
from mtlkit.heads import Conv1x1Head, Embedding, Exit, LargeFOV
from mtlkit.necks import Deconvolution, Shortcut, Upsampling
from mtlkit.network import Network, NetworkSettings
from mtlkit.report.diagram import DiagramRow, draw
from mtlkit.sharing import HardSharing, SoftSharing
from mtlkit.tasks import Depth, Normals, Segmentation

font_manager = pytest.importorskip("matplotlib.font_manager")
TASKS = (Segmentation(classes=("wall", "floor", "else")), Normals(), Depth())
FONTS = {
    weight: ImageFont.truetype(
        font_manager.findfont(font_manager.FontProperties(family="DejaVu Sans", weight=weight)), 100
    )
    for weight in ("normal", "bold")
}
SHARED = [(tasks, HardSharing.Settings(split_after=after)) for tasks in (1, 2, 3) for after in (None, 2, 3)]
SHARED += [(tasks, SoftSharing.Settings(unit=Sluice.Settings(layer_mixing=True))) for tasks in (2, 3)]
SVG = "{http://www.w3.org/2000/svg}"


def network(tasks=2, sharing=None, neck=None, head=None, **heads):
    settings = NetworkSettings(
        backbone="resnet10t",
        tasks=TASKS[:tasks],
        sharing=sharing or HardSharing.Settings(),
        neck=neck,
        head=head or Conv1x1Head.Settings(),
        heads=heads,
    )
    with aside():
        return settings.build(weights=False)


def declared(slug):
    benchmarks = Path(__file__).parents[2] / "benchmarks"
    sys.path.insert(0, str(benchmarks))
    try:
        import rehearse
    finally:
        sys.path.remove(str(benchmarks))
    # One of several networks that differ in what a drawing does not show.
    shown = {}
    for _, _, training in rehearse.declared(slug):
        net = training.network
        sharing = net.sharing.model_dump(include={"kind", "after", "split_after"}), getattr(net.sharing, "unit", None)
        heads = [type(net.heads.get(task.name, net.head)).__qualname__ for task in net.tasks]
        key = net.backbone, net.tasks, sharing[0], type(sharing[1]).__qualname__, net.neck, heads
        shown.setdefault(repr(key), net)
    for net in shown.values():
        with aside():
            yield net.build(weights=False)


def stages(trunk):
    if isinstance(trunk, SoftSharing):
        return sum(map(len, trunk.towers.values()))
    return len(trunk.shared) + sum(map(len, trunk.branches.values()))


def boxes(root):
    """Kind, left, top, right and bottom of every box, with its text."""
    for group in root.iter(f"{SVG}g"):
        if (kind := group.get("class")) is not None:
            x, y, width, height = (float(group.find(f"{SVG}rect").get(k)) for k in ("x", "y", "width", "height"))
            yield kind.removeprefix("mtl-"), (x, y, x + width, y + height), group.findall(f"{SVG}text")


def segments(root):
    """The straight parts of all lines, their ends in order."""
    for path in root.iter(f"{SVG}path"):
        place = None
        for letter, numbers in re.findall(r"([MLHV])([\d.,]+)", path.get("d")):
            values = [float(number) for number in numbers.split(",")]
            if letter in "HV":
                to = (values[0], place[1]) if letter == "H" else (place[0], values[0])
                yield *map(min, place, to), *map(max, place, to)
                place = to
            else:
                place = tuple(values)


def measured(text):
    font = FONTS["bold" if text.get("font-weight") else "normal"]
    return font.getlength(text.text) / 100 * float(text.get("font-size"))


def check(net):
    """What holds of the drawing of any network; returns its root."""
    diagram = draw(net)
    root = ET.fromstring(diagram.svg)
    trunk, heads = (net.trunk, net.heads) if isinstance(net, Network) else (net, {})
    found = list(boxes(root))
    kinds = Counter(kind for kind, _, _ in found)
    assert kinds["stage"] == stages(trunk)
    assert kinds["fusion"] == len(getattr(trunk, "units", ()))
    assert kinds["mixing"] == len(getattr(trunk, "mixing", ()))
    assert kinds["neck"] == len(getattr(net, "necks", ()))
    assert kinds["head"] == len(heads)
    assert [texts[0].text for kind, _, texts in found if kind == "task"] == list(trunk.tasks)
    _, _, width, height = map(float, root.get("viewBox").split())
    assert width <= 700
    for _, (left, top, right, bottom), texts in found:
        assert 0 <= left < right <= width
        assert 0 <= top < bottom <= height
        assert all(measured(text) <= right - left - 2 for text in texts)
    for i, (_, one, _) in enumerate(found):
        for _, other, _ in found[:i]:
            assert one[2] <= other[0] or other[2] <= one[0] or one[3] <= other[1] or other[3] <= one[1]
    for left, top, right, bottom in segments(root):
        # The lines of a column between two others pass fusion layers, whose bars have no gap.
        for kind, box, _ in found:
            through = left < box[2] and right > box[0] and top < box[3] and bottom > box[1]
            assert not through or (kind == "fusion" and len(trunk.tasks) > 2)
    for name in root.findall(f"{SVG}text"):
        assert float(name.get("x")) + measured(name) <= min(left for _, (left, *_), _ in found) - 9
    assert root.get("role") == "img"
    assert root.get("aria-label") == diagram.description
    assert root.find(f"{SVG}title").text
    assert all(
        word in diagram.description for word in [*trunk.tasks, *(type(head).__name__ for head in heads.values())]
    )
    return root


@pytest.mark.parametrize("slug", papers.SLUGS)
def test_every_declared_network_is_drawn_with_all_its_modules(slug):
    networks = list(declared(slug))
    assert networks
    for net in networks:
        check(net)


@pytest.mark.parametrize("tasks", [1, 2, 3, 5])
@pytest.mark.parametrize("split_after", [None, 3, 0])
def test_hard_sharing(tasks, split_after):
    names = [f"task {i}" for i in range(tasks)]
    with aside():
        check(HardSharing(staged("resnet10t"), names, split_after=split_after))


@pytest.mark.parametrize("tasks", [2, 3, 4])
@pytest.mark.parametrize("exchange", [True, False])
@pytest.mark.parametrize("layer", [NDDR, CrossStitch, Sluice])
def test_soft_sharing(tasks, exchange, layer):
    with aside():
        encoders = {f"task {i}": staged("resnet10t") for i in range(tasks)}
        net = SoftSharing(encoders, partial(layer, exchange=exchange), after=(1, 4), layer_mixing=layer is Sluice)
    root = check(net)
    bars = [(rect, texts) for kind, rect, texts in boxes(root) if kind == "fusion"]
    assert [text.text for text in bars[0][1]] == [layer.__name__, *([] if exchange else ["no exchange"])]
    # Each bar reaches over all columns, below its stage.
    columns = [rect for kind, rect, _ in boxes(root) if kind == "stage"]
    for rect, _ in bars:
        assert (rect[0], rect[2]) == (min(c[0] for c in columns), max(c[2] for c in columns))


@pytest.mark.parametrize(("tasks", "sharing"), SHARED)
@pytest.mark.parametrize("neck", [Deconvolution.Settings(), Upsampling.Settings(), Shortcut.Settings()])
def test_necks(tasks, neck, sharing):
    net = network(tasks, sharing, neck)
    root = check(net)
    one = next(iter(net.necks.values()))
    # A dot for every map before the last that a neck takes, and the mixtures' own.
    taken = len(set(getattr(one, "sources", range(5))) - {4})
    assert len(list(root.iter(f"{SVG}circle"))) == taken * len(net.necks) + 4 * len(getattr(net.trunk, "mixing", ()))


@pytest.mark.parametrize(("tasks", "sharing"), SHARED)
def test_heads_on_earlier_stages(tasks, sharing):
    early = {task.name: Exit.Settings(stage=1 + i, filter="input") for i, task in enumerate(TASKS[:tasks])}
    net = network(tasks, sharing, **early)
    root = check(net)
    assert len(list(root.iter(f"{SVG}circle"))) == tasks + 4 * len(getattr(net.trunk, "mixing", ()))
    heads = [[text.text for text in texts] for kind, _, texts in boxes(root) if kind == "head"]
    assert heads[0] == ["Exit", "FeatureFilter", "pool", "classifier 3"]


def test_a_neck_takes_the_maps_that_its_output_depends_on():
    for neck in (Deconvolution.Settings(), Upsampling.Settings()):
        module = neck.build((64, 64, 128, 256, 512), (2, 4, 8, 16, 32))
        maps = [torch.rand(1, c, 128 // s, 128 // s, requires_grad=True)
                for c, s in zip((64, 64, 128, 256, 512), (2, 4, 8, 16, 32), strict=True)]  # fmt: skip
        gradients = torch.autograd.grad(module(maps).sum(), maps, allow_unused=True)
        assert module.sources == tuple(i for i, gradient in enumerate(gradients) if gradient is not None)


def test_boxes_say_shapes_and_widths():
    root = check(network(2, None, None, LargeFOV.Settings(width=512), normals=Embedding.Settings(stage=2)))
    texts = {kind: [text.text for text in texts] for kind, _, texts in boxes(root)}
    assert texts["stage"] == ["512 channels", "H/32 × W/32"]
    assert texts["head"] == ["Embedding", "pool", "classifier 3"]
    assert [t.text for k, _, texts in boxes(root) if k == "head" for t in texts][:4] == [
        "LargeFOV", "fc6 512", "fc7 512", "classifier 3",
    ]  # fmt: skip
    assert len(list(root.iter(f"{SVG}circle"))) == 1


def test_text_is_escaped_and_long_names_fit():
    with aside():
        net = HardSharing(staged("resnet10t"), ['<a> & "b"', "a_name_that_is_longer_than_its_box"])
    root = check(net)
    assert "<a>" in root.get("aria-label")
    assert ET.fromstring(draw(net, title="a < b").svg).find(f"{SVG}title").text == "a < b"


def test_colours_follow_the_page():
    diagram = draw(network())
    colours = set(re.findall(r'(?:fill|stroke)="([^"]+)"', diagram.svg))
    # Black or white text would be lost on a page of its colour.
    assert {colour for colour in colours if colour.startswith("#")} <= {"#2a8fbd", "#c2703d"}
    assert "<style" not in diagram.svg
    assert DiagramRow([diagram, diagram])._repr_html_().count(diagram.svg) == 2
    assert diagram.svg in diagram._repr_html_()


def test_another_module_is_refused():
    with pytest.raises(InputError, match="not a Linear"):
        draw(nn.Linear(2, 2))
