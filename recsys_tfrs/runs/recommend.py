"""Recommend with the exported model of a run."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from recsys_tfrs.runs.folder import open_run
from recsys_tfrs.serving.recommender import Recommender


def recommend_to(path: Path, user_id: str, k: int, console: Console) -> None:
    """Print the `k` best items for a user, by id and title.

    Raises:
      RunError: there is no complete run at `path`.
      UsageError: `k` is more than the export answers.
    """
    recommender = Recommender.load(open_run(path) / "saved_model")
    table = Table(title=f"for user {user_id}", title_justify="left")
    table.add_column("item")
    table.add_column("title")
    table.add_column("score", justify="right")
    if not recommender.knows(user_id):
        console.print(f"User {user_id} does not occur in the data: this is what the model recommends to anyone.")
    for best in recommender.recommend([user_id], k)[0]:
        table.add_row(Text(best.item_id), Text(best.title), f"{best.score:.4f}")
    console.print(table)
