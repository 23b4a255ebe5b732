"""The Makefile, the set-up script and the locks, without installing anything: a shell script plays Python and pip."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from configparser import ConfigParser
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
PHONY = set(re.search(r"^\.PHONY: (.+)$", MAKEFILE, flags=re.MULTILINE).group(1).split())
LOCKS = sorted((ROOT / "requirements").glob("py*.txt"))
DOCS_LOCK = ROOT / "requirements" / "docs.txt"

pytestmark = pytest.mark.skipif(not shutil.which("make"), reason="make is not installed")

# Answers the set-up script's questions as the Python named in $FAKE_VERSION would; every pip call is logged.
FAKE_PYTHON = """#!/bin/bash
case "$*" in
  *struct.calcsize*)
    case $FAKE_VERSION in 3.1[0-3]) printf '%s' "$FAKE_VERSION" ;; *) printf 'is Python %s' "$FAKE_VERSION" ;; esac ;;
  *sys.version*) echo "$FAKE_VERSION.0 (fake)" ;;
  *ensurepip*) [ -z "$FAKE_NO_ENSUREPIP" ] ;;
  *"-m venv --clear"*)
    for folder; do :; done
    rm -rf "$folder"; mkdir -p "$folder/bin"; touch "$folder/pyvenv.cfg"
    sed "s/FAKE_VERSION/OWN/g; 2i OWN=$FAKE_VERSION" "$0" >"$folder/bin/python"; chmod +x "$folder/bin/python"
    echo "venv $folder" >>"$FAKE_LOG" ;;
  *"-m pip install"*)
    echo "pip $*" >>"$FAKE_LOG"
    if [ -n "$FAKE_FAIL" ] && [[ "$*" == *"$FAKE_FAIL"* ]]; then
      echo "ERROR: no route to index" >&2
      exit "$FAKE_CODE"
    fi
    echo "Collecting tensorflow==2.20.0" ;;
esac
"""


def make(*arguments: str, cwd: Path = ROOT, **environment: str) -> subprocess.CompletedProcess[str]:
    surroundings = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), **environment}
    command = ["make", "--no-print-directory", *arguments]
    return subprocess.run(command, cwd=cwd, env=surroundings, capture_output=True, text=True, timeout=30, check=False)


class TestTargets:
    def test_help_is_the_default_and_lists_every_target_with_a_sentence(self) -> None:
        result = make()
        listed = dict(re.findall(r"^  make ([a-z0-9-]+) +(\S.+)$", result.stdout, flags=re.MULTILINE))
        assert set(listed) == PHONY
        defined = set(re.findall(r"^([a-z][a-z0-9-]*):", MAKEFILE, flags=re.MULTILINE))
        assert defined == PHONY
        assert make("help").stdout == result.stdout

    def test_variables_reach_the_command(self) -> None:
        shown = make("-n", "train-retrieval", "DATASET=ml-100k", "DATA_DIR=my data", "ARGS=--seed 3").stdout
        command = '".venv/bin/python" -m recsys_tfrs train two-tower --dataset "ml-100k" --data-dir "my data"'
        assert command in shown
        assert shown.rstrip().endswith("--seed 3")

    def test_what_is_not_given_is_not_passed(self) -> None:
        shown = make("-n", "train-retrieval").stdout.splitlines()[-1].split()
        assert shown == ['".venv/bin/python"', "-m", "recsys_tfrs", "train", "two-tower", "--dataset", '"auto"']

    @pytest.mark.parametrize("target", sorted(PHONY - {"help", "clean", "lock"}))
    def test_everything_that_needs_the_environment_sets_it_up(self, target: str) -> None:
        assert "scripts/setup.sh" in make("-n", target).stdout

    def test_ci_types_what_people_type(self) -> None:
        ci = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
        assert re.findall(r"^ *step make (\S+)$", ci, flags=re.MULTILINE) == [
            "setup",
            "lint",
            "types",
            "docs",
            "test",
            "notebooks",
        ]
        assert os.access(ROOT / ".ci" / "run", os.X_OK)


class Sandbox:
    """A copy of what the set-up reads, and a PATH on which the only Python is the fake one."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "project"
        self.tools = folder / "tools"
        self.log = folder / "log"
        (self.root / "requirements").mkdir(parents=True)
        (self.root / "scripts").mkdir()
        self.tools.mkdir()
        for name in ("Makefile", "setup.cfg", "pyproject.toml", "scripts/setup.sh"):
            shutil.copy(ROOT / name, self.root / name)
        for version in ("310", "311", "312", "313"):
            (self.root / "requirements" / f"py{version}.txt").write_text("setuptools==80.8.0\nwheel==0.48.0\nrich==1\n")
        needed = "make bash sh env awk df grep sed cat cksum uname dirname mkdir mv rm ls head touch chmod pwd printf"
        for tool in needed.split():
            path = shutil.which(tool)
            if path:
                (self.tools / tool).symlink_to(path)
        self.cpuinfo = folder / "cpuinfo"
        self.cpuinfo.write_text("flags : fpu avx avx2\n")

    def add_python(self, name: str = "python3") -> Path:
        path = self.tools / name
        path.write_text(FAKE_PYTHON)
        path.chmod(0o755)
        return path

    def setup(self, **environment: str) -> subprocess.CompletedProcess[str]:
        self.log.write_text("")
        defaults = {
            "PATH": str(self.tools),
            "CPUINFO": str(self.cpuinfo),
            "FAKE_VERSION": "3.11",
            "FAKE_LOG": str(self.log),
            "MIN_FREE_MB": "0",
        }
        return make("setup", cwd=self.root, **{**defaults, **environment})

    @property
    def calls(self) -> list[str]:
        """What was done, in order: `venv`, and the last argument of each pip call."""
        return [
            line.split()[0] if line.startswith("venv") else line.split()[-1]
            for line in self.log.read_text().splitlines()
        ]


@pytest.fixture
def sandbox(tmp_path: Path) -> Sandbox:
    return Sandbox(tmp_path)


FULL = ["venv", ".venv/backend.txt", "requirements/py311.txt", "."]


class TestSetup:
    def test_installs_the_lock_of_its_python_once(self, sandbox: Sandbox) -> None:
        sandbox.add_python()
        first = sandbox.setup()
        assert first.returncode == 0, first.stderr
        assert sandbox.calls == FULL
        # pip resolves nothing, and fetches no build backend of its own.
        assert sandbox.log.read_text().count("--no-deps --no-build-isolation") == 3
        assert (sandbox.root / ".venv/backend.txt").read_text() == "setuptools==80.8.0\nwheel==0.48.0\n"
        second = sandbox.setup()
        assert (second.returncode, second.stdout, sandbox.calls) == (0, "", [])

    @pytest.mark.parametrize("file", ["requirements/py311.txt", "setup.cfg"])
    def test_installs_again_when_what_it_read_has_changed(self, sandbox: Sandbox, file: str) -> None:
        sandbox.add_python()
        sandbox.setup()
        with (sandbox.root / file).open("a") as text:
            text.write("# changed\n")
        sandbox.setup()
        assert sandbox.calls == FULL[1:]

    def test_another_lock_does_not_matter(self, sandbox: Sandbox) -> None:
        sandbox.add_python()
        sandbox.setup()
        (sandbox.root / "requirements/py312.txt").write_text("changed==1\n")
        sandbox.setup()
        assert sandbox.calls == []

    def test_a_failure_of_pip_is_shown_and_leaves_no_stamp(self, sandbox: Sandbox) -> None:
        sandbox.add_python()
        failed = sandbox.setup(FAKE_FAIL="requirements/py311.txt", FAKE_CODE="1")
        assert failed.returncode != 0
        assert "ERROR: no route to index" in failed.stderr
        assert "set PIP_INDEX_URL" in failed.stderr
        sandbox.setup()
        assert sandbox.calls == FULL[1:]

    def test_a_failed_change_taken_back_is_installed_back(self, sandbox: Sandbox) -> None:
        sandbox.add_python()
        sandbox.setup()
        lock = sandbox.root / "requirements/py311.txt"
        before = lock.read_text()
        lock.write_text(before.replace("rich==1", "rich==2"))
        sandbox.setup(FAKE_FAIL="requirements/py311.txt", FAKE_CODE="1")
        lock.write_text(before)
        sandbox.setup()
        assert "requirements/py311.txt" in sandbox.calls

    def test_a_killed_installation_starts_from_nothing(self, sandbox: Sandbox) -> None:
        sandbox.add_python()
        assert sandbox.setup(FAKE_FAIL="requirements/py311.txt", FAKE_CODE="137").returncode != 0
        sandbox.setup()
        assert sandbox.calls == FULL

    def test_a_moved_project_gets_a_new_environment(self, sandbox: Sandbox) -> None:
        sandbox.add_python()
        sandbox.setup()
        sandbox.root = sandbox.root.rename(sandbox.root.with_name("with space"))
        assert sandbox.setup().returncode == 0
        assert sandbox.calls == FULL

    def test_another_python_makes_another_environment(self, sandbox: Sandbox) -> None:
        sandbox.add_python()
        other = sandbox.add_python("other")
        sandbox.setup()
        sandbox.setup(PYTHON=str(other))
        assert sandbox.calls == []
        sandbox.setup(PYTHON=str(other), FAKE_VERSION="3.13")
        assert sandbox.calls == ["venv", ".venv/backend.txt", "requirements/py313.txt", "."]

    def test_a_folder_that_is_no_environment_is_not_emptied(self, sandbox: Sandbox) -> None:
        sandbox.add_python()
        (sandbox.root / "precious").mkdir()
        (sandbox.root / "precious" / "file").touch()
        refused = sandbox.setup(VENV="precious")
        assert "precious exists and is no Python environment" in refused.stderr
        assert (sandbox.root / "precious" / "file").exists()


class TestWhatAMachineCanLack:
    """One sentence with the remedy, no traceback, nothing made."""

    @staticmethod
    def refusal(sandbox: Sandbox, **environment: str) -> str:
        result = sandbox.setup(**environment)
        assert result.returncode != 0
        assert result.stdout == ""
        assert sandbox.calls == []
        assert not (sandbox.root / ".venv").exists()
        sentence, *rest = result.stderr.splitlines()
        assert [line for line in rest if not line.startswith("make: ***")] == []
        assert sentence.startswith("make setup: ")
        return sentence

    def test_python(self, sandbox: Sandbox) -> None:
        sentence = self.refusal(sandbox)
        assert "no suitable Python on PATH (needed: 3.10, 3.11, 3.12 or 3.13)" in sentence
        assert "make setup PYTHON=/path/to/python3.11" in sentence

    @pytest.mark.parametrize("version", ["3.9", "3.14", "2.7"])
    def test_a_supported_python(self, sandbox: Sandbox, version: str) -> None:
        python = sandbox.add_python()
        assert f"found: python3 is Python {version};" in self.refusal(sandbox, FAKE_VERSION=version)
        named = self.refusal(sandbox, FAKE_VERSION=version, PYTHON=str(python))
        assert f"PYTHON={python} is Python {version}; TensorFlow needs Python 3.10" in named

    def test_the_python_that_was_named(self, sandbox: Sandbox) -> None:
        sandbox.add_python()
        assert "PYTHON=python3.99 is not a program" in self.refusal(sandbox, PYTHON="python3.99")
        (sandbox.tools / "broken").write_text("#!/bin/bash\nexit 127\n")
        (sandbox.tools / "broken").chmod(0o755)
        assert "PYTHON=broken is no Python that runs" in self.refusal(sandbox, PYTHON="broken")

    def test_pip(self, sandbox: Sandbox) -> None:
        sandbox.add_python()
        assert "apt install python3-venv python3.11-venv" in self.refusal(sandbox, FAKE_NO_ENSUREPIP="1")

    @pytest.mark.skipif(os.uname().machine != "x86_64", reason="AVX is a matter of x86-64")
    def test_avx(self, sandbox: Sandbox) -> None:
        sandbox.add_python()
        sandbox.cpuinfo.write_text("flags : fpu sse avx512_vnni\nbugs : spectre\n")
        assert "lacks the AVX instructions" in self.refusal(sandbox)

    def test_disk_space(self, sandbox: Sandbox) -> None:
        sandbox.add_python()
        assert re.search(r"only \d+ MB are free .* needs 999999999 MB", self.refusal(sandbox, MIN_FREE_MB="999999999"))


def pins(lock: Path) -> dict[str, str]:
    lines = [
        line for line in lock.read_text(encoding="utf-8").splitlines() if line and not line.lstrip().startswith("#")
    ]
    return dict(line.split("==") for line in lines)


class TestLocks:
    def test_there_is_one_for_every_supported_python(self) -> None:
        metadata = ConfigParser()
        metadata.read(ROOT / "setup.cfg")
        supported = re.findall(r"Python :: 3\.(\d+)", metadata["metadata"]["classifiers"])
        assert [lock.stem for lock in LOCKS] == [f"py3{minor}" for minor in supported]

    @pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.stem)
    def test_every_line_pins_a_version_and_none_names_an_index(self, lock: Path) -> None:
        for line in lock.read_text(encoding="utf-8").splitlines():
            assert re.match(r"^([A-Za-z0-9][A-Za-z0-9._-]*==[0-9][A-Za-z0-9.+!]*$| *#)", line), line
            assert "://" not in line

    @pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.stem)
    def test_the_build_backend_is_locked_and_still_has_pkg_resources(self, lock: Path) -> None:
        assert "wheel" in pins(lock)
        assert int(pins(lock)["setuptools"].split(".")[0]) < 82

    def test_the_docs_are_locked_for_every_python_and_name_no_index(self) -> None:
        text = DOCS_LOCK.read_text(encoding="utf-8")
        for line in text.splitlines():
            assert re.match(r"^([A-Za-z0-9][A-Za-z0-9._-]*==[0-9][A-Za-z0-9.+!]*( ; \S.*)?$| *#)", line), line
            assert "://" not in line
        wanted = re.findall(r"^([a-z-]+)", DOCS_LOCK.with_suffix(".in").read_text(encoding="utf-8"), flags=re.MULTILINE)
        assert set(wanted) <= set(re.findall(r"^([a-z0-9-]+)==", text, flags=re.MULTILINE))

    def test_tensorflow_keras_tfrs_and_scann_move_together(self) -> None:
        together = ("tensorflow", "tf-keras", "tensorflow-recommenders", "scann")
        assert len({tuple(pins(lock)[name] for name in together) for lock in LOCKS}) == 1
