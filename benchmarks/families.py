"""Every family and baseline, trained with its defaults on one split of each data set, in one table each.

    python benchmarks/families.py [--data-dir FOLDER] [--movietweetings FOLDER] [--only PART]

--data-dir is MovieLens 100K, --movietweetings MovieTweetings; parts of which the data is not given are left out. Each
part is `recsys-tfrs compare --families`; nothing is chosen here. Results go to benchmarks/results/families.md and
.json, those of a part that is not run stay.
"""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from record import RENDER, Figures, keep_parts, origin, table

RESULTS = Path(__file__).resolve().parent / "results" / "families"

#: What is shown of retrieval, intervals of the first; of ranking, that of the leading metric.
_RETRIEVAL = ("ndcg@10", "hit@10", "hit@100", "coverage@10")
_RANKING = ("auc", "gauc", "logloss", "rmse", "ece")


@dataclass(frozen=True)
class Part:
    """One comparison.

    Attributes:
      title: of its table.
      options: of `recsys-tfrs compare`.
      folder: option of this program that says where the data lies; None: it is generated.
    """

    title: str
    options: str
    folder: str | None = None


PARTS = {
    "simulated": Part("simulated-small, temporal split", "--families all --dataset simulated-small"),
    "movielens": Part(
        "MovieLens 100K, leave-last-out split",
        "--families all --dataset movielens-100k --split leave-last-out",
        "data_dir",
    ),
    "movielens-random": Part(
        "MovieLens 100K, random split", "--families all --dataset movielens-100k --split random", "data_dir"
    ),
    "movietweetings": Part(
        "MovieTweetings, users and items with five ratings or more, leave-last-out split",
        "--families all --dataset movietweetings --set data.core=5 --split leave-last-out",
        "movietweetings",
    ),
    "likes": Part(
        "Likes on MovieLens 100K, temporal split",
        "--families ranking --dataset movielens-100k --set target=like",
        "data_dir",
    ),
}


def compare(part: Part, folder: Path | None) -> Figures:
    """Train and compare by the command line."""
    with tempfile.TemporaryDirectory() as place:
        where = [] if folder is None else ["--data-dir", str(folder.absolute())]
        command = [*shlex.split(part.options), *where, "--out", place]
        subprocess.run([sys.executable, "-m", "recsys_tfrs", "compare", *command], check=True, cwd=place)
        found = json.loads((Path(place) / "comparison.json").read_text("utf-8"))
    return {"found": found}


def lines(figures: Figures, environment: Figures) -> list[str]:
    """The results as Markdown."""
    made = ["# Families and baselines beside each other", "", origin(figures, environment), ""]
    made += [
        "Every family with its defaults, baselines tuned on validation. Retrieval: full ranking over the catalogue, "
        "what was seen left out, ties at their expected rank, 95% bootstrap intervals over users. Families that "
        "predict ratings (mf, deep-mf, biased MF) are trained to tell what people like of what they chose, not what "
        "they choose.",
        "",
    ]
    for name, part in PARTS.items():
        if name in figures:
            found = figures[name]["found"]
            rows = _ranking(found) if "systems" in found else _retrieval(found)
            made += [
                f"## {part.title}",
                "",
                f"`recsys-tfrs compare {part.options}`",
                "",
            ]
            made += [*rows, ""]
    return made


def _retrieval(found: Figures) -> list[str]:
    rows = []
    for name, one in found.items():
        low, high = one["intervals"]["ndcg@10"]
        figures = [f"{one['metrics'][metric]:.4f}" for metric in _RETRIEVAL]
        figures[0] += f" ({low:.4f} to {high:.4f})"
        rmse = one["metrics"].get("rmse")
        rows.append(
            [
                name,
                *figures,
                "-" if rmse is None else f"{rmse:.4f}",
                _kind(one["is_baseline"]),
            ]
        )
    return table(["", *_RETRIEVAL, "rmse", ""], rows)


def _ranking(found: Figures) -> list[str]:
    rows = []
    for name, figures in found["systems"].items():
        cells = [f"{figures[metric]:.4f}" if metric in figures else "-" for metric in _RANKING]
        difference = found["differences"].get(name, {}).get("auc")
        beside = ""
        if difference:
            beside = f"{difference['difference']:+.4f} ({difference['low']:+.4f} to {difference['high']:+.4f})"
        rows.append([name, *cells, beside])
    return table(["", *_RANKING, f"auc of {found['first']} less it"], rows)


def _kind(is_baseline: bool) -> str:
    return "baseline" if is_baseline else ""


def main() -> None:
    """Measure the parts asked for and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, help="MovieLens 100K")
    parser.add_argument("--movietweetings", type=Path, help="MovieTweetings")
    parser.add_argument("--only", choices=[*PARTS, RENDER], help="a single part, or the page anew")
    options = parser.parse_args()
    parts: dict[str, Callable[[], object]] = {}
    for name, part in PARTS.items():
        folder = None if part.folder is None else getattr(options, part.folder)
        if part.folder is None or folder is not None:
            parts[name] = lambda part=part, folder=folder: compare(part, folder)  # type: ignore[misc]
    if options.only not in (None, RENDER, *parts):
        parser.error(f"{options.only} needs --{(PARTS[options.only].folder or '').replace('_', '-')}.")
    keep_parts(RESULTS, parts, options.only, lines)


if __name__ == "__main__":
    main()
