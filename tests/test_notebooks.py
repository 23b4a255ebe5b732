"""The stored notebooks: both files of a pair agree, nothing is stored with output, and the common form is kept.

Executing them is `make notebooks`.
"""

from __future__ import annotations

import ast
import importlib.util
import json
import logging
import re
import warnings
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from recsys_tfrs import runtime

jupytext = pytest.importorskip("jupytext", reason="pip install 'recsys-tfrs[notebooks]'")

ROOT = Path(__file__).parents[1]
PAIRS = sorted((ROOT / "notebooks").glob("[0-9]*.py"))


def load_script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("run_notebooks", ROOT / "scripts" / "run_notebooks.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


script = load_script()


@pytest.fixture(params=PAIRS, ids=lambda path: path.stem)
def notebook(request: pytest.FixtureRequest) -> Path:
    return Path(request.param)


def prose(path: Path) -> list[str]:
    return [cell.source for cell in jupytext.read(path).cells if cell.cell_type == "markdown"]


def code(path: Path) -> str:
    return "\n".join(cell.source for cell in jupytext.read(path).cells if cell.cell_type == "code")


class TestStored:
    def test_there_are_notebooks_and_each_has_both_files(self) -> None:
        numbers = [path.stem[:2] for path in PAIRS]
        assert numbers == sorted(set(numbers))
        assert {"00", "05", "13"} <= set(numbers)
        assert script.orphans() == []

    def test_pair_agrees_and_holds_no_output(self, notebook: Path) -> None:
        script.check(notebook)

    def test_begins_with_what_for_whom_and_how_long(self, notebook: Path) -> None:
        first = prose(notebook)[0]
        assert re.match(r"# \S.*\n", first)
        for part in (
            r"^\*\*What ",
            r"^\*\*For whom\*\*: ",
            r"^\*\*How long\*\*: .*minute",
            r"(?s)^\*\*Paper\*\*: .*\*,\s.*(19|20)\d\d",
        ):
            assert re.search(part, first, flags=re.MULTILINE), part

    def test_asks_a_question_and_ends_with_what_to_read_next(self, notebook: Path) -> None:
        last = prose(notebook)[-2]  # before the generated links of the series
        assert "## A question to answer by experiment" in last
        assert "## What to read next" in last

    def test_shows_a_figure(self, notebook: Path) -> None:
        assert "plt.show()" in code(notebook)

    def test_imports_and_never_defines(self, notebook: Path) -> None:
        defined = [
            node.name
            for node in ast.walk(ast.parse(code(notebook)))
            if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        ]
        assert defined == []

    def test_data_set_can_be_chosen_and_needs_no_file_by_default(self, notebook: Path) -> None:
        assert re.search(r'^DATASET = os\.environ\.get\("DATASET", "simulated-[\w-]+"\)$', code(notebook), re.MULTILINE)


TEXT = "# %% [markdown]\n# # Title\n\n# %%\nx = 1\n"


@pytest.fixture
def pair(tmp_path: Path) -> Path:
    path = tmp_path / "00_pair.py"
    path.write_text(TEXT)
    script.synchronise(path)
    return path


def change(path: Path, **of_code_cell: object) -> None:
    stored = path.with_suffix(".ipynb")
    content = json.loads(stored.read_text())
    content["cells"][1].update(of_code_cell)
    stored.write_text(json.dumps(content))


class TestCheck:
    def test_a_synchronised_pair_passes_and_is_written_the_same_again(self, pair: Path) -> None:
        script.check(pair)
        before = pair.with_suffix(".ipynb").read_bytes()
        script.synchronise(pair)
        assert pair.with_suffix(".ipynb").read_bytes() == before

    def test_a_notebook_links_to_its_neighbours(self, pair: Path) -> None:
        after = pair.with_name("02_after.py")
        after.write_text(TEXT.replace("Title", "What comes after"))
        with pytest.raises(script.NotebookError, match=r"00_pair\.py does not end with links to its neighbours"):
            script.check(pair)
        for path in (pair, after):
            script.synchronise(path)
        assert prose(pair)[-1] == "## The series\n\n* After it: [What comes after](02_after.ipynb)"
        assert prose(after)[-1] == "## The series\n\n* Before it: [Title](00_pair.ipynb)"

    def test_a_notebook_without_a_heading(self, pair: Path) -> None:
        pair.with_name("02_after.py").write_text("# %%\nx = 1\n")
        with pytest.raises(script.NotebookError, match=r"02_after\.py has no heading"):
            script.synchronise(pair)

    def test_a_missing_half(self, pair: Path) -> None:
        pair.with_suffix(".ipynb").unlink()
        with pytest.raises(script.NotebookError, match=r"00_pair\.ipynb is missing"):
            script.check(pair)

    def test_a_cell_edited_in_one_half(self, pair: Path) -> None:
        change(pair, source=["x = 2"])
        with pytest.raises(script.NotebookError, match=r"cell 2 differs from 00_pair\.py"):
            script.check(pair)

    def test_a_cell_added_to_one_half(self, pair: Path) -> None:
        pair.write_text(TEXT + "\n# %%\ny = 1\n\n" + script.series_links(pair))
        with pytest.raises(script.NotebookError, match=r"has 3 cells and 00_pair\.py has 4|cell 3 differs"):
            script.check(pair)

    @pytest.mark.parametrize(
        "stored",
        [{"outputs": [{"output_type": "stream", "name": "stdout", "text": ["1"]}]}, {"execution_count": 1}],
    )
    def test_a_stored_output(self, pair: Path, stored: dict[str, object]) -> None:
        change(pair, **stored)
        with pytest.raises(script.NotebookError, match="cell 2 is stored with its output"):
            script.check(pair)

    def test_an_unknown_name_lists_those_there_are(self) -> None:
        with pytest.raises(script.NotebookError, match="no notebook 77_none; there are 00_quickstart, "):
            script.pairs(["77_none"])


class TestFailure:
    def test_the_message_names_notebook_and_cell(self) -> None:
        error = SimpleNamespace(
            output_type="error", ename="ValueError", evalue="boom", traceback=["\x1b[0;31mline 1\x1b[0m"]
        )
        cells = [{"outputs": []}, {"outputs": [error], "execution_count": 1}]
        said = script._explain(Path("03_x.py"), SimpleNamespace(cells=cells), RuntimeError("cell failed"))
        assert said == "03_x, cell 2: ValueError: boom\nline 1"

    def test_a_kernel_that_died_left_no_error_in_a_cell(self) -> None:
        cells = [{}, {"outputs": [], "execution_count": 1}, {"outputs": [], "execution_count": None}]
        said = script._explain(Path("03_x.py"), SimpleNamespace(cells=cells), RuntimeError("Kernel died"))
        assert said == "03_x, cell 2: RuntimeError: Kernel died"


def test_tensorflow_informs_nobody_in_a_notebook() -> None:
    logger = logging.getLogger("tensorflow")
    before = logger.level
    try:
        logger.setLevel(logging.INFO)  # as TensorFlow does where Python is interactive
        with warnings.catch_warnings():
            runtime._quiet_notebooks()
            warnings.warn("IProgress not found. Please update jupyter", stacklevel=1)
        assert logger.level == logging.WARNING
        logger.setLevel(logging.DEBUG)  # somebody wants to see it all
        with warnings.catch_warnings():
            runtime._quiet_notebooks()
        assert logger.level == logging.DEBUG
    finally:
        logger.setLevel(before)
