"""Entry point of the model server's function: importing it is Lambda's init phase, and loads the model.

Environment: MODEL_NAME, MODEL_VERSION and MODEL_BUCKET say what to serve; CAPTURE_… what of
it to count (see `serving.capture`); MODEL_CACHE_DIR is where verified
files are kept (default: `models` in the temporary directory, on Lambda /tmp/models); LOG_LEVEL is the least
severe level to log (default INFO).
"""

import logging
import os
import time
from itertools import pairwise
from typing import Any

from serving import logs
from serving.capture import Capture
from serving.errors import ModelUnavailable
from serving.lambda_front import LambdaFront
from serving.providers import CPU
from serving.runtime import Model
from serving.served import ServedModel
from serving.store import ModelStore

# A function has one vCPU at this much memory and more in proportion:
# https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html
_MB_PER_VCPU = 1769

logger = logging.getLogger(__name__)


def _load() -> Model:
    """Load the configured version and log what each part of it took."""
    missing = [name for name in ("MODEL_NAME", "MODEL_VERSION", "MODEL_BUCKET") if not os.environ.get(name)]
    if missing:
        raise ModelUnavailable(f"the function's environment misses {', '.join(missing)}")
    parts = [time.perf_counter()]
    store = ModelStore.of(os.environ)
    parts.append(time.perf_counter())
    manifest = store.manifest(os.environ["MODEL_NAME"], os.environ["MODEL_VERSION"])
    data = store.fetch(manifest)
    parts.append(time.perf_counter())
    threads = max(1, int(os.environ.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", _MB_PER_VCPU)) // _MB_PER_VCPU)
    model = Model(manifest, data, CPU, threads)
    parts.append(time.perf_counter())
    durations = (round((end - start) * 1e3, 1) for start, end in pairwise(parts))
    fields = dict(zip(("client_ms", "fetch_ms", "session_ms"), durations, strict=True))
    logger.info("loaded %s", model, extra={"fields": fields})
    return model


logs.configure(os.environ.get("LOG_LEVEL", "INFO"))
_served = ServedModel(
    os.environ.get("MODEL_NAME", ""), os.environ.get("MODEL_VERSION", ""), _load, Capture.of(os.environ)
)
_served.load()
handler: Any = LambdaFront(_served)
