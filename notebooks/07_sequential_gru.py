# %% [markdown]
# # Sequential retrieval with GRUs: what comes next
#
# **What it teaches**: how a recurrent network reads a history item by item, how it is trained on thousands of sequences
# at a time, which losses there are, and what the order of a history is worth.
# **For whom**: readers who know what a softmax is. Recurrent networks are explained as far as they are needed.
# **How long**: twenty minutes to read, about one minute to run on two processor cores.
# **Paper**: Hidasi et al., *Session-based recommendations with recurrent neural networks*, ICLR 2016
# (https://arxiv.org/abs/1511.06939).
#
# Equations, settings and figures on real data stand in [docs/gru.md](../docs/gru.md).

# %%
import inspect
import os
import tempfile
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
from rich.console import Console

from recsys_tfrs import runtime

tf = runtime.import_tensorflow()

from recsys_tfrs.baselines.tuning import tuned_baselines
from recsys_tfrs.config import build
from recsys_tfrs.evaluation.protocol import evaluate
from recsys_tfrs.evaluation.tie_rules import by_tie_rule
from recsys_tfrs.layers import gru
from recsys_tfrs.models.scoring import RetrievalScorer
from recsys_tfrs.runs.config import family_config
from recsys_tfrs.runs.prepared import prepare
from recsys_tfrs.training.fit import Phase, fit
from recsys_tfrs.training.sequences import session_parallel_batches

DATASET = os.environ.get("DATASET", "simulated-small")
EPOCHS = 5


base = {
    "family": "gru",
    "data": {"dataset": DATASET},
    "split": {"method": "leave-last-out"},
    # Sequences are cut after thirty items, so that a batch holds many of them side by side.
    "model": {"dim": 64, "units": [96], "max_length": 30, "input_dropout": 0.0, "dropout": 0.2},
    "training": {"batch_size": 2_048, "learning_rate": 8e-3},
}
config = build(family_config("gru"), [base])
runtime.configure(config.device, seed=config.seed)
prepared = prepare(config)
data, split, train = prepared.interactions, prepared.split, prepared.train
print(f"{data.name}: {data.num_users:,} sequences, {data.num_items:,} items, {len(train.items):,} events")

# %% [markdown]
# ## 1. Reading a history
#
# A gated recurrent unit keeps a state $h$, a summary of what it has read. With every item $x$ it computes how much of
# the state to keep ($z$), how much of it to look at ($r$), and what to put in its place ($n$), biases left out, which
# are 0 at the start:
#
# $$z = \sigma(W_z x + U_z h) \quad r = \sigma(W_r x + U_r h) \quad n = \tanh(W_n x + r \odot U_n h) \quad
# h' = z \odot h + (1 - z) \odot n$$
#
# The state, mapped into the space of the items, is the query; the item whose vector is nearest is what comes next. The
# same vector is read when the item is in the history and met when it is a candidate. One step in the library, where
# `products` are the $W x$ of all three gates, and by hand:

# %%
print(inspect.getsource(gru._gates))
model = prepared.build_model(train)
layer = model.query_tower.layers[0]
x = model.candidate_tower.read(model.data.encoded_items(tf.constant([5]))).numpy()
h = np.full((1, layer.units), 0.1, np.float32)
wx, uh = np.split(x @ layer.kernel.numpy(), 3, axis=1), np.split(h @ layer.recurrent.numpy(), 3, axis=1)
z, r = (1 / (1 + np.exp(-wx[gate] - uh[gate])) for gate in (0, 1))
by_hand = z * h + (1 - z) * np.tanh(wx[2] + r * uh[2])
library = layer.step(tf.constant(x) @ layer.kernel, tf.constant(h)).numpy()
print("largest difference from the library:", np.abs(by_hand - library).max())

# %% [markdown]
# ## 2. Thousands of sequences at a time
#
# **Sequences side by side.** Rows of a batch have nearly the same length, so little is padding, and every position has
# a target: the item that came next.

# %%
batches = prepared.batches(train)
one = next(iter(batches.dataset()))
padding = np.mean([np.mean(batch["inputs"] == 0) for batch in batches.dataset().take(20).as_numpy_iterator()])
print(
    f"{batches.steps_per_epoch} batches an epoch, the first {one['inputs'].shape} (times, rows), {padding:.1%} padding"
)

# %% [markdown]
# **Session-parallel mini-batches**, as GRU4Rec has them (Hidasi et al. 2016, figure 3): every row walks through one
# session after the other, and the next batch goes on where this one ends. Where a session starts, the state is emptied.
# Nothing is padded. Below, each colour is a session; a bar marks a start.

# %%
parallel = session_parallel_batches(train, batch_size=8, rows=8, seed=1)
drawn = list(parallel.dataset().take(40).as_numpy_iterator())
starts = np.concatenate([batch["starts"] for batch in drawn])
session = np.cumsum(starts, axis=0) + 100 * np.arange(8)
figure, axes = plt.subplots(figsize=(9, 2.2))
axes.imshow((session.T * 7) % 20, aspect="auto", cmap="tab20", interpolation="nearest")
for time, row in np.argwhere(starts):
    axes.plot([time - 0.5] * 2, [row - 0.45, row + 0.45], color="black", lw=1.5)
axes.set_xlabel("mini-batch")
axes.set_ylabel("row")
axes.spines[["top", "right"]].set_visible(False)
plt.show()

# %% [markdown]
# ## 3. Losses
#
# Against all items (full softmax), or against some drawn by popularity, with the batch's own targets or without:
# cross-entropy with the correction for how likely each was drawn, or the ranking losses of the papers. $r_i$ is the
# target's score, $r_j$ a negative's, $s_j$ the softmax over the negatives:
#
# | loss | of a target |
# | --- | --- |
# | BPR | $-\frac1N \sum_j \log \sigma(r_i - r_j)$ |
# | TOP1 | $\frac1N \sum_j (\sigma(r_j - r_i) + \sigma(r_j^2))$ |
# | TOP1-max | $\sum_j s_j (\sigma(r_j - r_i) + \sigma(r_j^2))$ |
# | BPR-max | $-\log \sum_j s_j \sigma(r_i - r_j) + \lambda \sum_j s_j r_j^2$ |
#
# Ranking losses compare scores themselves, so their vectors are not scaled to length 1. All train for the same two
# epochs and are measured on the **validation** part; test is for the end.

# %%
console = Console(width=110, force_jupyter=False, force_terminal=False, quiet=True)
place = Path(tempfile.mkdtemp(prefix="gru-"))
free = {"normalize": False, "temperature": 1.0, "log_q": False}
ways = {
    "full-softmax": {},
    "cross-entropy": {"num_samples": 256},
    "bpr-max": {"num_samples": 256, "score_penalty": 0.5, **free},
    "top1-max": {"num_samples": 256, **free},
}
for name, way in ways.items():
    run = prepare(build(family_config("gru"), [base, {"model": {"objective": name, **way}}]))
    made = run.build_model(run.selection_train)
    batches = run.batches(run.selection_train)
    fit(made, batches, Phase("selection", 2, None), run.config.training, place / name, console)
    e = evaluate(
        RetrievalScorer(made, prepared.selection_train), data, split.selection_train, split.validation, intervals=False
    )
    print(f"{name:14s} validation recall@20 {e.metrics['recall@20']:.4f}  mrr@20 {e.metrics['mrr@20']:.4f}")

# %% [markdown]
# ## 4. Why order matters
#
# EASE, tuned, sees the same histories as sets; a Markov chain sees nothing but the last item. The GRU is asked twice:
# with histories as they happened, and with the same histories shuffled. What the second loses is what order is worth
# to it.

# %%
fit(model, prepared.batches(train), Phase("refit", EPOCHS, None), config.training, place / "final", console)
shuffled = np.random.default_rng(0).permutation(len(train.items))
owner = np.repeat(np.arange(train.num_users + 1), train.lengths)
order = shuffled[np.argsort(owner[shuffled], kind="stable")]
out_of_order = replace(train, items=train.items[order], ratings=None if train.ratings is None else train.ratings[order])
tuned = tuned_baselines(data, split, names=["popularity", "ease", "markov_chain"], pairs=prepared.config.pairs)
systems = {name: baseline.scorer for name, baseline in tuned.items()}
systems["GRU"] = RetrievalScorer(model, train)
systems["GRU, shuffled"] = RetrievalScorer(model, out_of_order)
measured, rankings = {}, {}
for name, system in systems.items():
    e = evaluate(system, data, split.train, split.test, pairs=prepared.config.pairs)
    measured[name], rankings[name] = e.intervals["ndcg@10"], e.ranking
    low, high = measured[name]
    print(f"{name:14s} hit@10 {e.metrics['hit@10']:.4f}  ndcg@10 {e.metrics['ndcg@10']:.4f} ({low:.4f}-{high:.4f})")

figure, axes = plt.subplots(figsize=(7, 1.8))
axes.hlines(list(measured), *zip(*measured.values(), strict=True), color="#1f6f8b", lw=4)
axes.set_xlabel("ndcg@10, 95% intervals over users")
axes.spines[["top", "right"]].set_visible(False)
axes.margins(y=0.3)
plt.show()

# %% [markdown]
# How much order is worth depends on the data: run this notebook with `DATASET=movielens-100k`, or see the figures of
# [docs/gru.md](../docs/gru.md).
#
# ## 5. Equal scores
#
# A collapsed model scores all items alike. Whether that counts as perfect or as hopeless is a matter of the rule, and
# papers differ in it silently. Every figure of this library is the expected one.

# %%
collapsed = SimpleNamespace(score=lambda users: np.zeros((len(users), data.num_items + 1), np.float32))
e = evaluate(collapsed, data, split.train, split.test, pairs=prepared.config.pairs, intervals=False)
for title, ranking in (("GRU", rankings["GRU"]), ("collapsed", e.ranking)):
    for rule, figures in by_tie_rule(ranking).items():
        print(f"{title:10s} {rule:13s} recall@20 {figures['recall@20']:.4f}  mrr@20 {figures['mrr@20']:.4f}")

# %% [markdown]
# ## 6. A live session
#
# Between clicks, the state is all there is to keep. A click costs one step, whatever came before it; the exported model
# offers the same as the signature `recommend_step`.

# %%
user = int(np.argmax(np.minimum(train.lengths, 6)))
state = tf.zeros([1, model.state_size])
candidates = model.candidate_vectors()
for item in train.of(user)[:5]:
    state, query = model.step(tf.constant([item]), state)
    scores = tf.linalg.matvec(candidates, query[0]).numpy()
    best = np.argsort(-scores[1:])[:3] + 1
    print(f"{data.titles[item][:38]:40s} -> {', '.join(data.titles[best])[:70]}")

# %% [markdown]
# ## A question to answer by experiment
#
# *How much history does the model use?* Ask with `train` cut to the newest 1, 2, 5 and 20 items of everybody
# (`build_histories` of the rows you keep) and plot ndcg@10. Where does it stop rising? Then train with
# `examples="windows"` and `window=5`, and compare.
#
# ## What to read next
#
# * [docs/gru.md](../docs/gru.md): settings, equations, speed, figures on real data.
# * [06_item2vec](06_item2vec.ipynb): order through windows alone.
# * [docs/data.md](../docs/data.md): sessions of your own.

# %% [markdown]
# ## The series
#
# * Before it: [Item2vec: what occurs together](06_item2vec.ipynb)
# * After it: [3-D convolutions over sessions and how their words look](08_session_3d_cnn.ipynb)
