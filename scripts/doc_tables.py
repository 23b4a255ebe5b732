"""Write the tables of `docs/metrics.md` and `docs/settings.md` from the descriptions in the code.

python scripts/doc_tables.py            # write them
python scripts/doc_tables.py --check    # exit 1 if they are out of date
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel

from recsys_tfrs.models.registry import CONTENT, FAMILIES, RANKERS
from recsys_tfrs.runs.kinds import in_words
from recsys_tfrs.runs.metrics_file import RunMetrics
from recsys_tfrs.runs.settings import NEEDED, TOP, Setting, settings_of

DOCS = Path(__file__).resolve().parent.parent / "docs"
BEGIN = "<!-- Written by scripts/doc_tables.py from descriptions in recsys_tfrs; edit those. -->"
END = "<!-- End of what is generated. -->"


def kind(annotation: Any) -> str:
    """A type in words: ``dict[str, float]`` becomes "object of number"."""
    return in_words(annotation, lambda model: f"[{model.__name__}](#{model.__name__.lower()})")


def sections(model: type[BaseModel]) -> list[type[BaseModel]]:
    """The model and every model its fields hold, each once, in order of appearance."""
    found = [model]
    for field in model.model_fields.values():
        for inner in _models_in(field.annotation):
            found.extend(section for section in sections(inner) if section not in found)
    return found


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models_in(argument)


def metrics_tables() -> list[str]:
    """Every section of metrics.json as a Markdown table."""
    lines = []
    for section in sections(RunMetrics):
        lines += ["", f"### {section.__name__}", "", (section.__doc__ or "").split("\n")[0].replace("``", "`"), ""]
        lines += ["| key | type | meaning |", "| --- | --- | --- |"]
        for name, field in section.model_fields.items():
            lines.append(f"| `{name}` | {kind(field.annotation)} | {field.description} |")
    return lines


def settings_tables() -> list[str]:
    """Every section of every family's settings as a Markdown table; families that share a section share a table."""
    lines = []
    for title, families in (("Retrieval", FAMILIES), ("Ranking", RANKERS), ("Content", CONTENT)):
        lines += ["", f"## {title}: {', '.join(families)}"]
        settings = {family: settings_of(family, quote="`") for family in families}
        for section in dict.fromkeys(one.section for one in settings[next(iter(families))]):
            for names in _sharing(settings, section):
                whose = ", ".join(names) if section == "model" else f"{title.lower()} families"
                what = "Before the sections" if section == TOP else f"`[{section}]`"
                lines += [
                    "",
                    f"### {what} of {whose}",
                    "",
                    "| setting | kind | default | meaning |",
                    "| --- | --- | --- | --- |",
                ]
                shared = [[one for one in settings[name] if one.section == section] for name in names]
                lines += [_row(dict(zip(names, alike, strict=True))) for alike in zip(*shared, strict=True)]
    return lines


def _sharing(settings: dict[str, list[Setting]], section: str) -> list[list[str]]:
    """Families in groups whose section differs by nothing but defaults."""
    groups: dict[tuple[tuple[str, str, str], ...], list[str]] = {}
    for family, found in settings.items():
        same = tuple((one.name, one.kind, one.meaning) for one in found if one.section == section)
        groups.setdefault(same, []).append(family)
    return list(groups.values())


def _row(alike: dict[str, Setting]) -> str:
    """One setting of families that share it, with the default of most and those that differ."""
    one = next(iter(alike.values()))
    usual = Counter(setting.default for setting in alike.values()).most_common(1)[0][0]
    others = [f"{family} {_shown(setting.default)}" for family, setting in alike.items() if setting.default != usual]
    return f"| `{one.name}` | {one.kind} | {'; '.join([_shown(usual), *others])} | {one.meaning} |"


def _shown(default: str) -> str:
    if default in ("", NEEDED):
        return default or "-"
    return f"`{default}`"


def renewed(text: str, tables: Iterable[str]) -> str:
    """A page with what stands between the markers generated anew.

    Raises:
      ValueError: the markers are not there.
    """
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"The page must hold the lines {BEGIN!r} and {END!r}.")
    return before + "\n".join([BEGIN, *tables, "", END]) + after


#: Pages of docs/ -> what makes their tables.
PAGES = {"metrics.md": metrics_tables, "settings.md": settings_tables}


def main() -> int:
    """Write or check; the exit code is 1 if a page was out of date when checked."""
    parser = argparse.ArgumentParser(description="Generate tables of docs/metrics.md and docs/settings.md.")
    parser.add_argument("--check", action="store_true", help="write nothing, fail if out of date")
    arguments = parser.parse_args()
    outdated = False
    for name, tables in PAGES.items():
        text = (DOCS / name).read_text(encoding="utf-8")
        new = renewed(text, tables())
        if arguments.check and new != text:
            print(f"{name} is out of date: run scripts/doc_tables.py", file=sys.stderr)
            outdated = True
        elif not arguments.check:
            (DOCS / name).write_text(new, encoding="utf-8")
    return int(outdated)


if __name__ == "__main__":
    sys.exit(main())
