# %% [markdown]
# # Export and TensorFlow Serving
#
# **What it teaches**: what an exported model consists of, how to ask it as a program that has never heard of this
# package, why its first answers are slow and how a warm-up file cures that, and how to prove before a roll-out that the
# export computes what was trained. Nothing here needs Docker or a network.
# **For whom**: readers of `00_quickstart` who are about to put a model behind a server.
# **How long**: fifteen minutes to read, about a minute to run on two processor cores.
# **Paper**: Olston et al., *TensorFlow-Serving: flexible, high-performance ML serving*, 2017
# (https://arxiv.org/abs/1712.06139).

# %%
import json
import os
import tempfile
import time
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from rich.console import Console

from recsys_tfrs import runtime

tf = runtime.import_tensorflow()

from recsys_tfrs.config import build
from recsys_tfrs.runs import folder
from recsys_tfrs.runs.config import family_config
from recsys_tfrs.runs.export import export_run
from recsys_tfrs.runs.prepared import prepare
from recsys_tfrs.runs.train import train
from recsys_tfrs.serving.check import check_export
from recsys_tfrs.serving.folders import versions
from recsys_tfrs.serving.version_folder import operations
from recsys_tfrs.serving.warmup import read_warmup

DATASET = os.environ.get("DATASET", "simulated-tiny")
SIGNATURE = "recommend_user"

place = Path(tempfile.mkdtemp(prefix="export-"))
config = build(
    family_config("two-tower"),
    [
        {
            "family": "two-tower",
            "data": {"dataset": DATASET},
            "model": {"dim": 32, "hide": "any"},
            "training": {"epochs": 8},
            "evaluation": {"baselines": ["popularity", "ials"]},
        }
    ],
)
quiet = Console(quiet=True)
run = train(config, folder.start(place / "run", "two-tower", resume=False), quiet)

# %% [markdown]
# ## 1. What lies in a version folder
#
# Training has exported the model already. The number is the version: TensorFlow Serving watches the folder above it
# and serves the largest one. A version folder is written under a hidden name and renamed when it is whole, so a
# server never sees half of one.

# %%
version = run / "saved_model" / "1"
for path in sorted(version.rglob("*")):
    if path.is_file():
        print(f"{path.stat().st_size:>9,}  {path.relative_to(version)}")

# %% [markdown]
# Graph and variables are TensorFlow's. `assets.extra` is where TensorFlow Serving expects files that come along; what
# lies there tells where the model comes from and what it must answer:
#
# * `manifest.json`: data set and split with their hashes, configuration, figures, index, signatures, versions;
# * `model_card.md`: the same for people, with the figures by group of users;
# * `tf_serving_warmup_requests`: requests that a server plays to itself before it answers anybody (section 4);
# * `expected.json`: scores of the model outside the graph, to check it by (section 5).

# %%
manifest = json.loads((version / "assets.extra" / "manifest.json").read_text(encoding="utf-8"))
for name in ("dataset", "split", "split_hash", "vocabulary_hash", "index", "max_k", "stored_histories"):
    print(f"{name:17} {manifest[name]}")
print(f"{'index_audit':17} recall@10 {manifest['index_audit']['recall@10']:.3f}")
print("\n".join((version / "assets.extra" / "model_card.md").read_text(encoding="utf-8").splitlines()[:12]))

# %% [markdown]
# ## 2. Asking it with TensorFlow alone
#
# From here on only `tensorflow` is needed, as in any program that loads a SavedModel. Inputs and outputs have names,
# ids are strings on both sides, and the number of rows is free. `recommend_user` takes nothing but user ids. What the
# graph computes from them is the query vector $q_u$, and the $k$ items with the largest $q_u \cdot v_i$.

# %%
loaded = tf.saved_model.load(str(version))
prepared = prepare(config)  # only to have the id of a user with training rows
data, split = prepared.interactions, prepared.split
known, stranger = str(data.user_ids[data.users[split.train[0]]]), "somebody new"
answer = loaded.signatures["recommend_user"](user_id=tf.constant([known, stranger]))
for row, user in enumerate([known, stranger]):
    titles = [title.decode() for title in answer["title"][row, :3].numpy()]
    print(f"{user!r} (known: {bool(answer['user_known'][row])}): {'; '.join(titles)}")

# %% [markdown]
# `serving_default` takes everything a request may carry. A server fills in what a request leaves out from the
# defaults in the signature; called from Python, a signature wants all of its inputs, so they are filled in from the
# manifest here. Each of the following is a matter of one request, not of another export: the length of the list,
# items that must not return, a history sent with the request instead of looked up, a condition on the items.

# %%
declared = manifest["signatures"]["serving_default"]["inputs"]
neutral = {
    name: tf.fill(
        [1] * len(entry["shape"] or []),
        tf.constant(float("nan") if entry["default"] == "NaN" else entry["default"], entry["dtype"]),
    )
    for name, entry in declared.items()
}
print("inputs:", ", ".join(declared))

ask = loaded.signatures["serving_default"]
best = ask(**neutral | {"user_id": tf.constant([known]), "k": tf.constant(5)})["item_id"].numpy()[0]
print("five items:        ", *(item.decode() for item in best))
left = ask(**neutral | {"user_id": tf.constant([known]), "k": tf.constant(5), "exclude": tf.constant([best[:2]])})
print("without the best 2:", *(item.decode() for item in left["item_id"].numpy()[0]))
after = ask(**neutral | {"history": tf.constant([best[:3]]), "k": tf.constant(5)})
print("after a history:   ", *(item.decode() for item in after["item_id"].numpy()[0]))

# %% [markdown]
# Exclusion is hard: an excluded item never returns, and the list is as long as before.
#
# ## 3. Which operations it needs
#
# A server can run a graph if it knows every operation in it. The exact index is made of TensorFlow's own, so the
# ordinary `tensorflow/serving` image runs this export. One with a ScaNN index names what it needs beyond that; no
# public image for this TensorFlow has it (`deploy/README.md` says what it takes).

# %%
used = operations(version)
print(len(used), "operations, beyond TensorFlow's own:", [op for op in used if ">" in op] or "none")

# %% [markdown]
# ## 4. The first answers are slow
#
# The first call of a signature allocates memory and prepares the graph, once per function. A server that takes a new
# version into service makes its first callers wait, unless it finds a warm-up file: requests that it plays to itself
# while it is loading. Ours hold every signature, single requests and batches, known and unknown users, histories sent
# with the request, and filters, and they are read with TensorFlow Serving's own message types.

# %%
requests = read_warmup(version / "assets.extra" / "tf_serving_warmup_requests")
print(len(requests), "requests; the first one:")
print(requests[0].model_spec, {name: tf.make_ndarray(tensor) for name, tensor in requests[0].inputs.items()})

took = {}
for name in ("without warm-up", "with warm-up"):
    fresh = tf.saved_model.load(str(version))
    if name == "with warm-up":
        for request in requests:
            inputs = {i: tf.constant(tf.make_ndarray(tensor)) for i, tensor in request.inputs.items()}
            fresh.signatures[request.model_spec.signature_name](**inputs)
    seconds = []
    for _ in range(30):
        started = time.perf_counter()
        fresh.signatures[SIGNATURE](user_id=tf.constant([known]))
        seconds.append(time.perf_counter() - started)
    took[name] = 1e3 * np.array(seconds)
    print(f"{name:16} first call {took[name][0]:8.1f} ms, then {np.median(took[name][1:]):.2f} ms")

figure, axes = plt.subplots(figsize=(7, 2.8))
for name, colour in (("without warm-up", "#b8c4cc"), ("with warm-up", "#1f6f8b")):
    axes.plot(np.arange(1, 31), took[name], marker="o", markersize=3, color=colour, label=name)
axes.set_yscale("log")
axes.set_xlabel(f"call of {SIGNATURE} after loading")
axes.set_ylabel("milliseconds")
axes.spines[["top", "right"]].set_visible(False)
axes.legend(frameon=False)
figure.tight_layout()
plt.show()

# %% [markdown]
# ## 5. Does it compute what was trained?
#
# `recsys-tfrs serve-check` (here `check_export`) starts a fresh process that imports neither this package nor
# tensorflow_recommenders, loads the export, calls every signature, compares with the scores that the model itself
# gave at the time of the export, compares rows in a batch with rows alone, and plays the warm-up file. One verdict
# per check; the command ends with exit code 1 if one fails, so it can stand before a roll-out.

# %%
for verdict in check_export(version):
    print("ok  " if verdict.passed else "FAIL", f"{verdict.check:15}", verdict.detail)

# %% [markdown]
# Would it notice? A single recorded score, moved by three hundred-thousandths:

# %%
recorded = version / "assets.extra" / "expected.json"
sound = recorded.read_text(encoding="utf-8")
expected = json.loads(sound)
expected["users"][0]["pairs"]["score"][0] += 3e-5
recorded.write_text(json.dumps(expected), encoding="utf-8")
for verdict in check_export(version):
    if not verdict.passed:
        print("FAIL", verdict.check, verdict.detail)
recorded.write_text(sound, encoding="utf-8")

# %% [markdown]
# ## 6. The next version
#
# A finished run can be exported again, with another index, another `max_k`, or without the users' histories, which are
# personal data. The new version stands beside the old one, and a server switches when it appears.

# %%
second = export_run(run, quiet, max_k=50, store_histories=False)
print(versions(run / "saved_model"), "->", second.name)
sizes = [sum(p.stat().st_size for p in path.rglob("*") if p.is_file()) for path in (version, second)]
print(f"{sizes[0]:,} and {sizes[1]:,} bytes")

# %% [markdown]
# In a terminal, the whole way to a server is:
#
# ```
# recsys-tfrs export runs/latest --index exact --to models
# recsys-tfrs serve-check models/retrieval
# docker compose -f deploy/compose.yaml up       # or, without Docker: recsys-tfrs serve models/retrieval
# curl -d '{"signature_name": "recommend_user", "instances": [{"user_id": "ID"}]}' \
#   localhost:8501/v1/models/retrieval:predict
# ```
#
# ## A question to answer by experiment
#
# *What does a list cost?* Time `serving_default` with `k` of 1, 10, 100 and 1,000, for one user and for 256 in one
# request. What does a user cost alone, what in a batch, and which of the two does `k` matter to? Then decide which
# batch size your own bulk job should use, and compare with `recsys-tfrs batch-recommend`.
#
# ## What to read next
#
# * [docs/serving.md](../docs/serving.md): all signatures and inputs, unknown users, batching.
# * [deploy/README.md](../deploy/README.md): TensorFlow Serving with labels, batching and monitoring.

# %% [markdown]
# ## The series
#
# * Before it: [Retrieve, then rank; and several models together](12_retrieve_then_rank_ensemble.ipynb)
