"""What a model is asked and answers, as counts: how often values fell into the bins of the baseline.

A sample of the requests is counted, and the counts of many requests leave the process as one record, so that
no request can be told from another. Only where `raw` is asked for are inputs kept as they came.

A record is a JSON line:
    model, version, at, until   what was counted, and when
    rows                        how many rows of input
    inputs                      tensor -> one list of counts per feature, by the baseline's bins
    outputs                     tensor of whole numbers -> value -> count
    raw                         rows of input, where asked for
"""

import logging
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Self

import botocore.session
import numpy as np
import orjson
from botocore.config import Config

from serving.manifest import Manifest
from serving.oip import InferRequest, InferResponse
from serving.tensors import Array

# A record stays far below Firehose's 1000 KiB: https://docs.aws.amazon.com/firehose/latest/dev/limits.html
_FLUSH_ROWS = 1_000
_RAW_ROWS = 20
_VALUES = 200
# A record is worth less than the time of the request that carries it out.
_FIREHOSE = Config(connect_timeout=1, read_timeout=2, retries={"total_max_attempts": 1})

logger = logging.getLogger(__name__)


class Capture:
    """Counts for one model, version after version. Several threads may call it.

    `put` takes a record; what it raises is logged and nothing else. `share` (0 to 1) of the requests are
    counted. Counts leave after `flush_s` seconds, at the next request: a function that sleeps runs no timer.
    """

    def __init__(
        self, put: Callable[[bytes], object], *, share: float, raw: bool = False, flush_s: float = 60
    ) -> None:
        self._put, self._share, self._raw, self._flush_s = put, share, raw, flush_s
        self._lock = threading.Lock()
        self._clear()

    @classmethod
    def of(cls, environment: Mapping[str, str], *, background: bool = False) -> Self | None:
        """As CAPTURE_STREAM, CAPTURE_SHARE, CAPTURE_RAW and CAPTURE_FLUSH_S say; None without a stream.

        `background`: send from a thread, in a process that goes on running between requests.
        """
        stream = environment.get("CAPTURE_STREAM")
        if not stream:
            return None
        # botocore's own, as the model store's: boto3 adds imports to every cold start.
        client = botocore.session.get_session().create_client("firehose", config=_FIREHOSE)

        def put(record: bytes) -> None:
            client.put_record(DeliveryStreamName=stream, Record={"Data": record})

        thread = ThreadPoolExecutor(1, thread_name_prefix="capture") if background else None
        return cls(
            put if thread is None else lambda record: thread.submit(put, record),
            share=float(environment.get("CAPTURE_SHARE", "0.1")),
            raw=environment.get("CAPTURE_RAW") == "true",
            flush_s=float(environment.get("CAPTURE_FLUSH_S", "60")),
        )

    def __call__(self, manifest: Manifest, request: InferRequest, response: InferResponse) -> None:
        """Count a request and its answer, if it is drawn."""
        if random.random() >= self._share:  # noqa: S311 - a share of the requests, no secret
            return
        records = []
        with self._lock:
            if self._counted and self._counted.version != manifest.version:
                records.append(self._record(self._counted))
            self._count(manifest, request, response)
            if self._rows >= _FLUSH_ROWS or time.time() - self._since >= self._flush_s:
                records.append(self._record(manifest))
        for record in records:
            self._send(record)

    def flush(self) -> None:
        """Send what is counted."""
        with self._lock:
            record = self._record(self._counted) if self._counted else None
        if record is not None:
            self._send(record)

    def _clear(self) -> None:
        self._counted: Manifest | None = None
        self._since, self._rows = time.time(), 0
        self._inputs: dict[str, list[Array]] = {}
        self._outputs: dict[str, Counter[int]] = {}
        self._kept: list[Any] = []

    def _count(self, manifest: Manifest, request: InferRequest, response: InferResponse) -> None:
        self._counted = manifest
        self._rows += request.rows
        for name, features in manifest.baseline.get("inputs", {}).items():
            columns = _columns(request.inputs[name], len(features)) if name in request.inputs else None
            if columns is None:
                continue
            counts = [
                bin_counts(column, feature["cuts"]) for column, feature in zip(columns, features, strict=True)
            ]
            before = self._inputs.get(name)
            self._inputs[name] = [a + b for a, b in zip(before, counts, strict=True)] if before else counts
        for name, array in response.outputs.items():
            if array.dtype.kind in "iu" and len(self._outputs.get(name, ())) < _VALUES:
                self._outputs.setdefault(name, Counter()).update(array.ravel().tolist())
        if self._raw and len(self._kept) < _RAW_ROWS:
            self._kept.append({n: a.tolist() for n, a in request.inputs.items() if a.dtype.kind != "O"})

    def _record(self, manifest: Manifest) -> bytes:
        """What was counted, which begins anew."""
        document = {
            "model": manifest.name,
            "version": manifest.version,
            "at": self._since,
            "until": time.time(),
            "rows": self._rows,
            "inputs": {name: [c.tolist() for c in counts] for name, counts in self._inputs.items()},
            "outputs": {n: {str(v): c for v, c in counts.items()} for n, counts in self._outputs.items()},
        }
        if self._raw:
            document["raw"] = self._kept
        self._clear()
        return orjson.dumps(document, option=orjson.OPT_APPEND_NEWLINE)

    def _send(self, record: bytes) -> None:
        try:
            self._put(record)
        except Exception as error:  # a request is never answered otherwise because of its statistics
            logger.warning("a capture record was lost: %s", type(error).__name__)


def bin_counts(values: Array, cuts: list[float]) -> Array:
    """How many values are up to the first cut, between cuts, and above the last: one more than cuts."""
    return np.bincount(np.searchsorted(cuts, values, side="left"), minlength=len(cuts) + 1)


def _columns(array: Array, features: int) -> Array | None:
    """The features of a batch as rows; None for a tensor that has others than the baseline."""
    if array.dtype.kind not in "fiub" or array.ndim < 1 or array.size % features:
        return None
    flat = array.reshape(-1, features).astype(np.float64)
    return flat.T if np.isfinite(flat).all() else None
