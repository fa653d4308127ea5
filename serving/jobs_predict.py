"""The rows of a part to predictions, by asking the model's own server; a bad row never takes others along.

A row of a tensor model is an object with a value for each input, as one item of a batch has it:
{"image": [0.0, ...]}; a row of a language model is the body of its OpenAI request without `model`. Either
may have an `id`, which comes back. Rows go to the model in batches; a batch that the model refuses is halved
until the row is found.
"""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, Protocol

import orjson

from serving.jobs_rows import REFUSED_ROW

BATCH_ROWS = 128
# Below Lambda's 6 MB for a request, which carries the body as a JSON string.
BATCH_BYTES = 4 * 2**20
_CHAT_AT_ONCE = 8
_ROUTES = {"messages": "/v1/chat/completions", "prompt": "/v1/completions", "input": "/v1/embeddings"}
_OTHER_LATER = frozenset({408, 425, 429, 502, 503, 504})


class TryLater(Exception):
    """The model cannot answer now: the part is to be tried again as a whole."""


class AnswersLater(Exception):
    """The model was asked, and a message of its own will say that it has answered: the part goes on then."""


Ask = Callable[[str, str, bytes], tuple[int, bytes]]
"""Method, path and body to status and body; raises TryLater where nobody answers, or AnswersLater."""


@dataclass(slots=True)
class Predicted:
    """Results in the order of the rows: outputs or an error each."""

    results: list[dict[str, Any]] = field(default_factory=list)
    tokens: int = 0
    compute_ms: int = 0

    @property
    def failed(self) -> int:
        """Rows with an error."""
        return sum("error" in result for result in self.results)


class Predictor(Protocol):
    """Asks one model about rows."""

    def __call__(self, lines: Sequence[bytes]) -> Predicted:
        """Predict each line. Raises TryLater or AnswersLater."""


@dataclass(slots=True)
class _Row:
    """A line on its way: what is wrong with it, or what the model is to get."""

    index: int
    document: dict[str, Any] = field(default_factory=dict)
    error: str = ""
    tensors: list[tuple[list[int], list[Any]]] = field(default_factory=list)
    size: int = 0

    @property
    def shapes(self) -> list[list[int]]:
        return [shape for shape, _ in self.tensors]


def read_row(index: int, line: bytes) -> _Row:
    """Parse a line of a part."""
    if line.startswith(REFUSED_ROW):
        return _Row(index, error=line[1:].decode())
    try:
        document = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        return _Row(index, error=f"the row is not JSON: {error}"[:300])
    if not isinstance(document, dict):
        return _Row(index, error="the row must be a JSON object")
    return _Row(index, document=document, size=len(line))


class TensorPredictor:
    """Asks a model that speaks the Open Inference Protocol."""

    def __init__(self, model: str, ask: Ask) -> None:
        self._path, self._ask = f"/v2/models/{model}", ask
        self._inputs: list[dict[str, Any]] = []

    def __call__(self, lines: Sequence[bytes]) -> Predicted:
        """Predict each line. Raises TryLater or AnswersLater."""
        self._inputs = self._inputs or self._signature()
        predicted = Predicted()
        rows = [read_row(index, line) for index, line in enumerate(lines)]
        for row in rows:
            if not row.error:
                row.error = self._fill(row)
        answers: dict[int, dict[str, Any]] = {row.index: {"error": row.error} for row in rows if row.error}
        pending: AnswersLater | None = None
        for batch in _batches([row for row in rows if not row.error], self._one_by_one):
            try:
                answers |= self._infer(batch, predicted)
            except AnswersLater as later:
                pending = later  # the others are asked before the first answer is waited for
        if pending is not None:
            raise pending
        predicted.results = [_with_id(answers[row.index], row) for row in rows]
        return predicted

    @property
    def _one_by_one(self) -> bool:
        return any(spec["shape"][:1] != [-1] for spec in self._inputs)

    def _signature(self) -> list[dict[str, Any]]:
        status, body = self._ask("GET", self._path, b"")
        if status != 200:
            raise TryLater(f"the model's metadata cannot be read: status {status}")
        inputs: list[dict[str, Any]] = orjson.loads(body)["inputs"]
        return inputs

    def _fill(self, row: _Row) -> str:
        """The row's tensors; what is wrong with them."""
        for spec in self._inputs:
            name = spec["name"]
            if name not in row.document:
                return f"input '{name}' is missing; the model takes {self._names()}"
            shape = spec["shape"][1:] if not self._one_by_one else spec["shape"]
            data, seen = _flat(row.document[name])
            size = math.prod(shape)
            if any(length < 0 for length in shape):
                if len(seen) != len(shape) or any(a not in (-1, b) for a, b in zip(shape, seen, strict=True)):
                    return f"input '{name}' has the shape {seen}, the model takes {shape}"
                shape = seen
            elif len(data) != size:
                return f"input '{name}' has {len(data)} values, the model takes {size}"
            kinds: tuple[type, ...] = {"BYTES": (str,), "BOOL": (bool,)}.get(spec["datatype"], (int, float))
            if any(not isinstance(v, kinds) or (bool not in kinds and isinstance(v, bool)) for v in data):
                return f"input '{name}' has a value that is no {spec['datatype']}"
            row.tensors.append((shape, data))
        return ""

    def _names(self) -> str:
        return ", ".join(spec["name"] for spec in self._inputs)

    def _infer(self, batch: list[_Row], predicted: Predicted) -> dict[int, dict[str, Any]]:
        started = time.perf_counter()
        status, body = self._ask("POST", f"{self._path}/infer", self._request(batch))
        predicted.compute_ms += round((time.perf_counter() - started) * 1000)
        if status == 200:
            outputs = orjson.loads(body)["outputs"]
            if self._one_by_one:
                whole = {output["name"]: _nested(output["data"], output["shape"]) for output in outputs}
                return {batch[0].index: {"outputs": whole}}
            return {
                row.index: {"outputs": {o["name"]: _item(o, position, len(batch)) for o in outputs}}
                for position, row in enumerate(batch)
            }
        if status in _OTHER_LATER:
            raise TryLater(f"the model answered {status}: {_error(body)}")
        if len(batch) == 1:
            return {batch[0].index: {"error": _error(body)}}
        middle = len(batch) // 2
        return self._infer(batch[:middle], predicted) | self._infer(batch[middle:], predicted)

    def _request(self, batch: list[_Row]) -> bytes:
        inputs = []
        for position, spec in enumerate(self._inputs):
            shape = batch[0].tensors[position][0]
            data = [value for row in batch for value in row.tensors[position][1]]
            inputs.append(
                {
                    "name": spec["name"],
                    "datatype": spec["datatype"],
                    "shape": shape if self._one_by_one else [len(batch), *shape],
                    "data": data,
                }
            )
        return orjson.dumps({"inputs": inputs})


class ChatPredictor:
    """Asks a language model, some rows at once: its engine batches by itself."""

    def __init__(self, model: str, ask: Ask) -> None:
        self._model, self._ask = model, ask

    def __call__(self, lines: Sequence[bytes]) -> Predicted:
        """Predict each line. Raises TryLater."""
        predicted = Predicted()
        rows = [read_row(index, line) for index, line in enumerate(lines)]
        with ThreadPoolExecutor(_CHAT_AT_ONCE) as threads:
            for row, (answer, tokens, took_ms) in zip(rows, threads.map(self._one, rows), strict=True):
                predicted.results.append(_with_id(answer, row))
                predicted.tokens += tokens
                predicted.compute_ms += took_ms
        return predicted

    def _one(self, row: _Row) -> tuple[dict[str, Any], int, int]:
        route = next((route for name, route in _ROUTES.items() if name in row.document), None)
        if row.error or route is None:
            return {"error": row.error or f"the row has none of {', '.join(_ROUTES)}"}, 0, 0
        asked = {name: value for name, value in row.document.items() if name != "id"}
        request = asked | {"model": self._model, "stream": False}
        started = time.perf_counter()
        status, body = self._ask("POST", route, orjson.dumps(request))
        took_ms = round((time.perf_counter() - started) * 1000)
        if status in _OTHER_LATER:
            raise TryLater(f"the model answered {status}: {_error(body)}")
        if status != 200:
            return {"error": _error(body)}, 0, took_ms
        answer = orjson.loads(body)
        return {"outputs": answer}, int((answer.get("usage") or {}).get("total_tokens", 0)), took_ms


def encode_results(first_row: int, results: Sequence[dict[str, Any]]) -> bytes:
    """Results as JSON Lines, each with the number of its row in the whole input, counted from 0."""
    return b"".join(
        orjson.dumps({"row": first_row + index, **result}) + b"\n" for index, result in enumerate(results)
    )


def _with_id(answer: dict[str, Any], row: _Row) -> dict[str, Any]:
    return {"id": str(row.document["id"])[:256], **answer} if "id" in row.document else answer


def _batches(rows: Sequence[_Row], one_by_one: bool) -> Iterator[list[_Row]]:
    """Consecutive rows of the same shapes, within what one request may carry."""
    for _, alike in groupby(rows, key=lambda row: row.shapes):
        batch: list[_Row] = []
        size = 0
        for row in alike:
            full = len(batch) >= BATCH_ROWS or size + row.size > BATCH_BYTES or one_by_one
            if batch and full:
                yield batch
                batch, size = [], 0
            batch.append(row)
            size += row.size
        yield batch


def _flat(value: Any) -> tuple[list[Any], list[int]]:
    """Nested lists in row-major order, and the shape that their first elements show."""
    if not isinstance(value, list):
        return [value], []
    if not any(isinstance(item, list) for item in value):
        return value, [len(value)]
    parts = [_flat(item) for item in value]
    return [leaf for data, _ in parts for leaf in data], [len(value), *parts[0][1]]


def _item(output: dict[str, Any], position: int, rows: int) -> Any:
    """What belongs to one row of a batch."""
    size = len(output["data"]) // rows
    return _nested(output["data"][position * size : (position + 1) * size], output["shape"][1:])


def _nested(data: list[Any], shape: Sequence[int]) -> Any:
    if not shape:
        return data[0]
    if len(shape) == 1:
        return data
    size = len(data) // shape[0] if shape[0] else 0
    return [_nested(data[i * size : (i + 1) * size], shape[1:]) for i in range(shape[0])]


def _error(body: bytes) -> str:
    """What a server says that went wrong."""
    try:
        said = orjson.loads(body)["error"]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return "the model gave no reason"
    return str(said.get("message", "") if isinstance(said, dict) else said)[:500]
