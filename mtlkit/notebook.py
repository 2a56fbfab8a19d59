"""The few calls a paper's notebook makes."""

# ruff: noqa: E402
import types
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

# Text bars are what notebooks show; a library that asks for widgets would put a path of this machine into the page.
warnings.filterwarnings("ignore", message="IProgress not found")

import numpy as np
import torch
from IPython.display import HTML, display
from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

from mtlkit import papers
from mtlkit.data.samples import collate
from mtlkit.data.sampling import Part, eval_loader
from mtlkit.engine import Engine
from mtlkit.errors import InputError, suggestion, unknown
from mtlkit.evaluations import FeatureExtraction
from mtlkit.evaluations.features import by_split
from mtlkit.graph import Node
from mtlkit.ledger import Record
from mtlkit.metrics.age_errors import expected
from mtlkit.metrics.resize import enlarged
from mtlkit.network import Network
from mtlkit.papers.calorie.estimates import Estimates, estimates
from mtlkit.papers.declaration import Index, chosen, explained
from mtlkit.report.side_by_side import SideBySide
from mtlkit.report.style import use_style
from mtlkit.reproduce import costs, ledger, reproduce, stored
from mtlkit.runs import Training, trainings
from mtlkit.runtime import Runtime
from mtlkit.tasks import Age, DenseTask

_SHELL = {"In", "Out", "exit", "quit", "get_ipython", "open"}


def _names(value: object) -> object:
    several = value if isinstance(value, (list, tuple)) else [value]
    if any(isinstance(item, bool) or not isinstance(item, (str, int)) for item in several):
        raise ValueError("must be names")
    return [str(item) for item in several]


Names = Annotated[tuple[str, ...], BeforeValidator(_names)]


class Running(BaseModel):
    """What a notebook's parameters cell may set beside the paper's choices.

    Attributes:
        tables: tables to run.
        methods: rows to run.
        workers: processes that read data.
        results_dir: where records lie.
    """

    model_config = ConfigDict(frozen=True)

    tables: Names = ()
    methods: Names | None = None
    workers: Index | None = None
    results_dir: Path | None = None


@dataclass(frozen=True)
class Answers:
    """Pictures, uint8 ``(H, W, 3)``, with their true class and, row by row, the class that its network names."""

    images: list[np.ndarray]
    truth: list[str]
    said: dict[str, list[str]]


class Reproduction:
    """A paper's notebook: its checked parameters, and what its cells ask for.

    Attributes:
        choices: what the reader decided about the tables.
        running: what to run of them, and where.
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
        given = {name: value for name, value in scope.items() if _is_parameter(name, value)}
        kind = papers.DECLARED[paper][0].choices
        names = [*kind.model_fields, *Running.model_fields]
        for name in given:
            if name not in names:
                raise InputError(f"There is no parameter {name!r}; {suggestion(name, names)}")
        self.choices = kind.of(**{name: value for name, value in given.items() if name in kind.model_fields})
        try:
            self.running = Running(**{name: value for name, value in given.items() if name in Running.model_fields})
        except ValidationError as error:
            raise explained(error, Running) from None
        smoke = self.choices.profile == "smoke"
        self.runtime = Runtime(
            device=self.choices.device,
            workers=self.running.workers,
            progress=not smoke,
            retrain=smoke,
        )
        self.runtime.fabric()
        self.tables = {identifier: papers.table(paper, identifier) for identifier in self.running.tables}
        # A wrong backbone, folder or row should stop here, not in a later cell.
        rows = {
            identifier: [row.id for row in chosen(table, table.column(self.choices))]
            for identifier, table in self.tables.items()
        }
        for method in self.running.methods or ():
            if rows and not any(method in ids for ids in rows.values()):
                raise unknown("row of these tables", method, [name for ids in rows.values() for name in ids])
        self._rows = rows
        use_style()

    def table(self, identifier: str) -> SideBySide | None:
        """Runs what the table still lacks; ``None`` when the parameters leave this table, or all its rows, out."""
        methods = self.running.methods
        if methods is not None:
            methods = tuple(method for method in methods if method in self._rows.get(identifier, ()))
        if identifier not in self.tables or methods == ():
            return None
        return reproduce(
            self.tables[identifier],
            self.choices,
            runtime=self.runtime,
            results=self.running.results_dir,
            methods=methods,
        )

    def costs(self, identifier: str) -> SideBySide:
        """What the table's printed networks hold and compute; nothing is trained, whatever the parameters."""
        return costs(papers.table(self.paper, identifier), self.running.results_dir)

    def earlier(self, identifier: str) -> list[SideBySide]:
        """Columns of the table at profiles ``lite`` and ``paper`` that the results folder already holds."""
        found = stored(papers.table(self.paper, identifier), self.running.results_dir)
        return [comparison for comparison in found if comparison.column.profile != "smoke"]

    def developed(self, identifier: str) -> list[SideBySide]:
        """Columns of the table on development parts, where settings were tried."""
        return stored(papers.table(self.paper, identifier), self.running.results_dir, part="development")

    def predictions(self, comparison: SideBySide, count: int = 3) -> dict[str, list[tuple[str, list[np.ndarray]]]]:
        """For every task with a target a pixel, pictures of the first test samples: image, truth, every answer.

        Returns:
            task -> (heading, pictures) a column of a figure, each picture uint8 ``(H, W, 3)``.
        """
        column, trained = comparison.column, _trained(comparison)
        tasks = {
            task.name: task for _, training in trained for task in training.network.tasks if isinstance(task, DenseTask)
        }
        (test,) = column.data.splits("val", tuple(tasks))
        batch = collate([column.data.view(test[index]) for index in range(min(count, len(test)))])
        images = [(image.permute(1, 2, 0) * 255).byte().numpy() for image in batch.images]
        columns = {
            name: [("image", images), (f"{name}: truth", [task.draw(target) for target in batch.targets[name]])]
            for name, task in tasks.items()
        }
        for label, training in trained:
            with torch.inference_mode():
                outputs = self.network(comparison, training)(batch.images)
            for name, output in outputs.items():
                if name not in tasks:
                    continue
                answers = enlarged(output, batch.targets[name])
                columns[name].append((label, [tasks[name].draw(answer) for answer in answers]))
        return columns

    def answers(self, comparison: SideBySide, count: int = 8) -> dict[str, Answers]:
        """For every task with a class a picture, some test pictures, evenly spaced, and what every network says.

        Of an age the truth is given in years, and said is the expected age, rounded.
        """
        found: dict[str, Answers] = {}
        for label, training in _trained(comparison):
            network = self.network(comparison, training)
            names = tuple(task.name for task in training.network.tasks)
            sets = training.data.splits("val", names)
            for name, test in zip(names, sets if len(sets) > 1 else sets * len(names), strict=True):
                indices = [round((place + 0.5) * len(test) / count - 0.5) for place in range(count)]
                (batch,) = eval_loader([Part(test, indices)], training.data.view, len(indices))
                with torch.inference_mode():
                    output = network(batch.images)[name]
                aged = isinstance(network.tasks[name], Age)
                said = expected(output).round().long() if aged else output.argmax(1)
                words = tuple(map(str, range(output.shape[1]))) if aged else test.classes
                if name not in found:
                    images = [(image.permute(1, 2, 0) * 255).byte().numpy() for image in batch.images]
                    found[name] = Answers(images, [words[index] for index in batch.targets[name]], {})
                found[name].said[label] = [words[index] for index in said]
        return found

    def estimates(self, comparison: SideBySide) -> dict[str, Estimates]:
        """For every row of a calorie table its answers on the test pictures, from the records of the table."""
        return estimates(comparison, ledger(comparison.column.profile, self.running.results_dir))

    def features(self, comparison: SideBySide, features: FeatureExtraction) -> dict[str, dict[str, torch.Tensor]]:
        """Split -> features and targets of its pictures, behind a comparison's retrieval."""
        return by_split(self._engine(comparison).tensors(features))

    def record(self, comparison: SideBySide, node: Node) -> Record | None:
        """The record behind a comparison's node, with what was counted beside the measures."""
        return ledger(comparison.column.profile, self.running.results_dir).find(node.kind, node.identity)

    def network(self, comparison: SideBySide, training: Training) -> Network:
        """A trained network behind a comparison, in evaluation mode on the CPU."""
        engine = self._engine(comparison)
        engine.tensors(training)
        return training.trained(engine.context())

    def _engine(self, comparison: SideBySide) -> Engine:
        return Engine(ledger(comparison.column.profile, self.running.results_dir), self.runtime)


def _trained(comparison: SideBySide) -> list[tuple[str, Training]]:
    """The comparison's networks under their rows' labels; where there are rows of the paper, of these alone."""
    # Controls look like the rows that they belong to, and a figure has no room for as many columns.
    rows = [row for row in comparison.rows if row.printed] or comparison.rows
    return [(row.label, need) for row in rows for need in _subjects(row.evaluations)]


def _subjects(evaluations: Iterable[Node]) -> list[Training]:
    """The trainings that evaluations look at, and not those that these start from."""
    found = trainings(evaluations)
    inner = {need.identity for training in found.values() for need in training.needs}
    return [training for key, training in found.items() if key not in inner]


def show(comparison: SideBySide) -> None:
    """Displays print and measurement side by side, then the protocol card."""
    display(HTML(comparison.html()), HTML(comparison.card_html()))  # type: ignore[no-untyped-call]


def _is_parameter(name: str, value: object) -> bool:
    if name.startswith("_") or name in _SHELL:
        return False
    return not (isinstance(value, (types.ModuleType, type)) or callable(value))
