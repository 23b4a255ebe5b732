"""How the command line reads its options, those that several verbs share, and the settings they stand for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click


class InOrder(click.Group):
    """Lists commands as they are declared, the first first, instead of by name."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """See `click.Group.list_commands`."""
        return list(self.commands)


def columns(_context: click.Context, _parameter: click.Parameter, texts: tuple[str, ...]) -> dict[str, str]:
    """The values of ``--columns`` as one mapping; what is empty says that there is no such column.

    Example:
      >>> columns(None, None, ("user=uid, item=sku", "rating="))
      {'user': 'uid', 'item': 'sku', 'rating': ''}
    """
    pairs = [part.partition("=") for text in texts if text for part in text.split(",")]
    if not all(key.strip() and equals for key, equals, _ in pairs):
        raise click.BadParameter("expected user=NAME,item=NAME[,rating=NAME][,timestamp=NAME]")
    keys = [key.strip() for key, _, _ in pairs]
    if twice := sorted({key for key in keys if keys.count(key) > 1}):
        raise click.BadParameter(f"{', '.join(twice)} is given twice")
    return {key.strip(): value.strip() for key, _, value in pairs}


_DATA_OPTIONS = (
    click.option(
        "--dataset",
        metavar="NAME_OR_PATH",
        help="auto, movielens-100k ..., movietweetings, simulated ..., a path, or lists:PATH.",
    ),
    click.option("--data-dir", type=click.Path(path_type=Path), help="Folder or zip of a named data set."),
    click.option("--items", type=click.Path(path_type=Path), help="Table about the items of a table of your own."),
    click.option("--users", type=click.Path(path_type=Path), help="Table about its users."),
    click.option(
        "--columns",
        callback=columns,
        multiple=True,
        help="user=NAME,item=NAME,rating=NAME,timestamp=NAME,weight=NAME; COLUMN=KIND declares a feature or context; "
        "repeatable.",
    ),
    click.option("--skip-bad-rows", is_flag=True, help="Leave out and count rows that cannot be read."),
    click.option(
        "--split", metavar="METHOD", help="temporal (default), leave-last-out, random, sessions, official:u1."
    ),
    click.option("--seed", type=click.IntRange(min=0), help="Of weights, order and dropout (default 42)."),
    click.option("--device", type=click.Choice(["auto", "cpu", "gpu"]), help="Where to compute (default auto)."),
    click.option(
        "--set",
        "assignments",
        multiple=True,
        metavar="SECTION.KEY=VALUE",
        help="Any setting of recsys-tfrs settings FAMILY; repeatable.",
    ),
)


def data_options(command: Any) -> Any:
    """Options that say what is read and how it is trained on, the same for every verb that trains."""
    for option in reversed(_DATA_OPTIONS):
        command = option(command)
    return command


def as_settings(given: dict[str, Any]) -> dict[str, Any]:
    """Options that were given -> the settings they stand for."""
    files = {"train": given.get("train"), "validation": given.get("valid"), "test": given.get("test")}
    data: dict[str, Any] = {name: str(path.absolute()) for name, path in files.items() if path}
    data |= {k: given[k] for k in ("dataset", "data_dir", "items", "users", "columns", "skip_bad_rows") if given[k]}
    for key in ("data_dir", "items", "users"):
        if key in data:
            data[key] = str(Path(data[key]).absolute())
    if "dataset" in data:
        from recsys_tfrs.data.lists import PREFIX

        prefix = PREFIX if data["dataset"].startswith(PREFIX) else ""
        path = Path(data["dataset"].removeprefix(prefix)).expanduser()
        if path.exists():
            data["dataset"] = f"{prefix}{path.absolute()}"
    settings: dict[str, Any] = {"data": data} if data else {}
    if given["split"]:
        settings["split"] = {"method": given["split"]}
    settings.update({key: given[key] for key in ("seed", "device") if given[key] is not None})
    return settings


def parse_labels(_context: click.Context, _parameter: click.Parameter, given: tuple[str, ...]) -> dict[str, int]:
    """``("stable=3",)`` -> ``{"stable": 3}``."""
    pairs = [text.partition("=") for text in given]
    if not all(label and version.isdecimal() for label, _, version in pairs):
        raise click.BadParameter("expected LABEL=VERSION, as in stable=3")
    return {label: int(version) for label, _, version in pairs}


def parse_weight(_context: click.Context, _parameter: click.Parameter, text: str) -> str | float:
    """``auto`` or a number between 0 and 1.

    Example:
      >>> parse_weight(None, None, "0.25")
      0.25
    """
    if text == "auto":
        return text
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise click.BadParameter("expected auto or a number between 0 and 1")
    return value
