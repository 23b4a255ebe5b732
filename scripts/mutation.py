"""Count the deliberate mistakes that the tests notice.

    python scripts/mutation.py [--only MODULE ...] [--share 0.2] [--report FILE]

mutmut writes every module of `MODULES` anew with all its mutants inside: a comparison turned round, a number one
larger, an argument left out. In a copy of the project a process imports them once, and one mutant after the other is
switched on while the tests of its module run. A mutant that no test notices survives. Those that change nothing but a
text are left out, as what an error says word by word is no promise; --share takes a part of the others, evenly. The
report lists the survivors, each with what was changed.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import difflib
import inspect
import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
REPORT = ROOT / "benchmarks" / "results" / "mutation.md"

#: Tests of each module, by what the figures and promises of the project rest on.
MODULES = {
    "metrics": {
        "evaluation/metrics": "evaluation/test_metrics.py",
        "evaluation/ranking": "evaluation/test_ranking.py evaluation/test_metrics.py",
        "evaluation/tie_rules": "evaluation/test_tie_rules.py",
        "evaluation/classification": "evaluation/test_classification.py",
        "evaluation/rating_errors": "evaluation/test_rating_errors.py",
        "evaluation/within_users": "evaluation/test_within_users.py evaluation/test_tied_lists.py",
    },
    "splits": {
        "data/splits": "data/test_splits.py",
        "data/sessions": "data/test_sessions.py",
    },
    "exclusions": {
        "evaluation/protocol": "evaluation/test_protocol.py",
        "objectives/known_pairs": "objectives/test_known_pairs.py",
        "objectives/positives": "objectives/test_positives.py",
        "objectives/hiding": "objectives/test_hiding.py",
    },
    "samplers": {
        "objectives/samplers": "objectives/test_samplers.py",
        "objectives/stream_samplers": "objectives/test_stream_samplers.py",
        "objectives/frequency": "objectives/test_frequency.py",
        "objectives/drawn": "objectives/test_drawn.py",
    },
    "losses": {
        "objectives/softmax": "objectives/test_softmax.py",
        "objectives/sampled": "objectives/test_sampled.py",
        "objectives/next_item": "objectives/test_next_item.py",
        "objectives/session": "objectives/test_session.py",
        "objectives/negative_sampling": "objectives/test_negative_sampling.py",
        "objectives/word2vec": "objectives/test_word2vec.py",
        "objectives/factorization": "objectives/test_factorization.py",
        "objectives/prediction": "objectives/test_prediction.py",
        "objectives/listwise": "objectives/test_listwise.py",
        "objectives/hard": "objectives/test_hard.py",
    },
}

#: What is switched on, or nothing.
_SWITCH, _NOTHING = "MUTANT_UNDER_TEST", "nothing"

#: Mutants of a process, of which there are as many as cores; a mutant that never ends costs so many seconds.
_SECONDS = 60

Outcomes = dict[str, bool]


def mutants_of(module: str, copy: Path) -> list[str]:
    """Write a module of the copy with its mutants inside; the names by which they are switched on."""
    from mutmut.file_mutation import mutate_file_contents

    path = copy / "recsys_tfrs" / f"{module}.py"
    mutated, names = mutate_file_contents(str(path), path.read_text("utf-8"))
    path.write_text(mutated, "utf-8")
    dotted = f"recsys_tfrs.{module.replace('/', '.')}"
    return [f"{dotted}.{name}" for name in names if _meaning(mutated, name) != _meaning(mutated, _original(name))]


def judge(copy: Path, names: Iterable[str], tests: str) -> Outcomes:
    """Run the tests of a module under each mutant, in this process; whether each was noticed."""
    import pytest

    os.chdir(copy)
    sys.path.insert(0, str(copy))
    paths = [f"tests/{path}" for path in tests.split()]
    options = ["-q", "-x", "-p", "no:cacheprovider", "--no-header", f"--timeout={_SECONDS}", "--hypothesis-seed=0"]

    def fails(name: str) -> bool:
        os.environ[_SWITCH] = name
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            return pytest.main([*options, *paths]) != 0

    if fails(_NOTHING):
        raise SystemExit(f"The tests {tests} fail without any mutant.")
    return {name: fails(name) for name in names}


def run(module: str, tests: str, share: float, processes: int) -> Outcomes:
    """Every mutant of a module, or a share of them, dealt out to processes."""
    with tempfile.TemporaryDirectory() as place:
        copy = Path(place)
        for name in ("recsys_tfrs", "tests", "docs", "benchmarks", "configs"):
            shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__", "results"))
        for name in ("pyproject.toml", "setup.cfg"):
            shutil.copy(ROOT / name, copy)
        names = mutants_of(module, copy)
        names = names[:: max(1, round(1 / share))]
        workers = []
        for number in range(processes):
            job, outcome = copy / f"job{number}.json", copy / f"outcome{number}.json"
            job.write_text(json.dumps({"copy": place, "names": names[number::processes], "tests": tests}), "utf-8")
            command = [sys.executable, __file__, "--job", str(job), "--outcome", str(outcome)]
            environment = {**os.environ, _SWITCH: _NOTHING, "TF_NUM_INTRAOP_THREADS": "1", "OMP_NUM_THREADS": "1"}
            workers.append((subprocess.Popen(command, env=environment), outcome))
        found: Outcomes = {}
        for worker, outcome in workers:
            if worker.wait() != 0:
                raise SystemExit(f"{module}: a process ended with exit code {worker.returncode}.")
            found |= json.loads(outcome.read_text("utf-8"))
    return {name: found[name] for name in names}


def change(name: str) -> str:
    """The lines that a mutant changes, from what mutmut made of the module."""
    from mutmut.file_mutation import mutate_file_contents

    module, _, mutant = name.rpartition(".")
    path = ROOT / f"{module.replace('.', '/')}.py"
    mutated, _ = mutate_file_contents(str(path), path.read_text("utf-8"))
    texts = [_function(mutated, wanted) for wanted in (_original(mutant), mutant)]
    lines = difflib.unified_diff(*(text.splitlines()[1:] for text in texts), n=0, lineterm="")
    return "\n".join(line for line in lines if line[:1] in "+-" and line[:3] not in ("+++", "---"))


def _original(mutant: str) -> str:
    return mutant.rpartition("__mutmut_")[0] + "__mutmut_orig"


def _function(source: str, name: str) -> str:
    lines = source.splitlines(keepends=True)
    start = next(place for place, line in enumerate(lines) if f"def {name}(" in line)
    return textwrap.dedent("".join(inspect.getblock(lines[start:])))


def _meaning(source: str, name: str) -> str:
    """A function without its name and without what its texts say."""
    tree = ast.parse(_function(source, name)).body[0]
    tree.name = ""  # type: ignore[attr-defined]
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            node.value = ""
    return ast.dump(tree)


def report(outcomes: dict[str, Outcomes], share: float, seconds: float) -> str:
    """Markdown of what was noticed, and of what was not."""
    rows, survivors = [], []
    for stage, modules in MODULES.items():
        found = {module: outcomes[module] for module in modules if module in outcomes}
        for module, one in found.items():
            rows.append(f"| {stage} | {module} | {len(one)} | {sum(one.values())} | {_share(one.values())} |")
            survivors += [name for name, noticed in one.items() if not noticed]
        if len(found) > 1:
            every = [noticed for one in found.values() for noticed in one.values()]
            rows.append(f"| **{stage}** | | {len(every)} | {sum(every)} | **{_share(every)}** |")
    every = [noticed for one in outcomes.values() for noticed in one.values()]
    taken = "All mutants" if share == 1 else f"Every {round(1 / share)}th mutant"
    lines = [
        "# Mutation run",
        "",
        f"Written by `make mutation`, {time.strftime('%Y-%m-%d', time.gmtime())}. {taken} that mutmut 3.3.1 makes of "
        "the modules on which figures and promises rest, each under the tests of its module; a mutant is noticed if "
        f"one of them fails. {sum(every)} of {len(every)} were noticed ({_share(every)}; at least 85% were aimed at: "
        f"{'reached' if sum(every) >= 0.85 * len(every) else 'MISSED'}). {seconds / 60:.0f} minutes.",
        "",
        "| | module | mutants | noticed | |",
        "| --- | --- | ---: | ---: | ---: |",
        *rows,
        "",
        "## Survivors",
        "",
    ]
    for name in survivors:
        lines += [f"`{name.removeprefix('recsys_tfrs.')}`", "", "```diff", change(name), "```", ""]
    return "\n".join(lines)


def _share(noticed: Iterable[bool]) -> str:
    found = list(noticed)
    return f"{sum(found) / max(1, len(found)):.0%}"


def main() -> None:
    """Judge the mutants of the modules asked for and write the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    modules = {module: tests for stage in MODULES.values() for module, tests in stage.items()}
    parser.add_argument("--only", nargs="+", choices=[*modules, *MODULES], help="modules, or all of a stage")
    parser.add_argument("--share", type=float, default=1.0, help="of the mutants")
    parser.add_argument("--report", type=Path, default=REPORT)
    parser.add_argument("--packages", type=Path, help="folder of mutmut and what it needs, if it is not installed")
    parser.add_argument("--job", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--outcome", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.packages:
        sys.path.append(str(options.packages.absolute()))  # behind the environment, whose versions come first
    if options.job:
        job = json.loads(options.job.read_text("utf-8"))
        outcomes = judge(Path(job["copy"]), job["names"], job["tests"])
        options.outcome.write_text(json.dumps(outcomes), "utf-8")
        return
    asked = options.only or [*modules]
    chosen = [module for name in asked for module in MODULES.get(name, {name: ""})]
    started, outcomes = time.perf_counter(), {}
    for module in chosen:
        outcomes[module] = run(module, modules[module], options.share, os.cpu_count() or 1)
        noticed = outcomes[module].values()
        print(f"{module}: {sum(noticed)} of {len(noticed)} noticed ({_share(noticed)})", flush=True)
    options.report.write_text(report(outcomes, options.share, time.perf_counter() - started), "utf-8")
    print(options.report)


if __name__ == "__main__":
    main()
