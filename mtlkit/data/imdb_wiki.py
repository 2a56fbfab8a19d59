"""IMDB-WIKI: faces of film people and of others with an article, with age and gender (Rothe, Timofte, Van Gool 2015).

::

    imdb_crop/imdb.mat, imdb_crop/00/*.jpg ... 99/*.jpg    460,723 released crops of 20,284 people
    wiki_crop/wiki.mat, wiki_crop/00/*.jpg ... 99/*.jpg    62,328 released crops

``imdb.mat`` and ``wiki.mat`` hold one struct of lists, read as follows.

- ``dob`` is a Matlab day number (366 more than Python's ordinal) and ``photo_taken`` a year. The photo counts as taken
  in the middle of that year: who was born in July or later has not had their birthday yet.
- ``gender`` is 0 female, 1 male, NaN unknown; in memory it is as in :data:`~mtlkit.data.faces.GENDERS`.
- ``face_score`` is that of the detected face, minus infinity where none was; ``second_face_score`` is NaN where there
  was no other.
- People are told apart by ``celeb_id`` in imdb, by ``name`` in wiki, and where that is empty by the page's number, with
  which the file name begins. Nobody is on both sides of the split.

An image is left out for the first reason of: no face; face score too low; second face; no gender; no date; age
outside 0 to 99. Labels are those of the photo's caption and page, and some are wrong. A photo that is filed under two
people counts once for each.
"""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mtlkit.data.faces import AGES, GENDERS, OUTSIDE, TASKS, Faces
from mtlkit.data.faults import Faulty
from mtlkit.data.groups import held_out
from mtlkit.data.matlab import read_mat
from mtlkit.data.paths import relative
from mtlkit.data.samples import Split
from mtlkit.errors import InputError

VAL_SHARE = 2000 / 12325
"""Share of the people that is held out, the NDDR-CNN paper's 2,000 of its 12,325."""

_PARTS = ("imdb", "wiki")
_NUMBERS = ("dob", "photo_taken", "gender", "face_score", "second_face_score")


class Counts(NamedTuple):
    """How many images, and of how many people."""

    images: int
    people: int


class IMDBWiki(Faces):
    """One split of IMDB or of WIKI (see the module); samples, attributes and canon as of
    :class:`~mtlkit.data.faces.Faces`.

    All metadata are read here, which takes about half a minute for IMDB, and every file of the split must be there and
    not be empty; an image is opened when its sample is read, and refused if it is damaged.

    Args:
        root: ``imdb_crop`` or ``wiki_crop`` as released, or a folder that holds one of them.
        split: train or val.
        tasks: the targets to read, of ``age`` and ``gender``.
        faulty: refuse the split for missing and empty files, or skip them.
        least_score: faces with a lower score are left out; ``None``: any detected face is good, which is how
            the NDDR-CNN paper comes to 187,103 images of IMDB.
        share: of the people, held out for val; the same ones whatever order they stand in.

    Attributes:
        counts: ``listed``, all there is; ``kept``, what is not left out; ``train`` and ``val``, less missing files in
            the split that this is; images and people.

    Raises:
        InputError: there is not exactly one ``.mat``, it is damaged or lacks a field, or nothing is left. Unless they
            are skipped: files are missing or empty. Reading a sample: its image is damaged.
    """

    description = "imdb_crop/imdb.mat and its images, or wiki_crop: faces as in IMDB-WIKI"

    def __init__(
        self,
        root: Path,
        split: Split,
        tasks: Sequence[str] = TASKS,
        faulty: Faulty = "refuse",
        *,
        least_score: float | None = None,
        share: float = VAL_SHARE,
    ) -> None:
        super().__init__(root, split, tasks, faulty)
        path = self._mat()
        table = _table(path, path.stat().st_mtime_ns)
        people, listed = _people(table), len(table["full_path"])
        ages = _ages(table["dob"], table["photo_taken"])
        kept = self._kept(table, ages, least_score)
        self.counts = {"listed": _counted(people), "kept": _counted(people[kept])}
        if not len(kept):
            raise InputError(f"{path} lists {listed} images, none of which can be used ({self.skipped}).")
        try:
            held = held_out(people[kept].tolist(), share)
        except InputError as error:
            raise InputError(f"{path}: {error}") from error
        for name, side in (("train", kept[~held]), ("val", kept[held])):
            if name == split:
                side = self._present(path.parent, table["full_path"], side)
                names = table["full_path"][side].tolist()
                # In the file 0 is female and 1 male.
                genders = np.where(table["gender"][side] == 0, GENDERS.index("female"), GENDERS.index("male"))
                years = ages[side].astype(np.int64)
                self._hold(path.parent, names, years, genders.astype(np.int64), people[side].tolist())
            self.counts[name] = _counted(people[side])

    def _mat(self) -> Path:
        """Where the metadata lie."""
        places = [self._root / folder / f"{part}.mat" for part in _PARTS for folder in ("", f"{part}_crop")]
        found = [place for place in places if place.is_file()]
        if len(found) != 1:
            there = f"both {found[0]} and {found[1]}" if found else "neither imdb_crop/imdb.mat nor wiki_crop/wiki.mat"
            raise InputError(f"{self._root} holds {there}; give the folder imdb_crop or wiki_crop.")
        return found[0]

    def _kept(
        self, table: dict[str, NDArray[Any]], ages: NDArray[np.float64], least: float | None
    ) -> NDArray[np.int64]:
        """The images that no reason speaks against; the others are counted by reason."""
        score, gender = table["face_score"], table["gender"]
        reasons = {
            "no face": ~(score > -np.inf),
            f"face score below {least or 0:g}": score < (-np.inf if least is None else least),
            "second face": ~np.isnan(table["second_face_score"]),
            "no gender": ~np.isin(gender, (0, 1)),
            "no date": np.isnan(ages),
            OUTSIDE: ~((ages >= 0) & (ages < AGES)),
        }
        good = np.ones(len(ages), bool)
        for reason, against in reasons.items():
            if count := int((good & against).sum()):
                self.skipped[reason] = count
            if reason == OUTSIDE:
                self.outside = tuple(table["full_path"][good & against].tolist())
            good &= ~against
        return np.flatnonzero(good)

    def _present(self, folder: Path, names: NDArray[Any], side: NDArray[np.int64]) -> NDArray[np.int64]:
        """Those of ``side`` whose files are there."""
        faults: dict[str, list[str]] = {}
        kept = []
        for row in side.tolist():
            try:
                relative(names[row], f"{self._mat()}, row {row + 1},")
                reason = "" if (folder / names[row]).stat().st_size else "empty file"
            except OSError:
                reason = "missing image"
            if reason:
                faults.setdefault(reason, []).append(names[row])
            else:
                kept.append(row)
        self._leave_out(folder, faults, len(side))
        return np.array(kept, np.int64)


@lru_cache(maxsize=1)  # both splits are read in turn, and the file of IMDB takes its time
def _table(path: Path, changed: int) -> dict[str, NDArray[Any]]:
    """The fields of the struct, ``(N,)`` each: float64, names and paths as ``str``; of a file ``changed`` then.

    Raises:
        InputError: the file is damaged or not of this data set.
    """
    part = path.stem
    person = "celeb_id" if part == "imdb" else "name"
    wanted = (*_NUMBERS, "full_path", person)
    found = read_mat(path, *(f"{part}.{name}" for name in wanted))
    table = {name: found[f"{part}.{name}"] for name in wanted}
    if len({len(values) for values in table.values()}) > 1:
        raise InputError(f"The fields of {part!r} in {path} are of unequal lengths; take the released file.")
    for name, values in table.items():
        if (name in ("full_path", "name")) != (values.dtype.kind == "U"):
            raise InputError(f"The field {name!r} of {part!r} in {path} holds {values.dtype}; take the released file.")
        table[name] = values.astype(object if values.dtype.kind == "U" else np.float64)
    return table


def _people(table: dict[str, NDArray[Any]]) -> NDArray[Any]:
    """Who is in every image, ``str`` ``(N,)``."""
    if "celeb_id" in table:
        return np.array([f"{number:g}" for number in table["celeb_id"].tolist()], object)
    names = zip(table["name"].tolist(), table["full_path"].tolist(), strict=True)
    return np.array([name or path.rpartition("/")[2].partition("_")[0] for name, path in names], object)


def _ages(born: NDArray[np.float64], taken: NDArray[np.float64]) -> NDArray[np.float64]:
    """Whole years between a Matlab day number and the middle of a year, ``(N,)``; NaN where either is unknown."""
    known = np.isfinite(born) & np.isfinite(taken) & (born > 0) & (taken > 0)
    # Matlab counts from the year 0, that is 366 days before Python, and 719,163 is Python's number of 1970-01-01.
    days = np.where(known, born, 0).astype(np.int64) - 366 - 719163
    month = days.astype("datetime64[D]").astype("datetime64[M]").astype(np.int64)
    years = taken - (1970 + month // 12) - (month % 12 >= 6)
    return np.where(known, years, np.nan)


def _counted(people: NDArray[Any]) -> Counts:
    return Counts(len(people), len(set(people.tolist())))
