"""What can go wrong, one class per cause.

Every message says what was expected, what came, and what to do about it. The command line prints the message
alone, without a traceback, and ends with `exit_code`.
"""

from __future__ import annotations

import errno


class RecsysError(Exception):
    """Base of every error a user can act on."""

    exit_code = 1


class UsageError(RecsysError):
    """An option or argument that cannot be used as given."""

    exit_code = 2


class ConfigError(UsageError):
    """A configuration with an unknown key or an impossible value."""


class DataError(RecsysError):
    """Input data that is missing, truncated or malformed."""


class DatasetNotFoundError(DataError):
    """A named data set that is neither on disk nor downloadable."""


class SplitError(DataError):
    """A split that leaves nothing to train on or nothing to test."""


class MissingExtraError(RecsysError):
    """An optional package is needed; the message names what to install."""


class KerasVersionError(ImportError, RecsysError):
    """Keras 3 was imported before this package could switch TensorFlow to Keras 2."""


class RunError(RecsysError):
    """A run directory that is missing, incomplete, already there, or not of this version."""


class EndpointError(RecsysError):
    """A model server that cannot be reached, does not answer in time, or fails.

    Attributes:
      code: name of gRPC's status code, over REST the one the HTTP status stands for.
    """

    def __init__(self, message: str, code: str = "UNAVAILABLE") -> None:
        super().__init__(message)
        self.code = code


class RequestRefusedError(EndpointError):
    """A model server understood the request and says that it cannot be right; sending it again will not help."""


class TrainingError(RecsysError):
    """Training that cannot go on, for example because the loss is no longer finite."""


class UnsupportedMachineError(RecsysError):
    """A machine or Python on which TensorFlow cannot run."""


def failure_of_files(error: Exception) -> str | None:
    """What to say of an error of the file system that nobody foresaw where it happened; None of any other error."""
    if _is_disk_full(error):
        return (
            "the disk is full. Make room, then continue with the same command and --resume; nothing that was complete "
            "is lost."
        )
    if isinstance(error, OSError) and error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"{error.filename or 'a file'} cannot be read or written: {error.strerror}. Choose another place."
    return None


def _is_disk_full(error: Exception) -> bool:
    """TensorFlow reports a full disk by an error of its own, as it does a lack of memory; the text tells them apart."""
    if isinstance(error, OSError):
        return error.errno in (errno.ENOSPC, errno.EDQUOT)
    return type(error).__name__ == "ResourceExhaustedError" and "No space left on device" in str(error)
