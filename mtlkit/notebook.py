"""The few calls a paper's notebook makes."""

import io
import sys
import types
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

# Text bars are what notebooks show; a library that asks for widgets would put a path of this machine into the page.
warnings.filterwarnings("ignore", message="IProgress not found")

from mtlkit import papers  # noqa: E402
from mtlkit.errors import InputError, extra, terminal, unknown  # noqa: E402
from mtlkit.papers.cell import Selection  # noqa: E402
from mtlkit.papers.options import Options, renames_told  # noqa: E402

# torch and all that stands on it is imported where it is used: a wrong name in the parameters cell is told at once.
if TYPE_CHECKING:
    import numpy as np
    import torch
    from matplotlib.figure import Figure

    from mtlkit.engine import Engine
    from mtlkit.evaluations import FeatureExtraction
    from mtlkit.graph import Node
    from mtlkit.ledger import Ledger, Record
    from mtlkit.network import Network
    from mtlkit.papers.declaration import Row, Table
    from mtlkit.report.diagram import Diagram
    from mtlkit.report.side_by_side import SideBySide
    from mtlkit.results import Results
    from mtlkit.runs import Training

CARD = "Protocol card: what is printed and what was done"
"""Over a folded one."""

LARGE = 250_000
"""Bytes above which a figure is stored in 256 colours, since a page holds a dozen figures of noisy images."""

_SHELL = {"In", "Out", "exit", "quit", "get_ipython", "open"}


@dataclass(frozen=True)
class ClassPredictions:
    """Images, uint8 ``(H, W, 3)``, with their true class and, row by row, the class that its network predicts."""

    images: "list[np.ndarray]"
    truth: list[str]
    predictions: dict[str, list[str]]


class Reproduction:
    """A paper's notebook: its checked parameters, and what its cells ask for.

    Attributes:
        options: what the reader decided about the tables.
        selection: which tables and rows, and where their records lie.
        tables: the declared tables that run.
    """

    def __init__(self, paper: str, scope: Mapping[str, Any]):
        """Checks every name, type and choice of the parameters cell.

        Tables that are named must all fit the options. Where none is named, those of the notebook run that fit, and a
        line says which do not, and why.

        Args:
            paper: the paper's slug.
            scope: the notebook's ``globals()`` right after that cell.

        Raises:
            InputError: one sentence about the first thing that is wrong.
        """
        self.paper = paper
        with renames_told(lambda sentence: print(terminal(sentence), file=sys.stderr)):
            self.options, self.selection = parameters(paper, scope)
        named = self.selection.tables
        kind = papers.options_of(paper)
        for identifier in named or ():
            papers.check(paper, identifier)
        fitting, left_out = fitting_tables(self.options, named or kind.first_tables)
        if left_out and (named or not fitting):
            raise next(iter(left_out.values()))

        from mtlkit.papers.declaration import chosen
        from mtlkit.runtime import Runtime

        smoke = self.options.profile == "smoke"
        self.runtime = Runtime(
            device=self.options.device,
            workers=self.selection.workers,
            progress=not smoke,
            retrain=smoke,
        )
        self.runtime.fabric(self.options.precision)
        # A wrong backbone, folder or row should stop here, not in a later cell.
        self.tables: dict[str, Table] = {}
        self._rows: dict[str, list[str]] = {}
        for identifier in fitting:
            table = papers.table(paper, identifier)
            try:
                self._rows[identifier] = [row.id for row in chosen(table, table.column(self.options))]
            except InputError as error:
                left_out[identifier] = error
            else:
                self.tables[identifier] = table
        if left_out and (named or not self.tables):
            raise next(left_out[identifier] for identifier in named or kind.first_tables if identifier in left_out)
        for identifier, why in left_out.items():
            print(terminal(f"Table {identifier} is left out: {why}"))
        for method in self.selection.methods or ():
            if not any(method in ids for ids in self._rows.values()):
                raise unknown("row of these tables", method, [name for ids in self._rows.values() for name in ids])

        from mtlkit.report.style import use_style

        use_style()

    @property
    def results(self) -> "Results":
        """The reader's runs over the published ones."""
        from mtlkit.results import Results

        return Results.of(self.selection.results_dir)

    def table(self, identifier: str) -> "SideBySide | None":
        """Runs what the table still lacks; ``None`` when the parameters leave this table, or all its rows, out."""
        methods = self.selection.methods
        if methods is not None:
            methods = tuple(method for method in methods if method in self._rows.get(identifier, ()))
        if identifier not in self.tables or methods == ():
            return None
        from mtlkit.reproduce import reproduce

        return reproduce(
            self.tables[identifier],
            self.options,
            runtime=self.runtime,
            results=self.results,
            methods=methods,
        )

    def costs(self, identifier: str) -> "SideBySide":
        """What the table's printed networks hold and compute; nothing is trained, whatever the parameters."""
        from mtlkit.reproduce import costs

        return costs(papers.table(self.paper, identifier), self.results)

    def earlier(self, identifier: str) -> "list[SideBySide]":
        """Columns of the table at profiles ``lite`` and ``paper`` that were published or run before."""
        from mtlkit.reproduce import stored

        found = stored(papers.table(self.paper, identifier), self.results)
        return [comparison for comparison in found if comparison.column.profile != "smoke"]

    def found(self, identifier: str, words: str = "", *, of: str = "", against: str | None = None) -> None:
        """Displays what a stored column of the table found: words, cells beside print and gains, a figure of the gains.

        Args:
            identifier: of the table.
            words: Markdown about one column, with places for its numbers; see :func:`mtlkit.report.found.filled`.
            of: digest of the column that the words were written about (:func:`mtlkit.report.found.digest`). They appear
                beside these very numbers alone; where they are not stored, another column stands without words.
            against: id of the row that each leads; by default each gains over its own control.
        """
        from mtlkit.report import found
        from mtlkit.report.figures import dots, gain_intervals
        from mtlkit.report.intervals import gains
        from mtlkit.report.pages import anchor, named
        from mtlkit.report.selection import selections_html
        from mtlkit.report.table import markdown

        columns = self.earlier(identifier)
        tied = [one for one in columns if found.digest(one) == of]
        column = tied[0] if tied else found.headline(columns)
        if column is None:
            _markdown(f"Nothing of Table {identifier} is stored at profile `lite` or `paper` yet.")
            return
        self.say(identifier, words, of=of)
        gained = gains(column, against)
        what = "lead over one row" if against else "gain over a control"
        also = f" and the {what} with its 95 % interval" if gained else ""
        _markdown(f"{markdown(column.caption)} Under each value: the printed one{also}.")
        _html(*found.tables(column, column.printed, against))
        if gained:
            show(gain_intervals(column, against))
        elif not column.column.machine:  # times of two machines have no common axis
            show(dots(column))
        tried = selections_html(column, self.developed(identifier))
        _html(_folded(CARD, column.card_html()), _folded("Settings that were tried on the development part", tried))
        links = ", ".join(f"[{markdown(name)}](#{anchor(one)})" for name, one in named(columns))
        _markdown(f"Every measure, and the claims judged on it, among all results: {links}.")

    def say(self, identifier: str, words: str, *, of: str) -> None:
        """Displays words about one stored column of a table; nothing where these very numbers are not stored.

        Args:
            identifier: of the table.
            words: Markdown, with places for numbers; see :func:`mtlkit.report.found.filled`.
            of: digest of the column that they were written about (:func:`mtlkit.report.found.digest`).
        """
        from mtlkit.report import found

        for column in self.earlier(identifier):
            if found.digest(column) == of:
                _markdown(found.filled(column, words))

    def drawing(self, identifier: str, row: str) -> "Diagram":
        """The network of a row, as it is printed, drawn from its modules; no weights are made.

        Args:
            identifier: of the table.
            row: id of the row; the network that its first evaluation looks at is drawn.

        Raises:
            InputError: the table has no such row.
        """
        from mtlkit.backbones import aside
        from mtlkit.network import Weights
        from mtlkit.report.diagram import draw
        from mtlkit.runs import outermost

        table = papers.table(self.paper, identifier)
        column = table.meta_column()
        rows = {one.id: one for one in table.rows(column, column.seeds[0])}
        if row not in rows:
            raise unknown("row", row, rows)
        settings = outermost(rows[row].evaluations)[0].network
        with aside():
            network = settings.model_copy(update={"weights": Weights()}).build(weights=False)
        return draw(network, title=f"Table {identifier}: {rows[row].label}, {settings.backbone}")

    def developed(self, identifier: str) -> "list[SideBySide]":
        """Columns of the table on development parts, where settings were tried."""
        from mtlkit.reproduce import stored

        return stored(papers.table(self.paper, identifier), self.results, part="development")

    def predictions(self, comparison: "SideBySide", count: int = 3) -> "dict[str, list[tuple[str, list[np.ndarray]]]]":
        """For every task with a target per pixel, images of the first test samples: image, truth, every answer.

        Returns:
            task -> (heading, images) a column of a figure, each image uint8 ``(H, W, 3)``.
        """
        import torch

        from mtlkit.data.samples import collate
        from mtlkit.metrics.resize import enlarged
        from mtlkit.tasks import DenseTask

        column, trained = comparison.column, _trained(comparison)
        tasks = {
            task.name: task for _, training in trained for task in training.network.tasks if isinstance(task, DenseTask)
        }
        (test,) = column.data.splits("val", tuple(tasks))
        batch = collate([column.data.view(test[index]) for index in range(min(count, len(test)))], tasks.values())
        images = [(image.permute(1, 2, 0) * 255).byte().numpy() for image in batch.images]
        columns = {
            name: [("image", images), (f"{name}: truth", [task.draw(target) for target in batch.targets[name]])]
            for name, task in tasks.items()
        }
        for row, training in trained:
            with torch.inference_mode():
                outputs = self.network(comparison, training).predict(batch.images)
            for name, output in outputs.items():
                if name not in tasks:
                    continue
                full = enlarged(output, batch.targets[name])
                columns[name].append((row.label, [tasks[name].draw(one) for one in tasks[name].postprocess(full)]))
        return columns

    def class_predictions(self, comparison: "SideBySide", count: int = 8) -> dict[str, ClassPredictions]:
        """For every task with one class per image, some test images, evenly spaced, and every network's class."""
        import torch

        from mtlkit.data.sampling import Part, eval_loader
        from mtlkit.tasks import ClassTask

        found: dict[str, ClassPredictions] = {}
        for row, training in _trained(comparison):
            network = self.network(comparison, training)
            names = tuple(task.name for task in training.network.tasks)
            sets = training.data.splits("val", names)
            for name, test in zip(names, sets if len(sets) > 1 else sets * len(names), strict=True):
                task = network.tasks[name]
                if not isinstance(task, ClassTask):
                    continue
                indices = [round((place + 0.5) * len(test) / count - 0.5) for place in range(count)]
                (batch,) = eval_loader([Part(test, indices)], training.data.view, len(indices))
                with torch.inference_mode():
                    output = network(batch.images)[name]
                predicted, words = task.named(output), task.names(test.classes)
                if name not in found:
                    images = [(image.permute(1, 2, 0) * 255).byte().numpy() for image in batch.images]
                    found[name] = ClassPredictions(images, [words[index] for index in batch.targets[name]], {})
                found[name].predictions[row.label] = [words[index] for index in predicted]
        return found

    def trained(self, comparison: "SideBySide") -> "dict[str, Training]":
        """Id of its row -> training, of all that a figure can show.

        Where the comparison has rows of the paper, of these alone; of a row with several networks the last one. A
        training that diverged has no network and is left out.
        """
        return {row.id: training for row, training in _trained(comparison)}

    def origin(self, comparison: "SideBySide", trainings: "Iterable[Training]") -> str:
        """Where networks come from, in a sentence: profile, backbone, and how long they were trained."""
        recipes = [training.recipe for training in trainings]
        steps = ", ".join(f"{count:,}" for count in sorted({recipe.steps for recipe in recipes}))
        images = ", ".join(map(str, sorted({recipe.images_a_step for recipe in recipes})))
        column = comparison.column
        return f"Networks of profile {column.profile}: {column.networks}; steps: {steps}; images per step: {images}."

    def ledger(self, comparison: "SideBySide") -> "Ledger":
        """The records behind a comparison."""
        return self.results.ledger(comparison.column.profile)

    def features(self, comparison: "SideBySide", features: "FeatureExtraction") -> "dict[str, dict[str, torch.Tensor]]":
        """Split -> features and targets of its images, behind a comparison's retrieval."""
        from mtlkit.evaluations.features import by_split

        return by_split(self._engine(comparison).tensors(features))

    def record(self, comparison: "SideBySide", node: "Node") -> "Record | None":
        """The record behind a comparison's node, with what was counted beside the measures."""
        return self.ledger(comparison).find(node.kind, node.identity)

    def network(self, comparison: "SideBySide", training: "Training") -> "Network":
        """A trained network behind a comparison, in evaluation mode on the CPU."""
        engine = self._engine(comparison)
        engine.tensors(training)
        return training.trained(engine.context())

    def _engine(self, comparison: "SideBySide") -> "Engine":
        from mtlkit.engine import Engine

        return Engine(self.ledger(comparison), self.runtime)


def _trained(comparison: "SideBySide") -> "list[tuple[Row, Training]]":
    """The comparison's networks with their rows; where there are rows of the paper, of these alone."""
    # Controls look like the rows that they belong to, and a figure has no room for as many columns.
    from mtlkit.runs import outermost, trainings

    rows = [row for row in comparison.rows if row.printed] or comparison.rows
    found = [(row, need) for row in rows for need in outermost(row.evaluations)]
    # There is no network of a training that diverged, nor of one that was to start from it.
    return [(row, need) for row, need in found if not comparison.diverged.keys() & trainings([need]).keys()]


def show(what: "SideBySide | Figure", caption: str = "") -> None:
    """Displays print and measurement side by side, then the protocol card folded; or a figure.

    A figure's label becomes its alternative text, and it is closed.

    Args:
        what: a comparison or a figure.
        caption: Markdown below a figure.
    """
    with extra("book"):
        from IPython.display import Image, display  # isort: skip
        import matplotlib.pyplot as plt
        from matplotlib.figure import Figure

    if isinstance(what, Figure):
        drawn = io.BytesIO()
        what.savefig(drawn, format="png", bbox_inches="tight")
        plt.close(what)
        small = _in_few_colours(drawn) if drawn.tell() > LARGE else drawn
        display(Image(small.getvalue(), format="png", alt=what.get_label()))  # type: ignore[no-untyped-call]
        if caption:
            _markdown(caption)
    else:
        _html(what.html(), _folded(CARD, what.card_html()))


def _in_few_colours(image: io.BytesIO) -> io.BytesIO:
    """A PNG with a palette of 256 colours."""
    from PIL import Image

    found = io.BytesIO()
    with Image.open(image) as full:
        pixels = full.convert("RGB")
    palette = pixels.quantize(256, method=Image.Quantize.FASTOCTREE)
    # Dithered: slopes of colour, as those of heat maps, would show steps.
    pixels.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG).save(found, "png", optimize=True)
    return found


def _html(*blocks: str) -> None:
    with extra("book"):
        from IPython.display import HTML, display

    display(*map(HTML, filter(None, blocks)))  # type: ignore[no-untyped-call]


def _markdown(text: str) -> None:
    with extra("book"):
        from IPython.display import Markdown, display

    display(Markdown(text))  # type: ignore[no-untyped-call]


def _folded(title: str, *blocks: str) -> str:
    return f"<details><summary>{title}</summary>{''.join(blocks)}</details>" if any(blocks) else ""


def parameters(paper: str, scope: Mapping[str, Any]) -> tuple[Options, Selection]:
    """The parameters of a notebook among its names, checked as far as they say it themselves.

    Raises:
        InputError: one sentence about the first thing that is wrong.
    """
    kind = papers.options_of(paper)
    given = {name: value for name, value in scope.items() if _is_parameter(name, value)}
    for name in given:
        kind.known(name, tuple(Selection.model_fields))
    selection = Selection(**{name: value for name, value in given.items() if name in Selection.model_fields})
    return kind(**{name: value for name, value in given.items() if name not in Selection.model_fields}), selection


def fitting_tables(options: Options, tables: tuple[str, ...]) -> tuple[list[str], dict[str, InputError]]:
    """The tables that have a use for every option that is given; and the others, with why."""
    fitting, left_out = [], {}
    for identifier in tables:
        try:
            options.check(identifier)
        except InputError as error:
            left_out[identifier] = error
        else:
            fitting.append(identifier)
    return fitting, left_out


def _is_parameter(name: str, value: object) -> bool:
    if name.startswith("_") or name in _SHELL:
        return False
    return not (isinstance(value, (types.ModuleType, type)) or callable(value))
