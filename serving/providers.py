"""On what a model runs: ONNX Runtime's execution providers, chosen by one word.

    auto      the GPU where the image has CUDA and the machine a GPU, else the CPU
    cpu       the CPU
    cuda      the GPU by CUDA; operators that it lacks run on the CPU
    tensorrt  the GPU by TensorRT, which compiles the model at first use and keeps that; CUDA for the rest

https://onnxruntime.ai/docs/execution-providers/
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import onnxruntime as ort

Provider = tuple[str, Mapping[str, Any]]
"""An execution provider of ONNX Runtime and its options."""

CPU: Sequence[Provider] = (("CPUExecutionProvider", {}),)
_CUDA: Provider = ("CUDAExecutionProvider", {})
WORDS = ("auto", "cpu", "cuda", "tensorrt")


def choose(word: str, cache: Path, devices: Path = Path("/dev")) -> Sequence[Provider]:
    """The providers for a word, the preferred one first. `cache`: where TensorRT keeps what it compiled.

    Raises:
        ValueError: the word is none of these, or this image's ONNX Runtime was built without the provider.
    """
    if word not in WORDS:
        raise ValueError(f"must be one of {', '.join(WORDS)}, not {word!r}")
    available = ort.get_available_providers()
    if word == "auto":
        has_gpu = any(devices.glob("nvidia[0-9]*"))
        word = "cuda" if has_gpu and _CUDA[0] in available else "cpu"
    chosen = _providers(word, cache)
    if chosen[0][0] not in available:
        raise ValueError(f"cannot be {word!r}: this image's ONNX Runtime has {', '.join(available)}")
    if word != "cpu":
        ort.preload_dlls()  # CUDA's libraries are Python packages of the image, outside the loader's path
    return chosen


def _providers(word: str, cache: Path) -> Sequence[Provider]:
    if word == "cpu":
        return CPU
    if word == "cuda":
        return (_CUDA, *CPU)
    compiled = {
        "trt_engine_cache_enable": True,
        "trt_engine_cache_path": str(cache / "tensorrt"),
        "trt_timing_cache_enable": True,
        "trt_timing_cache_path": str(cache / "tensorrt"),
    }
    return (("TensorrtExecutionProvider", compiled), _CUDA, *CPU)
