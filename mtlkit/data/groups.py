"""Holding out whole groups: all images of one portion, person or scene lie on one side of a split."""

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mtlkit.errors import InputError


def held_out(
    groups: Sequence[str], share: float, strata: Sequence[str] | None = None, *, seed: int = 0
) -> NDArray[np.bool_]:
    """Which samples a group-aware split holds out, bool ``(N,)``.

    A group is on one side as a whole. Of G groups ``share * G`` are held out, rounded to a whole number from 1 up; of
    every stratum about that share, and never its last group, so that what is scored has been trained on. Chances
    come from a hash of the names alone: neither the order of samples nor their number in a group changes the split.

    Args:
        groups: the group of every sample.
        share: of the groups, between 0 and 1.
        strata: the stratum of every sample, such as its category; a group in several counts for the first by name.
            ``None``: all are one.
        seed: for another split of the same groups.

    Raises:
        InputError: ``share`` is not between 0 and 1, or every stratum has one group only.
    """
    if not 0 < share < 1:
        raise InputError(f"A share of {share:g} of the groups cannot be held out; give one between 0 and 1.")
    stratum: dict[str, str] = {}
    for group, name in zip(groups, strata if strata is not None else [""] * len(groups), strict=True):
        stratum[group] = min(name, stratum.get(group, name))
    members: dict[str, list[str]] = {}
    for group, name in stratum.items():
        members.setdefault(name, []).append(group)
    # Systematic sampling: the groups of each stratum stand evenly between 0 and 1, shifted by a chance of its own, so
    # that a cut across all strata takes the same share of each to within one group.
    places: list[tuple[float, str]] = []
    for name, own in members.items():
        own.sort(key=lambda group: (_chance(seed, "group", group), group))
        shift = _chance(seed, "stratum", name)
        places += [((rank + shift) / len(own), group) for rank, group in enumerate(own[:-1])]
    if not places:
        raise InputError(
            f"No group can be held out of {len(stratum)} groups in {len(members)} strata, as one of each stays; "
            "give more groups."
        )
    count = max(1, int(share * len(stratum) + 0.5))
    chosen = {group for _, group in sorted(places)[:count]}
    return np.array([group in chosen for group in groups], bool)


def runs(frames: Sequence[int], others: Sequence[int]) -> list[str]:
    """The runs of frames: two are in one run where no frame of the other split lies between their numbers.

    Data sets of films number frames in the order they were taken and keep a scene on one side of the split. Where
    nothing names the scenes, no scene lies in two runs; a run may hold several.

    Args:
        frames: numbers of the split's frames.
        others: numbers of the other split's.

    Returns:
        For every frame the name of its run, its first frame's number.
    """
    places = np.searchsorted(np.sort(np.asarray(others)), np.asarray(frames))
    first: dict[int, int] = {}
    for frame, place in sorted(zip(frames, places.tolist(), strict=True)):
        first.setdefault(place, frame)
    return [f"{first[place]:04d}" for place in places.tolist()]


def _chance(seed: int, *names: str) -> float:
    """A number in 0..1 for every name, the same on every machine."""
    text = "\0".join([str(seed), *names]).encode(errors="surrogatepass")
    return int.from_bytes(hashlib.sha256(text).digest()[:6]) / 2**48
