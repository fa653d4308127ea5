"""What SageMaker's data-quality monitor reads of a captured request: one flat row for each row of its inputs.

SageMaker runs this file by itself in a container of its own, which has neither our packages nor our Python:
standard library, and nothing newer than Python 3.7.
https://docs.aws.amazon.com/sagemaker/latest/dg/model-monitor-pre-and-post-processing.html
"""

from __future__ import annotations

import json
from typing import Any


def preprocess_handler(inference_record: Any) -> list[dict[str, float]]:
    """Rows as `<tensor>_<index>` -> value, of tensors of numbers; none for what is no inference request."""
    captured = inference_record.endpoint_input
    if captured.encoding != "JSON":
        return []
    rows: list[dict[str, float]] = []
    for tensor in json.loads(captured.data).get("inputs") or ():
        if tensor["datatype"] == "BYTES":
            continue
        kind = float if tensor["datatype"].startswith("FP") else int
        values, count = _flat(tensor["data"]), tensor["shape"][0]
        rows += [{} for _ in range(count - len(rows))]
        width = len(values) // count if count else 0
        for place, value in enumerate(values):
            rows[place // width][f"{tensor['name']}_{place % width}"] = kind(value)
    return rows


def _flat(data: Any) -> list[Any]:
    if not isinstance(data, list):
        return [data]
    return [value for part in data for value in _flat(part)]
