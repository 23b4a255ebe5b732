"""The model card of an exported ranking model: how good it is, for whom, how far its probabilities can be trusted.

After Mitchell et al., "Model Cards for Model Reporting", FAT* 2019, section 4, as the card of retrieval
(`recsys_tfrs.serving.model_card`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from recsys_tfrs.evaluation.rating_errors import LOWER_IS_BETTER

#: Shown of slices, those that there are.
_IN_SLICES = ("auc", "logloss", "ece", "rmse", "mae", "ndcg@10")


def ranking_card(facts: Mapping[str, Any]) -> str:
    """Write the card in Markdown.

    Args:
      facts: the manifest of the export. Of a run it holds what ``metrics.json`` does; what is missing is left out.
    """
    return "\n".join(_lines(facts)) + "\n"


def _lines(facts: Mapping[str, Any]) -> Iterator[str]:
    yield f"# Model card: {facts.get('family', 'ranking model')} on {facts.get('dataset', 'data of its own')}"
    yield from _details(facts)
    yield from _use(facts)
    yield from _data(facts)
    measured = [target for target in facts["targets"] if target.get("metrics")]
    for target in measured:
        yield from _target(target, facts.get("family", "model"))
    if not measured:
        yield "\n## Figures\n\nNothing was measured when this model was exported: `recsys-tfrs export RUN` records it."
    yield from _limits(facts)


def _details(facts: Mapping[str, Any]) -> Iterator[str]:
    yield "\n## Model\n"
    yield f"Ranking: scores rows one by one, as the sum of {', '.join(facts['parts'])} over shared field embeddings."
    for target in facts["targets"]:
        meaning = "the chance of a 1" if target["kind"] == "binary" else "a number on the scale of the data"
        yield f"- output `{target['output']}`: {meaning}" + (" (also `score`)" if target["first"] else "")
    if facts.get("objective", "pointwise") != "pointwise":
        yield (
            f"- trained by lists ({facts['objective']}): a score orders the rows of one user; what it says beyond that "
            "comes from calibration on validation rows, and is right on average, not user by user"
        )
    yield f"- reads {', '.join(f'`{name}`' for name in facts['fields'])}"
    yield "- output `parts`: which parts spoke. One that fails, or is named in `without`, says its mean in training."
    if "seed" in facts:
        yield f"- seed {facts['seed']}"
    yield "- versions: " + ", ".join(f"{name} {version}" for name, version in facts["versions"].items())


def _use(facts: Mapping[str, Any]) -> Iterator[str]:
    yield "\n## Intended use\n"
    yield (
        "To order items that were found for a user of the service the data comes from, or to say how likely an answer "
        "is. Not for decisions about people, and not for another population: there the figures below do not hold."
    )
    if "stored_histories" in facts:
        holds = "the user ids, user columns and training history of every user"
        if not facts["stored_histories"]:
            holds = "user ids and user columns, but no histories; requests bring them"
        yield f"\n**Personal data**: the export holds {holds}. Whoever can read the files can read them."
    yield (
        "\nWhat is not known is missing: an unknown id, a column that a request leaves out, an empty string, NaN. "
        "A missing field says what training rows without it taught, and nothing where there were none."
    )


def _data(facts: Mapping[str, Any]) -> Iterator[str]:
    yield "\n## Data\n"
    if "split" in facts:
        yield f"`{facts['dataset']}`, {facts['split']} split, hash `{facts['split_hash'][:16]}`."
        yield "Nothing was fitted or chosen on the test part."
    for name, count in facts.get("counts", {}).items():
        yield f"- {name.removeprefix('num_').replace('_', ' ')}: {count:,}"
    for note in facts.get("dataset_notes", ()):
        yield f"\n> {note}"


def _target(target: Mapping[str, Any], family: str) -> Iterator[str]:
    metrics, intervals = target["metrics"], target.get("intervals", {})
    names = list(metrics)
    yield f"\n## Figures: {target['name']}\n"
    if "num_rows" in target:
        of = f" of {target['num_users']:,} users" if target.get("num_users") else ""
        yield f"{target['num_rows']:,} test rows{of}. Square brackets: 95% bootstrap interval.\n"
    yield _row(["", *names])
    yield "| --- |" + " ---: |" * len(names)
    yield _row([f"**{family}**", *(_with_interval(metrics[m], intervals.get(m)) for m in names)])
    for name, figures in target.get("baselines", {}).items():
        yield _row([name, *(_number(figures.get(m)) for m in names)])
    compared = target.get("comparisons") or {}
    if compared:
        shown = [m for m in names if any(m in comparison for comparison in compared.values())]
        yield "\n" + _row(["difference to", *shown])
        yield "| --- |" + " ---: |" * len(shown)
        for name, comparison in compared.items():
            yield _row([name, *(_difference(m, comparison.get(m)) for m in shown)])
    for metric, reason in (target.get("undefined") or {}).items():
        yield f"\n{metric} has no value: {reason}."
    yield from _calibration(target.get("calibration"), metrics)
    yield from _groups(target)


def _calibration(calibration: Mapping[str, Any] | None, metrics: Mapping[str, float]) -> Iterator[str]:
    if not calibration:
        return
    yield "\n### Calibration\n"
    error = calibration.get("ece", metrics.get("ece"))
    if error is not None:
        chance = calibration.get("ece_by_chance")
        said = "" if chance is None else f"; a perfectly calibrated model would show {chance:.4f} on as many rows"
        yield f"Expected calibration error {error:.4f}{said}."
    deciles: Sequence[Mapping[str, Any]] = calibration.get("deciles") or []
    if deciles:
        yield "\n| decile of the prediction | rows | mean prediction | share of positives |"
        yield "| --- | ---: | ---: | ---: |"
        for place, decile in enumerate(deciles, 1):
            share = _with_interval(decile["share_positive"], decile.get("interval"))
            yield f"| {place} | {decile['num_rows']:,} | {decile['mean_prediction']:.4f} | {share} |"


def _groups(target: Mapping[str, Any]) -> Iterator[str]:
    slices, gaps = target.get("slices") or {}, target.get("gaps") or {}
    if slices:
        yield "\n### For whom\n"
        yield (
            "Test rows by group; a gap is the best group's figure minus the worst's, its interval simultaneous over "
            "all pairs of groups."
        )
    for name, groups in slices.items():
        found = {metric for figures in groups.values() for metric in figures.get("metrics") or {}}
        shown = [metric for metric in _IN_SLICES if metric in found]
        yield "\n" + _row([name, "rows", "users", *shown])
        yield "| --- |" + " ---: |" * (len(shown) + 2)
        for group, figures in groups.items():
            of_group = figures.get("metrics") or {}
            counts = [f"{figures.get(key, 0):,}" for key in ("num_rows", "num_users")]
            yield _row([str(group), *counts, *(_number(of_group.get(metric)) for metric in shown)])
        for metric, gap in gaps.get(name, {}).items():
            if metric in shown:
                yield f"\n{_gap(metric, gap)}"


def _gap(metric: str, gap: Mapping[str, Any]) -> str:
    interval = gap.get("interval")
    low = None if interval is None else interval[0]
    verdict = "" if low is None else ", groups apart" if low > 0 else ", groups not told apart"
    return (
        f"Gap in {metric}: {_with_interval(gap['difference'], interval)}{verdict} "
        f"({gap['best']} best, {gap['worst']} worst)."
    )


def _limits(facts: Mapping[str, Any]) -> Iterator[str]:
    yield "\n## Known limits\n"
    yield "- What was never shown could not be liked: data and model reflect how items were chosen before."
    if any(target["name"] == "click" for target in facts["targets"]):
        yield (
            "- Negatives are items drawn at random beside each interaction: a score orders items, and as a probability "
            "it holds for that draw alone."
        )
    yield "- Users, items and values that training has not seen are described by what else is known of the row."
    yield "- Calibration drifts as the share of positives does; measure again on newer data before relying on it."


def _difference(metric: str, comparison: Mapping[str, Any] | None) -> str:
    if comparison is None:
        return ""
    low, high = comparison["interval"]
    apart = low > 0 or high < 0
    better = (comparison["difference"] > 0) != (metric in LOWER_IS_BETTER)
    verdict = ("better" if better else "worse") if apart else "not told apart"
    return f"{comparison['difference']:+.4f} [{low:+.4f}, {high:+.4f}], {verdict}"


def _with_interval(value: float, interval: Sequence[float] | None) -> str:
    return _number(value) + (f" [{interval[0]:.4f}, {interval[1]:.4f}]" if interval else "")


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _row(cells: Sequence[str]) -> str:
    escaped = (cell.replace("|", "\\|") for cell in cells)
    return f"| {' | '.join(escaped)} |"
