"""The command line: one verb per stage, thin.

Nothing heavy is imported before a verb needs it, so that ``--help`` answers at once.
"""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Any

import click

from recsys_tfrs.errors import RecsysError, failure_of_files
from recsys_tfrs.models.registry import CONTENT, FAMILIES, RANKERS
from recsys_tfrs.options import InOrder, as_settings, data_options, parse_labels, parse_weight
from recsys_tfrs.version import __version__

_FAMILIES = click.Choice(sorted(FAMILIES | RANKERS | CONTENT))


@click.group(cls=InOrder, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.version_option(__version__, prog_name="recsys-tfrs")
def cli() -> None:
    """Recommenders on TensorFlow: train, evaluate, compare and recommend."""


@cli.command()
@click.argument("family", type=_FAMILIES)
@click.option(
    "--config", "config_file", type=click.Path(path_type=Path), help="TOML file; a run's own config.toml re-runs it."
)
@data_options
@click.option("--train", type=click.Path(path_type=Path), help="Of ranking families: file of examples to fit on.")
@click.option("--valid", type=click.Path(path_type=Path), help="File of examples to select on.")
@click.option("--test", type=click.Path(path_type=Path), help="File of examples to measure on.")
@click.option("--resume", is_flag=True, help="Continue a killed run: the one at --out, or the newest.")
@click.option("--out", type=click.Path(path_type=Path), help="Run directory (default runs/FAMILY-TIME).")
def train(
    family: str, config_file: Path | None, assignments: tuple[str, ...], resume: bool, out: Path | None, **given: Any
) -> None:
    """Train FAMILY, evaluate it beside its baselines, build the index, export, report.

    deepfm, dcn, dnn, fm and lr rank: they predict what comes of a user and an item, or of an example in a table.
    content-cnn describes items: it reads a folder of sounds or pictures, and --items, in which an attribute is known of
    some, and writes the table with the others filled in.
    """
    if family not in RANKERS and (files := [f"--{name}" for name in ("train", "valid", "test") if given[name]]):
        raise click.UsageError(f"{', '.join(files)}: files of examples go with {', '.join(RANKERS)}, not {family}.")
    from recsys_tfrs import runtime
    from recsys_tfrs.config import build, parse_assignment, read_toml
    from recsys_tfrs.runs import folder as run_folder

    runtime.import_tensorflow()
    from recsys_tfrs.runs.dispatch import run_config, train_family

    folder = None
    if resume:
        folder = run_folder.start(out, family, resume=True)
        config_file = config_file or folder.work / run_folder.CONFIG_FILE
    layers = [read_toml(config_file)] if (config_file and config_file.exists()) or (config_file and not resume) else []
    layers += [as_settings(given), *(parse_assignment(text) for text in assignments), {"family": family}]
    _check_family(layers[0], family, config_file)
    config = build(run_config(family), layers)
    train_family(config, folder or run_folder.start(out, family, resume=False), _console())


def _check_family(layer: dict[str, Any], family: str, config_file: Path | None) -> None:
    if layer.get("family", family) != family:
        raise click.UsageError(f"{config_file} configures the family {layer['family']!r}, not {family!r}.")


@cli.command()
@click.argument("family", type=_FAMILIES)
@click.argument("section", required=False)
def settings(family: str, section: str | None) -> None:
    """List every setting of FAMILY that --set takes, or those of one SECTION: default, meaning, bounds."""
    from recsys_tfrs import runtime

    runtime.import_tensorflow()
    from recsys_tfrs.runs.settings import show

    show(family, section, _console())


@cli.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--folding",
    metavar="COLUMN",
    help="Measure folding over an item column of categories, too; of simulated data: true-groups.",
)
def evaluate(run: Path, folding: str | None) -> None:
    """Measure RUN again from its weights and its data, and check that the figures hold."""
    from recsys_tfrs import runtime

    runtime.import_tensorflow()
    from recsys_tfrs.runs.evaluate import evaluate_run
    from recsys_tfrs.runs.folder import is_ranking
    from recsys_tfrs.runs.ranking_reopen import evaluate_ranking

    if is_ranking(run):
        if folding is not None:
            raise click.UsageError("--folding is measured of retrieval models; this run ranks.")
        sys.exit(0 if evaluate_ranking(run, _console()) else 1)
    sys.exit(0 if evaluate_run(run, _console(), folding) else 1)


@cli.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--user", "user_id", help="Id as in the data, with --item.")
@click.option("--item", "item_id", help="Id as in the data.")
@click.option("--row", type=click.IntRange(min=0), help="Number of a test row, from 0, instead.")
def explain(run: Path, user_id: str | None, item_id: str | None, row: int | None) -> None:
    """Say which fields carry a prediction of the ranking RUN; without a row, what it rests on as a whole."""
    from recsys_tfrs import runtime

    runtime.import_tensorflow()
    from recsys_tfrs.runs.explain import explain_run

    explain_run(run, _console(), user=user_id, item=item_id, row=row)


@cli.command()
@click.argument("runs", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "--families",
    metavar="LIST",
    help="Train these first, all (of retrieval), ranking, or a list as deepfm,fm; takes options of train.",
)
@data_options
@click.option("--out", type=click.Path(path_type=Path), help="Folder for comparison.md, .json, .png (and new runs).")
def compare(runs: tuple[Path, ...], families: str | None, out: Path | None, **given: Any) -> None:
    """Show the figures of several RUNS side by side, or train several families and compare them."""
    if bool(runs) == bool(families):
        raise click.UsageError("Name runs to compare, or families to train with --families.")
    if not families:
        if any(given.values()):
            raise click.UsageError("Data, split and settings are those of the runs; they go with --families.")
        from recsys_tfrs import runtime

        runtime.import_tensorflow()
        from recsys_tfrs.runs.compare import compare_runs
        from recsys_tfrs.runs.folder import is_ranking
        from recsys_tfrs.runs.ranking_compare import compare_rankings

        ranks = {is_ranking(run) for run in runs}
        if len(ranks) > 1:
            raise click.UsageError("Retrieval and ranking runs are measured by different figures: compare one kind.")
        return (compare_rankings if ranks == {True} else compare_runs)(list(runs), _console(), out)
    groups = {"all": sorted(FAMILIES), "ranking": list(RANKERS)}
    names = groups.get(families or "") or [name.strip() for name in (families or "").split(",")]
    from recsys_tfrs import runtime
    from recsys_tfrs.config import parse_assignment

    runtime.import_tensorflow()
    from recsys_tfrs.runs.families import train_and_compare
    from recsys_tfrs.runs.folder import RUNS

    settings = [as_settings(given), *(parse_assignment(text) for text in given["assignments"])]
    return train_and_compare(names, settings, out or RUNS / "comparison", _console())


@cli.command()
@click.argument("run", required=False, type=click.Path(path_type=Path))
@click.option("--user", "user_id", help="Id as in the data; an unknown one gets what suits anyone.")
@click.option("--history", help='Ids of items, oldest first: "id id id", or separated by commas; without a user.')
@click.option("--keep-seen", is_flag=True, help="What was done before may be recommended again.")
@click.option("-k", "k", type=click.IntRange(min=1), default=10, show_default=True, help="Items to recommend.")
@click.option("--endpoint", metavar="URL", help="Ask a server, http://HOST:PORT or grpc://HOST:PORT, instead of a RUN.")
@click.option("--name", default="retrieval", show_default=True, help="Of the model on that server.")
def recommend(
    run: Path | None,
    user_id: str | None,
    history: str | None,
    keep_seen: bool,
    k: int,
    endpoint: str | None,
    name: str,
) -> None:
    """Recommend items to a user, or after a history of items, with the exported model of RUN, or of a server."""
    if (run is None) == (endpoint is None):
        raise click.UsageError("Name a RUN or an --endpoint, one of the two.")
    if (user_id is None) == (history is None):
        raise click.UsageError("Name a --user or a --history, one of the two.")
    from recsys_tfrs.runs.recommend import Asked, recommend_from, recommend_to

    if history is None:
        asked = Asked(user_id or "", keep_seen=keep_seen)
    else:
        asked = Asked.of_history(history, keep_seen=keep_seen)
    if endpoint is not None:
        recommend_from(endpoint, name, asked, k, _console())
    elif run is not None:
        recommend_to(run, asked, k, _console())


@cli.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--index", type=click.Choice(["auto", "exact", "scann"]), default="auto", show_default=True)
@click.option("--to", type=click.Path(path_type=Path), help="Folder of all models (default: the run itself).")
@click.option("--name", help="Of the model: DIR/NAME/VERSION (default: retrieval; saved_model in the run).")
@click.option("--max-k", type=click.IntRange(min=1), default=1_000, show_default=True, help="Longest list on request.")
@click.option("--no-histories", is_flag=True, help="Leave the users' histories out; requests bring them.")
def export(run: Path, index: Any, to: Path | None, name: str | None, max_k: int, no_histories: bool) -> None:
    """Export RUN once more: a new version folder for TensorFlow Serving."""
    from recsys_tfrs import runtime

    context, default = click.get_current_context(), click.core.ParameterSource.DEFAULT
    given = [option for option in ("index", "max_k") if context.get_parameter_source(option) is not default]
    runtime.import_tensorflow()
    from recsys_tfrs.runs.export import export_run
    from recsys_tfrs.runs.folder import is_ranking
    from recsys_tfrs.runs.ranking_export import export_ranking_run

    console = _console()
    if is_ranking(run):
        if given:
            options = " and ".join(f"--{option.replace('_', '-')}" for option in given)
            raise click.UsageError(f"{options} go with lists of a retrieval run; {run} ranks and has none.")
        folder = export_ranking_run(run, to=to, name=name, store_histories=not no_histories)
    else:
        folder = export_run(run, console, index=index, to=to, name=name, max_k=max_k, store_histories=not no_histories)
    _say_next(console, folder)


@cli.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--recall", type=float, help="Share of the exact lists to be found (default 0.99).")
@click.option("-k", "k", type=click.IntRange(min=1), default=10, show_default=True, help="Length of those lists.")
@click.option(
    "--for",
    "goal",
    type=click.Choice(["throughput", "latency"]),
    default="throughput",
    show_default=True,
    help="What is to be cheap: batches, or single queries.",
)
@click.option("--items", type=click.Path(path_type=Path), help="Table of items to add, columns as in training.")
@click.option("--remove", type=click.Path(path_type=Path), help="File of items to remove, one id per line.")
@click.option(
    "--index", "choice", type=click.Choice(["auto", "exact", "scann"]), default="auto", help="Of that new export."
)
def index(
    run: Path, recall: float | None, k: int, goal: Any, items: Path | None, remove: Path | None, choice: Any
) -> None:
    """Tune ScaNN on RUN to a recall; or, with --items or --remove, change its catalogue without training.

    A changed catalogue is exported as the next version in RUN.
    """
    from recsys_tfrs import runtime

    runtime.import_tensorflow()
    from recsys_tfrs.runs.export import export_run
    from recsys_tfrs.runs.index import index_run

    console = _console()
    changes = items is not None or remove is not None
    if changes:
        folder = export_run(run, console, index=choice, items=items, remove=remove)
        console.print(f"{folder}", soft_wrap=True, highlight=False, markup=False)
    if recall is not None or not changes:
        index_run(run, console, recall=0.99 if recall is None else recall, k=k, goal=goal)


@cli.command(name="export-cascade")
@click.argument("retrieval_run", type=click.Path(path_type=Path))
@click.argument("ranking_run", type=click.Path(path_type=Path))
@click.option(
    "--source", "sources", multiple=True, metavar="RUN[:QUOTA]", help="Further source, or popularity; repeatable."
)
@click.option(
    "--candidates", type=click.IntRange(min=1), default=200, show_default=True, help="Ranked, of all sources."
)
@click.option(
    "--retrieval-weight",
    callback=parse_weight,
    default="0",
    show_default=True,
    help="Of RETRIEVAL_RUN's score in the order, 0 to 1; auto: as validation likes it, with training.refit=false.",
)
@click.option("--diversify", type=click.FloatRange(0, 1), help="Trade-off of maximal marginal relevance; 1: none.")
@click.option("--index", type=click.Choice(["auto", "exact", "scann"]), default="exact", show_default=True)
@click.option("--max-k", type=click.IntRange(min=1), help="Longest list on request (default: all candidates).")
@click.option("--to", type=click.Path(path_type=Path), help="Folder of all models (default: RANKING_RUN).")
def export_cascade(
    retrieval_run: Path, ranking_run: Path, sources: tuple[str, ...], to: Path | None, **options: Any
) -> None:
    """Export RETRIEVAL_RUN and RANKING_RUN as one model: candidates of the one, ranked by the other."""
    from recsys_tfrs import runtime

    runtime.import_tensorflow()
    from recsys_tfrs.runs.cascade import CascadeOptions, export_cascade_run, parse_source

    console = _console()
    chosen = CascadeOptions(sources=tuple(parse_source(text) for text in sources), **options)
    folder = export_cascade_run(retrieval_run, ranking_run, chosen, console, to=to)
    _say_next(console, folder)


@cli.command(name="serve-check")
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
def serve_check(folder: Path) -> None:
    """Check in a fresh process that the export in DIR (a run, a base path or a version) stands on its own."""
    from recsys_tfrs.serving.check import check_export

    passed = []
    for verdict in check_export(folder):
        click.echo(f"{'ok  ' if verdict.passed else 'FAIL'}  {verdict.check:<16}{verdict.detail}")
        passed.append(verdict.passed)
    sys.exit(0 if passed and all(passed) else 1)


@cli.command(name="batch-recommend")
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--users", required=True, type=click.Path(path_type=Path), help="One id per line; CSV or Parquet: user_id."
)
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Parquet file to write, one row per user.")
@click.option("-k", "k", type=click.IntRange(min=1), default=10, show_default=True, help="Items to recommend.")
def batch_recommend(run: Path, users: Path, out: Path, k: int) -> None:
    """Recommend to every user in a file with the exported model of RUN (or of an export's folder)."""
    from recsys_tfrs import runtime

    runtime.import_tensorflow()
    from recsys_tfrs.runs.batch import recommend_to_file

    recommend_to_file(run, users, out, k, _console())


@cli.command()
@click.argument("path", metavar="RUN_OR_DIR", type=click.Path(path_type=Path))
@click.option("--port", type=click.IntRange(0, 65535), default=8501, show_default=True, help="REST; 0: a free one.")
@click.option("--grpc-port", type=click.IntRange(0, 65535), default=8500, show_default=True, help="gRPC; as above.")
@click.option("--host", default="127.0.0.1", show_default=True, help="0.0.0.0 lets other machines in.")
@click.option("--name", default="retrieval", show_default=True, help="Of the model, as requests name it.")
@click.option("--label", "labels", multiple=True, callback=parse_labels, metavar="LABEL=VERSION", help="Repeatable.")
@click.option("--verbose", is_flag=True, help="Say what happens to versions, on standard error.")
def serve(path: Path, port: int, grpc_port: int, host: str, name: str, labels: dict[str, int], verbose: bool) -> None:
    """Serve the exports of a run, a base path or one version like TensorFlow Serving, for development."""
    from recsys_tfrs import runtime

    runtime.import_tensorflow()
    from recsys_tfrs.server.app import Addresses, ServerConfig
    from recsys_tfrs.server.app import serve as run_server

    if verbose:
        import logging

        logging.basicConfig(format="%(asctime)s %(message)s", level=logging.INFO)

    def started(at: Addresses) -> None:
        model = f"{at.rest}/v1/models/{at.name}"
        click.echo(f"Version {at.version} of {at.name}: {model} and {at.grpc}. Development server; Ctrl+C ends it.")

    run_server(ServerConfig(path, name, host, port, grpc_port, labels), started)


@cli.command()
def doctor() -> None:
    """Say what this machine has: versions, devices, ScaNN, data."""
    from recsys_tfrs.runs.doctor import doctor as examine

    sys.exit(examine())


def _say_next(console: Any, folder: Path) -> None:
    text = f"{folder}\nNext: recsys-tfrs serve-check {shlex.quote(str(folder))}"
    console.print(text, soft_wrap=True, highlight=False, markup=False)


def _console() -> Any:
    from rich.console import Console

    # A pipe has no width of its own; 80 columns would break the tables.
    return Console() if sys.stdout.isatty() else Console(width=120)


def main() -> None:
    """Run the program; errors a user can act on are one message, not a traceback."""
    try:
        cli()
    except RecsysError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        click.echo("Interrupted. An unfinished training run continues with the same command and --resume.", err=True)
        sys.exit(130)
    except Exception as error:
        said = failure_of_files(error)
        if said is None:
            raise
        click.echo(f"Error: {said}", err=True)
        sys.exit(1)
