# %% [markdown]
# # Retrieve, then rank; and several models together
#
# **What it teaches**: why services recommend in two stages, how several sources of candidates are merged, what the
# second stage is worth and how that is measured, what blending models brings, how a list is made diverse, and how all
# of it becomes one SavedModel that still answers when one of its models fails.
# **For whom**: readers of notebooks 05 (two-tower retrieval) and 09 (ranking with DeepFM).
# **How long**: twenty minutes to read, about a minute to run on two processor cores.
#
# **Paper**: Covington, Adams and Sargin, *Deep neural networks for YouTube recommendations*, RecSys 2016; Carbonell and
# Goldstein, *The use of MMR, diversity-based reranking*, SIGIR 1998. Every option stands in
# [docs/cascade.md](../docs/cascade.md).

# %%
import inspect
import os
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
from rich.console import Console

from recsys_tfrs import runtime

tf = runtime.import_tensorflow()

from recsys_tfrs.baselines.ease import EASE
from recsys_tfrs.config import build
from recsys_tfrs.evaluation.intervals import paired_differences
from recsys_tfrs.evaluation.protocol import evaluate
from recsys_tfrs.index.exact import ExactIndex
from recsys_tfrs.layers.diversify import maximal_marginal_relevance
from recsys_tfrs.runs import folder
from recsys_tfrs.runs.cascade import CascadeOptions, export_cascade_run, shares
from recsys_tfrs.runs.cascade_measuring import measure_cascade, validated_weight
from recsys_tfrs.runs.config import family_config
from recsys_tfrs.runs.ranking_config import ranking_config
from recsys_tfrs.runs.ranking_reopen import reopen_ranker
from recsys_tfrs.runs.ranking_train import train_ranker
from recsys_tfrs.runs.reopen import reopen
from recsys_tfrs.runs.train import train
from recsys_tfrs.serving.cascade_sources import Source, merged
from recsys_tfrs.serving.two_stages import TwoStages, standardised

DATASET = os.environ.get("DATASET", "simulated-small")
CANDIDATES = 200
place = Path(tempfile.mkdtemp(prefix="cascade-"))
quiet = Console(quiet=True)

# %% [markdown]
# ## 1. Three models
#
# Two that retrieve: a two-tower model, and EASE (Steck, *Embarrassingly shallow autoencoders*, WWW 2019), which has a
# closed form. And DeepFM, which ranks: it learned what was chosen from what was not, each interaction standing beside
# items drawn anew in each epoch (`target=click`). All are fitted on the same rows. None is refitted on the
# validation rows (`refit` is off), because the blending weights below are chosen on them.

# %%
shared = {"data": {"dataset": DATASET}, "split": {"method": "leave-last-out"}}
retrieves = {
    "training": {"epochs": 6, "refit": False},
    "model": {"dim": 32, "hide": "any"},
    "evaluation": {"baselines": []},
}
ranks = {
    "target": "click",
    "data": {"dataset": DATASET, "negatives": 2},
    "features": {"history": 20},
    "training": {"epochs": 3, "refit": False},
    "model": {"regularization": "rows", "hidden": [64, 64]},
    "evaluation": {"importance": False},
}
runs = {}
for family, own in {"two-tower": retrieves, "deepfm": ranks}.items():
    started = time.perf_counter()
    start = folder.start(place / family, family, resume=False)
    if family == "deepfm":
        runs[family] = train_ranker(build(ranking_config(family), [shared, own, {"family": family}]), start, quiet)
    else:
        runs[family] = train(build(family_config(family), [shared, own, {"family": family}]), start, quiet)
    print(f"{family:10} trained, measured and exported in {time.perf_counter() - started:.0f} s")

towers, ranker = reopen(runs["two-tower"]), reopen_ranker(runs["deepfm"])
data, split = towers.prepared.interactions, towers.prepared.split
known = towers.prepared.selection_known  # what users had done when the validation part came
first, second = towers.prepared.scorer(towers.model, known, split.validation), EASE()
second.fit(known)
print(f"{data.num_users:,} users, {data.num_items:,} items, {len(split.test):,} of them to be found, one a user")

# %% [markdown]
# ## 2. Why two stages
#
# Retrieval is a dot product: its cost for N items is one matrix product, or less with an index, but user and item meet
# only there. A ranking model lets every field of the user meet every field of the item, and has to be run once per
# pair. So retrieval cuts the catalogue down to n candidates, and ranking orders those.
#
# What is no candidate cannot be recommended: **hit@n of the first stage is a ceiling** of what any second stage can
# reach. It says how many candidates are worth ranking, and what they cost can be measured as well.

# %%
asked = np.unique(data.users[split.validation])
depths = (10, 20, 50, 100, 200, 400)
ceiling = {}
for name, scorer in {"two-tower": first, "EASE": second}.items():
    found = evaluate(scorer, data, split.selection_train, split.validation, intervals=False)
    ceiling[name] = [float(np.mean(found.ranking.greater < depth)) for depth in depths]
seconds = []
for depth in depths:
    stages = TwoStages([(first, depth)], ranker.model, ranker.data.encoded, known)
    stages.candidates(asked[:100])
    started = time.perf_counter()
    stages.candidates(asked[:100])
    seconds.append(time.perf_counter() - started)

figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.2))
for name, reached in ceiling.items():
    left.plot(depths, reached, "o-", label=name)
left.set(xlabel="candidates", ylabel="share of targets among them", xscale="log")
left.legend(frameon=False)
right.plot(depths, 10 * np.array(seconds), "o-", color="#c0504d")
right.set(xlabel="candidates", ylabel="ms per user, retrieved and ranked", ylim=(0, None))
for axes in (left, right):
    axes.spines[["top", "right"]].set_visible(False)
plt.tight_layout()
plt.show()

# %% [markdown]
# ## 3. Several sources, each with its quota
#
# Models err in different ways, and a popular item that no model has reason to name is still a sound guess for somebody
# new. Sources are asked in order; source $j$ with quota $q_j$ fills the list up to $Q_j = q_1 + \dots + q_j$:
#
# $$C_j = C_{j-1} \cup \{\text{the best } Q_j - |C_{j-1}| \text{ of source } j \text{ not in } C_{j-1}\}$$
#
# An item that two sources find is the first one's, and what a source leaves open the next one fills. A source whose
# query or scores are not finite brings nothing, so that a model that fails costs candidates, never the answer. Below,
# the two-tower model gives no number for the first of two users.

# %%
counts = np.bincount(known.items, minlength=data.num_items + 1).astype(np.float32)
popularity = SimpleNamespace(score=lambda users: np.broadcast_to(counts, (len(users), len(counts))))
quotas = shares(CANDIDATES, [None, 3 * CANDIDATES // 10, CANDIDATES // 10])  # the first takes what is left
mixed = list(zip([first, second, popularity], quotas, strict=True))
stages = TwoStages(mixed, ranker.model, ranker.data.encoded, known)
brought = stages.candidates(asked[:200]).sources
print("brought by each source:", np.bincount(brought.ravel(), minlength=3) / 200, "of quotas", quotas)

tower_vectors = first.candidates
in_graph = [
    Source("two-tower", 5, tower_vectors, ExactIndex(tower_vectors)),
    Source("popularity", 5, counts[:, None], ExactIndex(counts[:, None])),
]
queries = first.queries(asked[:2])
queries[0] = np.nan
found = merged(in_graph, [tf.constant(queries), tf.ones([2, 1])], tf.zeros([2, 2], tf.bool), tf.zeros([2, 1], tf.int32))
for row in range(2):
    print("sources that answered:", found.spoke.numpy()[row], "candidates:", found.ids.numpy()[row])

# %% [markdown]
# ## 4. Ranking with both scores
#
# The ranking model has seen the whole of a pair, the retrieval model every item of the catalogue as a negative. Both
# are heard: with r the ranking model's output before the sigmoid, s the first source's score, and z(.) standardising
# over the candidates C of a user,
#
# $$b_i = (1 - w)\, z(r)_i + w\, z(s)_i, \qquad z(x)_i = \frac{x_i - \bar x_C}{\sigma_C(x)}$$
#
# w = 1 is retrieval alone. The weight is chosen on the validation part, where neither model was fitted.

# %%
few = stages.candidates(asked[:1])
print(inspect.getsource(type(few).blended))
print(inspect.getsource(standardised))
r, s = few.order[0], few.first[0]
by_hand = 0.7 * (r - r.mean()) / r.std() + 0.3 * (s - s.mean()) / s.std()
print("by hand:    ", np.round(by_hand[:4], 4))
print("the library:", np.round(few.blended(0.3)[0, :4], 4))

plain = TwoStages([(first, CANDIDATES)], ranker.model, ranker.data.encoded, known)
weight, tried = validated_weight(plain, data, split.selection_train, split.validation)
print(f"weight of retrieval chosen: {weight:g}")
figure, axes = plt.subplots(figsize=(5.5, 3))
axes.plot(*zip(*tried.items(), strict=True), "o-", color="#1f6f8b")
axes.plot(weight, tried[weight], "o", color="#c0504d", label="chosen")
axes.set(xlabel="weight of retrieval", ylabel="ndcg@10 on the validation part")
axes.spines[["top", "right"]].set_visible(False)
axes.legend(frameon=False)
plt.show()

# %% [markdown]
# ## 5. What is the second stage worth?
#
# On test users, the whole catalogue competing, seen items filtered: the cascade beside its first source alone. Both are
# measured on the same users, so the difference of each user is what is averaged, and the interval is that of the mean
# over users. Only an interval apart from zero says that the second stage earns what it costs.

# %%
known = towers.prepared.known  # the validation part has happened
test_first, test_second = towers.prepared.scorer(towers.model, known, split.test), EASE()
test_second.fit(known)
encoded = ranker.data.encoded
systems = {
    "ranked alone": TwoStages([(test_first, CANDIDATES)], ranker.model, encoded, known),
    "blended": TwoStages([(test_first, CANDIDATES)], ranker.model, encoded, known, weight=weight),
    "three sources": TwoStages(
        [(test_first, quotas[0]), (test_second, quotas[1]), (popularity, quotas[2])],
        ranker.model,
        encoded,
        known,
        weight=weight,
    ),
}
for name, system in systems.items():
    figures = measure_cascade(system, test_first, data, split.train, split.test)
    if name == "ranked alone":
        print(f"two-tower alone ndcg@10 {figures.retrieval['ndcg@10']:.4f}")
    d = figures.comparison["ndcg@10"]
    print(f"{name:15} ndcg@10 {figures.metrics['ndcg@10']:.4f}   {d.difference:+.4f} ({d.low:+.4f} to {d.high:+.4f})")

# %% [markdown]
# ## 6. An ensemble of retrievers
#
# Two models whose errors differ are better together than either: their scores, made comparable, are averaged.
#
# $$e_i = a\, z(s^{tower})_i + (1 - a)\, z(s^{EASE})_i$$
#
# with z over all items that training has seen. One number is learned, on validation; the test part sees it once.

# %%
shares_tried = np.linspace(0, 1, 6)
everything = np.bincount(data.items[split.selection_train], minlength=data.num_items + 1)[None] > 0
blend = {
    part: [
        SimpleNamespace(
            score=lambda users, a=a, both=both: (
                a * standardised(both[0].score(users), everything)
                + (1 - a) * standardised(both[1].score(users), everything)
            ).astype(np.float32)
        )
        for a in shares_tried
    ]
    for part, both in {"validation": (first, second), "test": (test_first, test_second)}.items()
}
rows = {"validation": (split.selection_train, split.validation), "test": (split.train, split.test)}
chosen_on = [
    evaluate(one, data, *rows["validation"], intervals=False).metrics["ndcg@10"] for one in blend["validation"]
]
best = int(np.argmax(chosen_on))
print("ndcg@10 on validation:", np.round(chosen_on, 4), "-> a =", round(float(shares_tried[best]), 1))
together = evaluate(blend["test"][best], data, *rows["test"], intervals=False)
for name, scorer in {"two-tower": test_first, "EASE": test_second}.items():
    alone = evaluate(scorer, data, *rows["test"], intervals=False)
    d = paired_differences(together.user_sums, alone.user_sums)["ndcg@10"]
    print(
        f"together {together.metrics['ndcg@10']:.4f}, {name} {alone.metrics['ndcg@10']:.4f}: "
        f"{d.difference:+.4f} ({d.low:+.4f} to {d.high:+.4f})"
    )

# %% [markdown]
# ## 7. Diversity
#
# Ten items that are nearly the same are a poor list even if each is likely. Maximal marginal relevance chooses one
# after the other, with c the cosine of the first source's item vectors and S what stands in the list already:
#
# $$\arg\max_{i \notin S}\; \lambda\, b_i - (1 - \lambda) \max_{j \in S} c_{ij}$$
#
# How alike the items of a list are falls at once; what it costs in ndcg is measured here, as it should be before
# anybody turns it on.

# %%
asked = split.test[:500]  # the last item of everybody: a row each
users, target = data.users[asked], data.items[asked]
found = systems["blended"].candidates(users)
b = found.blended(weight).astype(np.float32)
item_vectors = test_first.candidates
of_list = tf.constant(item_vectors[found.items])
trade_offs = (1.0, 0.9, 0.8, 0.7, 0.5, 0.3)
alike, ndcg = [], []
for trade_off in trade_offs:
    places = maximal_marginal_relevance(b, of_list, trade_off=trade_off, k=10, present=found.items > 0).numpy()
    items = np.take_along_axis(found.items, places, 1)
    directions = item_vectors[items] / np.linalg.norm(item_vectors[items], axis=2, keepdims=True)
    cosines = np.einsum("bid,bjd->bij", directions, directions)
    alike.append(float((cosines.sum(axis=(1, 2)) - 10).mean() / 90))
    ndcg.append(float(((items == target[:, None]) / np.log2(np.arange(2, 12))).sum(axis=1).mean()))
order = np.argsort(-b[0])[:3]
print("the best three by score:", found.items[0, order], " with lambda 0.3:", items[0, :3])
figure, axes = plt.subplots(figsize=(5.5, 3))
axes.plot(alike, ndcg, "o-", color="#1f6f8b")
for x, y, trade_off in zip(alike, ndcg, trade_offs, strict=True):
    axes.annotate(f"{trade_off:g}", (x, y), textcoords="offset points", xytext=(4, 4))
axes.set(xlabel="mean cosine of two items of a list", ylabel="ndcg@10", title="by lambda")
axes.spines[["top", "right"]].set_visible(False)
plt.show()

# %% [markdown]
# ## 8. One SavedModel
#
# `recsys-tfrs export-cascade RETRIEVAL RANKING --source RUN:QUOTA --source popularity:QUOTA` puts it into one graph:
# ids in as strings; looked up, retrieved, merged, filtered, ranked, blended and diversified; titles out. Further
# sources are retrieval runs, or popularity. Every item says who brought it, and both scores. `without` leaves a model
# out of a request, as an operator would whose model misbehaves; the answer says which sources answered.

# %%
options = CascadeOptions(CANDIDATES, (("popularity", 20),), retrieval_weight=weight, diversify=0.9)
version = export_cascade_run(runs["two-tower"], runs["deepfm"], options, quiet, to=place / "models")
loaded = tf.saved_model.load(str(version))
ask = loaded.signatures["serving_default"]
kinds = {tf.string: "", tf.bool: True}
neutral = {
    name: tf.fill([1] * (spec.shape.rank or 0), tf.constant(kinds.get(spec.dtype, np.nan), spec.dtype))
    for name, spec in ask.structured_input_signature[1].items()
    if spec.dtype != tf.int32
}
user = {"user_id": tf.constant([str(data.user_ids[users[0]])]), "k": tf.constant([5])}
for silent in ([""], ["two-tower"], ["deep"], ["ranking"]):
    answer = {n: v.numpy()[0] for n, v in ask(**neutral | user | {"without": tf.constant([silent])}).items()}
    answered = f"{answer['sources'].decode()}; {answer['parts'].decode() or 'no part of the ranking model'}"
    print(f"without {silent[0]}: {answered}" if silent[0] else f"with all: {answered}")
    for row in range(2):
        shown = " ".join(f"{answer[name][row]:+.3f}" for name in ("score", "retrieval_score", "ranking_score"))
        print(f"   {answer['title'][row].decode():32.32} {shown}  {answer['source'][row].decode()}")

# %% [markdown]
# `recsys-tfrs serve-check` compares the exported lists with both stages run apart, and asks with each source and part
# left out.
#
# ## A question to answer by experiment
#
# How many candidates are worth ranking? Section 2 shows where the ceiling flattens. Set `CANDIDATES` to 20, 50 and 400
# and run sections 3 to 5 again: does more room for the ranking model help it, or does it find more items that it
# overrates? A ranking model trained on items drawn at random has never seen a *good* wrong answer. How would you show
# it some?
#
# ## What to read next
#
# * [docs/cascade.md](../docs/cascade.md): signatures, choosing a weight, what an export checks of itself.
# * `11_scann_index_and_recall`: the first stage over more items than can be scored.
# * `13_export_and_tf_serving`: versions, warm-up, and what `serve-check` proves.

# %% [markdown]
# ## The series
#
# * Before it: [Searching many items: recall against latency](11_scann_index_and_recall.ipynb)
# * After it: [Export and TensorFlow Serving](13_export_and_tf_serving.ipynb)
