"""Sound -> what the ear gets of it: energy by time and pitch."""

from __future__ import annotations

import tensorflow as tf

#: Lowest pitch of the mel bands, in Hz.
_LOWEST = 40.0

#: Energy below which a band is silent, relative to that of a full-scale sine.
_SILENCE = 1e-6


class LogMel(tf.keras.layers.Layer):
    """``[batch, samples]`` in -1..1 -> ``[batch, frames, bands]`` log-mel spectrogram of mean 0 and variance 1.

    ``log(M |STFT(x)|^2 + silence)``, M being triangular filters at equal steps of the mel scale,
    ``m(f) = 1127 ln(1 + f / 700)`` (Davis and Mermelstein, IEEE ASSP 1980, in the form of O'Shaughnessy, 1987), and the
    short-time Fourier transform of windows of Hann. Mean and variance are those of a clip, so that its loudness does
    not count.

    Args:
      sample_rate: samples per second.
      bands: of the mel scale.
      frame: samples of a window, a power of two.
      step: samples from one window to the next.
    """

    def __init__(self, sample_rate: int, *, bands: int, frame: int, step: int) -> None:
        super().__init__(name="log_mel", dtype=tf.float32)
        self._frame, self._step = frame, step
        self._filters = tf.signal.linear_to_mel_weight_matrix(
            bands, frame // 2 + 1, sample_rate, _LOWEST, sample_rate / 2
        ).numpy()

    def call(self, waves: tf.Tensor) -> tf.Tensor:
        """Spectrograms of a batch of sounds; ``frames = 1 + (samples - frame) // step``."""
        spectra = tf.signal.stft(tf.cast(waves, tf.float32), self._frame, self._step)
        power = tf.square(tf.math.real(spectra)) + tf.square(tf.math.imag(spectra))
        # A full-scale sine has power (frame / 4)^2 in its bin.
        energy = tf.tensordot(power / (self._frame / 4) ** 2, self._filters, axes=1)
        loud = tf.math.log(energy + _SILENCE)
        mean, variance = tf.nn.moments(loud, axes=[1, 2], keepdims=True)
        return (loud - mean) * tf.math.rsqrt(variance + 1e-3)
