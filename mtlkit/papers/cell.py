"""A notebook's parameters cell, written from the paper's options."""

from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from mtlkit.papers.options import PROFILES, Described, Names, Option, Options, Places, kind_of
from mtlkit.papers.registry import options_of


class Selection(Places):
    """What a notebook's parameters cell may set beside the paper's options.

    Attributes:
        tables: tables to run; ``None``: those of the notebook that can read the reader's data.
        methods: rows to run.
    """

    tables: Annotated[Names | None, Option("tables to run", "a name or a list of names", running=True)] = None
    methods: Annotated[Names | None, Option("rows to run", "a name or a list of names", running=True)] = None


ORDER = ("profile", "tables", "methods", "dataset", "data_root")
LAST = ("precision", "device", "workers", "results_dir")
"""Where parameters stand in the cell; the others are in between, in the order of their classes."""


def parameters_cell(paper: str) -> str:
    """The source of the parameters cell: a line a parameter, with its type, its default and its help."""
    options = options_of(paper)
    between = [name for name in options.model_fields if name not in (*ORDER, *LAST)]
    lines = []
    for name in (*ORDER, *between, *LAST):
        owner: type[Described] = options if name in options.model_fields else Selection
        field = owner.model_fields[name]
        kind = written(field.annotation, name)
        lines.append(f"{name}: {kind} = {_quoted(field.default)}  # {_help(options, owner, name)}")
    return "\n".join(["from typing import Optional", "", *lines])


def written(annotation: Any, name: str) -> str:
    """A field's type as a cell spells it, in the types that papermill knows."""
    if get_origin(annotation) is Annotated:
        return written(get_args(annotation)[0], name)
    if get_origin(annotation) in (Union, UnionType):
        return f"Optional[{written(kind_of(annotation), name)}]"
    if get_origin(annotation) is tuple:
        return f"list[{written(get_args(annotation)[0], name)}]"
    if get_origin(annotation) is dict:
        key, value = get_args(annotation)
        return f"dict[{written(key, name)}, {written(value, name)}]"
    if get_origin(annotation) is Literal or annotation is Path:
        return "str"
    return str(annotation.__name__)


def defaults(options: type[Options], name: str, tables: tuple[str, ...]) -> str:
    """What these tables take for an option that is not given, a profile after the other; ``""`` where nothing does."""
    values: dict[str, list[str]] = {}
    for profile in PROFILES:
        chosen = options(profile=profile)
        filled = [chosen.filled(table) for table in tables if options.takes(table, name)]
        spelled = dict.fromkeys(
            options.spelled(name, value) for one in filled if (value := getattr(one, name)) is not None
        )
        if spelled:
            values.setdefault(" or ".join(spelled), []).append(profile)
    if len(values) == 1 and len(next(iter(values.values()))) == len(PROFILES):
        return next(iter(values))
    return "; ".join(f"{text} at {' and '.join(profiles)}" for text, profiles in values.items())


def _quoted(value: object) -> str:
    return f'"{value}"' if isinstance(value, str) else repr(value)


def _for(tables: tuple[str, ...], only: list[str]) -> str:
    """The start of the help of an option that some tables have no use for."""
    others = [table for table in tables if table not in only]
    if not others:
        return ""
    named, word = (others, "not ") if len(others) < len(only) else (only, "")
    return f"{word}table{'s' if len(named) > 1 else ''} {', '.join(named)}: "


def _help(options: type[Options], owner: type[Described], name: str) -> str:
    about = owner.about(name)
    if name == "tables":
        return f"{options.tables_help}; None: {' and '.join(options.first_tables)}"
    if name == "methods":
        return f"{options.rows_help}; None: all"
    if owner is not options:
        return about.help
    only = [table for table in options.tables if options.takes(table, name)]
    tables = options.first_tables if set(options.first_tables) & set(only) else tuple(only)
    default = defaults(options, name, tables) if options.model_fields[name].default is None else ""
    text = about.help.replace("=", ": ")  # papermill does not parse a line with a second equals sign
    return f"{_for(options.tables, only)}{text}{f'; None: {default}' if default else ''}"
