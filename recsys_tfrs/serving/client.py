"""Ask a model server, `recsys-tfrs serve` or TensorFlow Serving alike, over REST or gRPC.

For example::

    from recsys_tfrs.serving.client import Client

    with Client("http://localhost:8501") as client:
        client.recommend(["196"], k=3)  # [[Recommendation(item_id=..., title=..., score=...), ...]]
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from recsys_tfrs.errors import RequestRefusedError, UsageError
from recsys_tfrs.schema import ITEM_ID, USER_ID
from recsys_tfrs.serving.results import Recommendation
from recsys_tfrs.serving.transports import (
    Arrays,
    Endpoint,
    GrpcTransport,
    RestTransport,
    SignatureInfo,
    Transport,
    VersionStatus,
)

__all__ = ["Client", "Recommendation", "SignatureInfo", "VersionStatus"]

_NAN = float("nan")

Columns = Mapping[str, Sequence[Any]]


class Client:
    """A connection to one model on a server; may be used by several threads.

    Args:
      endpoint: ``http://host:port``, ``https://host:port`` or ``grpc://host:port``. The REST client does not import
        TensorFlow.
      name: of the model on that server.
      version: None asks whichever is newest.
      timeout: seconds for one attempt.
      retries: further attempts, with growing pauses, where the server cannot be reached or says it is too busy.

    Raises:
      UsageError: an endpoint of another form.
      MissingExtraError: a package of the extra `serving` is not installed.
    """

    def __init__(
        self,
        endpoint: str,
        name: str = "retrieval",
        *,
        version: int | None = None,
        timeout: float = 5.0,
        retries: int = 3,
    ) -> None:
        parts = urlsplit(endpoint)
        if parts.scheme not in ("http", "https", "grpc") or not parts.netloc or parts.path.strip("/"):
            raise UsageError(f"An endpoint is http://HOST:PORT or grpc://HOST:PORT, not {endpoint!r}.")
        if timeout <= 0 or retries < 0:
            raise UsageError(f"timeout must be positive and retries 0 or more, not {timeout} and {retries}.")
        is_grpc = parts.scheme == "grpc"
        address = parts.netloc if is_grpc else f"{parts.scheme}://{parts.netloc}"
        where = Endpoint(address, name, version, timeout, retries)
        self._transport: Transport = GrpcTransport(where) if is_grpc else RestTransport(where)
        self._signatures: dict[str, SignatureInfo] | None = None

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the connection."""
        self._transport.close()

    def recommend(
        self,
        user_ids: Sequence[str],
        k: int | None = None,
        *,
        history: Sequence[Sequence[str]] | None = None,
        exclude: Sequence[Sequence[str]] | None = None,
        exclude_history: bool | None = None,
        inputs: Columns | None = None,
    ) -> list[list[Recommendation]]:
        """Recommend the best items for each user; as `recsys_tfrs.serving.recommender.Recommender.recommend`.

        Args:
          user_ids: external ids; an unknown one gets what suits anyone with such a history and features.
          k: length of the lists; the export's default where left out. A list is shorter where the candidates end.
          history: external item ids per user, oldest first, in place of the stored history.
          exclude: external item ids per user that are not to be returned.
          exclude_history: leave out what the user has seen; the default.
          inputs: further inputs of the signature by name, a value (or list of values) per user.

        Raises:
          RequestRefusedError: the server says what is wrong with the request.
          EndpointError: it cannot be reached, does not answer in time, or fails.
        """
        columns = {USER_ID: user_ids, "history": history, "exclude": exclude, **(inputs or {})}
        scalars = {"k": k, "exclude_history": exclude_history}
        out = self._ask("serving_default", columns, scalars)
        rows = zip(*(out[name].tolist() for name in (ITEM_ID, "title", "score")), strict=True)
        return [[Recommendation(i, t, float(s)) for i, t, s in zip(*row, strict=True) if i] for row in rows]

    def knows(self, user_id: str) -> bool:
        """Whether a user occurs in the data the model was exported with."""
        return bool(self.predict("recommend_user", {USER_ID: [user_id]})["user_known"][0])

    def embed_query(self, user_ids: Sequence[str], inputs: Columns | None = None) -> np.ndarray[Any, Any]:
        """``[len(user_ids), dim]`` float32 query vectors; `inputs` and errors as of `recommend`."""
        return self._ask("embed_query", {USER_ID: user_ids, **(inputs or {})})["embedding"].astype(np.float32)

    def embed_candidate(self, item_ids: Sequence[str], inputs: Columns | None = None) -> np.ndarray[Any, Any]:
        """``[len(item_ids), dim]`` float32 candidate vectors; new items are described by `inputs`."""
        return self._ask("embed_candidate", {ITEM_ID: item_ids, **(inputs or {})})["embedding"].astype(np.float32)

    def score(
        self, user_ids: Sequence[str], item_ids: Sequence[str], inputs: Columns | None = None
    ) -> np.ndarray[Any, Any]:
        """``[len(user_ids)]`` float32 scores of the pairs ``user_ids[i], item_ids[i]``; errors as of `recommend`."""
        columns = {USER_ID: user_ids, ITEM_ID: item_ids, **(inputs or {})}
        return self._ask("score", columns)["score"].astype(np.float32)

    def predict(self, signature: str, inputs: Mapping[str, Any]) -> Arrays:
        """Outputs of any signature by name.

        Args:
          signature: its name.
          inputs: arrays, or nested lists, by name; those with a default may be left out.

        Raises:
          RequestRefusedError: no such signature or input, a value of another type, or what the server says.
          EndpointError: as of `recommend`.
        """
        info = self._signature(signature)
        unknown = sorted(inputs.keys() - info.inputs.keys())
        missing = sorted(n for n, i in info.inputs.items() if i.default is None and n not in inputs)
        if unknown or missing:
            raise RequestRefusedError(
                f"Signature {signature!r} takes {', '.join(sorted(info.inputs))}; "
                f"unknown: {', '.join(unknown) or 'none'}, missing: {', '.join(missing) or 'none'}.",
                "INVALID_ARGUMENT",
            )
        arrays = {name: _array(name, value, info.inputs[name].dtype) for name, value in inputs.items()}
        return self._transport.predict(signature, info, arrays)

    def metadata(self) -> dict[str, SignatureInfo]:
        """Signatures of the model by name, asked once.

        Raises:
          RequestRefusedError: there is no such model or version.
          EndpointError: as of `recommend`.
        """
        if self._signatures is None:
            self._signatures = self._transport.signatures()
        return self._signatures

    def status(self) -> list[VersionStatus]:
        """Versions of the model the server knows; errors as of `metadata`."""
        return self._transport.status()

    def _signature(self, name: str) -> SignatureInfo:
        found = self.metadata()
        if name not in found:
            raise RequestRefusedError(
                f"This model has no signature {name!r}: it has {', '.join(sorted(found))}.", "FAILED_PRECONDITION"
            )
        return found[name]

    def _ask(
        self, signature: str, columns: Mapping[str, Sequence[Any] | None], scalars: Mapping[str, Any] | None = None
    ) -> Arrays:
        rows = len(next(values for values in columns.values() if values is not None))
        info = self._signature(signature)
        given: dict[str, Any] = {name: value for name, value in (scalars or {}).items() if value is not None}
        for name, values in columns.items():
            if values is None:
                continue
            if len(values) != rows:
                raise UsageError(f"{name} has {len(values)} entries for {rows} rows: one per row is needed.")
            is_list = name in info.inputs and len(info.inputs[name].shape or ()) == 2
            given[name] = _padded(values) if is_list else list(values)
        return self.predict(signature, given)


def _padded(rows: Sequence[Sequence[Any]]) -> list[list[Any]]:
    """Lists of one length: strings are padded with "", numbers with NaN."""
    width = max([1, *map(len, rows)])
    empty: Any = _NAN if any(isinstance(v, int | float) for row in rows for v in row) else ""
    return [[*row, *[empty] * (width - len(row))] for row in rows]


def _array(name: str, value: Any, dtype: str) -> np.ndarray[Any, Any]:
    kinds = {"DT_STRING": object, "DT_FLOAT": np.float32, "DT_DOUBLE": np.float64}
    kinds |= {"DT_INT32": np.int32, "DT_INT64": np.int64, "DT_BOOL": np.bool_}
    try:
        array = np.array(value, object)
        fits = {"DT_STRING": (str, bytes), "DT_BOOL": (bool, np.bool_)}.get(dtype, (int, float, np.number))
        wrong = next((v for v in array.ravel().tolist() if not isinstance(v, fits)), None)
        if wrong is not None:
            raise ValueError(f"{wrong!r} is none")
        return array if dtype == "DT_STRING" else array.astype(kinds[dtype])
    except (ValueError, TypeError, OverflowError, KeyError) as error:
        raise RequestRefusedError(
            f"Input {name!r} expects {dtype} in lists of one length: {error}.", "INVALID_ARGUMENT"
        ) from None
