"""The results of `ranking` as Markdown."""

from __future__ import annotations

from collections.abc import Iterator

from record import Figures, bounded, judged, origin, table

#: What is shown of predictions.
_METRICS = ("auc", "gauc", "logloss", "ece")

#: Rows of the real data set that the made-up table stands for.
_CRITEO_ROWS = 45_840_617

#: Test AUC published for Frappe_x1 by FuxiCTR's benchmark, and what is to be reached.
_FRAPPE = {"lr": (0.9356, None), "fm": (0.9671, 0.9700), "dnn": (0.9833, None), "deepfm": (0.9842, 0.9850)}


def lines(figures: Figures, environment: Figures, note: str) -> list[str]:
    """Everything that was measured, part by part."""
    made = ["# Ranking", "", origin(figures, environment), ""]
    made += [note, ""] if note else []
    for name, part in (
        ("speed", _speed),
        ("histories", _histories),
        ("clicks", _clicks),
        ("likes", _likes),
        ("ratings", _ratings),
        ("frappe", _frappe),
        ("streaming", _streaming),
    ):
        if name in figures:
            made += [*part(figures[name]), ""]
    return made


def _speed(found: Figures) -> Iterator[str]:
    per_example = found["operations_per_example"]
    yield "## Speed of training"
    yield ""
    yield (
        f"DeepFM of 10 fields in {found['rows']:,} rows, batches of 4,096, vectors of 10, hidden layers 400-400-400. "
        "Whole epochs, reading of encoded rows included, in turn with FuxiCTR's DeepFM. *As published* are the "
        "settings of "
        "FuxiCTR's benchmark for Frappe_x1 (batch normalisation, dropout 0.2, decay of embeddings 0.05), *bare* has "
        "none "
        "of these; both sides share them. Processor seconds do not depend on what else the machine does."
    )
    yield ""
    rows = []
    for name in ("as published", "bare"):
        one = found[name]
        other = one.get("fuxictr")
        rows.append(
            [
                name,
                f"{one['examples_per_second']:,.0f}",
                f"{other['examples_per_second']:,.0f}" if other else "-",
                f"{one['ratio']:.2f} ({min(one['ratio_by_round']):.2f} to {max(one['ratio_by_round']):.2f})"
                if other
                else "-",
                judged(one["ratio"], 2.0) if other else "",
                f"{one['cpu_seconds_per_million']:.1f}",
                f"{other['cpu_seconds_per_million']:.1f}" if other else "-",
                f"{one['cpu_ratio']:.2f}" if other else "-",
            ]
        )
    heads = ["settings", "examples/s", "FuxiCTR", "ratio (by round)", "bar 2", "CPU s per million", "FuxiCTR", "ratio"]
    yield from table(heads, rows)
    yield ""
    bound = found["float32"] * 1e9 / per_example
    yield (
        f"What bounds it: the products of the hidden layers take {per_example / 1e6:.2f} million operations an "
        "example, "
        f"forward and backward, and large products run at {found['float32']:.0f} GFLOP/s here at the time, which "
        "allows "
        f"{bound:,.0f} examples/s."
    )


def _histories(found: list[Figures]) -> Iterator[str]:
    yield "## Fields of several ids"
    yield ""
    yield (
        "Training steps of DeepFM with a history beside the 10 fields: the rows of its known ids added up where they "
        "lie, "
        "or all gathered, padding included, and averaged. Steps in turn, medians."
    )
    yield ""
    rows = [
        [
            f"{one['width']}",
            f"{one['known']:.0f}",
            f"{one['added up']:,.0f}",
            f"{one['gathered']:,.0f}",
            f"{one['ratio']:.2f}",
            f"{one['cpu']['added up']:.0f} / {one['cpu']['gathered']:.0f}",
        ]
        for one in found
    ]
    yield from table(["width", "known ids", "added up, examples/s", "gathered", "ratio", "CPU ms of a step"], rows)


def _clicks(found: Figures) -> Iterator[str]:
    yield "## Simulated clicks"
    yield ""
    oracle = found["systems"][found["first"]]["oracle"]
    yield f"The generator's own probabilities, which no model can beat: AUC {oracle['auc']:.4f}."
    yield ""
    yield from _systems(found)
    yield ""
    auc = {name: one["metrics"]["auc"] for name, one in found["systems"].items()}
    rises = auc["lr"] < auc["fm"] < auc["deepfm"]
    yield (
        f"lr < fm < deepfm: {judged(float(rises), 1.0)}. deepfm within .005 of the oracle: "
        f"{oracle['auc'] - auc['deepfm']:.4f}, {judged(oracle['auc'] - auc['deepfm'], 0.005, at_most=True)}."
    )


def _likes(found: Figures) -> Iterator[str]:
    yield "## Likes on MovieLens 100K, temporal split"
    yield ""
    yield from _systems(found)
    yield ""
    yield "FuxiCTR reads the same encoded fields; its settings are those its benchmark publishes for Frappe_x1."
    yield ""
    worst = min(d["auc"]["high"] for d in found["differences"].values())
    ece = found["systems"][found["first"]]["metrics"]["ece"]
    yield (
        f"deepfm below none (no interval of its AUC less another's lies below 0): {judged(worst, 0.0)}. Expected "
        f"calibration error {ece:.4f}, bar .02: {judged(ece, 0.02, at_most=True)}."
    )


def _ratings(found: Figures) -> Iterator[str]:
    yield "## Ratings on MovieLens 100K, official folds"
    yield ""
    rows = [
        [
            fold,
            *(bounded(one["metrics"][metric], one["intervals"][metric]) for metric in ("rmse", "mae")),
            f"{one['seconds']:.0f}",
        ]
        for fold, one in found["folds"].items()
    ]
    yield from table(["fold", "rmse", "mae", "seconds"], rows)
    yield ""
    mean = found["mean_rmse"]
    yield f"Mean RMSE {mean:.4f}, bar .905: {judged(mean, 0.905, at_most=True)}."


def _frappe(found: Figures) -> Iterator[str]:
    yield "## Frappe_x1"
    yield ""
    rows = []
    for name, (published, bar) in _FRAPPE.items():
        auc = found["systems"][name]["metrics"]["auc"]
        verdict = judged(auc, bar) if bar else ""
        rows.append([name, f"{auc:.4f}", f"{published:.4f}", f"{bar:.4f}" if bar else "-", verdict])
    yield from table(["family", "AUC", "published", "bar", ""], rows)


def _streaming(found: list[Figures]) -> Iterator[str]:
    yield "## A table that does not fit"
    yield ""
    yield (
        "Made-up rows in Criteo's layout (13 counts, 26 fields of strings, the largest of a million different "
        "values), one "
        "epoch of DeepFM with vectors of 10 and hidden layers 400-400-400. Memory is that of the process alone, at its "
        "peak in each stage; encoded rows lie on disk and are mapped."
    )
    yield ""
    names = list(found[0]["stages"])
    counts = [{"train": one["train_rows"], "predict": one["measured_rows"]} for one in found]
    rows = []
    for name in names:
        cells = []
        for one, count in zip(found, counts, strict=True):
            stage = one["stages"][name]
            cells += [
                f"{60e-6 * count.get(name, one['rows']) / stage['seconds']:.2f}",
                f"{stage['peak_bytes'] / 1e6:,.0f}",
            ]
        rows.append([name, *cells])
    heads = [f"{one['rows'] / 1e6:g} million: {what}" for one in found for what in ("million rows/min", "peak MB")]
    yield from table(["stage", *heads], rows)
    yield ""
    last = found[-1]
    hours = (
        sum(
            stage["seconds"] / counts[-1].get(name, last["rows"]) * _CRITEO_ROWS
            for name, stage in last["stages"].items()
        )
        / 3600
    )
    yield (
        f"{last['bytes'] / 1e6:,.0f} MB of text at most, {last['table_rows']:,} rows of embeddings. At the speed of "
        "the "
        f"largest table, Criteo's {_CRITEO_ROWS / 1e6:.1f} million rows take {hours:.1f} hours to read, encode, "
        "train on "
        "once and predict."
    )


def _systems(found: Figures) -> Iterator[str]:
    first = found["first"]
    rows = []
    for name, one in found["systems"].items():
        low, high = one["intervals"]["auc"]
        cells = [f"{one['metrics'][m]:.4f}" if m in one["metrics"] else "-" for m in _METRICS]
        difference = found["differences"].get(name)
        beside = ["", ""]
        if difference:
            beside = [
                f"{difference[m]['difference']:+.4f} ({difference[m]['low']:+.4f} to {difference[m]['high']:+.4f})"
                for m in ("auc", "logloss")
            ]
        rows.append([name, *cells, f"{low:.4f} to {high:.4f}", *beside])
    yield from table(["", *_METRICS, "95% of auc", f"{first} less it: auc", "logloss"], rows)
