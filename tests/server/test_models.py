"""Versions that come, are half written, break and go while the server runs."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from server.conftest import Running

from recsys_tfrs.errors import RunError, UsageError


def model(base: Path, **options: Any) -> Any:
    from recsys_tfrs.server.models import WatchedModel

    return WatchedModel.at(base, "movies", **options)


def states(watched: Any) -> dict[int, str]:
    from recsys_tfrs.server.models import State

    return {status.version: State.Name(status.state) for status in watched.statuses()}


def test_a_newer_version_replaces_the_one_served_once_it_is_settled(base: Path) -> None:
    watched = model(base)
    watched.load()
    assert (watched.newest, states(watched)) == (1, {1: "AVAILABLE"})
    shutil.copytree(base / "1", base / "2")
    watched.poll()  # seen for the first time: it may still be written
    assert watched.newest == 1
    watched.poll()
    assert (watched.newest, states(watched)) == (2, {2: "AVAILABLE", 1: "END"})
    assert watched.resolve().version == 2
    shutil.rmtree(base / "2")  # taken back
    watched.poll()
    watched.poll()
    assert (watched.newest, states(watched)) == (1, {2: "END", 1: "AVAILABLE"})


def test_a_half_written_version_is_left_alone_until_it_is_whole(base: Path) -> None:
    watched = model(base)
    watched.load()
    (base / "2").mkdir()
    (base / ".export-x").mkdir()
    for _ in range(3):
        watched.poll()
    assert states(watched) == {1: "AVAILABLE"}
    shutil.copy(base / "1" / "saved_model.pb", base / "2")
    for _ in range(3):
        watched.poll()
    assert states(watched) == {2: "END", 1: "AVAILABLE"}
    (status,) = watched.statuses(2)
    assert status.code != 0
    assert status.message
    shutil.copytree(base / "1", base / "2", dirs_exist_ok=True)
    watched.poll()
    watched.poll()
    assert states(watched) == {2: "AVAILABLE", 1: "END"}


def test_a_version_that_is_no_model_does_not_stop_an_older_one(base: Path) -> None:
    (base / "3").mkdir()
    (base / "3" / "saved_model.pb").write_bytes(b"no model")
    watched = model(base)
    watched.load()
    assert (watched.newest, states(watched)) == (1, {3: "END", 1: "AVAILABLE"})
    for path in base.iterdir():
        shutil.rmtree(path)
    watched.poll()
    assert watched.resolve().version == 1  # an emptied folder is no reason to stop


def test_a_label_keeps_its_version(base: Path) -> None:
    shutil.copytree(base / "1", base / "2")
    watched = model(base, labels={"stable": 1})
    watched.load()
    assert states(watched) == {2: "AVAILABLE", 1: "AVAILABLE"}
    assert (watched.resolve().version, watched.resolve(label="stable").version) == (2, 1)
    assert watched.resolve(1).version == 1


def test_a_version_folder_is_served_whatever_else_is_there(base: Path) -> None:
    shutil.copytree(base / "1", base / "2")
    watched = model(base / "1")
    watched.load()
    watched.poll()
    watched.poll()
    assert states(watched) == {1: "AVAILABLE"}


def test_nothing_to_serve(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"no exported model in .*expected a run"):
        model(tmp_path)
    (tmp_path / "1").mkdir()
    with pytest.raises(RunError, match=r"No version .* can be loaded \(none is complete\)"):
        model(tmp_path).load()
    (tmp_path / "1" / "saved_model.pb").write_bytes(b"no model")
    with pytest.raises(RunError, match=r"can be loaded .version 1: "):
        model(tmp_path).load()
    (tmp_path / "saved_model.pb").write_bytes(b"")
    with pytest.raises(RunError, match="named by a number"):
        model(tmp_path)


def test_the_switch_while_requests_run(base: Path, start: Callable[..., Any]) -> None:
    from recsys_tfrs.serving.client import Client

    with start(base, poll_seconds=0.05) as at, Client(at.rest, "movies") as client:
        shutil.copytree(base / "1", base / "2")
        until = time.monotonic() + 60
        running = Running(at.rest, at.grpc, base)
        while (newest := client.status()[0]).state != "AVAILABLE" or newest.version != 2:
            assert client.predict("serving_default", {"x": [1, 2.5]})["y"].tolist() == [2, 5]
            assert time.monotonic() < until
        assert running.call("/v1/models/movies/metadata")[1]["model_spec"]["version"] == "2"
        assert client.predict("serving_default", {"x": [1, 2.5]})["y"].tolist() == [2, 5]


def test_a_port_that_is_taken(base: Path, start: Callable[..., Any]) -> None:
    from recsys_tfrs.server.app import ServerConfig, background

    with start(base) as at:
        port = int(at.rest.rpartition(":")[2])
        grpc_port = int(at.grpc.rpartition(":")[2])
        with (
            pytest.raises(UsageError, match=f"port {port} .*--port"),
            background(ServerConfig(base, "movies", port=port, grpc_port=0)),
        ):
            pass
        with (
            pytest.raises(UsageError, match=f"port {grpc_port} .*--grpc-port"),
            background(ServerConfig(base, "movies", port=0, grpc_port=grpc_port)),
        ):
            pass


def test_a_version_is_available_only_once_requests_reach_it(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is said while a version warms up: it is loading, and the one before answers."""
    from recsys_tfrs.server.models import State, WatchedModel
    from recsys_tfrs.server.servable import Servable

    model = WatchedModel.at(base, "movies")
    model.load()
    shutil.copytree(base / "1", base / "2")
    seen = []
    load = Servable.load

    def loading(folder: Path) -> Servable:
        seen.append((model.statuses(2)[0].state, model.newest))
        return load(folder)

    monkeypatch.setattr(Servable, "load", loading)
    monkeypatch.setattr(
        WatchedModel, "_newest", property(lambda self: self.__dict__["newest_one"], _noting(seen)), raising=False
    )
    model.__dict__["newest_one"] = model.__dict__.pop("_newest")
    model.poll(settled=True)
    assert seen == [(State.LOADING, 1), (State.LOADING, 2)]
    assert model.statuses(2)[0].state is State.AVAILABLE


def _noting(seen: list[tuple[object, int]]) -> Any:
    """A setter that writes down what is said of version 2 at the moment it becomes the newest."""

    def setter(model: Any, value: Any) -> None:
        model.__dict__["newest_one"] = value
        seen.append((model.statuses(2)[0].state, value.version))

    return setter
