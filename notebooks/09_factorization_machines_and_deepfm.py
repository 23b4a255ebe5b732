# %% [markdown]
# # Factorization machines and DeepFM
#
# **What it teaches**: how a ranking model scores one example at a time; what first-order weights, pairs of fields and a
# deep network each add; whether its probabilities can be believed, and for whom it works less well.
# **For whom**: readers of notebook 02, who know embeddings and dot products.
# **How long**: twenty minutes to read, about a minute to run on two processor cores.
#
# **Paper**: Rendle, *Factorization machines*, ICDM 2010; Guo et al., *DeepFM: a factorization-machine based neural
# network for CTR prediction*, IJCAI 2017 (https://arxiv.org/abs/1703.04247). Every setting and metric stands in
# [docs/ranking.md](../docs/ranking.md).

# %%
import inspect
import os
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from rich.console import Console

from recsys_tfrs import runtime

tf = runtime.import_tensorflow()

from recsys_tfrs.config import build
from recsys_tfrs.evaluation.prediction_slices import slice_predictions
from recsys_tfrs.evaluation.predictions import evaluate_predictions, prediction_differences
from recsys_tfrs.layers.factorization_machine import pairwise_interactions
from recsys_tfrs.models.explanation import explain_row
from recsys_tfrs.runs.ranking_config import ranking_config
from recsys_tfrs.runs.ranking_fitting import build_ranker, fit_ranker
from recsys_tfrs.runs.ranking_pairs import PairData
from recsys_tfrs.schema import HISTORY, USER_GENDER

DATASET = os.environ.get("DATASET", "simulated-small")
console = Console(width=110, force_jupyter=False, force_terminal=False)


settings = {"data": {"dataset": DATASET}, "split": {"method": "random"}, "target": "like"}
# A small network, one of the three ways of regularisation and few epochs, so that this runs in a minute.
small = {
    "training": {"epochs": 6, "refit": False},
    "features": {"history": 20},
    "model": {"regularization": "rows", "hidden": [64, 64]},
}
config = build(ranking_config("deepfm"), [settings, small, {"family": "deepfm"}])
runtime.configure(config.device, seed=config.seed)
data = PairData(config)
print(f"{data.name}: {len(data.interactions):,} ratings; {' '.join(note for note in data.notes if 'like' in note)}")

# %% [markdown]
# ## 1. An example is a row of fields
#
# Retrieval asks *which of all items*; ranking asks *how likely is this one*. An example is everything known of one
# user, one item and one moment, and what came of it. Fields of one id, of several (genres, words, the history) and of
# numbers are encoded by the same preprocessing layer that the exported graph will hold.

# %%
fold = data.selection()
layout = fold.preprocessor.layout
print("one id each:   ", ", ".join(f"{name} ({size})" for name, size in layout.single.items()))
print("several ids:   ", ", ".join(f"{name} ({size})" for name, size in layout.several.items()))
print(f"{len(fold.train):,} examples to fit on, {fold.targets[0].mean:.1%} of them likes")

# %% [markdown]
# ## 2. A factorization machine
#
# $$\hat y(x) = w_0 + \sum_i w_i x_i + \sum_{i<j} \langle v_i, v_j \rangle x_i x_j$$
#
# Every field $i$ has a weight and a vector; every pair of fields is judged by the product of its vectors, so a pair
# never seen together still gets a value. The double sum costs $O(k n^2)$, but is
#
# $$\tfrac12 \sum_{f=1}^k \Big[ \big(\textstyle\sum_i v_{if} x_i\big)^2 - \sum_i v_{if}^2 x_i^2 \Big]$$
#
# which costs $O(kn)$ (Rendle, lemma 3.1). With a user, an item and a history as fields it *is* biased matrix
# factorization with SVD++'s history term.

# %%
model = build_ranker(config, fold)
few = fold.train.take(slice(0, 4))
fields = model.fields({name: tf.constant(values) for name, values in few.columns.items()})
v = fields.vectors.numpy()
double_sum = [sum(row[i] @ row[j] for i in range(len(row)) for j in range(i + 1, len(row))) for row in v]
print("double sum:     ", np.round(double_sum, 6))
print("linear in n:    ", np.round(pairwise_interactions(fields.vectors).numpy(), 6))
print(inspect.getsource(pairwise_interactions))

# %% [markdown]
# ## 3. DeepFM: three parts that read the same vectors
#
# $$\hat y = \sigma(y_{linear} + y_{FM} + y_{deep})$$
#
# The deep part sees the vectors side by side and can express what no pair says. All parts share one table of
# embeddings. A part can be left out, in training with `model.parts`, in serving with the input `without`; whoever is
# left still answers.

# %%
for part, output in model.outputs_of_parts({n: tf.constant(a) for n, a in few.columns.items()}).items():
    print(f"{part:<8}", np.round(output.numpy()[:, 0], 4))

# %% [markdown]
# ## 4. What each part adds
#
# Four families, the same rows, the same preprocessing. Validation decides when to stop; nobody looks at the test part
# before.

# %%
fitted, measured = {}, {}
for family in ("lr", "fm", "dnn", "deepfm"):
    own = build(ranking_config(family), [settings, small, {"family": family}])
    place = Path(tempfile.mkdtemp(prefix=f"{family}-"))
    fitted[family] = fit_ranker(data, own, place, console)
    test = fitted[family].fold.measured
    predicted = fitted[family].model.predict_examples(test)[:, 0]
    measured[family] = evaluate_predictions("binary", predicted, test.targets[:, 0], groups=test.groups)

print("\n          AUC (95% over users)          log-loss    AUC against lr")
for family, found in measured.items():
    low, high = found.intervals["auc"]
    d = prediction_differences(found, measured["lr"])["auc"] if family != "lr" else None
    against = "" if d is None else f"{d.difference:+.4f} ({d.low:+.4f} to {d.high:+.4f})"
    own = f"{found.metrics['auc']:.4f} ({low:.4f} to {high:.4f})   {found.metrics['logloss']:.4f}"
    print(f"{family:<8}  {own}   {against}")

# %% [markdown]
# ## 5. Can the probabilities be believed?
#
# A model that says 0.8 should be right in 80 of 100 cases. After training, a factor and a shift of the log-odds are
# fitted on validation rows (Platt scaling); they change no order, so AUC stays. The *expected calibration error* is the
# mean distance between what is said and what comes, over bins of equal size.

# %%
deep = fitted["deepfm"]
test = deep.fold.measured
calibrated = deep.model.predict_examples(test)[:, 0]
raw = 1 / (1 + np.exp(-deep.model.totals_of(test)[:, 0]))
tables = {
    "after calibration": evaluate_predictions("binary", calibrated, test.targets[:, 0], intervals=False),
    "before": evaluate_predictions("binary", raw, test.targets[:, 0], intervals=False),
}
figure, axes = plt.subplots(figsize=(5.5, 4.2))
for name, found in tables.items():
    deciles = found.calibration.deciles
    x, y = [d.mean_prediction for d in deciles], [d.share_positive for d in deciles]
    axes.plot(x, y, "o-", label=f"{name}: ECE {found.metrics['ece']:.3f}")
axes.plot([0, 1], [0, 1], color="grey", lw=0.8)
axes.set_xlabel("predicted")
axes.set_ylabel("share of likes")
axes.legend()
plt.show()

# %% [markdown]
# ## 6. For whom does it work?
#
# The same figures by group. Data repeats what was offered and chosen before; a model that learns it repeats it too. A
# gap counts when its interval, taken over all pairs of groups at once, stays away from zero.

# %%
sliced = slice_predictions("binary", calibrated, test.targets[:, 0], deep.fold.slices, groups=test.groups)
rows = [(f"{s}: {g}", f.metrics["auc"]) for s, of in sliced.items() for g, f in of.groups.items() if "auc" in f.metrics]
figure, axes = plt.subplots(figsize=(7, 0.24 * len(rows) + 1), layout="constrained")
axes.plot([value for _, value in rows][::-1], [name for name, _ in rows][::-1], "o", color="#1f6f8b")
axes.set_xlabel("AUC by group")
axes.grid(axis="y", lw=0.3)
plt.show()
for name, one in sliced.items():
    if "auc" in one.gaps:
        gap = one.gaps["auc"]
        print(f"{name:<22} gap {gap.difference:.3f} ({gap.interval[0]:+.3f} to {gap.interval[1]:+.3f})")

# %% [markdown]
# ## 7. One way out, and what it costs
#
# Leave the attribute out: the model then cannot say "boys like this". What it costs is measured, and so is whether the
# gap between groups closes: other fields may still tell them apart.

# %%
users = [name for name in data.interactions.user_features if name not in (USER_GENDER, "user_zip_code")]
if USER_GENDER in data.interactions.user_features:
    without = {"features": {"user_columns": users, "history": 20}}
    blind_config = build(ranking_config("deepfm"), [settings, small, without, {"family": "deepfm"}])
    blind_data = PairData(blind_config)
    blind = fit_ranker(blind_data, blind_config, Path(tempfile.mkdtemp(prefix="blind-")), console)
    rows = blind.fold.measured
    predicted = blind.model.predict_examples(rows)[:, 0]
    cost = evaluate_predictions("binary", predicted, rows.targets[:, 0], groups=rows.groups)
    d = prediction_differences(cost, measured["deepfm"])["auc"]
    print(f"AUC without {USER_GENDER}: {cost.metrics['auc']:.4f}, {d.difference:+.4f} ({d.low:+.4f} to {d.high:+.4f})")
    if USER_GENDER in sliced and "auc" in sliced[USER_GENDER].gaps:
        after = slice_predictions("binary", predicted, rows.targets[:, 0], blind.fold.slices, groups=rows.groups)
        gaps = [one[USER_GENDER].gaps["auc"].difference for one in (sliced, after)]
        print(f"gap before {gaps[0]:.4f}, after {gaps[1]:.4f}")
else:
    print(f"{data.name} has no column {USER_GENDER}: there is nothing to leave out.")

# %% [markdown]
# ## 8. What carried a score?
#
# For one example: what the prediction would be if nothing were known of a field. The command line says the same with
# `recsys-tfrs explain RUN --user U --item I`.

# %%
found = explain_row(deep.model, test.take(slice(0, 1)))
print(f"predicted {found.prediction:.3f}; parts: {', '.join(f'{p} {v:+.2f}' for p, v in found.parts.items())}")
for name, effect in sorted(found.effects.items(), key=lambda one: -abs(one[1]))[:6]:
    print(f"   {name:<22} {effect:+.3f}   first-order {found.weights[name]:+.3f}")
assert HISTORY in found.effects

# %% [markdown]
# ## A question to answer by experiment
#
# Which part earns its place on your data? Train `deepfm` with `--set 'model.parts=["linear", "deep"]'`,
# `'model.parts=["fm", "deep"]'` and `'model.parts=["linear", "fm"]'`, and put the runs side by side with
# `recsys-tfrs compare`. Does the interval of any difference leave out 0? Then try the temporal split, where most test
# users are new: which part suffers most?
#
# ## What to read next
#
# * [12_retrieve_then_rank_ensemble](12_retrieve_then_rank_ensemble.ipynb): retrieve hundreds of items, then rank them
#   with what you learned here, in one exported model.
# * [11_scann_index_and_recall](11_scann_index_and_recall.ipynb): how candidates are found fast among many items.
# * [13_export_and_tf_serving](13_export_and_tf_serving.ipynb): how a model is served.
# * [docs/ranking.md](../docs/ranking.md): every setting and metric.

# %% [markdown]
# ## The series
#
# * Before it: [3-D convolutions over sessions and how their words look](08_session_3d_cnn.ipynb)
# * After it: [Content: what a new item sounds like](10_content_features_with_cnn.ipynb)
