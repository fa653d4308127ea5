"""The word that chooses on what a model runs."""

from pathlib import Path

import onnxruntime as ort
import pytest

from serving import providers


@pytest.fixture
def gpu_image(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """An image whose ONNX Runtime was built for NVIDIA GPUs; notes when their libraries are loaded."""
    loaded: list[str] = []
    built_for = ["TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr(ort, "get_available_providers", lambda: built_for)
    monkeypatch.setattr(ort, "preload_dlls", lambda: loaded.append("loaded"))
    return loaded


def names(word: str, cache: Path, devices: Path) -> list[str]:
    return [name for name, _ in providers.choose(word, cache, devices)]


def test_auto_takes_the_gpu_where_image_and_machine_have_one(tmp_path: Path, gpu_image: list[str]) -> None:
    assert names("auto", tmp_path, tmp_path) == ["CPUExecutionProvider"]
    assert not gpu_image
    (tmp_path / "nvidia0").touch()
    assert names("auto", tmp_path, tmp_path) == ["CUDAExecutionProvider", "CPUExecutionProvider"]
    assert gpu_image


def test_auto_stays_on_the_cpu_where_the_image_has_no_cuda(tmp_path: Path) -> None:
    (tmp_path / "nvidia0").touch()
    assert names("auto", tmp_path, tmp_path) == ["CPUExecutionProvider"]


def test_tensorrt_falls_back_to_cuda_and_keeps_what_it_compiled(tmp_path: Path, gpu_image: list[str]) -> None:
    chosen = providers.choose("tensorrt", tmp_path, tmp_path)
    assert [name for name, _ in chosen] == ort.get_available_providers()
    assert chosen[0][1]["trt_engine_cache_path"] == str(tmp_path / "tensorrt")


def test_the_cpu_can_be_asked_for_on_a_gpu_image(tmp_path: Path, gpu_image: list[str]) -> None:
    (tmp_path / "nvidia0").touch()
    assert names("cpu", tmp_path, tmp_path) == ["CPUExecutionProvider"]


@pytest.mark.parametrize(
    ("word", "reason"),
    [("gpu", "must be one of auto, cpu, cuda, tensorrt"), ("cuda", "cannot be 'cuda'"), ("tensorrt", "has ")],
)
def test_what_this_image_cannot_do_is_refused(tmp_path: Path, word: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        providers.choose(word, tmp_path)
