"""Predicted probabilities that mean what they say: a factor and a shift of the log-odds, fitted on withheld rows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

#: Steps of Newton's method at most, and the size of one at which it has arrived.
_STEPS, _SMALL = 50, 1e-8

#: Added to the curvature, so that rows of one kind alone do not send the factor to infinity.
_RIDGE = 1e-3


def fit_platt(
    log_odds: NDArray[np.floating],
    labels: NDArray[np.floating],
    weights: NDArray[np.floating] | None = None,
    groups: NDArray[np.integer] | None = None,
) -> tuple[float, float]:
    """Factor a and shift b with the least log-loss of ``sigmoid(a x + b)``.

    Labels are smoothed towards the prior as in the source, and a and b held near 1 and 0 by a very small ridge.

    Rows of one user are not independent: thousands of rows of a few dozen users say little about the level of all
    others. So where it is known whose rows they are, what the fit changes of the model is trusted as far as it stands
    out from its standard error between users (see `_trusted`).

    Reference: Platt, Probabilistic outputs for support vector machines, Advances in Large Margin Classifiers, 1999;
    Niculescu-Mizil and Caruana, Predicting good probabilities with supervised learning, ICML 2005.

    Args:
      log_odds: ``[num_rows]`` of a model, on rows it was not fitted on.
      labels: ``[num_rows]`` 0 and 1.
      weights: ``[num_rows]``; None: all the same.
      groups: ``[num_rows]`` not negative, whose row each is; None: the least loss alone decides.
    """
    x, y = np.asarray(log_odds, np.float64), np.asarray(labels, np.float64)
    w = np.ones_like(x) if weights is None else np.asarray(weights, np.float64)
    positives, negatives = float((w * y).sum()), float((w * (1 - y)).sum())
    target = np.where(y > 0, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    features = np.stack([x, np.ones_like(x)], axis=1)
    start = np.array([1.0, 0.0])
    fitted, loss = start, _loss(features @ start, target, w)
    for _ in range(_STEPS):
        p = 1 / (1 + np.exp(-features @ fitted))
        gradient = features.T @ (w * (p - target)) + _RIDGE * (fitted - start)
        curvature = (features * (w * p * (1 - p))[:, None]).T @ features + _RIDGE * np.eye(2)
        step = np.linalg.solve(curvature, gradient)
        # A whole step can overshoot where probabilities are close to 0 and 1.
        for _halving in range(30):
            tried = _loss(features @ (fitted - step), target, w)
            if tried <= loss:
                break
            step = step / 2
        fitted, loss = fitted - step, tried
        if np.abs(step).max() < _SMALL:
            break
    factor, shift = fitted
    if groups is not None:
        factor, shift = _trusted(factor, shift, x, target, w, groups)
    return float(factor), float(shift)


def _trusted(
    factor: float,
    shift: float,
    x: NDArray[np.float64],
    target: NDArray[np.float64],
    w: NDArray[np.float64],
    groups: NDArray[np.integer],
) -> tuple[float, float]:
    """Factor and shift moved towards 1 and 0 by as much as could be chance.

    With m the mean log-odds the fit says ``m + a (x - m) + c``. Each of a - 1 and c is multiplied with
    ``max(0, 1 - se^2 / estimate^2)``, which is the positive part estimator of James and Stein (Estimation with
    quadratic loss, 1961) for one number. Standard errors are those of a sandwich over groups (Liang and Zeger,
    Longitudinal data analysis using generalized linear models, Biometrika 1986).
    """
    p = 1 / (1 + np.exp(-(factor * x + shift)))
    spread = w * p * (1 - p)
    middle = float((spread * x).sum() / spread.sum())
    features = np.stack([x - middle, np.ones_like(x)], axis=1)
    inverse = np.linalg.inv((features * spread[:, None]).T @ features + _RIDGE * np.eye(2))
    _, group = np.unique(groups, return_inverse=True)
    scores = np.stack([np.bincount(group, w * (p - target) * column) for column in features.T], axis=1)
    variances = np.diag(inverse @ (scores.T @ scores) @ inverse)
    estimates = np.array([factor - 1, factor * middle + shift - middle])
    kept = np.maximum(0, 1 - variances / np.maximum(estimates**2, 1e-300))
    factor, centre = 1 + kept[0] * estimates[0], kept[1] * estimates[1]
    return factor, middle + centre - factor * middle


def _loss(log_odds: NDArray[np.float64], target: NDArray[np.float64], weights: NDArray[np.float64]) -> float:
    return float((weights * (np.logaddexp(0, log_odds) - target * log_odds)).sum())
