"""The settings of columns: which there are, and which tell the columns of a table apart."""

from collections.abc import Iterable, Mapping, Sequence

from mtlkit.data import Data, Mixture
from mtlkit.errors import InputError
from mtlkit.papers.declaration import Column

Settings = Mapping[str, str]
"""Name of an option -> its value."""

COLUMN = "column"
"""The identity of a column, which tells apart columns that agree in every option."""


def data_sets(column: Column) -> dict[str, Data]:
    """Role -> data set, of those that were at hand."""
    found: dict[str, Data] = {}
    for role, value in column:
        found |= value.sets if isinstance(value, Mixture) else {role: value} if isinstance(value, Data) else {}
    return {role: data for role, data in found.items() if data.fingerprint}


def settings_of(column: Column) -> dict[str, str]:
    """The options that give a column, the names of its data sets, and its identity."""
    found = {
        name.replace("_", "-"): text
        for name, text in column.options().spelled_out(column.table).items()
        if name != "data_root"  # a placeholder: where data lies is no setting
    }
    names = dict.fromkeys(data.name for data in data_sets(column).values())
    return found | ({"data": ",".join(names)} if names else {}) | {COLUMN: column.identity}


def joined(several: Iterable[Settings]) -> dict[str, str]:
    """The settings of columns that belong together; where they differ, all values."""
    found: dict[str, list[str]] = {}
    for settings in several:
        for name, value in settings.items():
            found.setdefault(name, []).append(value)
    return {name: ", ".join(dict.fromkeys(values)) for name, values in found.items()}


def telling(several: Sequence[Settings]) -> list[dict[str, str]]:
    """Of each settings those that not all have; its column's identity only where another has the same options."""

    def differs(name: str, value: str) -> bool:
        return any(other.get(name) != value for other in several)

    options = [{name: value for name, value in one.items() if name != COLUMN} for one in several]
    return [
        {name: value for name, value in one.items() if name != COLUMN and differs(name, value)}
        | ({COLUMN: one[COLUMN]} if COLUMN in one and options.count(own) > 1 and differs(COLUMN, one[COLUMN]) else {})
        for one, own in zip(several, options, strict=True)
    ]


def described(settings: Settings) -> str:
    """On one line: ``lr 0.003; epochs 6``."""
    return "; ".join(f"{name} {value}" for name, value in settings.items())


def matching(several: Sequence[Settings], wanted: Sequence[str]) -> list[int]:
    """Which settings agree with every ``NAME=VALUE``.

    Raises:
        InputError: when there are none, with the names and values that tell them apart.
    """
    pairs = [(name.strip().replace("_", "-"), value.strip()) for name, _, value in (w.partition("=") for w in wanted)]
    found = [at for at, one in enumerate(several) if all(one.get(name) == value for name, value in pairs)]
    if not found:
        valid: dict[str, list[str]] = {}
        for one in telling(several) if len(several) > 1 else several:
            for name, value in one.items():
                valid.setdefault(name, []).append(value)
        each = "; ".join(f"{name}={' or '.join(dict.fromkeys(values))}" for name, values in valid.items())
        raise InputError(f"No stored column has {' and '.join(wanted)}; valid are {each}.")
    return found
