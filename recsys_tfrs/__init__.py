"""TensorFlow Recommenders, made whole: data, models, honest evaluation, indexes and exports.

The folders are stages and data flows down the list. A stage imports only stages above it; a folder missing
from the list, or an import that points down it, fails `tests/contracts/test_import_direction.py`.

Stages
------
version     the one version number
errors      what can go wrong, each with a remedy
files       files that appear whole or not at all
schema      column names and kinds, once
runtime     TensorFlow's start-up, seeds, devices, memory growth, precision
config      TOML files and ``--set section.key=value``, validated, unknown keys refused
data        raw files -> Interactions -> splits -> histories
evaluation  full ranking, metrics with a stated tie rule, intervals, slices
baselines   what every model must beat, tuned on validation
features    columns -> tensors: the one preprocessing layer of training, evaluation, export and serving
layers      tensors -> vectors
objectives  vectors -> loss
models      one file per family: its config, its `tfrs.Model`, its `build()`
training    the input pipeline, fit, checkpoints, exact resume, callbacks
index       exact and ScaNN behind one interface
serving     signatures, SavedModel export, clients
server      the local development server: TensorFlow Serving's REST and gRPC interfaces
runs        everything above -> one run directory: report, comparison, recommendation
options     options that several commands share
cli         one verb per stage, thin
"""

from __future__ import annotations

import os
import sys

from recsys_tfrs.version import __version__

__all__ = ["__version__"]


def _use_keras_2() -> None:
    """Switch TensorFlow to Keras 2 (tf-keras), which tensorflow-recommenders 0.7.7 is built on.

    Raises:
      KerasVersionError: Keras 3 is already imported, so the switch would come too late.
    """
    keras = sys.modules.get("keras")
    if keras is not None and str(getattr(keras, "__version__", "")).startswith("3"):
        from recsys_tfrs.errors import KerasVersionError

        raise KerasVersionError(
            f"recsys_tfrs needs Keras 2, but Keras {keras.__version__} is already imported: "
            "import recsys_tfrs before tensorflow and keras, or set TF_USE_LEGACY_KERAS=1 before starting Python."
        )
    os.environ["TF_USE_LEGACY_KERAS"] = "1"


def _use_onednn() -> None:
    """Have TensorFlow compute with oneDNN on every x86 processor, unless the environment says otherwise.

    By itself it does so only where there are AVX-512 or AMX instructions; with AVX2 alone GRUs trained 11 to 18% faster
    with it in one comparison and ranking models 5 to 25%. Results differ in the last digits, as between processors.
    """
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")


_use_keras_2()
_use_onednn()
