"""Several families trained on the same split, for one table."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from recsys_tfrs.baselines.tuning import BASELINES
from recsys_tfrs.config import build, parse_toml, read_toml, to_toml
from recsys_tfrs.errors import RunError, UsageError
from recsys_tfrs.files import write_atomically
from recsys_tfrs.models.registry import CONTENT, FAMILIES, RANKERS
from recsys_tfrs.runs.compare import compare_runs
from recsys_tfrs.runs.config import family_config
from recsys_tfrs.runs.folder import RunFolder, is_complete
from recsys_tfrs.runs.ranking_compare import compare_rankings
from recsys_tfrs.runs.ranking_config import ranking_config

#: All run beside the first family, those of ratings as well: they are skipped where there are none.
_ALL_BASELINES: dict[str, Any] = {"evaluation": {"baselines": list(BASELINES)}}
_NO_BASELINES: dict[str, Any] = {"evaluation": {"baselines": []}}


def train_and_compare(
    families: Sequence[str], settings: Sequence[Mapping[str, Any]], out: Path, console: Console
) -> None:
    """Train each family below `out` and compare all of them with the baselines, which run once.

    What is complete already is kept and what was interrupted is continued, so the same command finishes a comparison
    that was stopped.

    A family that fails, because it cannot do with the data for instance, leaves the others their table.

    Args:
      families: names as on the command line, all of retrieval or all of ranking.
      settings: layers of the configuration, the same for all.
      out: folder of the runs and of the comparison.
      console: where progress and results are shown.

    Raises:
      RecsysError: anything a user can act on; complete runs stay.
    """
    if describing := [family for family in families if family in CONTENT]:
        raise UsageError(
            f"{', '.join(describing)} describes items and recommends none: leave it out of the comparison."
        )
    ranking = {family in RANKERS for family in families}
    if len(ranking) > 1:
        raise UsageError(
            "Retrieval and ranking families are measured by different figures: compare "
            f"{', '.join(sorted(FAMILIES))}, or {', '.join(RANKERS)}."
        )
    ranks = ranking == {True}
    all_baselines, no_baselines = ({}, {}) if ranks else (_ALL_BASELINES, _NO_BASELINES)
    section = ranking_config if ranks else family_config
    # What is wrong with the settings is found before anything is trained.
    for family in families:
        build(section(family), [all_baselines, *settings, {"family": family}])
    out.mkdir(parents=True, exist_ok=True)
    failed = []
    for family in families:
        path, config = out / family, out / f"{family}.toml"
        is_started = RunFolder(path.absolute()).work.is_dir()
        baselines_run = any(is_complete(out / other) for other in families)
        layers = [*settings, no_baselines] if baselines_run else [all_baselines, *settings]
        asked = to_toml(build(section(family), [*layers, {"family": family}]))
        if (is_complete(path) or is_started) and config.exists():
            _refuse_other_settings(path, config, asked)
        if is_complete(path):
            continue
        console.rule(family)
        write_atomically(config, asked)
        # A process of its own, or peak memory would be that of the families before.
        command = ["train", family, "--config", str(config), "--out", str(path)]
        command += ["--resume"] if is_started else []
        if subprocess.run([sys.executable, "-m", "recsys_tfrs", *command]).returncode:
            failed.append(family)
    complete = [out / family for family in families if family not in failed]
    if complete:
        console.rule("comparison")
        (compare_rankings if ranks else compare_runs)(complete, console, out)
    if failed:
        raise RunError(
            f"{', '.join(failed)} could not be trained, see above; runs that are complete stay in {out}. The same "
            "command tries again, or leave them out with --families."
        )


def _refuse_other_settings(path: Path, config: Path, asked: str) -> None:
    """See that what is there was trained with what is asked for; which baselines run beside it is of no matter."""
    before, now = (_flat(tree) for tree in (read_toml(config), parse_toml(asked)))
    other = sorted(name for name in before.keys() | now.keys() if before.get(name) != now.get(name))
    if found := [name for name in other if name != "evaluation.baselines"]:
        raise RunError(
            f"{path} was trained with other settings than are asked for now ({', '.join(found)}): choose another "
            "--out, or remove it."
        )


def _flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """``{"model": {"dim": 8}}`` -> ``{"model.dim": 8}``."""
    found: dict[str, Any] = {}
    for name, value in tree.items():
        found |= _flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {f"{prefix}{name}": value}
    return found
