"""What a reader may choose for the toy paper's table, and what it takes otherwise."""

from typing import Annotated, Any, ClassVar

from mtlkit.papers.options import Count, Option, Options


class ToyOptions(Options):
    """What a reader may choose for the toy paper's table.

    Attributes:
        grid: cells a side over which colours are averaged.
    """

    paper: ClassVar[str] = "toy"
    tables: ClassVar[tuple[str, ...]] = ("1",)
    first_tables: ClassVar[tuple[str, ...]] = ("1",)

    grid: Annotated[Count | None, Option("cells a side of an image", "a whole number above 0")] = None

    def defaults(self, table: str) -> dict[str, Any]:
        """What the table takes at this profile for options that are not given."""
        small = self.profile == "smoke"
        return {
            "dataset": self.source(("objects",), "imagefolder", ("imagefolder",)),
            "backbone": "resnet10t",
            "weights": "none",
            "image_size": (32, 32),
            "epochs": 1.0 if small else 30.0,
            "batch_size": 8,
            "lr": 0.01,
            "seeds": (0,) if small else (0, 1, 2),
            "grid": 2 if small else 4,
        }
