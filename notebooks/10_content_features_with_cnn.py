# %% [markdown]
# # Content: what a new item sounds like
#
# **What it teaches**: how a convolutional network recognises an item's genre in a clip of sound, when its confidence
# can be believed, and what that is worth to a recommender for items that nobody has touched yet.
# **For whom**: readers of notebook 05, where users and items meet in a dot product.
# **How long**: fifteen minutes to read, about a minute to run on two processor cores.
# **Paper**: van den Oord, Dieleman and Schrauwen, *Deep content-based music recommendation*, NIPS 2013; Guo et al., *On
# calibration of modern neural networks*, ICML 2017 (https://arxiv.org/abs/1706.04599).
#
# Settings and figures at full size: [docs/content_cnn.md](../docs/content_cnn.md). This notebook needs content whose
# genre is known, so it always runs on simulated clips, or on pictures with `DATASET=simulated-posters`; any other
# `DATASET` is ignored, and a line says so.

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
from recsys_tfrs.data.simulated_catalogue import GENRE, simulate_catalogue
from recsys_tfrs.data.simulated_content import aspects
from recsys_tfrs.evaluation.classification import classification
from recsys_tfrs.layers.spectrogram import LogMel
from recsys_tfrs.runs.cold_items import item_columns, measure_cold_items, share_of_gain, with_columns
from recsys_tfrs.runs.content_config import SIMULATED, content_config
from recsys_tfrs.runs.content_data import open_content
from recsys_tfrs.runs.content_fitting import fit_content
from recsys_tfrs.runs.content_report import plot_confusion
from recsys_tfrs.runs.content_train import write_items

DATASET = os.environ.get("DATASET", "simulated-clips")
CONTENT = DATASET if DATASET in SIMULATED else "simulated-clips"
if CONTENT != DATASET:
    print(f"{DATASET} has no sounds or pictures of its items; {CONTENT} is read instead")
NUM_ITEMS = 960

config = build(
    content_config("content-cnn"),
    [
        {
            "family": "content-cnn",
            "data": {"dataset": CONTENT, "num_items": NUM_ITEMS, "snr_db": -3},
            "training": {"epochs": 20},
        }
    ],
)
runtime.configure(config.device, seed=config.seed)
data = open_content(config)
folder, console = Path(tempfile.mkdtemp()), Console(quiet=True)
print(f"{len(data.content):,} items with content, {len(data.classes)} values of {data.known.attribute}")
print(f"known of {len(data.train) + len(data.validation):,} items; withheld of {len(data.test):,}, the cold ones")

# %% [markdown]
# ## 1. What a genre is made of
#
# (With posters, a genre is a combination of hue, direction of stripes and shape, and no spectrogram is made.) A clip is
# 1.5 s of strokes in noise of twice their power: -3 dB,
# $\mathrm{SNR} = 10 \log_{10} (P_\mathrm{signal} / P_\mathrm{noise})$. Eight genres are the combinations of slow and
# fast strokes, of a dark and a bright spectrum, and of struck and swelling tones. No single one of them tells a genre.
# Pitch, tempo within 12%, phases and loudness differ from clip to clip.
#
# The network reads a spectrogram made inside its own graph, M being filters at equal steps of the mel scale, which
# follows the ear, $m(f) = 1127 \ln (1 + f / 700)$. Below, the formula, and the library's
# code, which also scales each clip to mean 0 and variance 1, so that its loudness does not count:
#
# $$X_{t,b} = \log\Big(\sum_k M_{kb} \, |\mathrm{STFT}(x)_{t,k}|^2 + \epsilon\Big)$$

# %%
print(inspect.getsource(LogMel.call))
sounds = data.content.decoder.medium == "audio"
hears = LogMel(config.features.sample_rate, bands=config.model.bands, frame=config.model.frame, step=config.model.step)
figure, axes = plt.subplots(2, 4, figsize=(10, 4), sharex=True, sharey=True, layout="constrained")
levels = np.stack(aspects(np.arange(8), 8), axis=1)
words = np.array([["slow", "fast"], ["dark", "bright"], ["struck", "swelling"]])
for genre, axis in enumerate(axes.ravel()):
    row = np.flatnonzero(data.labels == genre)[0]
    if sounds:
        axis.imshow(hears(data.content.values[row : row + 1])[0].numpy().T, origin="lower", aspect="auto", cmap="magma")
    else:
        axis.imshow(data.content.values[row])
    axis.set_title(
        data.classes[genre] + (f"\n{', '.join(words[[0, 1, 2], levels[genre]])}" if sounds else ""), fontsize=8
    )
figure.supxlabel("time" if sounds else "")
figure.supylabel("mel band" if sounds else "")
plt.show()

# %% [markdown]
# ## 2. Learn, and stop in time
#
# Four blocks of 3 x 3 convolution, normalisation, ReLU and pooling; mean and maximum of what is left; a dense layer,
# the item's *vector* $v$; and a softmax over the genres, $p = \mathrm{softmax}(W v + b)$, trained by cross-entropy. A
# fifth of the items whose genre is known is withheld to stop by.

# %%
fitted = fit_content(data, config, folder, console)
log = fitted.state.log
figure, axis = plt.subplots(figsize=(6, 2.4))
axis.plot([e["epoch"] for e in log], [e["loss"] for e in log], label="training")
axis.plot([e["epoch"] for e in log], [e["validation_logloss"] for e in log], label="validation")
axis.set_xlabel("epoch")
axis.set_ylabel("cross-entropy")
axis.legend(frameon=False)
axis.spines[["top", "right"]].set_visible(False)
plt.show()

# %% [markdown]
# ## 3. Believe it?
#
# A network that is right nine times of ten may claim 99%. *Temperature scaling* divides its log-odds by the one number
# $T$ that makes the validation items most likely,
#
# $$p = \mathrm{softmax}((W v + b) / T), \qquad \mathrm{ECE} = \sum_{\text{bins}} \frac{n_\mathrm{bin}}{n}
# \, \big| \overline{\text{confidence}} - \overline{\text{right}} \big|$$
#
# and the model abstains below the confidence from which on 95% of validation items are right.

# %%
threshold = float(fitted.model.threshold.numpy())
measured = classification(fitted.probabilities[data.test], data.labels[data.test], threshold)
low, high = measured.accuracy_interval
print(f"T = {float(fitted.model.temperature.numpy()):.2f}; abstains below a confidence of {threshold:.2f}")
print(f"cold items: accuracy {measured.metrics['accuracy']:.3f} ({low:.3f} to {high:.3f}),", end=" ")
print(f"{1 / len(data.classes):.3f} by chance")
print(f"calibration error {measured.metrics['ece']:.3f}, {measured.calibration.ece_by_chance:.3f} if it were perfect")
print(f"answered: {measured.metrics['answered']:.3f}")

figure, axis = plt.subplots(figsize=(4.4, 4.4), layout="constrained")
plot_confusion(axis, measured.confusion, data.classes)
plt.show()

# %% [markdown]
# The genres that are confused are those that share two of the three aspects. A genre that was not among the training
# items cannot be predicted: the softmax has no place for it.
#
# ## 4. What it is worth
#
# The run's table holds the genre of every item, known or predicted, the probabilities and the vector. Four two-tower
# models are trained on the interactions of warm items alone, and asked for the cold ones. With ids only, all cold items
# look the same, and recall@50 is that of chance.

# %%
write_items(data, fitted, threshold, folder / "items.parquet")
catalogue = simulate_catalogue(NUM_ITEMS, seed=config.data.seed)
columns = item_columns(folder / "items.parquet", catalogue.interactions)
known = {
    "(a) ids only": {},
    "(b) true genre": {GENRE: catalogue.true_genres},
    "(c) predicted genre": {GENRE: columns[GENRE]},
    "(d) vector": {name: column for name, column in columns.items() if "_vector_" in name},
}
split, found = catalogue.split(), {}
for name, given in known.items():
    prepared = with_columns(catalogue.interactions, split, given, config.seed)
    found[name] = measure_cold_items(prepared, console).among_cold
nothing, everything = found["(a) ids only"], found["(b) true genre"]
print(f"{catalogue.cold.sum()} cold items, {len(split.test):,} test interactions")
print(f"{'known of items':22s} recall@50 [95% interval]   share of the gain of (b)")
for name, one in found.items():
    low, high = one.intervals["recall@50"]
    share = share_of_gain(nothing, everything, one)[0]
    print(f"{name:22s} {one.metrics['recall@50']:.3f} [{low:.3f}, {high:.3f}]         {share:.2f}")

figure, axis = plt.subplots(figsize=(7, 1.8))
axis.barh(list(found)[::-1], [one.metrics["recall@50"] for one in found.values()][::-1], color="#1f6f8b")
axis.axvline(nothing.metrics["recall@50"], color="#a23b4a", lw=1, ls="--")
axis.set_xlabel("recall@50 among cold items; dashed: chance")
axis.spines[["top", "right"]].set_visible(False)
plt.show()

# %% [markdown]
# ## A question to answer by experiment
#
# *How much noise until it is no use?* Set `"snr_db"` in the `data` settings at the top to -10, then to -200, which is
# noise alone. How do accuracy, the share of items answered, and the last table fall? Which of (c) and (d) suffers
# first, and why may a vector still help where no genre can be named with confidence?
#
# ## What to read next
#
# * [docs/content_cnn.md](../docs/content_cnn.md): a folder of your own sounds or pictures, settings, figures.
# * [05_two_tower_retrieval](05_two_tower_retrieval.ipynb): the model of section 4.
# * [docs/simulated.md](../docs/simulated.md): how users, items and clips are generated.

# %% [markdown]
# ## The series
#
# * Before it: [Factorization machines and DeepFM](09_factorization_machines_and_deepfm.ipynb)
# * After it: [Searching many items: recall against latency](11_scann_index_and_recall.ipynb)
