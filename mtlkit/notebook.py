"""The few calls a paper's notebook makes."""

import difflib
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from IPython.display import HTML, display

from mtlkit import papers
from mtlkit.data.samples import Sample, collate
from mtlkit.data.transforms import resized
from mtlkit.engine import DEVICES, Engine, Where
from mtlkit.errors import InputError, unknown
from mtlkit.papers.declaration import Choices, Table
from mtlkit.report.side_by_side import SideBySide
from mtlkit.report.style import use_style
from mtlkit.reproduce import ledger, reproduce, stored

_OURS = ("tables", "methods", "device", "workers", "results_dir")
_SHELL = {"In", "Out", "exit", "quit", "get_ipython", "open"}


class Reproduction:
    """A paper's notebook: its checked parameters, and what its cells ask for.

    Attributes:
        choices: what the reader decided.
        tables: the declared tables asked for.
    """

    def __init__(self, paper: str, parameters: Mapping[str, Any]):
        """Checks every name, type and choice of the parameters cell.

        Args:
            paper: the paper's slug.
            parameters: the notebook's ``globals()`` right after that cell.

        Raises:
            InputError: one sentence about the first thing that is wrong.
        """
        given = {name: value for name, value in parameters.items() if _is_parameter(name, value)}
        known = [*_OURS, *Choices.model_fields]
        for name in given:
            if name not in known:
                near = difflib.get_close_matches(name, known, n=1)
                hint = f"did you mean {near[0]!r}?" if near else f"valid are {', '.join(known)}."
                raise InputError(f"There is no parameter {name!r}; {hint}")
        own = {name: given.pop(name, None) for name in _OURS}
        self.choices = Choices.of(
            **{name: value or None for name, value in given.items() if name != "seeds"},
            **({"seeds": given["seeds"]} if given.get("seeds") not in (None, []) else {}),
        )
        self.methods = tuple(_strings("methods", own["methods"]))
        self.results = Path(own["results_dir"]) if own["results_dir"] else None
        if own["device"] not in (None, *DEVICES):
            raise unknown("device", own["device"], DEVICES)
        workers = own["workers"] or 0
        if not isinstance(workers, int) or workers < 0:
            raise InputError(f"The parameter workers must be a whole number from 0, not {workers!r}.")
        self.where = Where(
            device=own["device"] or "auto",
            workers=workers,
            progress=self.choices.profile != "smoke",
            retrain=self.choices.profile == "smoke",
        )
        self.where.fabric()
        asked = _strings("tables", own["tables"])
        self.tables: dict[str, Table] = {table: papers.table(paper, table) for table in asked}
        for table in self.tables.values():
            table.column(self.choices)  # a wrong backbone or folder should stop here, not in a later cell
        use_style()

    def table(self, identifier: str) -> SideBySide | None:
        """Runs what the table still lacks; ``None`` when the parameters leave this table out."""
        if identifier not in self.tables:
            return None
        return reproduce(
            self.tables[identifier],
            self.choices,
            where=self.where,
            results=self.results,
            methods=self.methods or None,
        )

    def earlier(self, identifier: str) -> list[SideBySide]:
        """Columns of the table at profiles ``lite`` and ``paper`` that the results folder already holds."""
        return [c for c in stored(papers.table("nddr", identifier), self.results) if c.column.profile != "smoke"]

    def predictions(self, comparison: SideBySide, count: int = 3) -> list[tuple[str, list[np.ndarray]]]:
        """Pictures of the first test samples: the image, then for every task the truth and every method's answer.

        Returns:
            (heading, pictures) a column of the figure, each picture uint8 ``(H, W, 3)``.
        """
        column = comparison.column
        engine = Engine(ledger(column.profile, self.results), self.where)
        rows = [row for row in comparison.rows if any(evaluation.needs for evaluation in row.evaluations)]
        tasks = {task.name: task for row in rows for e in row.evaluations for n in e.needs for task in n.network.tasks}
        test = column.data.split("val", tuple(tasks))
        samples: list[Sample] = [resized(test[index], column.data.size) for index in range(min(count, len(test)))]
        batch = collate(samples)
        columns = [("image", [(image.permute(1, 2, 0) * 255).byte().numpy() for image in batch.images])]
        outputs: dict[tuple[str, str], torch.Tensor] = {}
        for row in rows:
            for evaluation in row.evaluations:
                for need in evaluation.needs:
                    with torch.inference_mode():
                        answers = engine.network(need)(batch.images)
                    outputs |= {(row.label, task): answer for task, answer in answers.items()}
        for name, task in tasks.items():
            columns.append((f"{name}\ntruth", [task.draw(target) for target in batch.targets[name]]))
            for row in rows:
                if (row.label, name) in outputs:
                    answer = torch.nn.functional.interpolate(
                        outputs[row.label, name], size=column.data.size, mode="bilinear"
                    )
                    columns.append((f"{name}\n{row.label}", [task.draw(one) for one in answer]))
        return columns


def show(comparison: SideBySide) -> None:
    """Displays print and measurement side by side, then the protocol card."""
    display(HTML(comparison.html()), HTML(comparison.card_html()))  # type: ignore[no-untyped-call]


def _is_parameter(name: str, value: object) -> bool:
    if name.startswith("_") or name in _SHELL:
        return False
    return not (isinstance(value, (types.ModuleType, type)) or callable(value))


def _strings(name: str, value: object) -> list[str]:
    if value is None:
        return []
    values = value if isinstance(value, (list, tuple)) else [value]
    if not all(isinstance(item, (str, int)) and not isinstance(item, bool) for item in values):
        raise InputError(f"The parameter {name} must be a name or a list of names, not {value!r}.")
    return [str(item) for item in values]
