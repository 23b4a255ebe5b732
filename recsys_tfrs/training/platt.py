"""Predicted probabilities that mean what they say: a factor and a shift of the log-odds, fitted on withheld rows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

#: Steps of Newton's method at most, and the size of one at which it has arrived.
_STEPS, _SMALL = 50, 1e-8

#: Added to the curvature, so that rows of one kind alone do not send the factor to infinity.
_RIDGE = 1e-3


def fit_platt(
    log_odds: NDArray[np.floating], labels: NDArray[np.floating], weights: NDArray[np.floating] | None = None
) -> tuple[float, float]:
    """Factor a and shift b with the least log-loss of ``sigmoid(a x + b)``.

    Labels are smoothed towards the prior as in the source, and a and b held near 1 and 0 by a very small ridge.

    Reference: Platt, Probabilistic outputs for support vector machines, Advances in Large Margin Classifiers, 1999;
    Niculescu-Mizil and Caruana, Predicting good probabilities with supervised learning, ICML 2005.

    Args:
      log_odds: ``[num_rows]`` of a model, on rows it was not fitted on.
      labels: ``[num_rows]`` 0 and 1.
      weights: ``[num_rows]``; None: all the same.
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
    return float(fitted[0]), float(fitted[1])


def _loss(log_odds: NDArray[np.float64], target: NDArray[np.float64], weights: NDArray[np.float64]) -> float:
    return float((weights * (np.logaddexp(0, log_odds) - target * log_odds)).sum())
