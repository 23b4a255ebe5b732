# %% [markdown]
# # The softmax DNN: recommending as classification
#
# **What it teaches**: how features of a query become a distribution over all items, what the loss compares it with, why
# the output layer *is* the table of item embeddings, and what side features are worth for somebody nobody has seen
# before.
# **For whom**: readers who know matrix factorization by name. No deep learning beyond "a layer multiplies by a matrix".
# **How long**: fifteen minutes to read, about a minute to run on two processor cores.
#
# **Paper**: Covington, Adams and Sargin, *Deep neural networks for YouTube recommendations*, RecSys 2016.
# All equations stand in [docs/softmax.md](../docs/softmax.md).

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

from recsys_tfrs.baselines.tuning import tuned_baselines
from recsys_tfrs.config import build
from recsys_tfrs.evaluation.metrics import ndcg
from recsys_tfrs.evaluation.protocol import evaluate
from recsys_tfrs.evaluation.ranking import rank
from recsys_tfrs.models.scoring import RetrievalScorer
from recsys_tfrs.objectives.softmax import FullSoftmax
from recsys_tfrs.runs.config import family_config
from recsys_tfrs.runs.fitting import validator
from recsys_tfrs.runs.measuring import OracleScorer
from recsys_tfrs.runs.prepared import prepare
from recsys_tfrs.training.fit import Phase, fit

DATASET = os.environ.get("DATASET", "simulated-small")
EPOCHS = 24

config = build(
    family_config("softmax"),
    [
        {
            "family": "softmax",
            "data": {"dataset": DATASET},
            "model": {"dim": 64, "hidden": [128], "hide": "any", "members": 1},
            "training": {"epochs": EPOCHS, "patience": 3},
        }
    ],
)
runtime.configure(config.device, seed=config.seed)
prepared = prepare(config)
data, split, train = prepared.interactions, prepared.split, prepared.selection_train
print(f"{data.name}: {data.num_users:,} users, {data.num_items:,} items, {len(train.items):,} rows to fit on")

# %% [markdown]
# ## 1. What is known of a query
#
# Matrix factorization knows a user by a row number alone. Here a query $x$ is made of *features*: sparse ones (what
# was watched, gender, occupation, bucket of the age) and dense ones (how much was watched). There is no vector per
# user, so two users with the same features get the same query vector.

# %%
model = prepared.build_model(train)
someone = int(np.argsort(train.lengths)[-100])
print(f"user {data.user_ids[someone]}:")
for name, column in data.user_features.items():
    if name in model.users.encoders:
        print(f"   {name:22s} {column.values[someone]!s:20s} -> {model.data.user_table[name][someone].numpy()}")
watched = train.of(someone)
print(f"   {'history':22s} {len(watched)} items, the last: {', '.join(data.titles[watched[-2:]])}")

# %% [markdown]
# ## 2. From features to a distribution over the corpus
#
# The network turns them into $\psi(x)$, a vector, and the output layer multiplies it with one row per item:
#
# $$\hat p(x) = \mathrm{softmax}\left(\psi(x) V^\top / \tau\right)$$
#
# The weights $V$ of the output layer are the item embeddings: score an item by a dot product, and an index can find the
# best of millions. That is why the same export and the same index serve this model and a two-tower model alike.

# %%
history = tf.ragged.constant([watched.tolist(), []], dtype=tf.int32)
psi = model.query_vectors(tf.constant([someone, 0]), history)
V = model.candidate_vectors()[1:]  # row 0 is padding
p_hat = tf.nn.softmax(psi @ tf.transpose(V) / config.model.temperature)
print("psi", psi.shape, " V", V.shape, " p_hat", p_hat.shape, " sums", p_hat.numpy().sum(axis=1).round(4))
print(f"untrained, it is arbitrary: probabilities from {p_hat.numpy().min():.1e} to {p_hat.numpy().max():.1e}")

# %% [markdown]
# ## 3. The loss
#
# The target $p$ is the distribution of the user's own items: ones for the items the user watched, divided by their
# number. The loss is the cross-entropy $-\sum_i p_i \log \hat p_i$. The library's code, and two users and four items by
# hand:

# %%
print(inspect.getsource(FullSoftmax.call))
scores = tf.constant([[0.0, 2.0, 1.0, 0.0, -1.0], [0.0, 0.0, 0.0, 3.0, 0.0]])  # column 0 is padding
positives = tf.ragged.constant([[1, 2], [3]], dtype=tf.int32)
p = np.array([[0.5, 0.5, 0, 0], [0, 0, 1, 0]])
log_p_hat = np.log(np.exp(scores[:, 1:]) / np.exp(scores[:, 1:]).sum(axis=1, keepdims=True))
by_hand = -(p * log_p_hat).sum(axis=1).mean()
every_user_alike = tf.constant([0.5, 0.5, 1.0])  # the weights of the three positives
print(f"by hand {by_hand:.6f}   library {FullSoftmax()(scores, positives, every_user_alike):.6f}")

# %% [markdown]
# With these weights every *user* counts alike. The accuracy of section 5 averages over *interactions*, so the default
# (`user_weight = 1`) lets every interaction count alike: a user of 300 items pulls 300 times.
#
# If the network saw all of the history it has to predict, it would learn to copy. So a part is hidden in every step,
# and the whole is to be predicted: a denoising network.
#
# ## 4. Fit

# %%
console = Console(width=110, force_jupyter=False, force_terminal=False)
place = Path(tempfile.mkdtemp(prefix="softmax-"))
phase = Phase("selection", EPOCHS, validator(prepared, model))
state = fit(model, prepared.batches(train), phase, prepared.config.training, place, console)
metric = f"validation_{prepared.config.training.metric}"
looked = [entry for entry in state.log if metric in entry]

figure, axes = plt.subplots(figsize=(7, 2.8))
axes.plot([e["epoch"] for e in looked], [e[metric] for e in looked], color="#1f6f8b", marker="o", ms=4)
axes.axvline(state.best_epoch, color="#1f6f8b", lw=0.8, ls=":")
axes.set_xlabel("epoch")
axes.set_ylabel(metric.replace("_", " "))
axes.spines[["top", "right"]].set_visible(False)
plt.show()

# %%
final = prepared.build_model(prepared.train)
refit = Phase("refit", state.best_epoch, None)
_ = fit(final, prepared.batches(prepared.train), refit, prepared.config.training, place, console)
p_hat = tf.nn.softmax(
    final.query_vectors(tf.constant([someone]), history[:1])
    @ tf.transpose(final.candidate_vectors()[1:])
    / config.model.temperature
).numpy()[0]
best = np.argsort(-p_hat)[:8] + 1
print(f"trained, user {data.user_ids[someone]}:")
for item in best:
    seen = " (watched)" if item in watched else ""
    print(f"   {p_hat[item - 1]:.4f}  {data.titles[item]}{seen}")

# %% [markdown]
# ## 5. Beside the baselines
#
# Full ranking of the whole catalogue, watched items left out, ties at their expected rank; the baselines are tuned on
# the same validation rows.

# %%
tuned = tuned_baselines(data, split, names=["popularity", "ease", "ials"], pairs=prepared.config.pairs)
systems = {name: baseline.scorer for name, baseline in tuned.items()}
systems["softmax"] = RetrievalScorer(final, prepared.train)
if data.oracle is not None:
    systems["oracle"] = OracleScorer(data.oracle)
for name, system in systems.items():
    e = evaluate(system, data, split.train, split.test, pairs=prepared.config.pairs)
    low, high = e.intervals["ndcg@10"]
    figures = f"hit@10 {e.metrics['hit@10']:.4f}  ndcg@10 {e.metrics['ndcg@10']:.4f} ({low:.4f}-{high:.4f})"
    print(f"{name:11s} {figures}  coverage@10 {e.metrics['coverage@10']:.3f}")

# %% [markdown]
# Read the intervals before naming a winner. On data with nothing but co-occurrence to find, linear models are strong;
# what a network adds is the freedom to put anything into $x$.
#
# ## 6. What side features are worth
#
# Take the users who do not occur in training at all. An item-based model has nothing to say about them and falls back
# to what is popular. The softmax DNN has their columns. Does it help? The same model is asked twice, with and without
# them.

# %%
new_users = np.flatnonzero(prepared.train.lengths == 0)
rows = split.test[np.isin(data.users[split.test], new_users)]
known_items = np.bincount(prepared.train.items, minlength=data.num_items + 1) > 0
rows = rows[known_items[data.items[rows]]]

nobody = np.zeros(len(rows), dtype=np.int32)  # user 0 is the unknown one, of whom no column is known
asked = {
    "popularity": (systems["popularity"], data.users[rows]),
    "softmax, no columns": (systems["softmax"], nobody),
    "softmax": (systems["softmax"], data.users[rows]),
}
if len(rows):
    for name, (system, users) in asked.items():
        ranking = rank(system, users, data.items[rows], seen=None, num_items=data.num_items)
        print(f"{name:20s} ndcg@10 {ndcg(ranking, 10).mean():.4f} over {len(rows):,} test rows of new users")
else:
    print("This data set has no test user without training rows.")

# %% [markdown]
# Whether columns help depends on the data: the simulated users' tastes follow gender, age and occupation, and on
# MovieLens 100K they do so much less. That is why the measurement is part of the notebook and not of its text.
#
# ## A question to answer by experiment
#
# *Is depth worth anything here?* Set `"hidden": []` (a linear $\psi$) and `"hidden": [256, 256]` at the top, look at
# the validation curve of section 4 first, and only then at section 5. Which of them stops earlier, and why?
#
# ## What to read next
#
# * [docs/softmax.md](../docs/softmax.md): equations, features and settings.
# * [04_negative_sampling_and_folding](04_negative_sampling_and_folding.ipynb): for catalogues too large to score.
# * [05_two_tower_retrieval](05_two_tower_retrieval.ipynb): the same idea with a tower for the items.

# %% [markdown]
# ## The series
#
# * Before it: [Matrix factorization: a network without a hidden layer](02_matrix_factorization.ipynb)
# * After it: [Negative sampling and folding](04_negative_sampling_and_folding.ipynb)
