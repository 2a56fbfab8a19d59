"""Fixed weights of a multi-task loss, from what an earlier run's losses did."""

import math
from collections.abc import Mapping, Sequence

from mtlkit.errors import InputError, unknown
from mtlkit.objectives.fixed_weights import FixedWeights


class InverseMeans(FixedWeights):
    """The weighted sum whose weights are the inverse means of an earlier run's losses; see :func:`inverse_means`.

    Args:
        tasks: names of the tasks.
        losses: term -> its values over the earlier run.
        one: the term whose weight is to be exactly 1; ``None``: the inverse means themselves.
        last: how many values count, from the end; ``None``: all.

    >>> InverseMeans(["kcal"], {"kcal/relative": [0.5, 0.3], "kcal/absolute": [90, 70]}, one="kcal/relative")
    InverseMeans(tasks=['kcal'], loss_weights={'kcal/relative': 1.0, 'kcal/absolute': 0.005})
    """

    def __init__(
        self,
        tasks: Sequence[str],
        losses: Mapping[str, Sequence[float]],
        *,
        one: str | None = None,
        last: int | None = None,
    ):
        super().__init__(tasks, loss_weights=inverse_means(losses, one, last))


def inverse_means(
    losses: Mapping[str, Sequence[float]], one: str | None = None, last: int | None = None
) -> dict[str, float]:
    """Loss weights from the losses of a first run: the inverse of each term's mean.

    Sect. 2.1 of Ege and Yanai's comparison of regression and retrieval (``papers/calorie/printed.yaml``). The aim,
    weighted terms of similar size, is legible in its damaged source; the formula is inferred. A common factor of all
    weights acts like a learning rate.

    Args:
        losses: ``task/term`` -> its values over the run, as :class:`mtlkit.history.History` holds them.
        one: the term whose weight is to be exactly 1; ``None``: the weights are the inverse means themselves.
        last: how many values count, from the end: the other reading of the paper, the size at the end of the run;
            ``None``: all.

    Raises:
        InputError: there is no term ``one``, or no values, or the mean of a term has no positive inverse.
    """
    if one is not None and one not in losses:
        raise unknown("loss term", one, losses)
    if last is not None and last < 1:
        raise InputError(f"Loss weights from the last {last} values of a run mean nothing; give 1 or more.")
    means = {}
    for name, values in losses.items():
        used = values if last is None else values[-last:]
        mean = math.fsum(used) / len(used) if used else math.nan
        if not 0 < mean < math.inf:
            raise InputError(f"The loss {name} of the first run has the mean {mean:g}; its inverse is no loss weight.")
        means[name] = mean
    scale = 1.0 if one is None else means[one]
    return {name: scale / mean for name, mean in means.items()}
