"""Faulty entries of lists and tables, of which the first refuses the file or all are left out and counted."""

from typing import Literal, get_args

from mtlkit.errors import InputError, unknown

Faulty = Literal["refuse", "skip"]
"""Whether a faulty entry is a reason to refuse its file, or is left out."""


def checked_faulty(given: str, what: str) -> bool:
    """Whether faulty entries are left out.

    Args:
        given: one of :data:`Faulty`.
        what: the entries, for the message.

    Raises:
        InputError: it is another word.
    """
    if given not in get_args(Faulty):
        raise unknown(f"way with faulty {what}", given, get_args(Faulty))
    return given == "skip"


class Fault(Exception):
    """What is wrong with an entry.

    Args:
        reason: the kind, by which faults are counted.
        says: the rest of a sentence that begins with the file and the entry.
    """

    def __init__(self, reason: str, says: str):
        super().__init__(says)
        self.reason = reason


class Faults:
    """The faulty entries of a file.

    Args:
        faulty: see :data:`Faulty`.
        what: the entries, for the message about another word.

    Attributes:
        skipped: reason -> entries that were left out for it.
        sentences: reason -> a sentence about each of them.

    Raises:
        InputError: ``faulty`` is another word.

    >>> faults = Faults("skip", "rows")
    >>> faults.add("list.txt, line 3,", Fault("missing image", "names 'a.jpg', which is not there."))
    >>> faults.skipped, faults.sentences
    ({'missing image': 1}, {'missing image': ["list.txt, line 3, names 'a.jpg', which is not there."]})
    """

    def __init__(self, faulty: str, what: str):
        self._skips = checked_faulty(faulty, what)
        self.skipped: dict[str, int] = {}
        self.sentences: dict[str, list[str]] = {}

    def __len__(self) -> int:
        return sum(self.skipped.values())

    def add(self, where: str, fault: Fault) -> None:
        """Leaves an entry out.

        Raises:
            InputError: faulty entries are refused.
        """
        sentence = f"{where} {fault}"
        if not self._skips:
            raise InputError(sentence) from None
        self.skipped[fault.reason] = self.skipped.get(fault.reason, 0) + 1
        self.sentences.setdefault(fault.reason, []).append(sentence)

    def only(self, what: str) -> str:
        """What a file without a good entry holds: ``only bad rows (...)``, or ``no row``."""
        return f"only bad {what}s ({self.skipped})" if self.skipped else f"no {what}"
