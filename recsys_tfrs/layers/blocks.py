"""The last clicks of a session -> what comes next: 3-D convolutions over a block of time x characters x channels.

Tuan and Phuong, 3D convolutional networks for session-based recommendation with content features, RecSys 2017
(https://doi.org/10.1145/3109859.3109900).

A kernel of theirs reaches over some clicks, some characters and the whole third axis, so it slides along the first two
alone: it is a 2-D convolution whose channels are the third axis, which is how it is computed here, several times faster
than by TensorFlow's kernel for three axes.
"""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from recsys_tfrs.layers.described_items import Items
from recsys_tfrs.layers.dropout import hashed_keep_mask
from recsys_tfrs.layers.gru import GRU
from recsys_tfrs.layers.transposed import transposed

_EMPTY_SALT, _HIDDEN_SALT, _INPUT_SALT = 81, 82, 83

#: Standard deviation of the initial map from h to a query.
_PROJECT_SCALE = 0.002

#: Vectors of items begin small beside what convolutions see of texts: by how much they are enlarged for the hidden
#: layer, and for gates, which would all stand half open otherwise.
_BESIDE_SCALE, _GATE_SCALE = 4.0, 20.0


class Window(NamedTuple):
    """The newest clicks of some sessions.

    Attributes:
      clicks: ``[batch, size]`` internal item ids, oldest first; 0 in front of the first.
      items: what of the catalogue, or of a part of it, is read.
      places: ``[batch, size]`` int32 row of each click in `items`.
    """

    clicks: tf.Tensor
    items: Items
    places: tf.Tensor


def newest(history: tf.RaggedTensor, size: int) -> tf.Tensor:
    """``[batch, size]`` the newest items of ``[batch, None]`` histories, oldest first, with 0 in front."""
    last = tf.cast(history.row_splits[1:], tf.int32)
    places = last[:, None] - size + tf.range(size)
    there = places >= tf.cast(history.row_splits[:-1], tf.int32)[:, None]
    values = tf.concat([history.flat_values, [0]], axis=0)
    return tf.where(there, tf.gather(values, tf.where(there, places, tf.size(values) - 1)), 0)


class TowerSettings(NamedTuple):
    """What every `SessionTower` needs to know.

    Attributes:
      size: clicks of a window.
      dim: size of item vectors and queries.
      units: size of the vector h of a window.
      heads: names of the queries that are made of it.
      dropout: of h.
      input_dropout: of item vectors that are read.
      empty_rate: share of windows emptied in training, which stand for who comes without a history.
      seed: of the initial weights.
    """

    size: int
    dim: int
    units: int
    heads: tuple[str, ...]
    dropout: float
    input_dropout: float
    empty_rate: float
    seed: int


class SessionTower(tf.keras.layers.Layer):
    """Base of what makes one vector h of a window, and of it a query for each task.

    A query is ``P_k h + sum_t a_kt * v_t``, scaled to length 1: of the vector h, and of the clicked items themselves
    with a weight for each place and dimension.

    Args:
      settings: sizes.
      name: of the layer.
    """

    def __init__(self, settings: TowerSettings, name: str) -> None:
        super().__init__(name=name, dtype=tf.float32)
        self._settings = settings
        size, dim, seed = settings.size, settings.dim, settings.seed
        normal = tf.keras.initializers.RandomNormal(stddev=0.05, seed=seed)
        self.padding_vector = self.add_weight(name="padding", shape=(dim,), initializer=normal)
        # Small, so that a query is at first a sum of clicked items, from which one can learn: what an untrained layer
        # adds is noise, and convolved texts are much larger than vectors of items are at the start.
        self.project = {
            head: self.add_weight(
                name=f"{head}_project",
                shape=(settings.units, dim),
                initializer=tf.keras.initializers.RandomNormal(stddev=_PROJECT_SCALE, seed=seed + 1 + number),
            )
            for number, head in enumerate(settings.heads)
        }
        # At first the newest click counts most.
        fading = tf.keras.initializers.Constant([[0.5 ** (size - 1 - place)] * dim for place in range(size)])
        self.of_clicks = {
            head: self.add_weight(name=f"{head}_of_clicks", shape=(size, dim), initializer=fading)
            for head in settings.heads
        }

    def call(self, window: Window, seed: tf.Tensor | None = None, training: bool = False) -> dict[str, tf.Tensor]:
        """``[batch, dim]`` query of each head."""
        there = window.clicks > 0
        if training and self._settings.empty_rate:
            there &= hashed_keep_mask(tf.shape(there)[:1], self._settings.empty_rate, seed, _EMPTY_SALT)[:, None]
        vectors = tf.where(there[..., None], tf.gather(window.items.vectors, window.places), self.padding_vector)
        read = vectors
        if training and self._settings.input_dropout:
            kept = hashed_keep_mask(tf.shape(vectors), self._settings.input_dropout, seed, _INPUT_SALT)
            read = tf.where(kept, vectors / (1.0 - self._settings.input_dropout), 0.0)
        hidden = self.hidden(window, read, there, training)
        if training and self._settings.dropout:
            kept = hashed_keep_mask(tf.shape(hidden), self._settings.dropout, seed, _HIDDEN_SALT)
            hidden = tf.where(kept, hidden / (1.0 - self._settings.dropout), 0.0)
        return {
            head: tf.math.l2_normalize(
                tf.matmul(hidden, project) + tf.einsum("btd,td->bd", read, self.of_clicks[head]), axis=1
            )
            for head, project in self.project.items()
        }

    def hidden(self, window: Window, vectors: tf.Tensor, there: tf.Tensor, training: bool) -> tf.Tensor:
        """``[batch, units]`` h, from ``[batch, size, dim]`` vectors of the clicks and whether each is one."""
        raise NotImplementedError


class GatedConvolution(tf.keras.layers.Layer):
    """``[batch, size, dim]`` vectors of the clicks -> ``[batch, filters]`` twice: over all clicks, and at the newest.

    ``f_t = (A * v)_t sigmoid((B * v)_t + b)``, both convolutions over 3 clicks: what one click says can depend on those
    around it, as a category that was left tells what to make of the last item in it. Returned are half the sum of f_t
    over the clicks, and f of the newest place.

    Reference: Dauphin et al., Language modeling with gated convolutional networks, ICML 2017, equation 1
    (https://arxiv.org/abs/1612.08083), centred instead of looking back, as a window holds nothing that is to come.

    Args:
      dim: of the vectors.
      filters: of each convolution.
      seed: of the initial weights.
      name: of the layer.
    """

    def __init__(self, dim: int, filters: int, *, seed: int, name: str) -> None:
        super().__init__(name=name, dtype=tf.float32)
        shape = (3, dim, filters)
        he, glorot = tf.keras.initializers.HeNormal, tf.keras.initializers.GlorotUniform
        self.kernel = self.add_weight(name="kernel", shape=shape, initializer=he(seed=seed))
        self.gate = self.add_weight(name="gate", shape=shape, initializer=glorot(seed=seed + 1))
        self.gate_bias = self.add_weight(name="gate_bias", shape=(filters,), initializer="zeros")

    def call(self, vectors: tf.Tensor, there: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Of the places where `there`, ``[batch, size]`` bool, says that somebody clicked."""
        counted = tf.cast(there, tf.float32)[..., None]
        vectors *= counted
        opened = tf.sigmoid(_GATE_SCALE * tf.nn.conv1d(vectors, self.gate, 1, "SAME") + self.gate_bias)
        found = tf.nn.conv1d(vectors, self.kernel, 1, "SAME") * opened * counted
        return 0.5 * tf.reduce_sum(found, axis=1), found[:, -1]


class ConvolutionTower(SessionTower):
    """3-D convolutions over the clicks' texts, and a hidden layer over what they see and what was clicked.

    ``[batch, size, positions, channels]`` planes, to which a map of the item's vector is added at every position
    -> convolution of 3 clicks x 3 positions, rectified, maxima of 2 x 2
    -> convolution of 3 x 3, rectified, maxima over all positions, clicks staying apart
    -> beside the clicked items' vectors (the newest, the newer more, all alike) and a gated convolution over them,
    through a rectified layer of `units`.

    Args:
      settings: sizes.
      channels: of the planes.
      filters: of the two convolutions.
      gated_filters: of the gated convolution over the clicked items' vectors.
    """

    def __init__(self, settings: TowerSettings, channels: int, filters: tuple[int, int], gated_filters: int) -> None:
        super().__init__(settings, name="convolution_tower")
        size, dim, units, seed = settings.size, settings.dim, settings.units, settings.seed
        he = tf.keras.initializers.HeNormal
        first, second = filters
        self.entering = self.add_weight(name="entering", shape=(dim, channels), initializer=he(seed=seed + 20))
        self.first = self.add_weight(name="first", shape=(3, 3, channels, first), initializer=he(seed=seed + 21))
        self.first_bias = self.add_weight(name="first_bias", shape=(first,), initializer="zeros")
        self.second = self.add_weight(name="second", shape=(3, 3, first, second), initializer=he(seed=seed + 22))
        self.second_bias = self.add_weight(name="second_bias", shape=(second,), initializer="zeros")
        self.gated = GatedConvolution(dim, gated_filters, seed=seed + 36, name="gated")
        width = -(-size // 2) * second + 3 * dim + 2 * gated_filters
        self.kernel = self.add_weight(name="kernel", shape=(width, units), initializer=he(seed=seed + 23))
        self.bias = self.add_weight(name="bias", shape=(units,), initializer="zeros")

    def hidden(self, window: Window, vectors: tf.Tensor, there: tf.Tensor, training: bool) -> tf.Tensor:
        """See `SessionTower`."""
        seen = self.seen(self.block(window, vectors, there))
        beside = [tf.einsum("btd,bt->bd", vectors, weights) for weights in self._ages(there)]
        beside = [_BESIDE_SCALE * one for one in (*beside, *self.gated(vectors, there))]
        return tf.nn.relu(tf.matmul(tf.concat([seen, *beside], axis=1), self.kernel) + self.bias)

    @staticmethod
    def _ages(there: tf.Tensor) -> list[tf.Tensor]:
        """``[batch, size]`` weights of the clicks, each way adding up to 1: the newest, the newer more, all alike."""
        size = there.shape[1]
        found = []
        for decay in (0.0, 0.7, 1.0):
            weights = tf.constant([decay ** (size - 1 - place) for place in range(size)])
            # Of an empty window the newest place counts, which holds the padding's vector.
            counted = tf.cast(tf.concat([there[:, :-1], tf.ones_like(there[:, -1:])], axis=1), tf.float32) * weights
            found.append(counted / tf.reduce_sum(counted, axis=1, keepdims=True))
        return found

    def block(self, window: Window, vectors: tf.Tensor, there: tf.Tensor) -> tf.Tensor:
        """``[batch, size, positions, channels]``; where nobody clicked there is nothing but the padding's vector."""
        block = tf.tensordot(vectors, self.entering, 1)[:, :, None, :]
        if window.items.planes is not None:
            planes = tf.gather(window.items.planes, tf.where(there, window.places, 0))
            block += planes * tf.cast(there, tf.float32)[..., None, None]
        return block

    def seen(self, block: tf.Tensor) -> tf.Tensor:
        """``[batch, any]`` what the convolutions make of a block."""
        once = tf.nn.relu(tf.nn.conv2d(block, self.first, 1, "SAME") + self.first_bias)
        once = tf.nn.max_pool2d(once, 2, 2, "SAME")
        twice = tf.nn.relu(tf.nn.conv2d(once, self.second, 1, "SAME") + self.second_bias)
        strongest = tf.reduce_max(twice, axis=2)
        return tf.reshape(strongest, [-1, strongest.shape[1] * strongest.shape[2]])


class RecurrentWindow(SessionTower):
    """A GRU over the clicked items' vectors, for comparison: the same content, put together by another network.

    Args:
      settings: sizes.
    """

    def __init__(self, settings: TowerSettings) -> None:
        super().__init__(settings, name="recurrent_window")
        self.gru = GRU(settings.units, seed=settings.seed + 20, name="gru")

    def hidden(self, window: Window, vectors: tf.Tensor, there: tf.Tensor, training: bool) -> tf.Tensor:
        """See `SessionTower`; the state is empty before the first click."""
        before = tf.pad(there[:, :-1], [[0, 0], [1, 0]])
        return self.gru(tf.transpose(vectors, [1, 0, 2]), kept=transposed(before), training=training)[-1]
