"""The few calls a paper's notebook makes."""

# ruff: noqa: E402
import types
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

# Text bars are what notebooks show; a library that asks for widgets would put a path of this machine into the page.
warnings.filterwarnings("ignore", message="IProgress not found")

import numpy as np
import torch
from IPython.display import HTML, display
from pydantic import BeforeValidator

from mtlkit import papers
from mtlkit.data.samples import collate
from mtlkit.data.transforms import resized
from mtlkit.engine import Device, Engine, Where
from mtlkit.papers.declaration import Choices, Index, chosen
from mtlkit.report.side_by_side import SideBySide
from mtlkit.report.style import use_style
from mtlkit.reproduce import ledger, reproduce, stored
from mtlkit.tasks.base import enlarged

_SHELL = {"In", "Out", "exit", "quit", "get_ipython", "open"}


def _names(value: object) -> object:
    several = value if isinstance(value, (list, tuple)) else [value]
    if any(isinstance(item, bool) or not isinstance(item, (str, int)) for item in several):
        raise ValueError("must be names")
    return [str(item) for item in several]


Names = Annotated[tuple[str, ...], BeforeValidator(_names)]


class Parameters(Choices):
    """Everything a notebook's parameters cell may set; ``None`` leaves it to the table and the profile.

    Attributes:
        tables: tables to run.
        methods: rows to run.
        device: where to run.
        workers: processes that read data.
        results_dir: where records lie.
    """

    tables: Names = ()
    methods: Names | None = None
    device: Device | None = None
    workers: Index | None = None
    results_dir: Path | None = None


class Reproduction:
    """A paper's notebook: its checked parameters, and what its cells ask for.

    Attributes:
        parameters: what the reader decided.
        tables: the declared tables asked for.
    """

    def __init__(self, paper: str, scope: Mapping[str, Any]):
        """Checks every name, type and choice of the parameters cell.

        Args:
            paper: the paper's slug.
            scope: the notebook's ``globals()`` right after that cell.

        Raises:
            InputError: one sentence about the first thing that is wrong.
        """
        self.paper = paper
        self.parameters = Parameters.of(**{name: value for name, value in scope.items() if _is_parameter(name, value)})
        smoke = self.parameters.profile == "smoke"
        self.where = Where(
            device=self.parameters.device or "auto",
            workers=self.parameters.workers,
            progress=not smoke,
            retrain=smoke,
        )
        self.where.fabric()
        self.tables = {identifier: papers.table(paper, identifier) for identifier in self.parameters.tables}
        for table in self.tables.values():  # a wrong backbone, folder or row should stop here, not in a later cell
            chosen(table, table.column(self.parameters), self.parameters.methods)
        use_style()

    def table(self, identifier: str) -> SideBySide | None:
        """Runs what the table still lacks; ``None`` when the parameters leave this table out."""
        if identifier not in self.tables:
            return None
        return reproduce(
            self.tables[identifier],
            self.parameters,
            where=self.where,
            results=self.parameters.results_dir,
            methods=self.parameters.methods,
        )

    def earlier(self, identifier: str) -> list[SideBySide]:
        """Columns of the table at profiles ``lite`` and ``paper`` that the results folder already holds."""
        found = stored(papers.table(self.paper, identifier), self.parameters.results_dir)
        return [comparison for comparison in found if comparison.column.profile != "smoke"]

    def predictions(self, comparison: SideBySide, count: int = 3) -> dict[str, list[tuple[str, list[np.ndarray]]]]:
        """For every task, pictures of the first test samples: the image, the truth, every method's answer.

        Returns:
            task -> (heading, pictures) a column of a figure, each picture uint8 ``(H, W, 3)``.
        """
        column = comparison.column
        engine = Engine(ledger(column.profile, self.parameters.results_dir), self.where)
        trained = [
            (row.label, need) for row in comparison.rows for evaluation in row.evaluations for need in evaluation.needs
        ]
        tasks = {task.name: task for _, training in trained for task in training.network.tasks}
        test = column.data.split("val", tuple(tasks))
        batch = collate([resized(test[index], column.data.size) for index in range(min(count, len(test)))])
        images = [(image.permute(1, 2, 0) * 255).byte().numpy() for image in batch.images]
        columns = {
            name: [("image", images), (f"{name}: truth", [task.draw(target) for target in batch.targets[name]])]
            for name, task in tasks.items()
        }
        for label, training in trained:
            with torch.inference_mode():
                outputs = engine.network(training)(batch.images)
            for name, output in outputs.items():
                answers = enlarged(output, batch.targets[name])
                columns[name].append((label, [tasks[name].draw(answer) for answer in answers]))
        return columns


def show(comparison: SideBySide) -> None:
    """Displays print and measurement side by side, then the protocol card."""
    display(HTML(comparison.html()), HTML(comparison.card_html()))  # type: ignore[no-untyped-call]


def _is_parameter(name: str, value: object) -> bool:
    if name.startswith("_") or name in _SHELL:
        return False
    return not (isinstance(value, (types.ModuleType, type)) or callable(value))
