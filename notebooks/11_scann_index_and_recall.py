# %% [markdown]
# # Searching many items: recall against latency
#
# **What you learn**: why scoring every item stops working, what ScaNN does instead, what each of its settings
# trades, and how to find the cheapest setting that finds 99 of 100 of the right items.
# **For whom**: readers of `05_two_tower_retrieval`, or anyone with vectors to search. No knowledge of nearest-neighbour
# search is needed.
# **How long**: fifteen minutes to read, about a minute to run on two processor cores.
#
# **Paper**: Guo et al., *Accelerating Large-Scale Inference with Anisotropic Vector Quantization*, ICML 2020
# ([arXiv:1908.10396](https://arxiv.org/abs/1908.10396)). The same on a run of yours is one line in a terminal:
#
# ```
# recsys-tfrs index runs/latest --recall 0.99
# ```

# %%
import os

import matplotlib.pyplot as plt
import numpy as np

from recsys_tfrs import runtime

tf = runtime.import_tensorflow()  # TensorFlow without its start-up messages

from recsys_tfrs.data.histories import build_histories
from recsys_tfrs.data.sources import DataRequest, load
from recsys_tfrs.data.splits import make_split
from recsys_tfrs.index.audit import audit
from recsys_tfrs.index.chooser import build_index, choose_kind
from recsys_tfrs.index.config import IndexConfig
from recsys_tfrs.index.exact import ExactIndex
from recsys_tfrs.index.scann_index import ScannIndex
from recsys_tfrs.index.tuning import rank_of, tune, tune_search

# %% [markdown]
# ## 1. Vectors to search
#
# A two-tower model ends in a dot product: a query vector, an item vector each, and the best items are those with the
# largest products. Where the vectors come from is not this notebook's subject, so the quickest honest source serves:
# the leading singular vectors of who interacted with what, and for a user the mean of the user's last three items. Then
# the catalogue is made large: around every item stand more than a dozen variations of it, as a shop has the same shirt
# in many colours.

# %%
DATASET = os.environ.get("DATASET", "simulated-small")
COPIES = int(os.environ.get("COPIES", "30000"))  # items of the large catalogue
DIM = 32
SPREAD = 0.3  # length of what tells a variation from its item, whose length is 1

data = load(DataRequest(DATASET))
split = make_split(data, "temporal")
histories = build_histories(data, split.train)
matrix = np.zeros((data.num_users + 1, data.num_items + 1), np.float32)
matrix[data.users[split.train], data.items[split.train]] = 1.0
matrix /= np.sqrt(np.maximum(matrix.sum(axis=0), 1.0))  # popular items would drown the rest
_, values, items = np.linalg.svd(matrix, full_matrices=False)

# %%
rng = np.random.default_rng(0)
item_vectors = items[:DIM].T * np.sqrt(values[:DIM])
item_vectors /= np.maximum(np.linalg.norm(item_vectors, axis=1, keepdims=True), 1e-9)
parents = rng.integers(1, data.num_items + 1, COPIES + 1)
vectors = item_vectors[parents] + SPREAD / np.sqrt(DIM) * rng.normal(size=(COPIES + 1, DIM))
vectors = vectors.astype(np.float32)

test_users = [user for user in np.unique(data.users[split.test]) if len(histories.of(user))]
queries = np.array([item_vectors[histories.of(user)[-3:]].mean(axis=0) for user in test_users[:1_000]])
queries = queries.astype(np.float32)
tuning, reporting = queries[::2], queries[1::2]
print(f"{len(vectors) - 1:,} items, {len(queries):,} test users, {DIM} dimensions; chooser: {choose_kind(COPIES)}")

# %% [markdown]
# ## 2. The exact index, and what it costs
#
# Score everything, keep the best: one matrix product. Nothing is missed, and twice the items take twice the time.

# %%
exact = ExactIndex(vectors)
for share in (8, 4, 2, 1):
    part = ExactIndex(vectors[: COPIES // share + 1])
    figures = audit(part, vectors[: COPIES // share + 1], reporting, max_single=100)
    print(f"{part.num_items:7,} items: {figures['p50_ms']:6.2f} ms a query, {figures['queries_per_second']:8,.0f}/s")

# %% [markdown]
# ## 3. What ScaNN does instead
#
# Three approximations, each with a number that says how much is lost:
#
# 1. **A tree of one level.** k-means sorts the items into *leaves*. A query looks into the nearest few only
#    (`leaves_to_search` of `num_leaves`); an item in another leaf is missed.
# 2. **Codes.** A vector is cut into blocks of `dimensions_per_block` numbers, each replaced by the nearest of 16
#    learned ones: 4 bits. Scores of codes are sums of table look-ups that live in registers. *Anisotropic* codes
#    (`anisotropic_threshold`) accept more error across the vector to have less along it, where it would change large
#    dot products: that is the paper's idea. With $r = x - \tilde x$ the error of the code $\tilde x$ of an item $x$,
#    and $r_\parallel$ its part along $x$, codes minimise
#
#    $$\eta\, \lVert r_\parallel \rVert^2 + \lVert r - r_\parallel \rVert^2, \qquad
#    r_\parallel = \frac{r \cdot x}{\lVert x \rVert^2}\, x, \qquad
#    \eta = (d - 1) \frac{(T / \lVert x \rVert)^2}{1 - (T / \lVert x \rVert)^2}$$
#
#    where only dot products above the threshold $T$ matter, and $d$ is the number of dimensions. With $\eta = 1$ this
#    is the usual squared error.
# 3. **Reordering.** The `reorder` best by code get their exact score. An item that the codes rank below that is missed;
#    the scores that are returned are exact.
#
# Recall depends on two of these numbers alone: an item of the exact list is found if it lies in one of the
# `leaves_to_search` leaves and its code ranks it among the best `reorder`.

# %%
index = ScannIndex(vectors, IndexConfig(num_leaves=200, leaves_to_search=10, reorder=50))
best_exactly = exact.search(tf.constant(reporting), 10)[1].numpy()
by_code = index.candidates(tf.constant(reporting), 1_000, index.num_leaves).numpy()  # all leaves: only codes err
place = rank_of(best_exactly, by_code)
for reorder in (10, 20, 50, 100, 200, 400):
    print(f"reorder {reorder:4d}: the codes keep {(place < reorder).mean():.4f} of the exact lists")

# %% [markdown]
# ## 4. Recall against latency, plotted
#
# For a number of leaves searched there is a smallest `reorder` that reaches the recall, and with it a time per
# query. Few leaves need long reordering or do not get there; many leaves are slow to scan. The cheapest lies
# between. `tune_search` walks that line for one build; leaves and reordering are arguments of a query, so the index
# is built once.

# %%
goals = {0.9: "#b8c4cc", 0.95: "#6fa3b5", 0.99: "#1f6f8b"}
config = IndexConfig(num_leaves=200, training_iterations=6)
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.4))
for goal, colour in goals.items():
    found = tune_search(vectors, tuning, config, recall=goal)
    leaves = [trial.config.leaves_to_search for trial in found.trials]
    left.plot(leaves, [1e3 * trial.ms for trial in found.trials], "o-", color=colour, label=f"recall {goal}")
    chosen = found.best.config
    print(f"recall {goal}: {chosen.leaves_to_search} leaves, {chosen.reorder} reordered, {1e3 * found.best.ms:.0f} µs")
left.set(xlabel="leaves searched of 200", ylabel="µs per query, in batches", xscale="log")
left.legend(frameon=False)

measured = []
for leaves in (1, 2, 4, 8, 16, 32, 64):
    config = IndexConfig(num_leaves=200, leaves_to_search=leaves, reorder=200, training_iterations=6)
    figures = audit(ScannIndex(vectors, config), vectors, reporting, max_single=200)
    measured.append((figures["p50_ms"], figures["recall@10"]))
exactly = audit(exact, vectors, reporting, max_single=200)
right.plot(*zip(*measured, strict=True), "o-", color="#1f6f8b", label="ScaNN, 1 to 64 leaves, 200 reordered")
right.plot(exactly["p50_ms"], 1.0, "s", color="#c0504d", label="exact")
right.set(xlabel="ms, half of single queries are faster", ylabel="recall@10", xscale="log")
right.legend(frameon=False, loc="lower right")
for axes in (left, right):
    axes.spines[["top", "right"]].set_visible(False)
plt.tight_layout()
plt.show()

# %% [markdown]
# ## 5. Let the tuner choose
#
# `tune` also varies what needs a new build: the number of leaves, the dimensions per block, the anisotropic
# threshold, and no tree at all. It keeps a change if it saves at least 5% of the time. It decides on one half of the
# test users, and the figures below are of the other half, over an index built anew: a recall reported on the queries
# it was tuned on would flatter itself.

# %%
tuned = tune(vectors, tuning, recall=0.99, config=IndexConfig(training_iterations=6), report=print)
best = tuned.best.config
kept = audit(build_index(vectors, best), vectors, reporting)
print()
for name, figures in (("tuned", kept), ("exact", audit(exact, vectors, reporting))):
    print(
        f"{name}: recall@10 {figures['recall@10']:.4f}, p50 {figures['p50_ms']:.2f} ms, "
        f"p99 {figures['p99_ms']:.2f} ms, "
        f"{figures['queries_per_second']:,.0f} queries/s, built in {figures['build_seconds']:.1f} s, "
        f"{figures['bytes'] / 2**20:.1f} MiB"
    )

# %% [markdown]
# ## 6. Excluded items
#
# What a user has seen must not return, and the list must still be full. The index fetches as many candidates more as
# the row excludes and drops them, so exclusion is hard, not a penalty. A filter that keeps one item in a thousand is
# another matter: then most of what ScaNN finds is dropped, and the exact index is the right tool.

# %%
index = ScannIndex(vectors, best if best.kind == "scann-tree" else IndexConfig())
_, first = index.search(tf.constant(reporting[:3]), 5)
_, second = index.search(tf.constant(reporting[:3]), 5, excluded=first)
print(first.numpy(), second.numpy(), sep="\n\n")

# %% [markdown]
# ## A question to answer by experiment
#
# *At how many items does ScaNN start to pay on your machine?* Start the notebook with `COPIES=2000`, `20000` and
# `200000` in the environment and compare the last two lines of section 5. The chooser switches at 20,000: would you?
#
# ## What to read next
#
# * [docs/vector_index.md](../docs/vector_index.md): every setting, adding and removing items, memory, and what does not
#   work.
# * `13_export_and_tf_serving`: the index inside a SavedModel.

# %% [markdown]
# ## The series
#
# * Before it: [Content: what a new item sounds like](10_content_features_with_cnn.ipynb)
# * After it: [Retrieve, then rank; and several models together](12_retrieve_then_rank_ensemble.ipynb)
