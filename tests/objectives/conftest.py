"""What tests of objectives share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import tensorflow as tf


@pytest.fixture
def mixed_precision() -> Iterator[None]:
    """Layers made now compute in bfloat16 unless they say otherwise."""
    before = tf.keras.mixed_precision.global_policy()
    tf.keras.mixed_precision.set_global_policy("mixed_bfloat16")
    yield
    tf.keras.mixed_precision.set_global_policy(before)
