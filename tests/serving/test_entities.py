"""Strings as an exported graph looks them up."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from recsys_tfrs.serving.entities import Strings


class Looked(tf.Module):
    """A module of strings with a signature."""

    def __init__(self, strings: list[str]) -> None:
        super().__init__()
        self.strings = Strings(np.array(strings, dtype=object))
        self.position = tf.function(self.strings.position, input_signature=[tf.TensorSpec([None], tf.string)])


@pytest.mark.parametrize(
    ("strings", "expected"),
    [
        (["", "a", "b"], [2, 0, 0]),
        ([""], [0, 0, 0]),  # a column that says nothing of any item
    ],
)
def test_strings_are_found_after_saving_and_loading(strings: list[str], expected: list[int], tmp_path: Path) -> None:
    tf.saved_model.save(Looked(strings), str(tmp_path / "model"))
    loaded = tf.saved_model.load(str(tmp_path / "model"))
    assert loaded.position(tf.constant(["b", "c", ""])).numpy().tolist() == expected
