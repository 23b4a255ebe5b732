# %% [markdown]
# # Matrix factorization: a network without a hidden layer
#
# **What it teaches**: how a table of ratings becomes two thin tables, why that is a neural network, what biases and
# penalties are worth, and why a model that predicts ratings well may recommend badly.
# **For whom**: everybody; the only mathematics needed is a matrix product.
# **How long**: fifteen minutes to read, about a minute to run on two processor cores.
#
# **Paper**: Koren, Bell and Volinsky, *Matrix factorization techniques for recommender systems*, IEEE
# Computer 2009; Hu, Koren and Volinsky, *Collaborative filtering for implicit feedback datasets*, ICDM 2008.
# All equations stand in [docs/mf.md](../docs/mf.md).

# %%
import inspect
import os
import tempfile
from functools import partial
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from rich.console import Console

from recsys_tfrs import runtime

tf = runtime.import_tensorflow()

from recsys_tfrs.baselines.tuning import tuned_baselines
from recsys_tfrs.config import build
from recsys_tfrs.evaluation.protocol import evaluate
from recsys_tfrs.layers.pair_mlp import PairMLP
from recsys_tfrs.models.scoring import RetrievalScorer
from recsys_tfrs.objectives.factorization import damped_biases, sum_of_squared_scores
from recsys_tfrs.runs.config import family_config
from recsys_tfrs.runs.measuring import OracleScorer, rating_metrics
from recsys_tfrs.runs.prepared import prepare
from recsys_tfrs.training.fit import Phase, fit

DATASET = os.environ.get("DATASET", "simulated-small")
EPOCHS = 8

settings = {
    "family": "mf",
    "data": {"dataset": DATASET},
    "split": {"method": "random"},
    "model": {"dim": 32, "blocks": 2},
    "training": {"epochs": EPOCHS, "batch_size": 2_000, "learning_rate": 0.01},
}
config = build(family_config("mf"), [settings])
runtime.configure(config.device, seed=config.seed)
prepared = prepare(config)
data, split, train = prepared.interactions, prepared.split, prepared.selection_train
print(f"{data.name}: {data.num_users:,} users, {data.num_items:,} items, {len(train.items):,} ratings to fit on")
print(f"of {data.num_users * data.num_items:,} possible ones: {len(train.items) / data.num_users / data.num_items:.2%}")

# %% [markdown]
# ## 1. A table, almost empty
#
# Users are rows, items columns, a number is a rating. The busiest users and the best-known items:

# %%
table = np.zeros((data.num_users + 1, data.num_items + 1), np.float32)
table[np.repeat(np.arange(data.num_users + 1), train.lengths), train.items] = train.ratings
busiest, best_known = np.argsort(-(table > 0).sum(axis=1))[:8], np.argsort(-(table > 0).sum(axis=0))[:16]
for row in table[np.ix_(busiest, best_known)]:
    print("  ".join(f"{rating:.0f}" if rating else "." for rating in row))

# %% [markdown]
# Matrix factorization writes the table as $P Q^\top$: K numbers per user, K per item, and a rating is their dot
# product. Numbers that explain the ratings that are there also say something about those that are not.
#
# ## 2. Why that is a network
#
# Present a user as a vector of zeros with a one at the user's place. A layer without activation multiplies it by its
# kernel $P$. What comes out is the user's row, so the library looks the row up instead of multiplying:

# %%
model = prepared.build_model(train)
factors = model.query_tower.factors
P = factors.table
one_hot = tf.one_hot([5], P.shape[0])
print("one-hot", one_hot.shape, "x kernel", P.shape, "=", (one_hot @ P).shape)
print("equal to the row:", np.array_equal((one_hot @ P).numpy()[0], P[5].numpy()))

# %% [markdown]
# The same for items. The two rows are multiplied element by element, the products added up, and three biases join them:
#
# $$\hat y_{ui} = \mu + b_u + c_i + p_u \cdot q_i$$
#
# The mean rating $\mu$, how generous the user is, how good the item. Is the network really $P Q^\top$ plus biases? With
# all users against all items, by hand and by the library:

# %%
console = Console(width=110, force_jupyter=False, force_terminal=False)
place = Path(tempfile.mkdtemp(prefix="mf-"))
measure = partial(rating_metrics, prepared, model, split.validation, train)
state = fit(
    model, prepared.batches(train), Phase("explicit", EPOCHS, measure), prepared.config.training, place, console
)

Q, b, c = model.candidate_tower.factors.table, factors.biases, model.candidate_tower.factors.biases
mu, sigma = model.data.rating_mean, model.data.rating_deviation
M = config.model.blocks
PQ = P.numpy() @ Q.numpy().T / M + b.numpy().mean(axis=1)[:, None] + c.numpy().mean(axis=1)
low, high = train.ratings.min(), train.ratings.max()
by_hand = np.clip(mu + sigma * PQ, low, high)  # by id of the vocabularies, whose id 0 is the unknown one
users, items = data.users[split.validation], data.items[split.validation]
u, i = model.data.user_table["user_id"].numpy()[users], model.data.item_table["item_id"].numpy()[items]
known = (u > 0) & (i > 0)
difference = by_hand[u, i] - model.predicted_ratings(users, items)
print(f"largest difference over {known.sum():,} known pairs: {np.abs(difference[known]).max():.1e}")

# %% [markdown]
# The factors here come in two blocks, two smaller factorizations whose mean is predicted; side by side they are one
# factorization with $p_u / \sqrt 2$ and $q_i / \sqrt 2$, which is where the division by $M$ comes from.
#
# ## 3. What biases are worth
#
# How far does one get with the mean alone? With generous users and good items, and no factor at all?

# %%
truth = data.ratings[split.validation]
owners = np.repeat(np.arange(data.num_users + 1), train.lengths)
of_users, of_items = damped_biases(owners, train.items, train.ratings - mu, data.num_users + 1, data.num_items + 1, 3.0)
predictions = {
    "mean of all ratings": np.full(len(truth), mu),
    "mean and biases": np.clip(mu + of_users[users] + of_items[items], low, high),
    "biases and factors": model.predicted_ratings(users, items),
}
for name, predicted in predictions.items():
    print(f"{name:22s} RMSE {np.sqrt(np.mean((predicted - truth) ** 2)):.4f}")

# %% [markdown]
# Most of what can be predicted of a rating is who gives it and what it is given to. The factors add what is left, and
# that is the part that differs from user to user: without it everybody gets the same list.
#
# ## 4. What keeps it from learning by heart
#
# The two tables hold more numbers than many a user has ratings. A penalty $\lambda |p_u|^2$ makes factors earn their
# size. Without it, with the library's default, and with too much of it:

# %%
figure, axes = plt.subplots(figsize=(7, 3))
for color, penalty in zip(["#c0392b", "#1f6f8b", "#999999"], [0.0, 0.6, 4.0], strict=True):
    plain = {"penalty": penalty, "dropout": 0.0, "initial_scale": 0.3}
    other = prepare(build(family_config("mf"), [settings, {"model": {**settings["model"], **plain}}]))
    fitted = other.build_model(train)
    measure = partial(rating_metrics, other, fitted, split.validation, train)
    phase = Phase(f"penalty-{penalty:g}", EPOCHS, measure)
    log = fit(fitted, other.batches(train), phase, other.config.training, place, console).log
    axes.plot([e["epoch"] for e in log], [e["validation_rmse"] for e in log], color=color, marker="o", ms=4)
    axes.annotate(f" {penalty:g}", (log[-1]["epoch"], log[-1]["validation_rmse"]), color=color, va="center")
axes.set_xlabel("epoch")
axes.set_ylabel("validation RMSE")
axes.spines[["top", "right"]].set_visible(False)
plt.show()

# %% [markdown]
# ## 5. Explicit against implicit
#
# So far the model saw what was rated, and *how*. What it never saw is that most items were not picked at all. The
# implicit objective forgets the stars and asks only who picked what: 1 for pairs of the data, 0, with a small weight
# $w_0$, for **all** others:
#
# $$\sum_{(u,i)} (1 - s_{ui})^2 + w_0 \sum_{\text{others}} s_{ui}^2$$
#
# "All others" are too many to visit, and need not be visited. With $X$ the table of all queries and $Y$ that of all
# candidates, the sum of all squared scores comes from two small matrices, $X^\top X$ and $Y^\top Y$:

# %%
X, Y = model.query_tower(model.data.user_table)[:200], model.candidate_vectors()[:300]
print(
    f"one by one: {float(tf.reduce_sum((X @ tf.transpose(Y)) ** 2)):.4f}  {200 * 300:,} scores of length {X.shape[1]}"
)
print(f"by Gram:    {float(sum_of_squared_scores(X, Y)):.4f}  two matrices of {X.shape[1]} x {X.shape[1]}")

# %% [markdown]
# Both are now trained on the same training rows and measured on the same test rows, as lists: full ranking of the
# catalogue, what was seen left out, ties at their expected rank, baselines tuned on validation.

# %%
tuned = tuned_baselines(data, split, names=["popularity", "ials"], pairs=prepared.config.pairs)
systems = {name: baseline.scorer for name, baseline in tuned.items()}
test_rmse = {}
for objective in ("explicit", "implicit", "bpr"):
    chosen = prepare(build(family_config("mf"), [settings, {"model": {**settings["model"], "objective": objective}}]))
    final = chosen.build_model(chosen.train)
    phase = Phase(objective, EPOCHS, None)
    _ = fit(final, chosen.batches(chosen.train), phase, chosen.config.training, place / "final", console)
    systems[f"mf, {objective}"] = RetrievalScorer(final, chosen.train)
    test_rmse[f"mf, {objective}"] = rating_metrics(chosen, final, split.test, chosen.train).get("rmse")
if data.oracle is not None:
    systems["oracle"] = OracleScorer(data.oracle)

print(f"{'':14s} {'RMSE':>7s} {'hit@10':>8s} {'novelty':>8s} {'ndcg@10':>8s}  95% interval")
for name, system in systems.items():
    e = evaluate(system, data, split.train, split.test, pairs=prepared.config.pairs)
    rmse = f"{test_rmse[name]:.4f}" if test_rmse.get(name) else "-"
    bounds = "{:.4f} to {:.4f}".format(*e.intervals["ndcg@10"])
    figures = " ".join(f"{e.metrics[metric]:8.4f}" for metric in ("hit@10", "novelty@10", "ndcg@10"))
    print(f"{name:14s} {rmse:>7s} {figures}  {bounds}")

# %% [markdown]
# The explicit model is the only one that predicts a rating, and its lists are the worst of all. Nothing is wrong with
# it: it was asked how a rating *would turn out*, and answers that for items nobody would have picked. RMSE does not
# order rankings (Cremonesi, Koren and Turrin, RecSys 2010). Decide what you want to know first, and then what to fit.
#
# ## 6. Does depth help?
#
# Hidden layers over both sides at once can say what a product cannot: that a rating is high *where two things agree*,
# for instance. `deep-mf` puts them beside the product (He et al., *Neural collaborative filtering*, WWW 2017):
#
# $$\hat y_{ui} = \mu + b_u + c_i + p_u \cdot q_i + \mathrm{MLP}([e_u, f_u, e_i, f_i])$$
#
# with embeddings e of the ids and f of the columns, such as occupation and genre. The network over a concatenation
# begins with a sum of two halves, which is why pairs are cheap:

# %%
print(inspect.getsource(PairMLP.call))

# %%
deep_settings = {name: part for name, part in settings.items() if name != "model"} | {"family": "deep-mf"}
deep = prepare(build(family_config("deep-mf"), [deep_settings, {"training": {"epochs": 4, "learning_rate": 3e-3}}]))
network = deep.build_model(train)
measure = partial(rating_metrics, deep, network, split.validation, train)
_ = fit(network, deep.batches(train), Phase("deep", 4, measure), deep.config.training, place, console)
predictions["biases, factors, layers"] = network.predicted_ratings(users, items)
for name, predicted in predictions.items():
    print(f"{name:23s} RMSE {np.sqrt(np.mean((predicted - truth) ** 2)):.4f}")

# %% [markdown]
# Where it helps, and where it does not, is measured on real ratings in [docs/deep_mf.md](../docs/deep_mf.md).
#
# ## A question to answer by experiment
#
# *How much is not picking worth?* Set `"unobserved_weight"` in `settings["model"]` to 0.01 and to 1 and run section 5
# again. Which way do the lists become more popular (less novelty), and which way do they become worse?
#
# ## What to read next
#
# * [docs/mf.md](../docs/mf.md): equations, settings, and the figures on MovieLens.
# * [03_softmax_dnn](03_softmax_dnn.ipynb): users as features instead of rows of a table.

# %% [markdown]
# ## The series
#
# * Before it: [Data and honest evaluation](01_data_and_honest_evaluation.ipynb)
# * After it: [The softmax DNN: recommending as classification](03_softmax_dnn.ipynb)
