"""How many images show persons and joints, beside the 66 thousand that the print speaks of."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from mtlkit.data import Coco
from mtlkit.data.samples import Split
from mtlkit.papers.printed import printed
from mtlkit.report.table import ReportTable, Text, heads


class ImageCounts(NamedTuple):
    """Images of a split, by what is labelled in them.

    Attributes:
        images: all.
        objects: with an object of the classes, crowds among them.
        joints: with an object that has a labelled joint.
    """

    images: int
    objects: int
    joints: int


def image_counts(
    root: Path,
    *,
    classes: Sequence[str] = ("person",),
    splits: Sequence[Split] = ("train", "val"),
    faulty: Literal["refuse", "skip"] = "refuse",
) -> dict[str, ImageCounts]:
    """Split -> what its annotations hold; no image is opened.

    Args:
        root: of a data set in COCO's format, with joints.
        classes: that count.
        splits: those to count.
        faulty: as of :class:`mtlkit.data.Coco`; COCO's own training list asks for ``skip``.

    Raises:
        InputError: as of :class:`mtlkit.data.Coco`.
    """
    found: dict[str, ImageCounts] = {}
    for split in splits:
        data = Coco(root, split, ("detection", "pose"), classes, faulty)
        found[split] = ImageCounts(len(data), sum(map(bool, data.objects)), sum(map(bool, data.posed)))
    return found


def counts_table(counts: Mapping[str, ImageCounts]) -> ReportTable:
    """A line a split, their sum, and the printed numbers: of training images, and of those that hold a pose."""
    paper = {one["id"]: f"{one['value']}k" for one in printed("mcn").text_numbers}
    total = ImageCounts(*(sum(column) for column in zip(*counts.values(), strict=True)))
    every = {**counts, "together": total}
    lines = [(Text(split), *(Text(f"{count:,}") for count in found)) for split, found in every.items()]
    lines.append((Text("print"), Text(paper["train_images"]), Text(), Text(paper["pose_images"])))
    columns = heads(("images", "with objects", "with joints"))
    return ReportTable("Images by what is labelled", "split", columns, tuple(lines))
