# %% [markdown]
# # Two-tower retrieval, piece by piece
#
# **What it teaches**: how a two-tower model turns raw columns into vectors, what it is trained to do, how its training
# is stopped, how it stands beside linear baselines, and what its vectors are good for: neighbours of a film, and films
# nobody has rated yet. Every piece is the library's own, used here one at a time.
# **For whom**: readers who know what an embedding is. `00_quickstart` does the same in one call. Sections 8 and 9 read
# the genres that MovieLens and the simulated data have.
# **How long**: twenty minutes to read, about a minute to run on two processor cores.
# **Paper**: Yi et al., *Sampling-bias-corrected neural modeling for large corpus item recommendations*, RecSys 2019.

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
from recsys_tfrs.evaluation.metrics import hit
from recsys_tfrs.evaluation.protocol import evaluate
from recsys_tfrs.evaluation.ranking import rank
from recsys_tfrs.features.preprocessing import item_preprocessor, user_preprocessor
from recsys_tfrs.layers.candidate import CandidateTower
from recsys_tfrs.models.scoring import RetrievalScorer
from recsys_tfrs.objectives.hiding import hide_any, hide_newest
from recsys_tfrs.objectives.softmax import FullSoftmax
from recsys_tfrs.runs.config import family_config
from recsys_tfrs.runs.fitting import validator
from recsys_tfrs.runs.measuring import OracleScorer
from recsys_tfrs.runs.prepared import prepare
from recsys_tfrs.schema import ITEM_ID
from recsys_tfrs.training.fit import Phase, fit

DATASET = os.environ.get("DATASET", "simulated-small")
EPOCHS = 30
COMPARED_EPOCHS = 3

config = build(
    family_config("two-tower"),
    [
        {
            "family": "two-tower",
            "data": {"dataset": DATASET},
            "model": {"dim": 64, "hide": "any"},
            "training": {"epochs": EPOCHS, "patience": 3},
        }
    ],
)
runtime.configure(config.device, seed=config.seed)
prepared = prepare(config)
config = prepared.config  # what was left open is decided
data, split = prepared.interactions, prepared.split
train = prepared.selection_train
print(f"{data.name}: {data.num_users:,} users, {data.num_items:,} items, {len(train.items):,} rows to fit on", end=", ")
print(f"{len(split.validation):,} to choose by, {len(split.test):,} to test")

# %% [markdown]
# ## 1. From columns to numbers
#
# One preprocessing layer per side. It is *adapted* on what occurs in the training rows and on nothing else: an item
# that appears later is unknown to its id vocabulary (id 0), though its title and genres may well be known. The same
# object encodes the training tables and the strings of a request in the exported graph.

# %%
in_training = np.bincount(train.items, minlength=data.num_items + 1) > 0
items = item_preprocessor(data, in_training, config.features)
users = user_preprocessor(data, train.lengths > 0, config.features)
item_table = items.table(data.item_ids, data.item_features)

film = int(np.bincount(train.items).argmax())
for name, encoder in items.encoders.items():
    raw = data.item_ids[film] if name == ITEM_ID else data.item_features[name].values[film]
    print(f"{name:13s} {raw!s:45s} -> {item_table[name][film].numpy()}  (of {encoder.vocabulary_size:,})")
unknown = np.flatnonzero(item_table[ITEM_ID].numpy() == 0)[1:]
print(f"{len(unknown)} items are in no training row and have the unknown id, for example {data.titles[unknown[:1]]}")
print("about users:", {name: encoder.vocabulary_size for name, encoder in users.encoders.items()})

# %% [markdown]
# ## 2. The candidate tower
#
# An item's vector is the sum of the embeddings of its id and of its columns, each column averaged over the values it
# has, brought to length one:
#
# $$v_i = \frac{z_i}{\lVert z_i \rVert}, \qquad z_i = e_i + \sum_c \frac{1}{|x_{ic}|} \sum_{t \in x_{ic}} E_c[t]$$

# %%
settings = config.model
tower = CandidateTower(items, settings.dim, normalize=settings.normalize, scale=settings.initial_scale, seed=0)
batch = {name: column[film : film + 3] for name, column in item_table.items()}
vectors = tower(batch)
print("vectors", vectors.shape, "lengths", np.linalg.norm(vectors, axis=1).round(6))
whole = tower.catalogue(tower.matrices(item_table))
print("the whole catalogue in one sparse product:", whole.shape, "largest difference to the call above", end=" ")
print(f"{np.abs(whole[film : film + 3] - vectors).max():.1e}")

# %% [markdown]
# ## 3. The query tower
#
# A query is what is known of a user at the time of the request. With history $H$ and weights $w_j$ that grow with the
# rating the user gave, the tower computes
#
# $$q = \frac{z}{\lVert z \rVert}, \qquad z = p_u + \frac{1}{\sqrt{|H|}} \sum_{j \in H} w_j a_j$$
#
# where $a_j$ is the item's vector *as history*, a table of its own, and $p_u$ the user's own vector, zero for someone
# unknown. With an empty history the sum gives way to the embeddings of the user's columns and one vector for "anyone".
# The score is the cosine over a temperature: $s_{ui} = q_u \cdot v_i / \tau$.

# %%
model = prepared.build_model(train)
someone = int(np.argmax(train.lengths))
history = tf.ragged.constant([train.of(someone), []], dtype=tf.int32)
both = model.query_vectors(tf.constant([someone, 0]), history)
print("a user with", len(train.of(someone)), "items and an unknown one with none:", both.shape)
for half in (model.query_tower, model.candidate_tower):
    print(f"{half.name:16s} {sum(tf.size(w).numpy() for w in half.trainable_variables):8,} parameters")

# %% [markdown]
# ## 4. What the query may see while it is trained
#
# If the query saw the item it has to predict, it would learn to repeat it. So a part of each history is hidden, and all
# of it is to be predicted: a denoising objective. Under `any` each item is hidden with one probability. Under `newest`
# the history is cut at a random moment and what follows has to be predicted, the sooner the more. Which of the two
# serves a data set better is for validation to say; `hide = "auto"` tries both.

# %%
print(inspect.getsource(hide_any))
example = tf.ragged.constant([list("abcdefgh")])
seed = tf.constant([1, 2])
letters = example.flat_values.numpy().astype(str)
for name, hidden in (
    ("any", hide_any(example, 0.6, seed)),
    ("newest", hide_newest(example, 0.3, 3.0, 1.0, 0.6, seed)),
):
    seen = " ".join(letter if visible else "." for letter, visible in zip(letters, hidden.visible.numpy(), strict=True))
    weights = " ".join(f"{weight:.1f}" for weight in hidden.target_weight.numpy())
    print(f"{name:7s} the query sees  {seen}   weight as a target  {weights}")

# %% [markdown]
# ## 5. The loss
#
# With positives $P_u$ and weights $w_{ui}$, the full softmax asks every positive to stand out of the *whole* catalogue:
#
# $$L = - \frac{1}{W} \sum_u \sum_{i \in P_u} w_{ui} \log \frac{e^{s_{ui}}}{\sum_j e^{s_{uj}}},
# \qquad W = \sum_u \sum_{i \in P_u} w_{ui}$$
#
# It is a mean, so that the learning rate does not depend on the batch size. By hand, on two users and four items:

# %%
scores = tf.constant([[0.0, 2.0, 1.0, 0.0, -1.0], [0.0, 0.0, 0.0, 3.0, 0.0]])  # column 0 is padding
positives, weights = tf.ragged.constant([[1, 2], [3]], dtype=tf.int32), tf.constant([1.0, 1.0, 2.0])
log_softmax = np.log(np.exp(scores[:, 1:]) / np.exp(scores[:, 1:]).sum(axis=1, keepdims=True))
by_hand = -(log_softmax[0, 0] + log_softmax[0, 1] + 2 * log_softmax[1, 2]) / 4
print(f"library {FullSoftmax()(scores, positives, weights):.6f}   by hand {by_hand:.6f}")

# %% [markdown]
# ## 6. Fit, and stop in time
#
# A row of a batch is one user with all training items of that user: the query is computed once for all of them. Every
# few epochs the validation rows are ranked; when the metric has not risen for a while, the fit ends with the weights of
# its best epoch. Those weights are a moving average over the steps, which generalises better than the last step's.

# %%
console = Console(width=110, force_jupyter=False, force_terminal=False)
place = Path(tempfile.mkdtemp(prefix="two-tower-"))
state = fit(
    model,
    prepared.batches(train),
    Phase("selection", EPOCHS, validator(prepared, model)),
    config.training,
    place,
    console,
)
metric = f"validation_{config.training.metric}"
looked = [entry for entry in state.log if metric in entry]

figure, axes = plt.subplots(figsize=(7, 3))
axes.plot([e["epoch"] for e in state.log], [e["loss"] for e in state.log], color="#888888")
axes.set_xlabel("epoch")
axes.set_ylabel("training loss (grey)")
right = axes.twinx()
right.plot([e["epoch"] for e in looked], [e[metric] for e in looked], color="#1f6f8b", marker="o", ms=4)
right.axvline(state.best_epoch, color="#1f6f8b", lw=0.8, ls=":")
right.set_ylabel(metric.replace("_", " "), color="#1f6f8b")
plt.show()

# %% [markdown]
# The loss is noisy because every epoch hides other items. What counts is the validation curve: it rises, flattens, and
# would fall again once the model begins to learn the training rows by heart. The dotted line is the epoch that is kept.
#
# The number of epochs is what validation was needed for. A run now *refits*: a fresh model, the same number of epochs,
# on training and validation rows together, because the newest rows are the ones most like the test.

# %%
final = prepared.build_model(prepared.train)
_ = fit(
    final, prepared.batches(prepared.train), Phase("refit", state.best_epoch, None), config.training, place, console
)

# %% [markdown]
# ## 7. Beside the baselines
#
# The same test rows, the same rules; every baseline is tuned on the same validation rows and refitted like the model.

# %%
tuned = tuned_baselines(data, split, names=["popularity", "ease", "ials"], pairs=prepared.config.pairs)
systems = {name: baseline.scorer for name, baseline in tuned.items()}
systems["two-tower"] = RetrievalScorer(final, prepared.train)
if data.oracle is not None:
    systems["oracle"] = OracleScorer(data.oracle)
for name, system in systems.items():
    e = evaluate(system, data, split.train, split.test, pairs=prepared.config.pairs)
    low, high = e.intervals["ndcg@10"]
    print(
        f"{name:11s} hit@10 {e.metrics['hit@10']:.4f}  ndcg@10 {e.metrics['ndcg@10']:.4f} ({low:.4f}-{high:.4f})",
        end="  ",
    )
    print(f"hit@100 {e.metrics['hit@100']:.4f}  coverage@10 {e.metrics['coverage@10']:.3f}")

# %% [markdown]
# Read the intervals before naming a winner. They are those of each system by itself: even where two overlap, the
# difference on the same users may be clear (`paired_differences`, see [docs/evaluation.md](../docs/evaluation.md)).
# Then look at `coverage@10`, the share of the catalogue that reaches anybody's first ten.
#
# ## 8. What the vectors know: neighbours of a film
#
# Two films are neighbours if the same queries want them. The angle between their vectors says how much so.

# %%
catalogue = final.candidate_vectors().numpy()
genres = data.item_features["movie_genres"].values
popular = np.argsort(-np.bincount(prepared.train.items, minlength=data.num_items + 1))
for film in popular[[0, 7]]:
    print(f"{data.titles[film]}  {'|'.join(genres[film])}")
    for near in [i for i in np.argsort(-catalogue @ catalogue[film]) if i not in (0, film)][:5]:
        print(f"   {catalogue[near] @ catalogue[film]:.2f}  {data.titles[near]}  {'|'.join(genres[near])}")

# %% [markdown]
# Seen from far away, by the two directions in which the vectors of the 400 most popular films differ most:

# %%
shown = popular[:400]
centred = catalogue[shown] - catalogue[shown].mean(axis=0)
flat = centred @ np.linalg.svd(centred, full_matrices=False)[2][:2].T
first_genre = np.array([g[0] if g else "" for g in genres[shown]])
names, counts = np.unique(first_genre, return_counts=True)
figure, axes = plt.subplots(figsize=(7, 4.2))
axes.scatter(*flat.T, s=8, color="#d5dbdf")
for name in names[np.argsort(-counts)][:6]:
    axes.scatter(*flat[first_genre == name].T, s=16, label=name)
axes.legend(frameon=False, title="first genre", loc="center left", bbox_to_anchor=(1, 0.5))
axes.set_xticks([])
axes.set_yticks([])
plt.show()

# %% [markdown]
# ## 9. Films nobody has rated
#
# An item without training rows has no id vector ($e_i$ is that of the unknown), so its columns alone place it. How much
# do columns know? Take the id away from *known* films and see how many of their ten nearest neighbours share the first
# genre, beside the same with their ids.

# %%
final_table = final.items.table(data.item_ids, data.item_features)
content = final.candidate_tower({**final_table, ITEM_ID: tf.zeros_like(final_table[ITEM_ID])}).numpy()
all_first = np.array([g[0] if g else "" for g in genres])
for label, rows in (("id and columns", catalogue[shown]), ("columns alone", content[shown])):
    scores = rows @ catalogue.T
    scores[:, 0] = scores[np.arange(len(shown)), shown] = -np.inf
    nearest = np.argsort(-scores, axis=1)[:, :10]
    same = np.mean(all_first[nearest] == all_first[shown][:, None])
    print(f"{label:15s} share of neighbours with the same first genre: {same:.2f}")
same = np.mean(all_first[shown][:, None] == all_first[None, 1:])
print(f"{'by chance':15s} share of films with the same first genre: {same:.2f}")

# %% [markdown]
# Now the real thing: a shelf of *new arrivals*, the films without a training row, ranked for the people who took one of
# them in the test period. `catalogue` restricts the ranking to the shelf.

# %%
cold = np.bincount(prepared.train.items, minlength=data.num_items + 1) == 0
cold[0] = False
asked = split.test[cold[data.items[split.test]]]
for name in ("popularity", "ease", "two-tower"):
    ranking = rank(
        systems[name], data.users[asked], data.items[asked], seen=None, num_items=data.num_items, catalogue=cold
    )
    print(
        f"{name:11s} hit@10 among {cold.sum()} new films: {hit(ranking, 10).mean():.3f} over {len(asked):,} test rows"
    )
print(f"{'by chance':11s} {min(1, 10 / cold.sum()):.3f}")

# %% [markdown]
# A method that only counts interactions has nothing to say about films without any: it scores all of them alike, and
# the tie rule gives it chance, exactly. The towers read genre, year and title, and in the simulated data these tell
# much of what a film is. Whether they do in yours has to be measured: on MovieLens 100K the same shelf gave the towers
# 0.09 over 202 test rows, where chance is 0.15.
#
# Put among *all* films, new ones stand low either way: in training no new film was ever the right answer, so nothing
# taught the model to place them beside the popular ones. A shelf of their own is the honest use.
#
# ## 10. When the catalogue is too large
#
# A softmax over a million items per step is dear. The in-batch softmax scores only the items that happen to be in the
# batch, $B$. Popular ones are drawn more often, so each negative is corrected by the probability $Q_j$ of being drawn:
#
# $$-\log \frac{e^{s_{ui}}}{e^{s_{ui}} + \sum_{j \in B \setminus P_u} e^{s_{uj} - \log Q_j}}$$
#
# All known positives $P_u$ of the user are left out of the negatives, not only the one at hand. Small batches show the
# difference best, here with the same few epochs for all three, measured on validation rows. (On a catalogue of this
# size nothing is gained in speed; the gain grows with the catalogue.)

# %%
tf.get_logger().setLevel("ERROR")  # five models in one process make TensorFlow warn of five traced graphs
compared = {}
for label, changes in (
    ("full softmax", {"objective": "full-softmax"}),
    ("in-batch, logQ", {"objective": "in-batch"}),
    ("in-batch, no logQ", {"objective": "in-batch", "log_q": False}),
):
    variant = prepared.config.model_copy(update={"model": config.model.model_copy(update=changes)})
    variant = variant.model_copy(update={"training": config.training.model_copy(update={"batch_size": 1024})})
    setup = type(prepared)(variant, data, split)
    other = setup.build_model(train)
    took = fit(other, setup.batches(train), Phase(label, COMPARED_EPOCHS, None), variant.training, place, console)
    e = evaluate(
        RetrievalScorer(other, train), data, split.selection_train, split.validation, pairs=prepared.config.pairs
    )
    compared[label] = e
    print(f"{label:18s} ndcg@100 {e.metrics['ndcg@100']:.4f}  novelty@10 {e.metrics['novelty@10']:.2f} bits", end="  ")
    print(f"{took.examples / took.seconds:,.0f} interactions per second")

figure, both = plt.subplots(1, 2, figsize=(7, 2.6), sharey=True)
for axes, name in zip(both, ("ndcg@100", "novelty@10"), strict=True):
    bars = axes.barh(
        list(compared), [e.metrics[name] for e in compared.values()], color=["#1f6f8b", "#7fa8b8", "#b8c4cc"]
    )
    axes.bar_label(bars, fmt="%.3f", padding=3, fontsize=9)
    axes.margins(x=0.2)
    axes.set_xlabel(name)
    axes.spines[["top", "right"]].set_visible(False)
both[0].invert_yaxis()
figure.tight_layout()
plt.show()

# %% [markdown]
# Without the correction, popular items are pushed down for being met often as negatives, and the lists drift to the
# rare: higher novelty (fewer training interactions per film), lower accuracy. `objective = "auto"` takes the
# full softmax up to 100,000 items, and up to 5,000 where there is context, which asks a query of its own for every
# interaction.
#
# ## A question to answer by experiment
#
# *How much of each history should be hidden?* Add `"hide_rate": 0.2` and then `0.9` to the model's settings at the top.
# Look at the curve of section 6: which of them learns by heart sooner, and which never learns enough? Find the best by
# the validation metric, and only then look at section 7.
#
# ## What to read next
#
# * [docs/two_tower.md](../docs/two_tower.md): all equations of the model, with their sources and settings.
# * [docs/baselines.md](../docs/baselines.md): how the baselines are tuned.
# * [docs/serving.md](../docs/serving.md): the same model, exported, behind a server.

# %% [markdown]
# ## The series
#
# * Before it: [Negative sampling and folding](04_negative_sampling_and_folding.ipynb)
# * After it: [Item2vec: what occurs together](06_item2vec.ipynb)
