"""The model card of a cascade: its stages, and what was measured of them together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


def cascade_card(facts: Mapping[str, Any]) -> str:
    """Write the card in Markdown.

    Args:
      facts: the manifest of the export; what is missing is left out.
    """
    return "\n".join(_lines(facts)) + "\n"


def _lines(facts: Mapping[str, Any]) -> Iterator[str]:
    yield f"# Model card: cascade on {facts.get('dataset', 'data of its own')}"
    yield "\n## Model\n"
    yield f"{facts['candidates']:,} candidates are retrieved, ranked by another model, and cut to the list asked for."
    yield "\n| source | candidates |\n| --- | ---: |"
    for source in facts["sources"]:
        yield f"| {source['name']} | {source['quota']:,} |"
    ranking = facts.get("ranking", {})
    yield f"\n- ranked by {ranking.get('family', 'a model')}: {', '.join(facts['parts'])}; predicts {facts['target']}"
    weight = facts["retrieval_weight"]
    if weight:
        yield (
            f"- order: {1 - weight:g} of the ranking model's score and {weight:g} of that of "
            f"{facts['sources'][0]['name']}, each standardised over the candidates of a request"
        )
    else:
        yield "- order: the ranking model's alone; `ranking_score` and `score` are its prediction"
    if facts["diversity"] is not None:
        yield f"- lists are diversified by maximal marginal relevance with trade-off {facts['diversity']:g}"
    yield "- outputs `sources` and `parts`: which spoke; one that fails, or is named in `without`, leaves the others"
    yield f"- lists: {facts['default_k']} items unless asked otherwise, at most {facts['max_k']:,}"
    yield "- versions: " + ", ".join(f"{name} {version}" for name, version in facts["versions"].items())
    yield "\n## Data\n"
    yield f"{facts['num_users']:,} users and {facts['num_items']:,} items are known to the export."
    if "split" in facts:
        yield f"\n`{facts['dataset']}`, {facts['split']} split, hash `{facts['split_hash'][:16]}`."
    if "metrics" in facts:
        yield from _figures(facts)
    yield "\n## Known limits\n"
    yield "- The cards of the runs it was made of say for whom they work and for whom not; these hold here as well."
    yield "- An item that no source finds cannot be ranked, however well the ranking model would like it."
    yield (
        "- **Personal data**: the export holds the user ids, user columns and training history of every user. Whoever "
        "can read the files can read them."
    )


def _figures(facts: Mapping[str, Any]) -> Iterator[str]:
    yield "\n## Figures\n"
    yield "Square brackets: 95% bootstrap interval over users, of the difference paired.\n"
    if facts["diversity"] is not None:
        yield "Of the order before it is diversified.\n"
    yield "| metric | cascade | retrieval alone | difference |\n| --- | ---: | ---: | ---: |"
    for name, figure in facts["metrics"].items():
        compared = facts["comparison"][name]
        low, high = compared["interval"]
        yield (
            f"| {name} | {figure:.4f} | {figure - compared['difference']:.4f} | {compared['difference']:+.4f} "
            f"[{low:+.4f}, {high:+.4f}] |"
        )
