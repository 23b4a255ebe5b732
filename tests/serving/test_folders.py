from __future__ import annotations

from pathlib import Path

import pytest

from recsys_tfrs.errors import RunError
from recsys_tfrs.serving.folders import MANIFEST, newest_version, versions


def export(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "saved_model.pb").touch()
    return folder


def test_a_version_a_base_path_and_a_run_all_lead_to_the_version(tmp_path: Path) -> None:
    run = tmp_path / "run"
    export(run / "saved_model" / "2")
    newest = export(run / "saved_model" / "10")
    (run / "saved_model" / ".export-x").mkdir()
    assert versions(run / "saved_model") == [2, 10]
    assert newest_version(newest) == newest_version(run / "saved_model") == newest_version(run) == newest
    assert newest_version(run / "saved_model" / "2").name == "2"


def test_the_newest_counts_even_where_it_is_half_written(tmp_path: Path) -> None:
    """TensorFlow Serving would try it, too."""
    export(tmp_path / "1")
    (tmp_path / "2" / "variables").mkdir(parents=True)
    assert newest_version(tmp_path).name == "2"
    assert newest_version(tmp_path / "2").name == "2"


def test_the_newest_that_can_be_loaded_is_the_newest_with_a_model(tmp_path: Path) -> None:
    whole = export(tmp_path / "run" / "saved_model" / "1")
    (whole.parent / "2" / "assets.extra").mkdir(parents=True)
    (whole.parent / "2" / MANIFEST).touch()
    for path in (tmp_path / "run", whole.parent, whole):
        assert newest_version(path, complete=True) == whole
    with pytest.raises(RunError, match="no exported model"):
        newest_version(whole.parent / "2", complete=True)
    assert newest_version(whole.parent / "2") == whole.parent / "2"


def test_no_export(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "nowhere"):
        for complete in (True, False):
            with pytest.raises(RunError, match=rf"no exported model in {path}: expected a run.*recsys-tfrs export"):
                newest_version(path, complete=complete)
    assert versions(tmp_path / "nowhere") == []
