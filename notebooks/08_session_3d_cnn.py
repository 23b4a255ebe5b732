# %% [markdown]
# # 3-D convolutions over sessions and how their words look
#
# **What it teaches**: how a session becomes a block of time x characters x alphabet, why that block is never made, what
# a 3-D convolution reads in it, and how an item that nobody has clicked yet is ranked by its name.
# **For whom**: readers who know what a convolution over a picture is.
# **How long**: fifteen minutes to read, about one minute to run on two processor cores.
#
# **Paper**: Tuan and Phuong, *3D convolutional networks for session-based recommendation with content features*,
# RecSys 2017 (https://doi.org/10.1145/3109859.3109900).
#
# The family is `session-cnn`; rules, settings and figures stand in [docs/session_cnn.md](../docs/session_cnn.md). It
# needs sessions with item names and carts, so this notebook always runs on a simulated shop (`DATASET=simulated-shop`:
# the larger one); any other `DATASET` is ignored, and a line says so.

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
from recsys_tfrs.data.carts import carted_rows
from recsys_tfrs.evaluation.metrics import hit
from recsys_tfrs.evaluation.ranking import rank
from recsys_tfrs.features.characters import CharacterEncoder, characters, code_table
from recsys_tfrs.runs.carts import cart_scorer, measure_carts
from recsys_tfrs.runs.config import family_config
from recsys_tfrs.runs.prepared import prepare
from recsys_tfrs.training.fit import Phase, fit

DATASET = os.environ.get("DATASET", "simulated-shop-small")
SHOP = DATASET if DATASET.startswith("simulated-shop") else "simulated-shop-small"
if SHOP != DATASET:
    print(f"{DATASET} has no sessions with item names and carts; {SHOP} is read instead")
EPOCHS = 8

base = {
    "family": "session-cnn",
    "data": {"dataset": SHOP},
    "split": {"method": "sessions"},
    "model": {"dim": 64, "units": 128, "channels": 16, "text_filters": 32, "filters": [24, 32], "characters": 48},
    "training": {"batch_size": 256, "learning_rate": 4e-3, "epochs": EPOCHS},
}
config = build(family_config("session-cnn"), [base])
runtime.configure(config.device, seed=config.seed)
prepared = prepare(config)
data, split, train = prepared.interactions, prepared.split, prepared.train
print(f"{data.name}: {data.num_items:,} items, {len(train.items):,} clicks to train on, {len(split.test):,} to predict")

# %% [markdown]
# ## 1. A session
#
# A visitor wants two attributes and looks through a category, then through the one that follows it. What is wanted is
# never said: it stands in the names of the clicked items. A cart in the last column marks what the visitor takes.

# %%
carted = carted_rows(data)
session = int(np.flatnonzero((train.lengths >= 5) & (train.lengths <= 8))[0])
rows = train.rows[train.offsets[session] : train.offsets[session + 1]]
paths = data.item_features["category_path"].values
for row in rows:
    item = data.items[row]
    print(f"{data.titles[item]:34s} {paths[item]:18s} {'in the cart' if carted[row] else ''}")

# %% [markdown]
# ## 2. Characters
#
# No vocabulary of words: a name is the codes of its characters. One table of 65,536 rows says what each character of
# the Basic Multilingual Plane becomes: lower case, without accents, compatibility forms resolved, a Hangul syllable
# as its jamo; what has no code of its own shares one of 64 buckets. The table is part of the exported graph.

# %%
encoder = CharacterEncoder(14, name="names")
for text in ("Café", "CAFE\u0301", "\uff43\uff41\uff46\uff45", "\ud55c\uae00", "tea \U0001f375", ""):
    print(f"{text!r:14s}", " ".join(characters(encoder(tf.constant([text]))[0].numpy())))
print(f"the table: {code_table().nbytes:,} bytes")

# %% [markdown]
# ## 3. The block of one session
#
# Each click is a plane of length x alphabet, one 1 in every row; stacked over time they are the block. Below it is
# drawn as if it were made: one picture a click, its characters from left to right, the alphabet from top to bottom.

# %%
model = prepared.build_model(train)
codes = model.candidate_tower.codes.numpy()[data.items[rows]]
planes = np.eye(64, dtype=np.float32)[np.minimum(codes, 63)] * (codes > 0)[..., None]
figure, axes = plt.subplots(len(rows), 1, figsize=(8, 1.1 * len(rows)), sharex=True)
for click, (axis, plane) in enumerate(zip(axes, planes, strict=True)):
    axis.imshow(plane.T, aspect="auto", cmap="Greys", interpolation="nearest")
    axis.set_yticks([])
    axis.set_ylabel(f"click {click + 1}", rotation=0, ha="right", va="center")
    axis.set_xticks(range(codes.shape[1]), characters(codes[-1]), fontsize=6)
axes[0].set_title("time x characters x alphabet", fontsize=10)
plt.show()

# %% [markdown]
# Nearly all of it is 0. A convolution multiplies each 1-of-N row with a matrix, which is looking up a row of that
# matrix. With $E$ a vector for each character and $K_j$ the kernel at offset j,
#
# $$\sum_j \mathrm{onehot}(c_{p+j})\,(E K_j) = \sum_j E[c_{p+j}]\,K_j$$
#
# so the family stores one byte a character and never makes the planes. The right side in the library, and both sides
# computed:

# %%
convolution = model.candidate_tower.convolution
print(inspect.getsource(convolution.convolved))
one_hot = tf.one_hot(codes, convolution.table.shape[0]) * tf.cast(codes > 0, tf.float32)[..., None]
over_planes = tf.nn.conv1d(one_hot, convolution.one_hot_kernel(), 1, "SAME")
looked_up = convolution.convolved(tf.constant(codes))
print("largest difference:", float(tf.reduce_max(tf.abs(over_planes - looked_up))))
print(f"bytes of the planes: {one_hot.numpy().nbytes:,}; of the codes: {codes.nbytes:,}")

# %% [markdown]
# ## 4. The network
#
# After the first convolution and pooling over four characters, the clicks' planes are stacked. The next kernels reach
# over **three clicks, three positions and all channels** at once: they see whether a word comes again, and where in
# time.
#
# $$B \in \mathbb{R}^{8 \times 12 \times 16} \to \text{conv } 3 \times 3 \times 16 \to \max 2 \times 2 \to
# \text{conv } 3 \times 3 \times 24 \to \max \text{ over characters} \to h \to q_\text{click}, q_\text{cart}$$
#
# Beside what they see stand the clicked items' vectors and a gated convolution over them.
#
# An item's vector is $v_i = e_i + \text{text}(i)$, and its score $q \cdot v_i / |v_i|$. text(i) is what convolutions
# see in the item's name, and the sum of the name's **subwords**, every run of four characters within a word
# (Bojanowski et al., TACL 2017, https://arxiv.org/abs/1607.04606):
#
# $$\frac{1}{\sqrt m} \sum_{p=1}^{m} T[\mathrm{hash}(c_p \dots c_{p+3})]$$
#
# A few filters have to tell all words apart by maxima; runs share nothing, so a stem is known after a few items,
# whatever its ending. The code, and how many runs words have in common:

# %%
subwords = model.candidate_tower.subwords
print(inspect.getsource(type(subwords).call))
words = ("walker", "walks", "talker")
runs, there = subwords.runs(CharacterEncoder(10, name="words")(tf.constant(words)))
found = [set(row[kept].tolist()) for row, kept in zip(runs.numpy(), there.numpy(), strict=True)]
for first, second in ((0, 1), (0, 2), (1, 2)):
    print(f"{words[first]:7s} {words[second]:7s} {len(found[first] & found[second])} runs of four in common")

# %% [markdown]
# In training, a share of the items goes without $e_i$ in every step, so that texts learn to do alone. Never clicked,
# never a target: such items are left out of the softmax, or they would only learn to come last.

# %%
console = Console(width=110, force_jupyter=False, force_terminal=False, quiet=True)
place = Path(tempfile.mkdtemp(prefix="session-cnn-"))
fit(model, prepared.batches(train), Phase("refit", EPOCHS, None), config.training, place / "convolution", console)

# %% [markdown]
# ## 5. What the filters have learnt
#
# A filter of the first convolution, as the 1-of-N kernel it stands for: five characters wide, the alphabet from top
# to bottom. Beside each, the five-letter pieces of names that excite it most.

# %%
kernel = convolution.one_hot_kernel().numpy()
catalogue = model.candidate_tower.codes.numpy()[1:]
response = convolution.convolved(tf.constant(catalogue)).numpy()
figure, axes = plt.subplots(1, 6, figsize=(9, 4.2))
strongest = np.argsort(-response.std(axis=(0, 1)))[:6]
for axis, channel in zip(axes, strongest, strict=True):
    axis.imshow(kernel[:, 3:29, channel].T, aspect="auto", cmap="RdBu_r", vmin=-1.5, vmax=1.5)
    axis.set_yticks(range(26), "abcdefghijklmnopqrstuvwxyz", fontsize=6)
    best = np.argsort(-response[:, 2:-2, channel], axis=None)[:400]
    pieces = [
        "".join(characters(catalogue[item, position : position + 5]))
        for item, position in zip(*np.unravel_index(best, response[:, 2:-2, channel].shape), strict=True)
    ]
    axis.set_title("\n".join(list(dict.fromkeys(pieces))[:4]), fontsize=8, family="monospace")
    axis.set_xticks([])
plt.show()

# %% [markdown]
# And the kernels that reach over time: how much each of the three clicks and positions counts, by filter.

# %%
first = model.query_tower.first.numpy()  # [clicks, positions, channels, filters]
weight = np.sqrt((first**2).sum(axis=2))
figure, axes = plt.subplots(2, 6, figsize=(8, 2.8))
for axis, filter_ in zip(axes.flat, range(12), strict=True):
    picture = axis.imshow(weight[:, :, filter_], cmap="Greens", vmin=0, vmax=weight.max())
    axis.set_xticks([])
    axis.set_yticks([])
for axis in axes[:, 0]:
    axis.set_yticks([0, 2], ["older", "newer"], fontsize=8)
figure.colorbar(picture, ax=axes, label="length over channels")
plt.show()

# %% [markdown]
# ## 6. What comes next, what goes into the cart, and what nobody has clicked yet
#
# Beside it the same network with a GRU in place of the convolutions, with the same content and without. All rank the
# whole catalogue; the items of the last column occur in no training row.

# %%
cold = np.bincount(data.items[split.train], minlength=data.num_items + 1) == 0
users, items = data.users[split.test], data.items[split.test]
systems = {"3-D convolutions": (prepared, model)}
for name, way in (("GRU, same content", {}), ("GRU, ids alone", {"content": False})):
    run = prepare(build(family_config("session-cnn"), [base, {"model": {"over_time": "gru", **way}}]))
    other = run.build_model(train)
    fit(other, run.batches(train), Phase("refit", EPOCHS, None), config.training, place / name, console)
    systems[name] = run, other
for name, (run, made) in systems.items():
    ranking = rank(run.scorer(made, prepared.known, split.test), users, items, seen=None, num_items=data.num_items)
    found = hit(ranking, 20)
    cart = measure_carts(prepared, {"it": cart_scorer(prepared, made)})["it"]
    print(
        f"{name:18s} next click recall@20 {found.mean():.3f}   cart recall@10 {cart['recall@10']:.3f} "
        f"({cart['low']:.3f}-{cart['high']:.3f})   unseen items recall@20 {found[cold[items]].mean():.3f}"
    )
print(f"by chance {20 / data.num_items:.3f} and, of ten, {10 / data.num_items:.3f}")

# %% [markdown]
# A shop of this size has few carts to measure with, as the wide intervals say: which of two networks foresees carts
# better is a question for the larger shop, and `make bench-session-cnn` asks it. What unseen items gain by their names
# is plain here.
#
# An item that enters the shop today is ranked at once: its vector is made of its name alone.

# %%
asked = tf.ragged.constant([data.items[rows].tolist()], dtype=tf.int32)
query = model.query_vectors(tf.constant([0]), asked).numpy()[0]
scores = model.candidate_vectors().numpy() @ query
unseen = np.flatnonzero(cold)[1:]
print("clicked last: ", data.titles[data.items[rows[-1]]], "|", paths[data.items[rows[-1]]])
for item in unseen[np.argsort(-scores[unseen])[:4]]:
    print("new and best: ", data.titles[item], "|", paths[item])

# %% [markdown]
# ## A question to answer by experiment
#
# *When does a name stop helping?* Read another shop after `prepare` in the first cell, with a = 0, 0.3, 0.6, 1 the
# share of words that say nothing, and plot recall@20 of the unseen items:
#
# ```python
# from dataclasses import replace
# from recsys_tfrs.data.sessions import split_interactions
# from recsys_tfrs.data.simulated_shop import shop_config, simulate_shop
#
# shop = simulate_shop(shop_config("simulated-shop-small", ambiguity=a)).interactions
# data, split = split_interactions(shop, "sessions")
# prepared = replace(prepared, interactions=data, split=split)
# ```
#
# Where should it end? And what happens to the next click on items that training knows?
#
# ## What to read next
#
# * [docs/session_cnn.md](../docs/session_cnn.md): the rules, the sizes, figures on the larger shop.
# * [docs/simulated.md](../docs/simulated.md): what is planted in the shop.

# %% [markdown]
# ## The series
#
# * Before it: [Sequential retrieval with GRUs: what comes next](07_sequential_gru.ipynb)
# * After it: [Factorization machines and DeepFM](09_factorization_machines_and_deepfm.ipynb)
