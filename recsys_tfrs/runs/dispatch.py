"""Which kind of run a family makes: retrieval, ranking, or description of items by their content."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from recsys_tfrs.models.registry import CONTENT, RANKERS
from recsys_tfrs.runs.config import RunConfig, family_config
from recsys_tfrs.runs.content_config import ContentRunConfig, content_config
from recsys_tfrs.runs.content_train import train_content
from recsys_tfrs.runs.folder import RunFolder
from recsys_tfrs.runs.ranking_config import RankingRunConfig, ranking_config
from recsys_tfrs.runs.ranking_train import train_ranker
from recsys_tfrs.runs.train import train

AnyRunConfig = RunConfig | RankingRunConfig | ContentRunConfig


def run_config(family: str) -> type[RunConfig] | type[RankingRunConfig] | type[ContentRunConfig]:
    """The settings that runs of a family have.

    Raises:
      UsageError: there is no such family.
    """
    if family in RANKERS:
        return ranking_config(family)
    return content_config(family) if family in CONTENT else family_config(family)


def train_family(config: AnyRunConfig, folder: RunFolder, console: Console) -> Path:
    """Run everything and return the folder of the complete run; see the `train` of each kind."""
    if isinstance(config, RankingRunConfig):
        return train_ranker(config, folder, console)
    if isinstance(config, ContentRunConfig):
        return train_content(config, folder, console)
    return train(config, folder, console)
