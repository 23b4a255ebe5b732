"""What of a user's history the query may see in training, and what it has to predict.

A model is trained the way it will be asked. Where the withheld items are any of a user's, random items are hidden;
where they are his next ones, the end of the history is.
"""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from recsys_tfrs.layers.dropout import keep_mask
from recsys_tfrs.layers.history import ages


class Hidden(NamedTuple):
    """Masks and weights over the flat values of a batch of histories.

    Attributes:
      visible: ``[num_values]`` bool, the items the query sees.
      age: ``[num_values]`` float32, how many items of the user lie between an item and the moment of asking; 0 for the
        newest. Negative for items after that moment, infinite where there is no such moment. Under `hide_around` on
        either side of it.
      target_weight: ``[num_values]`` float32, how much it counts to predict an item.
    """

    visible: tf.Tensor
    age: tf.Tensor
    target_weight: tf.Tensor


def ages_when_asked(histories: tf.RaggedTensor, is_now: bool) -> tf.Tensor:
    """``[num_values]`` float32, what `Hidden.age` is when a trained model is asked.

    Args:
      histories: ``[num_users, None]``, oldest first.
      is_now: whether the moment of asking is the end of the history, as under `hide_newest`. Otherwise there is none:
        under `hide_any` there never is, and the moments of `hide_around` are drawn in training alone.
    """
    now = ages(histories)
    return now if is_now else tf.fill(tf.shape(now), float("inf"))


def hide_any(histories: tf.RaggedTensor, rate: float, seed: tf.Tensor) -> Hidden:
    """Hide each item with probability `rate` and predict all of them, hidden or not.

    The denoising of Liang et al., WWW 2018: the multinomial likelihood of the whole history, given a part of it.

    Args:
      histories: ``[num_users, None]``, oldest first.
      rate: probability of hiding an item, in ``[0, 1)``.
      seed: ``[2]`` int32 seed of the step.
    """
    values = histories.flat_values
    visible = keep_mask(tf.shape(values), rate, seed, salt=1)
    return Hidden(visible, ages(histories), tf.ones_like(values, tf.float32))


def hide_newest(
    histories: tf.RaggedTensor, rate: float, horizon: float, share: float, any_rate: float, seed: tf.Tensor
) -> Hidden:
    """For a `share` of the users, hide the end of the history and predict it; for the others, `hide_any`.

    The moment of asking is drawn uniformly between a user's first and last item. What comes after it is predicted,
    the sooner the more: the d-th item after it has weight ``exp(-d / horizon)``, scaled so that a user's weights add
    up to the length of his history, as they do under `hide_any`.

    Args:
      histories: ``[num_users, None]``, oldest first.
      rate: probability of hiding an item from before the moment of asking.
      horizon: items after which a target counts a third of the next one.
      share: of the users treated so; users with a single item never are.
      any_rate: probability of hiding an item of the other users.
      seed: ``[2]`` int32 seed of the step.
    """
    rows, lengths = histories.value_rowids(), tf.cast(histories.row_lengths(), tf.float32)
    split_here = keep_mask(tf.shape(lengths), 1.0 - share, seed, salt=4) & (lengths > 1)
    where = tf.random.stateless_uniform(tf.shape(lengths), tf.random.experimental.stateless_fold_in(seed, 5))
    num_future = 1 + tf.floor(where * (lengths - 1))  # 1 .. length - 1
    fallback = hide_any(histories, any_rate, seed)
    age = fallback.age - tf.gather(tf.where(split_here, num_future, 0.0), rows)
    is_future = age < 0
    decay = tf.where(is_future, tf.exp((age + 1) / horizon), 0.0)
    total = tf.math.unsorted_segment_sum(decay, rows, histories.nrows())
    weight = decay * tf.gather(tf.math.divide_no_nan(lengths, total), rows)
    past = ~is_future & keep_mask(tf.shape(age), rate, seed, salt=6)
    treated = tf.gather(split_here, rows)
    # The others are not asked at any moment: none of their items is newer than another.
    return Hidden(
        visible=tf.where(treated, past, fallback.visible),
        age=tf.where(treated, age, float("inf")),
        target_weight=tf.where(treated, weight, fallback.target_weight),
    )


def hide_around(histories: tf.RaggedTensor, rate: float, horizon: float, floor: float, seed: tf.Tensor) -> Hidden:
    """As `hide_any`, with a moment drawn from each history that its items are near to or far from.

    What somebody does within an hour belongs together more than what he does in a year. An item d items away from the
    moment has weight ``floor + exp(-d / horizon)`` as a target, scaled so that a user's weights add up to the length of
    his history. At the time of asking no such moment is known, and all of a history weighs alike.

    Args:
      histories: ``[num_users, None]``, oldest first.
      rate: probability of hiding an item, in ``[0, 1)``.
      horizon: items after which a target counts a third, beside the floor.
      floor: weight of the farthest.
      seed: ``[2]`` int32 seed of the step.
    """
    rows, lengths = histories.value_rowids(), tf.cast(histories.row_lengths(), tf.float32)
    where = tf.random.stateless_uniform(tf.shape(lengths), tf.random.experimental.stateless_fold_in(seed, 5))
    moment = tf.floor(where * lengths)  # 0 .. length - 1, counted from the newest
    distance = tf.abs(ages(histories) - tf.gather(moment, rows))
    weight = floor + tf.exp(-distance / horizon)
    total = tf.math.unsorted_segment_sum(weight, rows, histories.nrows())
    weight *= tf.gather(tf.math.divide_no_nan(lengths, total), rows)
    return Hidden(hide_any(histories, rate, seed).visible, distance, weight)
