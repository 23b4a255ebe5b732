"""Before any test module can import TensorFlow: the package switches it to Keras 2, and processes share the cores."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import recsys_tfrs  # noqa: F401

# Tests are many small operations, and pytest-xdist has a process for each core: threads of their own would only wait
# for each other. Commands that tests start inherit it.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
    os.environ.setdefault("OMP_NUM_THREADS", "1")

#: Folders whose tests share fixtures that take long to make: one process each, which begins with them.
_TOGETHER = ("serving", "end_to_end", "server")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tests of a file, or of a folder of `_TOGETHER`, in one process, before ``--dist loadgroup`` reads it."""
    here = Path(__file__).parent

    def group(item: pytest.Item) -> str:
        path = item.path.relative_to(here)
        return path.parts[0] if path.parts[0] in _TOGETHER else str(path)

    for item in items:
        item.add_marker(pytest.mark.xdist_group(group(item)))
    items.sort(key=lambda item: _TOGETHER.index(name) if (name := group(item)) in _TOGETHER else len(_TOGETHER))
