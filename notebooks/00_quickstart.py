# %% [markdown]
# # Quickstart: from nothing to recommendations
#
# **What you get**: a trained retrieval model, an honest table of figures beside tuned baselines, and a list of
# films for any user, from the exported model that a server would load.
# **For whom**: anyone who can read Python. No knowledge of recommenders is needed.
# **How long**: five minutes to read, about one minute to run on two processor cores.
# **Paper**: Yi et al., *Sampling-bias-corrected neural modeling for large corpus item recommendations*, RecSys 2019.
#
# The same job is one line in a terminal, with nothing else to set up:
#
# ```
# recsys-tfrs train two-tower --dataset simulated-tiny --out runs/quickstart
# recsys-tfrs recommend runs/quickstart --user 1
# ```

# %%
import os
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
from rich.console import Console

from recsys_tfrs import runtime

tf = runtime.import_tensorflow()  # TensorFlow without its start-up messages

from recsys_tfrs.config import build
from recsys_tfrs.runs import folder
from recsys_tfrs.runs.config import family_config
from recsys_tfrs.runs.metrics_file import read_metrics
from recsys_tfrs.runs.prepared import prepare
from recsys_tfrs.runs.train import train
from recsys_tfrs.serving.recommender import Recommender

# %% [markdown]
# ## 1. Choose the data
#
# A data set is a name or a path. `simulated-tiny` is generated on the spot and needs no file. Start Jupyter with
# `DATASET=movielens-100k` in its environment to read real ratings instead, or give the path of a CSV file of your own;
# [docs/data.md](../docs/data.md) lists what can be read.

# %%
DATASET = os.environ.get("DATASET", "simulated-tiny")

Config = family_config("two-tower")
config = build(
    Config,
    [
        {
            "family": "two-tower",
            "data": {"dataset": DATASET},
            "training": {"epochs": 60},
            "evaluation": {"baselines": ["popularity", "ease", "ials"]},
        }
    ],
)
prepared = prepare(config)
interactions, split = prepared.interactions, prepared.split
print(f"{interactions.name}: {len(interactions):,} interactions of {interactions.num_users:,} users", end=" ")
print(f"with {interactions.num_items:,} items")
print(f"{split.name} split: {len(split.train):,} rows to train on, the newest {len(split.test):,} to test on")
for row in range(5):
    user, item = interactions.users[row], interactions.items[row]
    rating = "" if interactions.ratings is None else f", rated {interactions.ratings[row]:g}"
    print(f"  user {interactions.user_ids[user]}: {interactions.titles[item]}{rating}")

# %% [markdown]
# Every setting has a default, so the dictionary above holds only what differs. A misspelt key is an error that lists
# the keys there are, not a silent default.
#
# ## 2. Train
#
# The model computes a vector $q_u$ from what is known of a user $u$, and holds a vector $v_i$ for every film $i$. The
# score of a film is the dot product of the two, and a list consists of the films with the largest scores, without those
# the user has already had:
#
# $$s_{ui} = q_u \cdot v_i$$
#
# One call fits the model, tunes the baselines on validation data, measures everything on the same test rows by the same
# rules, builds the index and exports a SavedModel. It is exactly what the command line runs.

# %%
place = Path(tempfile.mkdtemp(prefix="quickstart-"))
console = Console(width=110, force_jupyter=False, force_terminal=False)
run = train(config, folder.start(place / "run", "two-tower", resume=False), console)

# %% [markdown]
# How to read the table: each withheld rating of the test period is one question, "where does this film stand in the
# ranking of the whole catalogue for this user?" `hit@10` is the share of questions whose film stands among the first
# ten; `ndcg@10` also rewards a higher place. *Popularity* recommends the same list to everybody: a model that does not
# beat it has learnt nothing about anybody. On simulated data the *oracle* ranks by the generator's own probabilities
# and shows how much there was to be found.
#
# Is the model better than a baseline, or was it luck? Both are measured on the same users, so their difference has an
# interval of its own; a winner can be named only where that interval does not contain 0. The figures come from
# `metrics.json`, which is there for programs ([its keys](../docs/metrics.md)):

# %%
metrics = read_metrics(run)
rows = {**metrics.baselines, metrics.family: metrics.metrics}
if metrics.oracle is not None:
    rows["oracle"] = metrics.oracle

for name, figures in metrics.comparisons.items():
    low, high = figures["hit@10"].interval
    verdict = "better" if low > 0 else "worse" if high < 0 else "no winner can be named"
    print(f"hit@10 of {metrics.family} less that of {name}: {low:+.4f} to {high:+.4f}, {verdict}")

figure, axes = plt.subplots(figsize=(7, 0.45 * len(rows) + 1))
values = [figures["hit@10"] for figures in rows.values()]
colours = ["#1f6f8b" if name == metrics.family else "#b8c4cc" for name in rows]
bars = axes.barh(list(rows), values, color=colours)
axes.bar_label(bars, fmt="%.3f", padding=4)
axes.set_xlim(0, max(values) * 1.15)
axes.set_xlabel(f"hit@10 on {metrics.num_test_measured:,} test ratings of {metrics.dataset}")
axes.spines[["top", "right"]].set_visible(False)
plt.show()

# %% [markdown]
# ## 3. Recommend
#
# `Recommender` loads the export, the same files that TensorFlow Serving would load. It takes user ids as they stand in
# your data.

# %%
recommender = Recommender.load(run / "saved_model")
user = str(interactions.user_ids[interactions.users[split.test[0]]])
print(f"User {user}")
for best in recommender.recommend([user], k=5)[0]:
    print(f"  {best.score:6.3f}  {best.title}")

# %% [markdown]
# Somebody the model has never met can be served as well: from the films of this very session, or from nothing at all.

# %%
last_three = prepared.train.of(int(interactions.users[split.test[0]]))[-3:]
print("A visitor who has just watched", "; ".join(interactions.titles[last_three]))
for best in recommender.recommend(["a new visitor"], k=5, history=[list(interactions.item_ids[last_three])])[0]:
    print(f"  {best.score:6.3f}  {best.title}")

print("\nA visitor about whom nothing is known")
for best in recommender.recommend(["a new visitor"], k=5)[0]:
    print(f"  {best.score:6.3f}  {best.title}")

# %% [markdown]
# ## A question to answer by experiment
#
# *How much does the model owe to knowing who the user is, beside what the user has watched?* Train a second run with
# `"model": {"user_id": False}` added to the settings in step 1, into `place / "anonymous"`, and look at both folders
# with `recsys-tfrs compare`, which pairs them over users. What does that say about serving people who signed up a
# minute ago?
#
# ## What to read next
#
# * `01_data_and_honest_evaluation`: why the figures above are measured the way they are, and what goes wrong otherwise.
# * `05_two_tower_retrieval`: the model, taken apart.
# * [docs/data.md](../docs/data.md) to bring your own data, [docs/serving.md](../docs/serving.md) to put the export
#   behind a server.

# %% [markdown]
# ## The series
#
# * After it: [Data and honest evaluation](01_data_and_honest_evaluation.ipynb)
