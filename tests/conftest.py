"""Before any test module can import TensorFlow, the package switches it to Keras 2."""

from __future__ import annotations

import recsys_tfrs  # noqa: F401
