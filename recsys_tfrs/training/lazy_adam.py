"""Adam for tables of which a step touches few rows."""

from __future__ import annotations

import tensorflow as tf


class LazyAdam(tf.keras.optimizers.Adam):
    """Adam (Kingma and Ba, 2015) that leaves rows alone which a step does not look up.

    Keras's Adam lets the moments of a whole table decay in each step, and moves rows by them that the batch has nothing
    to do with. With a million items that costs more than everything else in a step. Here a row's moments and weights
    change in the steps that look it up; in these the formulas are Adam's. Dense gradients are treated as ever.
    """

    def update_step(self, gradient: tf.Tensor | tf.IndexedSlices, variable: tf.Variable) -> None:
        """Take one step on one variable; the rows of a sparse gradient are distinct, Keras has summed them."""
        if not isinstance(gradient, tf.IndexedSlices):
            super().update_step(gradient, variable)
            return
        place = self._index_dict[self._var_key(variable)]
        m, v = self._momentums[place], self._velocities[place]
        step = tf.cast(self.iterations + 1, variable.dtype)
        beta_1, beta_2 = tf.cast(self.beta_1, variable.dtype), tf.cast(self.beta_2, variable.dtype)
        correction = tf.sqrt(1.0 - tf.pow(beta_2, step)) / (1.0 - tf.pow(beta_1, step))
        rate = tf.cast(self.learning_rate, variable.dtype) * correction
        rows, values = gradient.indices, gradient.values
        m_rows = beta_1 * tf.gather(m, rows) + (1.0 - beta_1) * values
        v_rows = beta_2 * tf.gather(v, rows) + (1.0 - beta_2) * tf.square(values)
        m.scatter_update(tf.IndexedSlices(m_rows, rows))
        v.scatter_update(tf.IndexedSlices(v_rows, rows))
        change = rate * m_rows / (tf.sqrt(v_rows) + self.epsilon)
        variable.scatter_sub(tf.IndexedSlices(change, rows))
