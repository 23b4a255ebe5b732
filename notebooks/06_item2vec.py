# %% [markdown]
# # Item2vec: what occurs together
#
# **What it teaches**: how vectors of items come out of lists alone, by word2vec's CBOW and skip-gram with negative
# sampling; what similar items, analogies and "complete the list" are worth.
# **For whom**: readers who know what a dot product is. No neural network here has a hidden layer.
# **How long**: fifteen minutes to read, about a minute to run on two processor cores.
# **Paper**: Barkan and Koenigstein, *Item2vec: neural item embedding for collaborative filtering*, MLSP 2016
# (https://arxiv.org/abs/1603.04259).
#
# All equations, with their papers, stand in [docs/item2vec.md](../docs/item2vec.md).

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
from recsys_tfrs.evaluation.protocol import evaluate
from recsys_tfrs.models.scoring import RetrievalScorer
from recsys_tfrs.objectives.word2vec import NegativeSampling
from recsys_tfrs.runs.config import family_config
from recsys_tfrs.runs.prepared import prepare
from recsys_tfrs.schema import Kind
from recsys_tfrs.training.fit import Phase, fit

DATASET = os.environ.get("DATASET", "simulated-small")
EPOCHS = 6

config = build(
    family_config("item2vec"),
    [
        {
            "family": "item2vec",
            "data": {"dataset": DATASET},
            "split": {"method": "leave-last-out"},
            "model": {"dim": 64, "context": "window", "shared_negatives": 100_000},
        }
    ],
)
runtime.configure(config.device, seed=config.seed)
prepared = prepare(config)
data, split, train = prepared.interactions, prepared.split, prepared.train
print(f"{data.name}: {data.num_users:,} lists, {data.num_items:,} items, {len(train.items):,} occurrences")

# %% [markdown]
# ## 1. Sentences of items
#
# A user's history is a sentence, its items are the words. Every item becomes a *center* once, and its neighbours are
# its *context*. Batches of centers and contexts are made inside tf.data; no pair is ever stored.

# %%
batches = prepared.batches(train)
batch = next(iter(batches.dataset()))
print(f"one batch: {batch['center'].shape[0]:,} centers, {batch['context'].flat_values.shape[0]:,} pairs")
for center, context in zip(batch["center"][:3].numpy(), batch["context"][:3].to_list(), strict=True):
    print(f"   {data.titles[center]}  <-  {', '.join(data.titles[context[:4]])} ...")

# %% [markdown]
# ## 2. The loss
#
# CBOW predicts the center from the mean of its context. Every item has an input vector $v$ (in a context) and an
# output vector $u$ (to be predicted), and the score is $s = \frac{1}{\tau} \bar v \cdot u + b$. Negative sampling
# separates what was there from k items drawn with $q_j \propto \mathrm{count}_j^{0.75}$:
#
# $$L = -\log \sigma(s_p) - k \sum_{j \ne p} q_j \log \sigma(-s_j)$$
#
# The library draws a batch's negatives once for all of its positives; up to `shared_negatives` items in the catalogue
# it draws none and takes the expected value of the sum. The library's code, and one center by hand:

# %%
print(inspect.getsource(NegativeSampling.call))
model = prepared.build_model(train)
v = model.inputs(model.data.item_table["item_id"]).numpy()
u, b = (part.numpy() for part in model.outputs(model.data.item_table))
q = np.maximum(np.bincount(train.items, minlength=data.num_items + 1), 1) ** config.model.alpha
q[0] = 0
q = q / q.sum()

center, context = int(batch["center"][0]), batch["context"][0].numpy()
scores = u @ v[context].mean(axis=0) / config.model.temperature + b
others = np.arange(1, data.num_items + 1) != center
told_apart = (q[1:] * np.log1p(np.exp(scores[1:])))[others].sum()
by_hand = np.log1p(np.exp(-scores[center])) + config.model.negatives * told_apart
one = {"center": batch["center"][:1], "context": batch["context"][:1], "seed": batch["seed"]}
print(f"by hand {by_hand:.5f}   library {model.compute_loss(one):.5f}")

# %% [markdown]
# At the minimum $s_p = \log \frac{P(p | C)}{k q_p (1 - P(p | C))}$: how much *likelier than usual* an item is here.
# That is what makes vectors of similar items similar. To recommend, $\log q$ is added back, or rare items would win.
#
# ## 3. Fit

# %%
console = Console(width=110, force_jupyter=False, force_terminal=False)
place = Path(tempfile.mkdtemp(prefix="item2vec-"))
state = fit(model, batches, Phase("refit", EPOCHS, None), prepared.config.training, place, console)
print("loss:", ", ".join(f"{entry['loss']:.3f}" for entry in state.log if "loss" in entry))

# %% [markdown]
# ## 4. Similar items
#
# Neighbours by cosine of the input vectors. No column of the items was looked at in training, so a shared genre or
# category is evidence from outside: how often do the ten nearest share one, and how often do random pairs?

# %%
counts = np.bincount(train.items, minlength=data.num_items + 1)
popular = np.argsort(-counts)[:3]
for item in popular:
    near = model.similar_items(data.item_ids[item], 4)
    position = [int(np.flatnonzero(data.item_ids == other)[0]) for other, _ in near]
    named = ", ".join(f"{data.titles[p]} ({cosine:.2f})" for p, (_, cosine) in zip(position, near, strict=True))
    print(f"{data.titles[item]}:  {named}")

groups = next(column for column in data.item_features.values() if column.kind is Kind.MULTI_CATEGORICAL)
names = sorted({name for values in groups.values for name in values})
belongs = np.array([[name in values for name in names] for values in groups.values], dtype=np.float32)
usual = np.flatnonzero(counts >= 5)
unit = tf.math.l2_normalize(model.inputs(model.data.item_table["item_id"]), axis=1).numpy()[usual]
cosines = unit @ unit.T
np.fill_diagonal(cosines, -2)
nearest = np.argsort(-cosines, axis=1)[:, :10]
shares = (belongs[usual] @ belongs[usual].T) > 0
np.fill_diagonal(shares, False)
at_random = shares.sum() / (len(usual) * (len(usual) - 1))
print(f"{groups.name} shared: nearest {np.take_along_axis(shares, nearest, axis=1).mean():.3f}, random {at_random:.3f}")

# %% [markdown]
# ## 5. Analogies
#
# $v_b - v_a + v_c$: what is to c as b is to a? With words this finds queens and capitals. Items have fewer such regular
# relations, and fewer occurrences to learn them from: take what follows as a curiosity. A fair test asks whether the
# first answer has a group that b has and neither a nor c has, more often than chance.

# %%
rng = np.random.default_rng(0)
frequent = np.argsort(-counts)[:200]
a, b, c = (data.item_ids[i] for i in rng.choice(frequent, 3, replace=False))
titles = dict(zip(data.item_ids, data.titles, strict=True))
answers = model.analogy(a, b, c, 3)
print(f"{titles[b]} is to {titles[a]} as ... to {titles[c]}:")
print("   " + ", ".join(f"{titles[item]} ({cosine:.2f})" for item, cosine in answers))

position = {external: i for i, external in enumerate(data.item_ids)}
hits, alone, chance = [], [], []
for _ in range(200):
    i, j, k = rng.choice(frequent, 3, replace=False)
    new = (belongs[j] > 0) & (belongs[i] == 0) & (belongs[k] == 0)
    if new.any():
        answer = position[model.analogy(*data.item_ids[[i, j, k]], 1)[0][0]]
        beside = position[model.similar_items(data.item_ids[j], 1)[0][0]]
        hits.append(bool((belongs[answer] > 0)[new].any()))
        alone.append(bool((belongs[beside] > 0)[new].any()))
        chance.append((belongs[usual][:, new] > 0).any(axis=1).mean())
print(f"has what b has beyond a: the answer {np.mean(hits):.2f}, a random item {np.mean(chance):.2f},")
print(f"the item nearest to b alone {np.mean(alone):.2f}   (n = {len(hits)})")
for said, other in (("chance", np.array(chance)), ("the item nearest to b", np.array(alone, float))):
    gain = np.array(hits, float) - other
    error = gain.std() / np.sqrt(len(gain))
    verdict = "within two standard errors" if abs(gain.mean()) < 2 * error else "more" if gain.mean() > 0 else "less"
    print(f"the answer less {said}: {gain.mean():+.2f}, standard error {error:.2f}: {verdict}")

# %% [markdown]
# To beat chance is not enough: if the item nearest to b does as well or better without any arithmetic, as on the
# simulated data, what works is nearness, and the figures do not show that directions mean anything.
#
# ## 6. Complete the list
#
# A query is the mean of a list's input vectors, what is recent weighing more; candidates are output vectors. Nobody
# needs to be known: any basket will do.

# %%
basket = data.item_ids[popular]
asked = tf.ragged.constant([popular.tolist(), []], dtype=tf.int32)
ranked = tf.matmul(model.query_vectors(tf.constant([0, 0]), asked), model.candidate_vectors(), transpose_b=True).numpy()
ranked[:, 0] = -np.inf
ranked[0, popular] = -np.inf
print(f"with {', '.join(data.titles[popular])}:  {', '.join(data.titles[np.argsort(-ranked[0])[:4]])}")
print(f"with nothing:  {', '.join(data.titles[np.argsort(-ranked[1])[:4]])}")

# %% [markdown]
# ## 7. Beside the baselines
#
# The last item of every list is to be predicted: full ranking, seen items left out, ties at their expected rank. The
# baselines are tuned on validation; of item2vec the number of epochs is fixed above.

# %%
tuned = tuned_baselines(data, split, names=["popularity", "ease"], pairs=prepared.config.pairs)
systems = {name: baseline.scorer for name, baseline in tuned.items()}
systems["item2vec"] = RetrievalScorer(model, train)
measured = {}
for name, system in systems.items():
    e = evaluate(system, data, split.train, split.test, pairs=prepared.config.pairs)
    low, high = measured[name] = e.intervals["ndcg@10"]
    figures = f"hit@10 {e.metrics['hit@10']:.4f}  ndcg@10 {e.metrics['ndcg@10']:.4f} ({low:.4f}-{high:.4f})"
    print(f"{name:11s} {figures}  coverage@10 {e.metrics['coverage@10']:.3f}")

figure, axes = plt.subplots(figsize=(7, 1.6))
axes.hlines(list(measured), *zip(*measured.values(), strict=True), color="#1f6f8b", lw=4)
axes.set_xlabel("ndcg@10, 95% intervals over users")
axes.spines[["top", "right"]].set_visible(False)
axes.margins(y=0.3)
plt.show()

# %% [markdown]
# ## A question to answer by experiment
#
# *Does order matter?* Set `"context": "list"` at the top: lists are shuffled before the window is laid, and nothing
# recent weighs more. Which of sections 4 and 7 gets better, which gets worse? Then try `"recency_items": 0` with
# `"window"`, and say which of the two changes made the difference.
#
# ## What to read next
#
# * [docs/item2vec.md](../docs/item2vec.md): equations, settings, figures on real data.
# * [03_softmax_dnn](03_softmax_dnn.ipynb): the history learns to predict the whole catalogue at once.
# * [docs/data.md](../docs/data.md): baskets and playlists of your own, one list a line.

# %% [markdown]
# ## The series
#
# * Before it: [Two-tower retrieval, piece by piece](05_two_tower_retrieval.ipynb)
# * After it: [Sequential retrieval with GRUs: what comes next](07_sequential_gru.ipynb)
