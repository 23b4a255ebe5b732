"""Before any test module can import TensorFlow: the package switches it to Keras 2, and processes share the cores."""

from __future__ import annotations

import os

import recsys_tfrs  # noqa: F401

# Tests are many small operations, and pytest-xdist has a process for each core: threads of their own would only wait
# for each other. Commands that tests start inherit it.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
    os.environ.setdefault("OMP_NUM_THREADS", "1")
