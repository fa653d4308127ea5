"""Golden requests: what a version of a model must answer before any client may ask it."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from serving.errors import RequestError, ServingError
from serving.manifest import Golden, Manifest
from serving.oip import InferRequest, InferResponse, Signature, request_from
from serving.tensors import Array, from_json, text

_RUNS = 3


@dataclass(frozen=True, slots=True)
class GoldenReport:
    """Outcome of a manifest's golden requests: how many passed, and each that failed with its reason.

    `slowest_ms`: the longest that one of them takes at its best; what a busy machine adds is not in it.
    """

    passed: int
    failed: tuple[dict[str, str], ...]
    slowest_ms: float


def run(manifest: Manifest, infer: Callable[[InferRequest], InferResponse]) -> GoldenReport:
    """Run every golden request and compare the outputs with those expected."""
    faults = [(golden.name, _fault(golden, manifest.signature, infer)) for golden in manifest.golden]
    failed = tuple({"golden": name, "reason": reason} for name, reason in faults if reason)
    slowest_ms = 0.0 if failed else max(_milliseconds(g, manifest.signature, infer) for g in manifest.golden)
    return GoldenReport(passed=len(faults) - len(failed), failed=failed, slowest_ms=slowest_ms)


def decode(golden: Golden, signature: Signature) -> tuple[InferRequest, dict[str, Array]]:
    """A golden request and its outputs as arrays. Raises RequestError where they do not fit the signature."""
    request = request_from(golden.request, signature)
    expected: dict[str, Array] = {}
    for document in golden.outputs:
        spec = signature.outputs.get(str(document.get("name")))
        if spec is None or spec.name in expected or document.get("datatype") != spec.datatype:
            raise RequestError(400, "outputs must be outputs of the signature, each once, with its datatype")
        expected[spec.name] = from_json(spec, spec.check_shape(document.get("shape")), document.get("data"))
    if set(expected) != set(request.outputs):
        raise RequestError(400, f"outputs must be those that are asked for: {', '.join(request.outputs)}")
    return request, expected


def _milliseconds(
    golden: Golden, signature: Signature, infer: Callable[[InferRequest], InferResponse]
) -> float:
    """The fastest of a few runs: the first ones warm up, and others may be held up by something else."""
    request, _ = decode(golden, signature)
    taken = []
    for _ in range(_RUNS):
        started = time.perf_counter()
        infer(request)
        taken.append(time.perf_counter() - started)
    return min(taken) * 1e3


def _fault(
    golden: Golden, signature: Signature, infer: Callable[[InferRequest], InferResponse]
) -> str | None:
    """Why a golden request failed; None when it passed."""
    try:
        request, expected = decode(golden, signature)
        given = infer(request).outputs
    except ServingError as error:
        return str(error)
    for name, want in expected.items():
        have = given[name]
        if have.shape != want.shape:
            return f"output '{name}' has shape {list(have.shape)}, expected {list(want.shape)}"
        if want.dtype.kind == "f":
            if not np.allclose(have, want, rtol=golden.relative, atol=golden.absolute):
                worst = np.max(np.abs(have.astype(np.float64) - want.astype(np.float64)))
                return f"output '{name}' is off by up to {worst:.3g}, beyond the tolerance"
        elif not np.array_equal(*((text(have), text(want)) if want.dtype.kind == "O" else (have, want))):
            return f"output '{name}' differs from the expected one"
    return None
