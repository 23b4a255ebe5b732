"""The model card: what an exported model is for, how good it is for whom, and where it ends.

After Mitchell et al., "Model Cards for Model Reporting", FAT* 2019, section 4: model details, intended use, factors,
metrics, evaluation data, training data, quantitative analyses by group, caveats.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

MODEL_CARD = "model_card.md"

_METRICS = ("hit@10", "ndcg@10", "hit@100", "recall@10", "map@10")

#: Metrics of which differences to the baselines are stated.
_COMPARED = ("hit@10", "ndcg@10")

#: Slices that tell items apart; all others tell users apart.
ITEM_SLICES = ("item_popularity", "item_warmth")

#: A group with fewer test pairs takes no part in a gap: its figure is mostly chance.
MIN_PAIRS = 100

_Figures = Mapping[str, float]


def model_card(facts: Mapping[str, Any]) -> str:
    """Write the card in Markdown.

    Args:
      facts: the manifest of the export. Of a run it holds what ``metrics.json`` does; without that the card says that
        nothing was measured.
    """
    return "\n".join(_lines(facts)) + "\n"


def _lines(facts: Mapping[str, Any]) -> Iterator[str]:
    yield f"# Model card: {facts.get('family', 'retrieval model')} on {facts.get('dataset', 'data of its own')}"
    yield from _details(facts)
    yield from _use(facts)
    yield from _data(facts)
    if "metrics" in facts:
        yield from _figures(facts)
        yield from _groups(facts)
    else:
        yield "\n## Figures\n\nNothing was measured when this model was exported: `recsys-tfrs export RUN` records it."
    yield from _limits(facts)


def _details(facts: Mapping[str, Any]) -> Iterator[str]:
    index = facts["index"]
    yield "\n## Model\n"
    yield "Retrieval: a query vector from user and history, a vector for each item, ranked by their dot product."
    yield f"- index: {index['kind']} over {index['num_candidates']:,} items, {index['bytes'] / 1e6:,.1f} MB"
    yield f"- lists: {facts['default_k']} items unless asked otherwise, at most {facts['max_k']:,}"
    needed = ", ".join(facts["custom_operations"])
    yield f"- operations beyond TensorFlow's own: {needed or 'none'}"
    if "seed" in facts:
        yield f"- seed {facts['seed']}; complete configuration in `manifest.json`"
    yield "- versions: " + ", ".join(f"{name} {version}" for name, version in facts["versions"].items())


def _use(facts: Mapping[str, Any]) -> Iterator[str]:
    yield "\n## Intended use\n"
    yield (
        "To propose items of this catalogue to users of the service the data comes from, as a list or as candidates "
        "for a later ranking. Scores order the items of one request; they are no probabilities and cannot be compared "
        "across users or versions."
    )
    yield (
        "\nNot for decisions about people, and not for another catalogue or population: there the figures below do "
        "not hold."
    )
    if facts["stored_histories"]:
        yield (
            "\n**Personal data**: the export holds the user ids and the training history of every user. Whoever can "
            "read the files can read them; `recsys-tfrs export RUN --no-histories` leaves the histories out."
        )
    else:
        yield "\n**Personal data**: the export holds user ids and user columns, but no histories; requests bring them."


def _data(facts: Mapping[str, Any]) -> Iterator[str]:
    yield "\n## Data\n"
    yield f"{facts['num_users']:,} users and {facts['num_items']:,} items are known to the export."
    if "split" in facts:
        yield (
            f"\n`{facts['dataset']}`, {facts['split']} split: {facts['num_train']:,} training interactions "
            f"({facts['num_validation']:,} of them withheld first to select on), {facts['num_test']:,} test "
            f"interactions. Split hash `{facts['split_hash'][:16]}`. Nothing was fitted or chosen on the test part."
        )
    for note in facts.get("dataset_notes", ()):
        yield f"\n> {note}"


def _figures(facts: Mapping[str, Any]) -> Iterator[str]:
    which = "of users and items known from training" if facts["pairs"] == "warm" else "of the split"
    among = "the user has not had" if facts["seen"] == "filtered" else "with those the user has had"
    fitted = "" if facts["refit"] else " and, unlike the model, refitted on its rows, too"
    yield "\n## Figures\n"
    yield (
        f"{facts['num_test_measured']:,} test pairs {which}, each ranked among all items {among}, ties at their "
        f"expected rank. Square brackets: 95% bootstrap interval over users. Baselines are tuned on validation{fitted}."
    )
    yield ""
    yield "| | " + " | ".join(_METRICS) + " |"
    yield "| --- |" + " ---: |" * len(_METRICS)
    intervals = facts["intervals"]
    own = (f"{facts['metrics'][m]:.4f} [{intervals[m][0]:.4f}, {intervals[m][1]:.4f}]" for m in _METRICS)
    yield f"| **{facts['family']}** | " + " | ".join(own) + " |"
    for name, figures in facts["baselines"].items():
        yield f"| {name} | " + " | ".join(f"{figures[m]:.4f}" for m in _METRICS) + " |"
    yield "\n| difference to | " + " | ".join(_COMPARED) + " |"
    yield "| --- |" + " ---: |" * len(_COMPARED)
    for name, comparison in facts["comparisons"].items():
        yield f"| {name} | " + " | ".join(_difference(comparison[m]) for m in _COMPARED) + " |"
    everyone = facts["metrics_all_pairs"]
    yield (
        f"\nOn all {facts['num_test']:,} test interactions, users and items without training rows included: hit@10 "
        f"{everyone['hit@10']:.4f}, ndcg@10 {everyone['ndcg@10']:.4f}."
    )
    audit = facts.get("index_audit", {})
    if "recall@10" in audit:
        yield (
            f"\nThe index finds {audit['recall@10']:.2%} of the ten items that exact search finds "
            f"({audit['num_queries']:,} queries of test users); the figures above are those of exact search."
        )


def _difference(comparison: Mapping[str, Any]) -> str:
    low, high = comparison["interval"]
    verdict = "better" if low > 0 else "worse" if high < 0 else "not told apart"
    return f"{comparison['difference']:+.4f} [{low:+.4f}, {high:+.4f}], {verdict}"


def _groups(facts: Mapping[str, Any]) -> Iterator[str]:
    yield "\n## For whom\n"
    yield (
        "All test interactions by group of users, no interval computed; a gap is the best group's hit@10 minus the "
        f"worst's, among groups of at least {MIN_PAIRS} pairs."
    )
    for name, groups in facts["slices"].items():
        if name in ITEM_SLICES:
            continue
        yield from _slice(name, groups)
    shown = [name for name in ITEM_SLICES if name in facts["slices"]]
    if shown:
        yield "\n### By kind of item"
        for name in shown:
            yield from _slice(name, facts["slices"][name])


def _slice(name: str, groups: Mapping[str, _Figures]) -> Iterator[str]:
    yield f"\n| {name} | pairs | hit@10 | ndcg@10 |"
    yield "| --- | ---: | ---: | ---: |"
    for group, f in groups.items():
        label = str(group).replace("|", "\\|")
        yield f"| {label} | {int(f['num_pairs']):,} | {f['hit@10']:.4f} | {f['ndcg@10']:.4f} |"
    yield f"\n{gap(groups)}"


def gap(groups: Mapping[str, _Figures]) -> str:
    """The difference between the best and the worst served group, in words."""
    large = {name: f["hit@10"] for name, f in groups.items() if f["num_pairs"] >= MIN_PAIRS}
    if len(large) < 2:
        return f"Gap: not stated, fewer than two groups have {MIN_PAIRS} pairs."
    best, worst = max(large, key=lambda name: large[name]), min(large, key=lambda name: large[name])
    difference = large[best] - large[worst]
    ratio = f", {large[best] / large[worst]:.2f} times" if large[worst] > 0 else ""
    return f"Gap in hit@10: {difference:.4f}{ratio} ({best} {large[best]:.4f}, {worst} {large[worst]:.4f})."


def _limits(facts: Mapping[str, Any]) -> Iterator[str]:
    yield "\n## Known limits\n"
    yield (
        "- Users and items that training has not seen are described by their columns alone; without columns an unknown "
        "user gets what suits anyone."
    )
    yield "- What was never shown could not be liked: data and model reflect how items were chosen before."
    if "coverage@10" in facts.get("metrics", {}):
        metrics = facts["metrics"]
        yield (
            f"- The lists of the test users cover {metrics['coverage@10']:.1%} of the catalogue (Gini coefficient of "
            f"the exposure {metrics['gini@10']:.2f}; 0 is even, 1 is one item for all)."
        )
    if history := facts.get("history_items"):
        yield f"- Of a history the newest {history:,} items count."
    if facts["index"]["kind"] != "exact":
        yield "- The index is approximate, and a filter that keeps few items can shorten a list."
    yield "- Knowledge ends with the last training interaction; measure again on newer data before relying on it."
