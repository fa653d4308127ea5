"""Catalogue entries for EKS and SageMaker: what fits is read, what cannot work is refused with what can."""

import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from environments.catalogue import LambdaModel
from environments.compute import WEIGHTS_SHARE, Catalogue, EksModel, SageMakerModel, gpu_capacity
from environments.instance_types import ACCELERATORS

LAMBDA = {"backend": "lambda", "version": "v1"}
ONNX = {"backend": "eks", "version": "v1", "accelerator": "g6.xlarge", "scale": {"max": 4}}
VLLM = {
    "backend": "eks",
    "engine": "vllm",
    "version": "v1",
    "accelerator": "g6e.xlarge",
    "weights": "s3://models-of-acme/llama/v1/",
    "weights_gib": 16,
    "scale": {"max": 2},
}
REAL_TIME = {
    "backend": "sagemaker",
    "mode": "real-time",
    "version": "v1",
    "instance": "ml.g5.xlarge",
    "scale": {"min": 1, "max": 4},
}
ASYNC = {**REAL_TIME, "mode": "async", "scale": {"min": 0, "max": 4}}
SERVERLESS = {
    "backend": "sagemaker",
    "mode": "serverless",
    "version": "v1",
    "memory_mb": 4096,
    "max_concurrency": 10,
}


def read(entry: Mapping[str, Any]) -> Any:
    return TypeAdapter(Catalogue).validate_python({"model": entry})["model"]


def refusal(entry: Mapping[str, Any]) -> str:
    """Everything that is said against an entry."""
    with pytest.raises(ValidationError) as caught:
        read(entry)
    return "\n".join(
        f"{'.'.join(str(part) for part in error['loc'])}: {error['msg']}" for error in caught.value.errors()
    )


@pytest.mark.parametrize(
    ("entry", "kind"),
    [
        (LAMBDA, LambdaModel),
        (ONNX, EksModel),
        (VLLM, EksModel),
        (REAL_TIME, SageMakerModel),
        (ASYNC, SageMakerModel),
        (SERVERLESS, SageMakerModel),
    ],
)
def test_an_entry_of_each_backend_and_mode_is_read(entry: Mapping[str, Any], kind: type) -> None:
    assert isinstance(read(entry), kind)


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({**ONNX, "backend": "ecs"}, "'lambda', 'eks', 'sagemaker'"),
        ({**ONNX, "engine": "triton"}, "'onnx' or 'vllm'"),
        ({**ONNX, "accelerator": "g9.huge"}, "'g9.huge' is unknown; choose .*g6.xlarge"),
        ({**ONNX, "colour": "red"}, "colour: Extra inputs"),
        ({**ONNX, "weights": "s3://a-bucket/x"}, "onnx takes its file from the model store"),
        ({**ONNX, "weights_gib": 2}, "remove it, or choose engine vllm"),
        ({**VLLM, "weights_gib": None}, "vllm needs weights_gib; set it, or choose engine onnx"),
        ({**VLLM, "weights": "https://example.com/llama"}, "weights: String should match"),
        ({**VLLM, "weights": "s3://a-bucket"}, "weights: String should match"),
        ({**VLLM, "weights": "s3://a-bucket/*"}, "weights: String should match"),
        ({**VLLM, "scale": {"min": 3, "max": 2}}, "max 2 is below min 3; raise max to 3"),
        ({**VLLM, "scale": {"min": -1, "max": 2}}, "greater than or equal to 0"),
        ({**VLLM, "scale": {"max": 0}}, "greater than or equal to 1"),
        ({**LAMBDA, "engine": "vllm"}, "vllm does not run on lambda; choose engine onnx, or backend eks"),
        ({**LAMBDA, "engine": "triton"}, "'onnx' or 'vllm'"),
        ({**LAMBDA, "openai": True}, "lead to the cluster only; .*backend eks"),
        ({**LAMBDA, "streaming": True}, "buffered.*choose backend eks with engine vllm"),
        ({**ONNX, "streaming": True}, "onnx answers at once; .*choose engine vllm"),
        ({**REAL_TIME, "engine": "vllm"}, "vllm does not run on sagemaker real-time; .*backend eks for vllm"),
        ({**SERVERLESS, "engine": "vllm"}, "vllm does not run on sagemaker serverless"),
        ({**REAL_TIME, "mode": "batch"}, "'real-time', 'async' or 'serverless'"),
        ({**REAL_TIME, "streaming": True}, "buffered.*choose backend eks with engine vllm"),
        ({**SERVERLESS, "openai": True}, "lead to the cluster only; .*backend eks"),
        ({**REAL_TIME, "instance": None}, "mode real-time needs instance"),
        ({**REAL_TIME, "instance": "g5.xlarge"}, "instance: String should match"),
        ({**ASYNC, "scale": None}, "mode async needs scale"),
        ({**REAL_TIME, "scale": {"min": 0, "max": 2}}, "set min to 1, or choose mode async or serverless"),
        ({**REAL_TIME, "memory_mb": 1024}, "not memory_mb; remove it, or choose mode serverless"),
        ({**ASYNC, "max_concurrency": 5}, "not max_concurrency; remove it, or choose mode serverless"),
        (
            {**SERVERLESS, "instance": "ml.m5.large"},
            "not instance; remove it, or choose mode real-time or async",
        ),
        ({**SERVERLESS, "scale": {"max": 2}}, "not scale; remove it, or choose mode real-time or async"),
        ({**SERVERLESS, "memory_mb": None}, "mode serverless needs memory_mb"),
        ({**SERVERLESS, "memory_mb": 1500}, "1024, 2048, 3072, 4096, 5120 or 6144"),
        ({**SERVERLESS, "max_concurrency": 201}, "less than or equal to 200"),
        ({**SERVERLESS, "capture_percent": 10}, "capture nothing; .*choose mode real-time or async"),
    ],
)
def test_what_cannot_work_is_refused_with_what_can(entry: Mapping[str, Any], said: str) -> None:
    assert re.search(said, refusal(entry)), refusal(entry)


def test_a_model_larger_than_its_node_is_refused_with_the_nodes_that_hold_it() -> None:
    said = refusal({**VLLM, "weights_gib": 100})
    assert "does not fit g6e.xlarge, which has room for 36 GiB" in said
    assert "choose g5.48xlarge, g6.48xlarge, g6e.12xlarge" in said
    assert "g6.12xlarge" not in said


def test_a_model_larger_than_every_node_is_refused_with_the_reason() -> None:
    said = refusal({**VLLM, "weights_gib": 700})
    assert "no accelerator holds it" in said
    assert "spread over several nodes is not supported" in said


@settings(deadline=None)
@given(st.sampled_from(sorted(ACCELERATORS)), st.floats(0.1, 800))
def test_weights_leave_a_fifth_of_the_gpus_memory(accelerator: str, gib: float) -> None:
    fits = gib <= ACCELERATORS[accelerator].gpu_memory_gib * WEIGHTS_SHARE
    entry = {**VLLM, "accelerator": accelerator, "weights_gib": gib}
    if fits:
        assert read(entry).weights_gib == gib
    else:
        assert "does not fit" in refusal(entry)


def test_a_model_described_for_all_backends_moves_by_one_word() -> None:
    everywhere = {
        "version": "v1",
        "reserved_concurrency": 5,
        "accelerator": "g6.xlarge",
        "mode": "real-time",
        "instance": "ml.g5.xlarge",
        "scale": {"min": 1, "max": 2},
    }
    moved = {name: read({**everywhere, "backend": name}) for name in ("lambda", "eks", "sagemaker")}
    assert moved["lambda"].reserved_concurrency == 5
    assert (moved["eks"].accelerator, moved["eks"].scale.max) == ("g6.xlarge", 2)
    assert (moved["sagemaker"].instance, moved["sagemaker"].scale.max) == ("ml.g5.xlarge", 2)


def test_vllm_implies_the_openai_route() -> None:
    assert read(VLLM).openai_route
    assert not read(ONNX).openai_route
    assert read({**ONNX, "openai": True}).openai_route
    assert read({**VLLM, "streaming": True}).openai_route


def test_a_replica_of_vllm_takes_the_whole_node_and_one_of_onnx_a_gpu() -> None:
    node = "g6.12xlarge"
    assert read({**VLLM, "accelerator": node}).replica() == {"gpus": 4, "cpu_m": 36_000, "memory_gib": 144}
    assert read({**ONNX, "accelerator": node}).replica() == {"gpus": 1, "cpu_m": 9_000, "memory_gib": 36}


# What pods may have of a node, from Karpenter's reference (v1.14): processor in thousandths, memory in MiB.
ALLOCATABLE = {
    "g6.xlarge": (3920, 14_162),
    "g6.12xlarge": (47_810, 178_933),
    "g6e.xlarge": (3920, 29_317),
    "g6e.48xlarge": (191_450, 1_449_132),
    "p4d.24xlarge": (95_690, 1_082_712),
    "p5.4xlarge": (15_890, 240_830),
    "p5.48xlarge": (191_450, 1_938_410),
}


@pytest.mark.parametrize("name", ALLOCATABLE)
def test_replicas_leave_room_for_the_pods_of_every_node(name: str) -> None:
    """The agents of a node (network, credentials, logs, metrics) take about 0.7 processors and 1.2 GiB."""
    node = ACCELERATORS[name]
    share = node.share(1)
    cpu_m, memory_mib = ALLOCATABLE[name]
    assert share.cpu_m * node.gpus <= cpu_m - 700
    assert share.memory_gib * 1024 * node.gpus <= memory_mib - 1200


@settings(deadline=None)
@given(
    st.dictionaries(
        st.from_regex(r"[a-z][a-z0-9]{1,8}", fullmatch=True),
        st.one_of(
            st.builds(
                lambda entry, accelerator, most: {
                    **entry,
                    "accelerator": accelerator,
                    "scale": {"max": most},
                },
                st.sampled_from([ONNX, VLLM]),
                st.sampled_from(["g6e.xlarge", "g6e.12xlarge", "p5.48xlarge"]),
                st.integers(1, 20),
            ),
            st.sampled_from([LAMBDA, SERVERLESS]),
        ),
    )
)
def test_karpenter_may_start_the_nodes_of_every_model_at_its_maximum_and_one_replica_more(
    entries: Mapping[str, Any],
) -> None:
    models = TypeAdapter(Catalogue).validate_python(dict(entries))
    capacity = gpu_capacity(models)
    on_cluster = [model for model in models.values() if isinstance(model, EksModel)]
    left, free = capacity.gpus, Counter[str]()
    for model in on_cluster:
        for _ in range(model.scale.max + 1):
            if free[model.accelerator] < model.gpus:
                # As Karpenter does it: a node that would take the pool beyond its limit is not started.
                left -= ACCELERATORS[model.accelerator].gpus
                free[model.accelerator] += ACCELERATORS[model.accelerator].gpus
            free[model.accelerator] -= model.gpus
    assert left == 0, "a node is missing, or one could start that nobody needs"
    assert set(capacity.instance_types) == {model.accelerator for model in on_cluster}
