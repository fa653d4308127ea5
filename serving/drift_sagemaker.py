"""What a SageMaker endpoint captured, counted as the other servers count it.

An endpoint keeps requests and answers as they came, a JSON line each; its container is isolated and can send
nothing: https://docs.aws.amazon.com/sagemaker/latest/dg/model-monitor-data-capture-endpoint.html
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import orjson

from serving.capture import Capture
from serving.errors import ServingError
from serving.manifest import Manifest
from serving.oip import InferResponse, request_from
from serving.tensors import from_json


def counted(lines: Iterable[Mapping[str, Any]], manifest: Manifest) -> Iterator[Mapping[str, Any]]:
    """The captured requests to the manifest's version as one record; none where there are no such requests.

    Left out: other versions, requests with binary data, those for metadata, and those that were refused.
    """
    records: list[bytes] = []
    capture = Capture(records.append, share=1, flush_s=float("inf"))
    for line in lines:
        try:
            request, answer = (_json(line, f"endpoint{side}") for side in ("Input", "Output"))
            if answer.get("model_version") != manifest.version:
                continue
            outputs = {
                document["name"]: from_json(
                    (spec := manifest.signature.outputs[document["name"]]),
                    spec.check_shape(document["shape"]),
                    document["data"],
                )
                for document in answer["outputs"]
            }
            decoded = request_from(request, manifest.signature)
        except (ServingError, LookupError, TypeError, ValueError):
            continue
        capture(manifest, decoded, InferResponse(manifest.name, manifest.version, outputs))
    capture.flush()
    yield from map(orjson.loads, records)


def _json(line: Mapping[str, Any], side: str) -> dict[str, Any]:
    """A request or an answer. Raises LookupError for one that was not kept as JSON."""
    kept = line["captureData"][side]
    if kept["encoding"] != "JSON":
        raise LookupError(side)
    found: dict[str, Any] = orjson.loads(kept["data"])
    return found
