"""Nearest neighbours in a space of features, what they say of an image, and how often they are of its category.

Section 2.2 of Ege and Yanai's comparison of regression and retrieval (``papers/calorie/printed.yaml``), here "the
paper".
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Literal, get_args

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from mtlkit.errors import InputError, unknown
from mtlkit.metrics.base import ImageMetric, Measures, Weights, mean_of_known

Normaliser = Literal["hits", "k", "relevant"]
Average = Literal["categories", "queries"]

_SPARE = 16
_QUERIES = 1024
_COLUMNS = 4096
_GROUP = 16


@torch.no_grad()
def nearest(queries: Tensor, database: Tensor, k: int, *, memory: int = 2**30) -> tuple[Tensor, Tensor]:
    """The ``k`` nearest vectors of a database by Euclidean distance, the nearest first; of equal ones the lower index.

    Exact: matrix products rank the database up to their rounding error, for which a bound holds in any order of
    summation, and whatever could be among the nearest within that bound is measured again by differences, in double
    precision. So the same vector twice is at distance 0, which ``|a|^2 - 2ab + |b|^2`` alone does not give.

    Args:
        queries: ``(Q, D)``, on any device.
        database: ``(N, D)``; the search runs on its device.
        k: 1 to N.
        memory: bytes to use beside the arguments and the result, about.

    Returns:
        Distances ``(Q, k)``, float64 if either argument is and else float32, and indices ``(Q, k)``, int64.

    Raises:
        InputError: ``k`` is larger than the database or below 1, the vectors are not of one length, or one is not
            finite.
    """
    for name, given in (("Queries", queries), ("The database", database)):
        if given.ndim != 2:
            raise InputError(f"{name} should hold one vector a row, (N, D); the shape is {tuple(given.shape)}.")
    if queries.shape[1] != database.shape[1]:
        raise InputError(f"Queries of length {queries.shape[1]} cannot be near vectors of length {database.shape[1]}.")
    if not 1 <= k <= len(database):
        raise InputError(f"{k} nearest neighbours cannot be found among {len(database)}; ask for 1 to {len(database)}.")
    with torch.autocast(database.device.type, enabled=False), _full_precision():
        search = _Search(queries, database, k, memory)
        parts = [search(part, 2 * k + _SPARE) for part in torch.split(queries, search.rows)]
    distances, indices = (torch.cat(some) for some in zip(*parts, strict=True))
    return distances, indices


def estimate(values: Tensor, indices: Tensor, k: int | None = None) -> Tensor:
    """The plain mean of what the ``k`` nearest have (step 3 of the paper): values ``(N,)`` to estimates ``(Q,)``.

    Args:
        values: of the database, kcal say.
        indices: of :func:`nearest`, ``(Q, K)``.
        k: how many count; ``None``: all K.

    Raises:
        InputError: ``k`` is not between 1 and K.
    """
    k = indices.shape[1] if k is None else k
    _check(k, indices)
    return values[indices[:, :k]].mean(1)


def average_precision(hits: Tensor, normaliser: Normaliser = "hits", relevant: Tensor | None = None) -> Tensor:
    """Average precision of the first k neighbours of every query: hits ``(Q, k)``, the nearest first, to ``(Q,)``.

    ``AP@k = sum_j P(j) h_j / Z``, with h_j whether rank j is of the query's category and P(j) the share of such ones
    up to it. The paper does not print Z. With the number of hits, the default, its mean can rise with k, as in Table 2
    of the paper; with k it falls unless farther neighbours are hits more often than the nearest.

    Args:
        hits: bool.
        normaliser: Z: ``hits``, the number of hits; ``k``; or ``relevant``, the most hits that there can be, k or the
            number of the category in the database. Without any AP is 0.
        relevant: for that: the number, ``(Q,)``.

    Raises:
        InputError: there is no such normaliser.
    """
    if normaliser not in get_args(Normaliser):
        raise unknown("normaliser of AP@k", normaliser, get_args(Normaliser))
    hits = hits.cpu().double()  # not every accelerator has double precision
    count, k = hits.cumsum(1), hits.shape[1]
    total = (count / torch.arange(1, k + 1) * hits).sum(1)
    if normaliser == "k":
        return total / k
    most = count[:, -1] if normaliser == "hits" or relevant is None else relevant.cpu().double().clamp(max=k)
    return total / most.clamp(min=1)


class NeighbourHits(ImageMetric):
    """How often neighbours are of the query's category, in per cent: Table 2 of the paper, under its names.

    ``map1``, ``map5``, ``map10`` by ``at``, and ``top1``, the share of the queries whose nearest is of their category;
    NaN without a query.

    Args:
        at: the k of every AP@k.
        normaliser: see :func:`average_precision`; the default is inferred from the printed numbers.
        average: the mean over each category's queries and then over the ``categories`` among them, the likelier
            reading of the paper, or over all ``queries`` at once.

    Raises:
        InputError: there is no such normaliser or average.
    """

    def __init__(
        self, at: Sequence[int] = (1, 5, 10), *, normaliser: Normaliser = "hits", average: Average = "categories"
    ) -> None:
        super().__init__()
        if average not in get_args(Average):
            raise unknown("average", average, get_args(Average))
        self.at, self.normaliser, self.average = tuple(at), normaliser, average
        self.keeps("category", (), torch.int64)
        self.keeps("precision", (len(self.at) + 1,), torch.float64)

    def update(self, queries: Tensor, database: Tensor, indices: Tensor, image: Tensor | None = None) -> None:
        """Takes the neighbours of some queries.

        Args:
            queries: category ids of the queries, ``(Q,)``.
            database: of the database, ``(N,)``.
            indices: of :func:`nearest`, ``(Q, K)``, K at least the largest of ``at``.
            image: numbers of the queries.

        Raises:
            InputError: a k is not between 1 and K.
        """
        for k in self.at:
            _check(k, indices)
        truth, database = queries.cpu(), database.cpu()
        hits = database[indices.cpu()] == truth[:, None]
        relevant = database.bincount(minlength=int(truth.max()) + 1)[truth] if len(truth) else truth
        columns = [average_precision(hits[:, :k], self.normaliser, relevant) for k in self.at]
        self.add(image, category=truth, precision=torch.stack([*columns, hits[:, 0].double()], 1))

    def measures(self, weights: Weights) -> Measures:
        """The measures by name."""
        weights, precision = weights[:, self.gathered("image")], self.gathered("precision")
        category = self.gathered("category") if self.average == "categories" else np.zeros(len(precision), np.int64)
        members = category[:, None] == np.unique(category)
        names = [*(f"map{k}" for k in self.at), "top1"]
        found: Measures = {}
        with np.errstate(invalid="ignore"):
            for place, name in enumerate(names):
                # Which nearest are right is not averaged by category.
                groups = members if name != "top1" else np.ones((len(precision), 1))
                own = ((weights * precision[:, place]) @ groups) / (weights @ groups)
                found[name] = 100 * mean_of_known(own)
        return found


class _Search:
    """The search in one database for ever more candidates, in blocks."""

    def __init__(self, queries: Tensor, database: Tensor, k: int, memory: int):
        self.database, self.k, self.memory = database, k, memory
        self.dtype = torch.float64 if torch.float64 in (queries.dtype, database.dtype) else torch.float32
        self.exact = torch.float32 if database.device.type == "mps" else torch.float64  # MPS has no double
        # A quarter each: scores of a block and their sorting, converted vectors, differences.
        length, size = max(database.shape[1], 1), self.dtype.itemsize
        self.rows = max(1, min(_QUERIES, memory // 16 // (length * size)))
        self.columns = max(1, min(_COLUMNS, memory // 8 // (self.rows * size), memory // 4 // (length * size)))
        # On a CPU differences should not leave its caches: that is twice as fast.
        numbers = 2**18 if database.device.type == "cpu" else memory // 4 // 24
        self.pairs = max(1, min(numbers, memory // 4 // 24) // length)
        self.squares = self._squares(database, "database")
        n = (length + 8) * torch.finfo(self.dtype).eps / 2
        self.error = n / (1 - n)  # of a dot product of this length, whatever the order; Higham, Sect. 3.1

    def _squares(self, vectors: Tensor, name: str) -> Tensor:
        # Not a sum of squares, which would write the squares down first.
        blocks = [torch.linalg.vector_norm(part.to(self.dtype), dim=1) for part in torch.split(vectors, self.columns)]
        squares = torch.cat(blocks).square()
        good = squares < torch.finfo(self.dtype).max / 8  # no sum of theirs overflows; NaN is not below
        if not good.all():
            row = int((~good).nonzero()[0, 0])
            raise InputError(f"Row {row} of the {name} is not finite, or too long for {self.dtype}.")
        return squares

    def __call__(self, queries: Tensor, candidates: int) -> tuple[Tensor, Tensor]:
        """The nearest of queries ``(q, D)``, found among at least so many candidates."""
        queries = queries.to(self.database.device, self.dtype)
        lengths = self._squares(queries, "queries").sqrt()
        score, index = self._scored(queries, min(candidates, len(self.database)))
        # k vectors score at most the k-th score: so does each of the nearest, but for the error of both scores.
        bound = 2 * self.error * (lengths + self.squares.max().sqrt()).square()
        near = score <= score[:, self.k - 1 : self.k] + bound[:, None]
        distance, index = self._measured(queries, index, near)
        if candidates < len(self.database):
            # Where all candidates could be among the nearest, so could others.
            unsure = near[:, -1].nonzero()[:, 0]
            for rows in torch.split(unsure, max(1, self.memory // 256 // candidates)) if len(unsure) else ():
                distance[rows], index[rows] = self(queries[rows], 8 * candidates)
        return distance, index

    def _scored(self, queries: Tensor, count: int) -> tuple[Tensor, Tensor]:
        """The ``count`` lowest of ``|b|^2 - 2ab``, the squared distance less ``|a|^2``, lowest first; their indices."""
        scores, indices = [], []
        # One buffer, of a size that fits caches: fresh memory costs a CPU as much as the product written to it.
        buffer = queries.new_empty(len(queries), min(self.columns, len(self.database)))
        for start in range(0, len(self.database), self.columns):
            part = self.database[start : start + self.columns].to(self.dtype)
            block = buffer[:, : len(part)]
            torch.addmm(self.squares[start : start + len(part)], queries, part.T, alpha=-2, out=block)
            score, index = _lowest(block, min(count, len(part)))
            scores.append(score)
            indices.append(index + start)
        score, order = torch.cat(scores, 1).topk(count, largest=False)
        return score, torch.cat(indices, 1).gather(1, order)

    def _measured(self, queries: Tensor, index: Tensor, near: Tensor) -> tuple[Tensor, Tensor]:
        """The k nearest of the candidates ``index`` ``(q, c)`` that are ``near``."""
        index, order = index.sort(dim=1)
        row, column = near.gather(1, order).nonzero(as_tuple=True)
        distances = torch.full(index.shape, torch.inf, dtype=self.exact, device=index.device)
        for r, c in zip(torch.split(row, self.pairs), torch.split(column, self.pairs), strict=True):
            difference = queries[r].to(self.exact).sub_(self.database[index[r, c]])
            distances[r, c] = torch.linalg.vector_norm(difference, dim=1)
        distances, order = distances.sort(dim=1, stable=True)
        return distances[:, : self.k].to(self.dtype), index.gather(1, order[:, : self.k])


def _lowest(scores: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The ``count`` lowest of every row and their columns, in any order."""
    if scores.shape[1] < 4 * _GROUP * count:
        return scores.topk(count, largest=False, sorted=False)
    # They lie in the groups with the lowest minima; minima are found much faster than ranks.
    if rest := -scores.shape[1] % _GROUP:
        scores = F.pad(scores, (0, rest), value=torch.inf)
    groups = scores.view(len(scores), _GROUP, scores.shape[1] // _GROUP)
    group = groups.amin(1).topk(count, largest=False, sorted=False).indices
    members = groups.gather(2, group[:, None].expand(-1, _GROUP, -1)).flatten(1)
    score, place = members.topk(count, largest=False, sorted=False)
    return score, place // count * groups.shape[2] + group.gather(1, place % count)


def _check(k: int, indices: Tensor) -> None:
    if not 1 <= k <= indices.shape[1]:
        raise InputError(f"{k} neighbours are not among the {indices.shape[1]} found; use 1 to {indices.shape[1]}.")


@contextmanager
def _full_precision() -> Iterator[None]:
    """Products of float32 in float32: with fewer bits the bound on their error would not hold."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
