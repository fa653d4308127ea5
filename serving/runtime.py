"""The model runtime: an ONNX session behind the Open Inference Protocol.

ONNX is the only format: a graph of known operators, unlike a pickle, runs no code of whoever wrote the file.
"""

import logging
import re
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import onnxruntime as ort
from onnxruntime.capi.onnxruntime_pybind11_state import Fail, InvalidArgument

from serving.errors import InferenceFailed, ModelRefused, ModelUnavailable, RequestError
from serving.manifest import Manifest
from serving.oip import InferRequest, InferResponse
from serving.providers import CPU, Provider
from serving.tensors import Array, TensorSpec, text
from serving.text import METADATA_KEY, TextInput

# The runtime has one error for what a request and what the machine did wrong; only its text tells them apart.
_OF_THE_MACHINE = re.compile(r"allocate memory|out of memory|bad_alloc|CUDA|CUDNN|CUBLAS", re.IGNORECASE)
PLATFORM = "onnx_onnxruntime"

_DATATYPES = {
    "tensor(bool)": "BOOL",
    "tensor(uint8)": "UINT8",
    "tensor(uint16)": "UINT16",
    "tensor(uint32)": "UINT32",
    "tensor(uint64)": "UINT64",
    "tensor(int8)": "INT8",
    "tensor(int16)": "INT16",
    "tensor(int32)": "INT32",
    "tensor(int64)": "INT64",
    "tensor(float16)": "FP16",
    "tensor(float)": "FP32",
    "tensor(double)": "FP64",
    "tensor(string)": "BYTES",
}

logger = logging.getLogger(__name__)


class Model:
    """A loaded model version. Several threads may call `infer` at once."""

    def __init__(
        self, manifest: Manifest, data: bytes, providers: Sequence[Provider] = CPU, threads: int = 1
    ) -> None:
        """Load `data`, the verified bytes of the manifest's file.

        `providers`: the preferred one first, which must work (see `providers.choose`). `threads`: of the CPU
        for one inference; more than the CPU has to give makes it slower, for idle ones spin. Raises
        ModelRefused when the bytes are no model that can run here, or one with another signature than the
        manifest's.
        """
        what = f"the model of {manifest.name} {manifest.version}"
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 4  # faults are raised to us; its own lines may quote input values
        try:
            self._session = ort.InferenceSession(
                data, options, providers=[(name, dict(options)) for name, options in providers]
            )
        except Exception as error:  # the runtime's errors share no base class
            raise ModelRefused(f"{what} is no ONNX that can run here: {type(error).__name__}") from error
        if (used := self._session.get_providers()[0]) != (wanted := providers[0][0]):
            # The runtime falls back by itself; a GPU server that computes on its CPU would go unnoticed.
            raise ModelUnavailable(f"{what} would run on {used}, not on {wanted}, which does not work")
        inputs = self._session.get_inputs()
        document = self._session.get_modelmeta().custom_metadata_map.get(METADATA_KEY)
        self._text = None
        if document is None:
            _check(what, "input", manifest.signature.inputs.values(), inputs)
        else:
            self._text = TextInput(document, [node.name for node in inputs], manifest.signature, what)
        _check(what, "output", manifest.signature.outputs.values(), self._session.get_outputs())
        self.manifest = manifest

    def __str__(self) -> str:
        return f"{self.manifest.name} {self.manifest.version}"

    def infer(self, request: InferRequest) -> InferResponse:
        """Run the model. Raises RequestError or InferenceFailed."""
        feed = {
            name: text(array) if array.dtype.kind == "O" else array for name, array in request.inputs.items()
        }
        try:
            arrays, tokens = self._run(list(request.outputs), feed)
        except (InvalidArgument, Fail) as error:
            if _OF_THE_MACHINE.search(str(error)):
                logger.error("%s failed: no memory, or the accelerator", self)
                raise InferenceFailed("the model server ran out of memory or lost its accelerator") from None
            # Each input fits the signature, but they do not fit each other (two batch sizes), or a value is
            # out of its range (an index, a divisor). The runtime's text may quote values: not passed on.
            logger.warning("%s cannot compute a request: %s", self, type(error).__name__)
            raise RequestError(400, "the inputs do not fit together or hold a value out of range") from None
        except Exception as error:  # the runtime's errors share no base class
            logger.error("%s failed: %s", self, type(error).__name__)
            raise InferenceFailed("the model failed on these inputs") from None
        return InferResponse(
            model_name=self.manifest.name,
            model_version=self.manifest.version,
            outputs=dict(zip(request.outputs, arrays, strict=True)),
            id=request.id,
            binary=request.binary,
            tokens=tokens,
        )

    def _run(self, outputs: list[str], feed: dict[str, Array]) -> tuple[list[Array], int]:
        """Arrays of these outputs, and how many tokens the texts had."""
        if self._text is None:
            return self._session.run(outputs, feed), 0
        [texts] = feed.values()
        runs, order, tokens = [], [], 0
        for rows, inputs, count in self._text.batches(texts):
            runs.append(self._session.run(outputs, inputs))
            order += rows
            tokens += count
        back = np.argsort(order)  # runs are by length of the texts, answers in the order of the request
        return [np.concatenate(parts)[back] for parts in zip(*runs, strict=True)], tokens


def _check(what: str, kind: str, declared: Iterable[TensorSpec], actual: Sequence[Any]) -> None:
    """Refuse a model whose tensors are not the manifest's.

    A manifest may fix a size that the graph leaves open, and never open one that the graph fixes.
    """
    nodes = {node.name: node for node in actual}
    specs = {spec.name: spec for spec in declared}
    if nodes.keys() != specs.keys():
        raise ModelRefused(f"{what} has the {kind}s {sorted(nodes)}, its manifest says {sorted(specs)}")
    for name, spec in specs.items():
        node = nodes[name]
        shape = [size if isinstance(size, int) else -1 for size in node.shape]
        fits = len(shape) == len(spec.shape) and all(
            real in (-1, size) for real, size in zip(shape, spec.shape, strict=True)
        )
        if _DATATYPES.get(node.type) != spec.datatype or not fits:
            raise ModelRefused(
                f"{what} has {kind} '{name}' as {_DATATYPES.get(node.type, node.type)} {shape}, "
                f"its manifest says {spec.datatype} {list(spec.shape)}"
            )
