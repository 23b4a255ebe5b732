"""Probabilities of classes that mean what they say: log-odds divided by one number, fitted on withheld rows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

#: Natural logarithms of the temperatures looked among.
_RANGE = (-3.0, 3.0)


def fit_temperature(log_odds: NDArray[np.floating], labels: NDArray[np.integer]) -> float:
    """The T of least log-loss of ``softmax(log_odds / T)``.

    Of n rows, 1 / (n + 2) of each label is spread over the other classes, as Platt does with two (see
    `recsys_tfrs.training.platt`): where all rows happen to be right, certainty is as great as n rows allow.

    Reference: Guo, Pleiss, Sun and Weinberger, On calibration of modern neural networks, ICML 2017, section 4.2.

    Args:
      log_odds: ``[num_rows, num_classes]`` of a model, two classes or more, on rows it was not fitted on.
      labels: ``[num_rows]`` true classes.

    Returns:
      T between e^-3 and e^3; 1 where there are no rows.
    """
    if not len(labels):
        return 1.0
    odds, doubt = np.asarray(log_odds, np.float64), 1 / (len(labels) + 2)
    target = np.full(odds.shape, doubt / (odds.shape[1] - 1))
    target[np.arange(len(labels)), labels] = 1 - doubt

    def loss(logarithm: float) -> float:
        return float(-(target * log_softmax(odds / np.exp(logarithm), axis=1)).sum(axis=1).mean())

    return float(np.exp(minimize_scalar(loss, bounds=_RANGE, method="bounded").x))
