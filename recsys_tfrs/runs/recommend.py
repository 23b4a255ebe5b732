"""Recommend with the exported model of a run, or of a server."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from recsys_tfrs import runtime
from recsys_tfrs.errors import UsageError
from recsys_tfrs.runs.folder import open_run
from recsys_tfrs.serving.client import Client
from recsys_tfrs.serving.folders import IN_RUN
from recsys_tfrs.serving.results import Recommendation


@dataclass(frozen=True)
class Asked:
    """For whom something is to be recommended.

    Attributes:
      user_id: external id; "" for somebody known by a history alone.
      history: external ids of items, oldest first; empty: what is stored of the user.
      keep_seen: whether what was done before may be recommended again.
    """

    user_id: str = ""
    history: tuple[str, ...] = ()
    keep_seen: bool = False

    @classmethod
    def of_history(cls, text: str, *, keep_seen: bool = False) -> Asked:
        """``"7 9 7"``, or ``"7, 9, 7"`` where ids may hold spaces.

        Raises:
          UsageError: no id is in it.
        """
        ids = text.split(",") if "," in text else text.split()
        history = tuple(item.strip() for item in ids if item.strip())
        if not history:
            raise UsageError('The history holds no item: give ids as in the data, oldest first, as in --history "7 9".')
        return cls(history=history, keep_seen=keep_seen)

    @property
    def title(self) -> str:
        """Who it is, in words."""
        return f"for user {self.user_id}" if self.user_id else f"after {', '.join(self.history)}"


def recommend_to(path: Path, asked: Asked, k: int, console: Console) -> None:
    """Print the `k` best items for a user or after a history, by id and title.

    Raises:
      RunError: there is no complete retrieval run at `path`.
      UsageError: `k` is more than the export answers.
    """
    runtime.import_tensorflow()
    from recsys_tfrs.serving.recommender import Recommender

    recommender = Recommender.load(open_run(path, "retrieval") / IN_RUN)
    history = [asked.history] if asked.history else None
    best = recommender.recommend([asked.user_id], k, history=history, exclude_history=not asked.keep_seen)[0]
    _print(asked, not asked.user_id or recommender.knows(asked.user_id), best, console)


def recommend_from(endpoint: str, name: str, asked: Asked, k: int, console: Console) -> None:
    """As `recommend_to`, with the model `name` of a server.

    Raises:
      UsageError: `endpoint` is none.
      EndpointError: the server cannot be reached, or refuses the request.
    """
    if endpoint.startswith("grpc:"):
        runtime.import_tensorflow()  # the stubs import it, and would do so with all its noise
    with Client(endpoint, name) as client:
        history = [asked.history] if asked.history else None
        best = client.recommend([asked.user_id], k, history=history, exclude_history=not asked.keep_seen)[0]
        _print(asked, not asked.user_id or client.knows(asked.user_id), best, console)


def _print(asked: Asked, is_known: bool, best: Iterable[Recommendation], console: Console) -> None:
    table = Table(title=Text(asked.title), title_justify="left")
    table.add_column("item")
    table.add_column("title")
    table.add_column("score", justify="right")
    if not is_known:
        console.print(f"User {asked.user_id} does not occur in the data: this is what the model recommends to anyone.")
    for entry in best:
        table.add_row(Text(entry.item_id), Text(entry.title), f"{entry.score:.4f}")
    console.print(table)
