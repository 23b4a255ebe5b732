"""The doctor: exit code, remedies, and a report whatever is broken. TensorFlow itself is tried in the last test."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from recsys_tfrs import runtime
from recsys_tfrs.errors import UnsupportedMachineError
from recsys_tfrs.runs import doctor as module
from recsys_tfrs.runs.doctor import Finding, doctor


@pytest.fixture
def healthy(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with everything, without the seconds that importing TensorFlow takes."""
    monkeypatch.setattr(module, "_tensorflow", lambda: Finding("TensorFlow", "2.20.0 on CPU"))
    monkeypatch.setattr(module, "_search_with_scann", lambda: list(range(8)))
    monkeypatch.setattr(module, "find_local", lambda: [("ml-100k", Path("/data/[bold]/ml-100k"))])
    monkeypatch.setattr(runtime, "memory_bytes", lambda: 16 * 10**9)
    monkeypatch.setattr(module.shutil, "disk_usage", lambda root: type("Usage", (), {"free": 50 * 10**9}))


def report(root: Path) -> tuple[int, str]:
    output = io.StringIO()
    code = doctor(Console(file=output, width=200), root)
    return code, output.getvalue()


def raises(error: Exception) -> Any:
    def look(*_: Any) -> Any:
        raise error

    return look


@pytest.mark.usefixtures("healthy")
class TestDoctor:
    def test_a_healthy_machine(self, tmp_path: Path) -> None:
        code, text = report(tmp_path)
        assert code == 0
        assert "make train-retrieval" in text
        assert "16.0 GB" in text
        assert "50.0 GB free" in text
        assert "none yet" in text
        assert "note" not in text
        # Brackets in a path are not markup.
        assert "ml-100k in /data/[bold]/ml-100k" in text

    def test_a_machine_without_avx_is_not_asked_to_import_tensorflow(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.setattr(runtime, "check_machine", raises(UnsupportedMachineError("No AVX: use another machine.")))
        monkeypatch.setattr(module, "_tensorflow", raises(AssertionError("illegal instruction")))
        code, text = report(tmp_path)
        assert code == 1
        assert "machine: No AVX: use another machine." in text
        assert "TensorFlow" not in text

    def test_a_broken_tensorflow_is_reported_not_raised(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setattr(module, "_tensorflow", raises(ImportError("libtensorflow_cc.so.2: no such file\nmore")))
        code, text = report(tmp_path)
        assert code == 1
        assert "ImportError: libtensorflow_cc.so.2: no such file. Install again: rm -rf .venv && make setup" in text
        assert "16.0 GB" in text

    def test_without_scann_the_main_job_still_runs(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setattr(module, "_search_with_scann", raises(ImportError("undefined symbol")))
        code, text = report(tmp_path)
        assert code == 0
        assert "not usable (ImportError: undefined symbol)" in text
        assert "ScaNN: indexes fall back to exact search" in text

    def test_scann_that_finds_the_wrong_neighbours_is_noticed(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.setattr(module, "_search_with_scann", lambda: [0] * 8)
        assert "wrong neighbours" in report(tmp_path)[1]

    def test_a_full_disk_stops_the_main_job(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setattr(module.shutil, "disk_usage", lambda root: type("Usage", (), {"free": 999_999_999}))
        code, text = report(tmp_path)
        assert code == 1
        assert "disk: free some space, at least 1 GB" in text

    def test_little_memory_is_a_note(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setattr(runtime, "memory_bytes", lambda: 10**9)
        code, text = report(tmp_path)
        assert code == 0
        assert "memory: the main job may run out of memory" in text

    def test_no_data_says_what_auto_will_do(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setattr(module, "find_local", list)
        assert "tries to download MovieLens 100K" in report(tmp_path)[1]

    @pytest.mark.parametrize("complete", [True, False])
    def test_the_newest_run(self, tmp_path: Path, complete: bool) -> None:
        run = tmp_path / "runs" / "two-tower-1"
        run.mkdir(parents=True)
        (tmp_path / "runs" / "latest").symlink_to("two-tower-1")
        if complete:
            (run / "metrics.json").write_text("{}")
        text = report(tmp_path)[1]
        assert "two-tower-1" in text
        assert ("interrupted?" in text) is not complete


def test_tensorflow_and_scann_as_installed() -> None:
    assert "Keras 2." in module._tensorflow().text
    finding = module._scann()
    assert finding.text == f"{runtime.package_versions()['scann']}, searches correctly"
    assert finding.remedy == ""
