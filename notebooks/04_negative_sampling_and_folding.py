# %% [markdown]
# # Negative sampling and folding
#
# **What it teaches**: what negatives are for, how the samplers draw them and with which probability, why that
# probability belongs into the loss, and how embeddings fold when a model is shown nothing but positives.
# **For whom**: readers of [03_softmax_dnn](03_softmax_dnn.ipynb), or whoever knows what a softmax is.
# **How long**: twenty minutes to read, about a minute to run on two processor cores.
# **Paper**: Xin et al., *Folding: why good models sometimes make spurious recommendations*, RecSys 2017; Bengio and
# Senécal, *Adaptive importance sampling to accelerate training of a neural probabilistic language model*, IEEE
# Transactions on Neural Networks 2008.
#
# Losses, samplers and measured figures stand in [docs/softmax.md](../docs/softmax.md#folding).

# %%
import inspect
import itertools
import os
import tempfile
from dataclasses import replace
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from rich.console import Console

from recsys_tfrs import runtime

tf = runtime.import_tensorflow()

from recsys_tfrs.baselines.tuning import tuned_baselines
from recsys_tfrs.config import build
from recsys_tfrs.evaluation.folding import foreign_share
from recsys_tfrs.models.scoring import RetrievalScorer
from recsys_tfrs.objectives.hard import hardest
from recsys_tfrs.objectives.sampled import PositivesOnly, SampledSoftmax
from recsys_tfrs.objectives.stream_samplers import MixedSampler, make_sampler
from recsys_tfrs.runs.config import family_config
from recsys_tfrs.runs.folding import TRUE_GROUPS, item_groups, measure_folding
from recsys_tfrs.runs.measuring import measure
from recsys_tfrs.runs.prepared import prepare
from recsys_tfrs.schema import Kind
from recsys_tfrs.training.fit import Phase, fit
from recsys_tfrs.training.pipeline import user_batches

DATASET = os.environ.get("DATASET", "simulated-small")
EPOCHS = 4
NEGATIVES = 300

settings = {
    "family": "softmax",
    "data": {"dataset": DATASET},
    "split": {"method": "random"},
    "model": {"dim": 32, "hidden": [], "hide": "any", "members": 1, "num_negatives": NEGATIVES},
    "training": {"batch_size": 2_000},
}
prepared = prepare(build(family_config("softmax"), [settings]))
data, split, train = prepared.interactions, prepared.split, prepared.train
counts = np.bincount(train.items, minlength=data.num_items + 1)
print(f"{data.name}: {data.num_users:,} users, {data.num_items:,} items, {len(train.items):,} rows to fit on")

# %% [markdown]
# ## 1. What negatives are for
#
# A log holds what people chose. A loss that looks at nothing else is content when all scores are high:
#
# $$L_\text{positives only} = -\log \sigma(s_p)$$

# %%
print(inspect.getsource(PositivesOnly.losses))

# %% [markdown]
# Nothing in it pushes. Put every user and every item at the same place, and it is at its minimum. The softmax
# pushes every item away from the queries that did not choose it, and an item is left where those are that did:
#
# $$L = -\log \frac{e^{s_p}}{e^{s_p} + \sum_{j \ne p} e^{s_j}}$$
#
# The sum over the catalogue is what it costs. *Negative sampling* estimates it from a few items, drawn with an expected
# number of $q_j$ times each:
#
# $$\sum_{j} e^{s_j} \approx \sum_{j\ \text{drawn}} e^{s_j - \log q_j}$$

# %%
print(inspect.getsource(SampledSoftmax.losses))

# %% [markdown]
# `mask` are the drawn items that the user is known to like: they are no negatives.
#
# ## 2. Samplers, and what they say of themselves
#
# | sampler | draws | $q_j$ |
# | --- | --- | --- |
# | `uniform` | k distinct items | $k / N$ |
# | `unigram` | k items by popularity | $k\, c_j^\alpha / \sum_i c_i^\alpha$ |
# | `log-uniform` | k items by rank r of popularity | $k \log(1 + 1/r) / \log(N + 1)$ |
# | `in-batch` | the n interactions of the batch | $1 - (1 - p_j)^n$, $p_j$ the item's share of the stream |
# | `mixed` | both | $1 - (1 - q_j^\text{batch})(1 - q_j^\text{uniform})$ |
#
# A correction is as good as the statement it rests on. The last of them, in the library:

# %%
print(inspect.getsource(MixedSampler.log_q))

# %% [markdown]
# Draw 100 items a time for some hundred small batches, of the items of a dozen users each, count, and compare:

# %%
names = ("uniform", "unigram", "log-uniform", "in-batch", "mixed")
samplers = {name: make_sampler(name, data.num_items, counts, 100) for name in names}
stream = iter(user_batches(train, batch_size=1_000, seed=1).dataset())
everything = tf.range(1, data.num_items + 1)
drawn = {name: np.zeros(data.num_items + 1) for name in names}
stated = {name: np.zeros(data.num_items) for name in names}
LEARN, DRAW = 60, 200  # the samplers that take their items from the stream first see what it is made of
for step in range(LEARN + DRAW):
    positives = next(stream)["positives"]
    for name, sampler in samplers.items():
        negatives = sampler.sample(positives, tf.constant([step, 0]), training=True)
        if step >= LEARN:
            drawn[name] += np.bincount(negatives.ids, minlength=data.num_items + 1) / DRAW
            stated[name] += np.exp(sampler.log_q(everything, positives.flat_values.shape[0])) / DRAW

# %%
by_rank = np.argsort(-counts[1:], kind="stable")
edges = np.linspace(0, data.num_items, 21).astype(int)
figure, axes = plt.subplots(1, len(names), figsize=(11, 2.8), sharey=True)
for axis, name in zip(axes, names, strict=True):
    axis.plot(1 + np.arange(data.num_items), stated[name][by_rank], color="#1f6f8b", lw=1.2, label="stated")
    binned = np.add.reduceat(drawn[name][1:][by_rank], edges[:-1]) / np.diff(edges)
    axis.plot((edges[:-1] + edges[1:]) / 2, binned, "o", color="#d1495b", ms=4, label="counted, 20 bins")
    axis.set(yscale="log", title=name, xlabel="rank of popularity", ylim=(1e-3, 20))
    axis.spines[["top", "right"]].set_visible(False)
axes[0].set_ylabel("times in a batch's negatives")
axes[0].legend(frameon=False)
plt.tight_layout()
plt.show()
for name in names:
    print(f"{name:12s} stated {stated[name].sum():7.1f} items a batch, counted {drawn[name].sum():7.1f}")

# %% [markdown]
# `uniform` hardly meets what is popular, `in-batch` hardly what is rare: an item nobody in the batch has chosen is
# pushed by nobody. `mixed` has a floor under it. In-batch items are counted a little more often than stated, because
# the statement takes a batch for independent draws and no user chooses an item twice. With more users in a batch the
# difference shrinks.
#
# ## 3. The correction, by arithmetic
#
# Three items score 2, 1 and 0. In a batch they are found with probability .9, .5 and .1, independently. Eight draws
# are possible; the mean over them, each weighted by its probability:

# %%
scores, q = np.array([2.0, 1.0, 0.0]), np.array([0.9, 0.5, 0.1])
plain = corrected = 0.0
for draw in itertools.product([False, True], repeat=3):
    present = np.array(draw)
    probability = np.prod(np.where(present, q, 1 - q))
    plain += probability * np.exp(scores)[present].sum()
    corrected += probability * np.exp(scores - np.log(q))[present].sum()
print(f"sum over the catalogue  {np.exp(scores).sum():.4f}")
print(f"expected, uncorrected   {plain:.4f}   what is drawn often is pushed more than its share")
print(f"expected, with - log q  {corrected:.4f}")

# %% [markdown]
# One of these draws, the first and the third item, against a positive of score 1.5, by hand and by the library:

# %%
by_hand = -np.log(np.exp(1.5) / (np.exp(1.5) + np.exp(2.0) / 0.9 + np.exp(0.0) / 0.1))
loss = SampledSoftmax()(
    tf.constant([1.5]),
    tf.constant([[2.0, 0.0]]),
    row=tf.constant([0]),
    mask=tf.constant([[False, False]]),
    weights=tf.constant([1.0]),
    log_q=tf.constant(np.log([0.9, 0.1]), tf.float32),
)
print(f"by hand {by_hand:.6f}   library {loss:.6f}")

# %% [markdown]
# *Hard* negatives are those a query scores highest among the drawn. That is certain given the draw, no correction
# turns it into an estimate of the catalogue's sum, and none is made: it is an objective of its own.

# %%
pool = tf.constant([[0.3, 2.1, -1.0, 1.7, 0.0]])
chosen = hardest(pool, k=2, mask=tf.constant([[False, True, False, False, False]]))
print("of", pool.numpy()[0], "the second being a known positive, kept:", chosen.scores.numpy()[0])

# %% [markdown]
# ## 4. The same model, different negatives
#
# Everything else is the same: start, batches, number of steps.

# %%
ways = {
    "positives-only": {"objective": "positives-only"},
    "uniform": {"objective": "sampled-softmax", "sampler": "uniform"},
    "in-batch": {"objective": "sampled-softmax", "sampler": "in-batch"},
    "in-batch, no logQ": {"objective": "sampled-softmax", "sampler": "in-batch", "log_q": False},
    "mixed": {"objective": "sampled-softmax", "sampler": "mixed"},
    "hard": {"objective": "sampled-softmax", "sampler": "mixed", "num_hard": 50},
}
tf.get_logger().setLevel("ERROR")  # a model of its own each time is traced each time, of which TensorFlow would warn
scorers, place = {}, Path(tempfile.mkdtemp(prefix="negatives-"))
for number, (name, way) in enumerate(ways.items()):
    varied = build(family_config("softmax"), [settings, {"model": way}])
    runtime.configure(varied.device, seed=varied.seed)
    each = replace(prepared, config=varied)
    model = each.build_model(train)
    phase = Phase(f"way{number}", EPOCHS, None)
    state = fit(model, each.batches(train), phase, varied.training, place, Console(quiet=True))
    scorers[name] = RetrievalScorer(model, train)
    losses = [entry["loss"] for entry in state.log if "loss" in entry]
    print(f"{name:18s} loss of the first epoch {losses[0]:.4f}, of the last {losses[-1]:.4f}")

# %% [markdown]
# The loss of positives alone goes to its minimum, which says nothing about what has been learned.
#
# ## 5. Folding, drawn
#
# Items of four groups. The axes are the two principal components of the items shown (vectors of length 1), in the first
# and the last panel at the same scale.

# %%
column = (
    TRUE_GROUPS
    if data.oracle is not None
    else next(name for name, values in data.item_features.items() if values.kind is Kind.MULTI_CATEGORICAL)
)
groups = item_groups(prepared, column)
alone = groups.sum(axis=1) == 1  # an item of several groups would have several colours
shown = np.argsort(-(groups & alone[:, None] & (counts >= 20)[:, None]).sum(axis=0))[:4]
items = np.flatnonzero(groups[:, shown].any(axis=1) & alone & (counts >= 20))
figure, axes = plt.subplots(1, 3, figsize=(11, 3.8))
places = {}
for name in ("positives-only", "in-batch"):
    unit = scorers[name].candidates[items]
    unit = unit / np.linalg.norm(unit, axis=1, keepdims=True)
    centered = unit - unit.mean(axis=0)
    places[name] = centered @ np.linalg.svd(centered, full_matrices=False)[2][:2].T
widest, narrow = (1.1 * np.abs(places[name]).max() for name in ("in-batch", "positives-only"))
panels = (
    ("positives-only", "positives-only", widest),
    ("positives-only", f"the same, enlarged {widest / narrow:.0f} times", narrow),
    ("in-batch", "in-batch negatives", widest),
)
for axis, (name, title, size) in zip(axes, panels, strict=True):
    for group, colour in zip(shown, ("#1f6f8b", "#d1495b", "#edae49", "#6a4c93"), strict=True):
        axis.plot(*places[name][groups[items, group]].T, "o", ms=3, mew=0, alpha=0.75, color=colour)
    axis.set(title=title, xlim=(-size, size), ylim=(-size, size), aspect="equal", xticks=[], yticks=[])
plt.tight_layout()
plt.show()

# %% [markdown]
# Without negatives the groups lie on top of each other: *folded*. What a user of one group is shown may then come from
# any. Somebody who kept to few groups:

# %%
touched = np.array([groups[train.of(user)].any(axis=0).sum() for user in range(1, data.num_users + 1)])
kept_to_few = np.where(train.lengths[1:] >= 40, touched, groups.shape[1] + 1)
someone = int(np.argmin(kept_to_few)) + 1
own = groups[train.of(someone)].any(axis=0)
print(f"user {data.user_ids[someone]}: {train.lengths[someone]} items of {own.sum()} of {groups.shape[1]} groups")
for name in ("positives-only", "in-batch"):
    row = scorers[name].score(np.array([someone], np.int32))[0]
    row[[0, *train.of(someone)]] = -np.inf
    best = np.argsort(-row, kind="stable")[:6]
    print(f"\n{name}:")
    for item in best:
        print(f"   {'foreign ' if not (groups[item] & own).any() else '        '}{data.titles[item]}")

# %% [markdown]
# ## 6. Folding, measured
#
# Two figures for the lists: the share of all users' ten items from groups they **never touched**, and from groups they
# **avoid**, where to have missed a group by luck has a probability of at most 5%: who has five items has left most
# groups alone, and that says nothing. Two for the space: the share of an item's ten nearest items that are of
# **unrelated** groups, and the mean cosine of the groups' **centroids**.
#
# Beside them the accuracy: full ranking, seen items left out. The baselines are tuned on validation and have no
# embeddings that could fold.

# %%
baselines = tuned_baselines(data, split, names=["popularity", "ease"], pairs=prepared.config.pairs)
rows = {**{name: baseline.scorer for name, baseline in baselines.items()}, **scorers}
print(f"{'':18s} hit@10  ndcg@10 coverage | never touched  avoided | unrelated  centroids")
shares = {}
for name, scorer in rows.items():
    evaluation = measure(prepared, scorer)
    accuracy = "  ".join(f"{evaluation.metrics[metric]:.4f}" for metric in ("hit@10", "ndcg@10", "coverage@10"))
    if name in scorers:
        folding = measure_folding(evaluation.ranking, scorer.candidates, train, groups)
        lists = (folding.never_touched, folding.avoided)
        space = f"{folding.overlap.neighbour_share:9.3f} {folding.overlap.centroid_cosine:10.3f}"
    else:
        asked, best = evaluation.ranking.list_users, evaluation.ranking.top_items[:, :10]
        lists, space = [foreign_share(asked, best, train, groups, luck) for luck in (1.0, 0.05)], ""
    shares[name] = [part.share for part in lists]
    print(f"{name:18s} {accuracy}  | {lists[0].share:13.4f} {lists[1].share:8.4f} | {space}")
chance = folding.overlap.neighbour_chance
print(f"{'items at random':18s} {'':24s}  | {lists[0].chance:13.4f} {lists[1].chance:8.4f} | {chance:9.3f}")

# %%
figure, axis = plt.subplots(figsize=(7, 2.8))
position = np.arange(len(shares))
axis.barh(position - 0.2, [share[0] for share in shares.values()], 0.38, color="#9ec5d1", label="never touched")
axis.barh(position + 0.2, [share[1] for share in shares.values()], 0.38, color="#1f6f8b", label="avoided")
axis.axvline(lists[0].chance, color="#9ec5d1", ls=":", lw=1)
axis.axvline(lists[1].chance, color="#1f6f8b", ls=":", lw=1)
axis.set_yticks(position, shares)
axis.invert_yaxis()
axis.set_xlabel("share of the lists (dotted: items at random)")
axis.spines[["top", "right"]].set_visible(False)
axis.legend(frameon=False)
plt.show()

# %% [markdown]
# Every way of drawing from the whole catalogue, or from what streams by, unfolds. Hard negatives push only what stands
# near the top of a ranking already; see above how far that goes. Without the correction, what is popular is pushed for
# being drawn often, which spreads the lists over the catalogue and costs hits.
#
# Even the best model shows some things from groups never touched, and should: a group may be new to somebody. That is
# why the second figure asks for groups whose absence means something. And foreign lists alone are not folding:
# `popularity` has no space to fold and shows everybody the same, to some of them foreign things. Look at both sides.
#
# ## A question to answer by experiment
#
# *How few negatives unfold?* Set `NEGATIVES = 1`, then 10, then 100, and look at `uniform` in section 6. Does folding
# disappear before accuracy arrives, or with it? And why does `in-batch` not care?
#
# ## What to read next
#
# * [docs/softmax.md](../docs/softmax.md#folding): the same on real data, with larger models and several seeds.
# * [05_two_tower_retrieval](05_two_tower_retrieval.ipynb): where in-batch negatives are most at home.
# * [06_item2vec](06_item2vec.ipynb): negatives by unigram$^{0.75}$, and what they do to similarity.

# %% [markdown]
# ## The series
#
# * Before it: [The softmax DNN: recommending as classification](03_softmax_dnn.ipynb)
# * After it: [Two-tower retrieval, piece by piece](05_two_tower_retrieval.ipynb)
