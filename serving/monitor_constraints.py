"""What SageMaker's data-quality monitor holds requests against: the features of a version, and their types.

How their values are distributed is judged by `drift`, whose bins the monitor cannot read.
https://docs.aws.amazon.com/sagemaker/latest/dg/model-monitor-byoc-constraints.html
"""

import math
from typing import Any

import numpy as np

from serving.manifest import Manifest
from serving.tensors import DATATYPES


def constraints(manifest: Manifest) -> dict[str, Any]:
    """The document `constraints.json` for the rows that `monitor_record` makes of requests to a version."""
    features = [
        {
            "name": f"{spec.name}_{index}",
            "inferred_type": "Fractional" if np.dtype(DATATYPES[spec.datatype]).kind == "f" else "Integral",
            "completeness": 1.0,
        }
        for spec in manifest.signature.inputs.values()
        if spec.datatype != "BYTES" and -1 not in spec.shape[1:]
        for index in range(math.prod(spec.shape[1:]))
    ]
    return {
        "version": 0.0,
        "features": features,
        "monitoring_config": {
            "evaluate_constraints": "Enabled",
            "emit_metrics": "Disabled",
            "datatype_check_threshold": 1.0,
            "domain_content_threshold": 1.0,
            "distribution_constraints": {"perform_comparison": "Disabled"},
        },
    }
