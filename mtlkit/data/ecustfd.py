"""ECUSTFD (Liang and Li, 2017, https://arxiv.org/abs/1705.07632) as a table with kilocalories.

Images are called ``PORTION``, ``S`` (from the side) or ``T`` (from above), and a number: ``apple001S(1).JPG``. The
portions' weights in ``ecustfd.csv`` are those of the authors' ``density.xls``; energies a gram are the paper's. Images
of two foods at once (``mix...``) are left out.
"""

import csv
import re
from importlib.resources import files
from pathlib import Path

from mtlkit.errors import InputError
from mtlkit.files import written_whole

KCAL = {
    "apple": 0.52, "banana": 0.89, "bread": 3.15, "bun": 2.23, "doughnut": 4.34, "egg": 1.43, "grape": 0.69,
    "lemon": 0.29, "litchi": 0.66, "mango": 0.60, "orange": 0.63, "peach": 0.57, "pear": 0.39, "plum": 0.46,
    "qiwi": 0.61, "tomato": 0.27,
    # Printed as 24.16, 18.83 and 21.45 kcal, more than pure fat has, so read as kJ.
    "fired_dough_twist": 24.16 / 4.184, "mooncake": 18.83 / 4.184, "sachima": 21.45 / 4.184,
}  # fmt: skip
"""Kilocalories a gram, by the authors' names of the foods."""

_IMAGES = "ECUSTFD/JPEGImages"


def write_table(root: Path) -> None:
    """Writes ``manifest.csv`` with the columns image, kcal, category and group into the data set's folder.

    Raises:
        InputError: an image shows no portion that is known.
    """
    with files("mtlkit.data").joinpath("ecustfd.csv").open(encoding="utf-8") as file:
        portions = {row["portion"]: row for row in csv.DictReader(file)}
    with written_whole(root / "manifest.csv") as path, path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(("image", "kcal", "category", "group"))
        for image in sorted(image.name for image in (root / _IMAGES).iterdir()):
            if image.startswith("mix"):
                continue
            name = re.fullmatch(r"(\w+?)[STst]\(\d+\)\.JPG", image)  # one portion's views have a small s
            if name is None or name[1] not in portions:
                raise InputError(f"{root / _IMAGES / image} shows no portion that is known; take the published files.")
            food, weight = portions[name[1]]["food"], float(portions[name[1]]["weight_g"])
            table.writerow((f"{_IMAGES}/{image}", f"{weight * KCAL[food]:.1f}", food, name[1]))
