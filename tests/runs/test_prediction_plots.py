from __future__ import annotations

import numpy as np
import pytest
from matplotlib.image import imread

from recsys_tfrs.evaluation.prediction_slices import slice_predictions
from recsys_tfrs.evaluation.predictions import evaluate_predictions
from recsys_tfrs.runs import prediction_plots
from recsys_tfrs.runs.prediction_plots import plot_groups, plot_reliability


@pytest.fixture
def drawn(monkeypatch):
    """Every figure saved, to be looked at."""
    figures = []

    class Kept(prediction_plots.Figure):
        def savefig(self, *args, **options):
            figures.append(self)
            super().savefig(*args, **options)

    monkeypatch.setattr(prediction_plots, "Figure", Kept)
    return figures


def simulated():
    rng = np.random.default_rng(0)
    predicted = rng.random(2000)
    return predicted, (rng.random(2000) < predicted).astype(int), np.arange(2000) % 2


def test_reliability_draws_what_the_table_says(tmp_path, drawn):
    predicted, labels, _ = simulated()
    table = evaluate_predictions("binary", predicted, labels).calibration
    plot_reliability({"deepfm": table, "lr": table}, tmp_path / "reliability.png")
    assert imread(tmp_path / "reliability.png").std() > 0.01
    upper, lower = drawn[0].axes
    line = upper.containers[0].lines[0]
    assert line.get_ydata() == pytest.approx([decile.share_positive for decile in table.deciles])
    assert line.get_xdata() == pytest.approx([decile.mean_prediction for decile in table.deciles])
    assert {text.get_text() for text in upper.get_legend().get_texts()} == {"calibrated", "deepfm", "lr"}
    assert lower.patches[0].get_data().values.sum() == pytest.approx(1)


def test_reliability_of_rare_events_shows_where_they_are(tmp_path, drawn):
    rng = np.random.default_rng(0)
    predicted = rng.beta(2, 200, 5000)
    table = evaluate_predictions("binary", predicted, rng.random(5000) < predicted, intervals=False).calibration
    plot_reliability({"lr": table}, tmp_path / "reliability.png")
    assert drawn[0].axes[0].get_xlim()[1] < 0.2


def test_groups_are_named_with_value_size_and_gap(tmp_path, drawn):
    predicted, labels, group = simulated()
    slices = slice_predictions("binary", predicted, labels, {"side": np.where(group, "left", "right")})
    plot_groups(slices, "auc", tmp_path / "groups.png")
    assert imread(tmp_path / "groups.png").std() > 0.01
    axes = drawn[0].axes[0]
    gap = slices["side"].gaps["auc"]
    low, high = gap.interval
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names == [f"side: gap {gap.difference:.4f} [{low:+.4f}, {high:+.4f}]", "side: right", "side: left"]
    left = slices["side"].groups["left"].metrics["auc"]
    assert f"{left:.4f}  (1,000 rows)" in [text.get_text() for text in axes.texts]


def test_no_group_with_a_figure_is_said(tmp_path, drawn):
    predicted, labels, _ = simulated()
    plot_groups(slice_predictions("binary", predicted, labels, {"class": labels}), "auc", tmp_path / "groups.png")
    assert [text.get_text() for text in drawn[0].axes[0].texts] == ["no group has auc"]
