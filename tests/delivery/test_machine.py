"""The real state machine against the embedded AWS: good versions go live, bad ones never do."""

import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from botocore.exceptions import ClientError
from onnx import TensorProto, helper

from environments.delivery import unmoved
from serving.oip import Signature
from serving.tensors import TensorSpec
from tests.delivery.conftest import MODEL, SETTINGS, Platform
from tests.serving.conftest import scale_model, serialize
from tests.waiting import until

pytestmark = pytest.mark.integration

# States that an execution can be stopped in: what was live stays, until the requests have moved.
KILLED_IN = ["Admit", "Try", "Prepare", "Attempt", "Shift", "Bake", "Watch", "Promote", "Settle", "Notify"]


@pytest.fixture(autouse=True)
def settings(platform: Platform) -> None:
    platform.start_over()


def slow_model() -> bytes:
    """Multiplies by 2 after many multiplications of matrices."""
    size, times = 700, 3
    zeros = helper.make_tensor(
        "zeros", TensorProto.FLOAT, [size, size], np.zeros(size * size, "<f4").tobytes(), raw=True
    )
    nodes = [
        # Of the input, so that nothing can be computed beforehand.
        helper.make_node("ReduceSum", ["x"], ["sum"], keepdims=0),
        helper.make_node("Mul", ["zeros", "sum"], ["m0"]),
        *(helper.make_node("MatMul", [f"m{i}", f"m{i}"], [f"m{i + 1}"]) for i in range(times)),
        helper.make_node("ReduceSum", [f"m{times}"], ["zero"], keepdims=0),
        helper.make_node("Mul", ["x", "factor"], ["scaled"]),
        helper.make_node("Add", ["scaled", "zero"], ["y"]),
    ]
    return serialize(
        helper.make_graph(
            nodes,
            "slow",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 2])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 2])],
            [zeros, helper.make_tensor("factor", TensorProto.FLOAT, [], [2.0])],
        )
    )


def test_a_published_version_goes_live_and_its_event_twice_is_as_once(platform: Platform) -> None:
    assert platform.target() == ("v1", {}, "v1", [])
    record = platform.outcome(platform.publish("v3", 4.0))
    assert (record["outcome"], record["previous"], record["who"]) == ("delivered", "v1", "tests"), record
    assert platform.live() == "v3"
    assert platform.target() == ("v3", {}, "v3", [])
    platform.outcome(platform.start("v1", "roll_back"))
    before = platform.ledger.history(MODEL)
    etag = platform.aws("s3").head_object(Bucket=platform.bucket, Key="models/scale/v3/manifest.json")["ETag"]
    event = {
        "source": "aws.s3",
        "detail": {"object": {"key": "models/scale/v3/manifest.json", "etag": etag.strip('"')}},
    }
    started = platform.aws("stepfunctions").start_execution(
        stateMachineArn=platform.machine, input=json.dumps(event)
    )["executionArn"]
    steps = platform.aws("stepfunctions")
    until(lambda: steps.describe_execution(executionArn=started)["status"] == "SUCCEEDED", "it ends")
    assert platform.states_of(started)[0] == "Ignored"
    assert (platform.ledger.history(MODEL), platform.live()) == (before, "v1")


@pytest.mark.parametrize(
    ("version", "changes", "reason"),
    [
        ("r-onnx", {"data": b"no onnx"}, "is no ONNX that can run here"),
        (
            "r-signature",
            {
                "signature": Signature.of(
                    [TensorSpec("x", "FP32", (-1, 2))], [TensorSpec("z", "FP32", (-1, 2))]
                ),
                "golden": (),
            },
            "must be an array of one element",
        ),
        ("r-lies", {"data": scale_model(2.0).replace(b"\x01y", b"\x01z")}, "has the outputs"),
        ("r-golden", {"expected": 5.0}, "golden request one: output 'y' is off by up to 9"),
        ("r-digest", {"sha256": "0" * 64}, "sha256"),
    ],
)
def test_what_is_wrong_is_refused_with_the_reason_and_changes_nothing(
    platform: Platform, version: str, changes: dict[str, Any], reason: str
) -> None:
    """As a publisher would who does not check: file and manifest are put as they are."""
    before = platform.target()
    folder = platform.folder_of(version, 2.0, **changes)
    for file in ("model.onnx", "manifest.json"):
        body = (folder / file).read_bytes()
        platform.aws("s3").put_object(Bucket=platform.bucket, Key=f"models/scale/{version}/{file}", Body=body)
    etag = platform.aws("s3").head_object(
        Bucket=platform.bucket, Key=f"models/scale/{version}/manifest.json"
    )["ETag"]
    record = platform.outcome(f"{version}-{etag.strip(chr(34))[:16]}")
    assert record["outcome"] == "refused"
    assert reason in record["reason"]
    assert platform.target() == before


def test_a_version_slower_than_its_objective_is_refused(platform: Platform) -> None:
    platform.parameter("delivery", {**SETTINGS, "p99_ms": 1})
    before = platform.target()
    record = platform.outcome(platform.publish("r-slow", 2.0, data=slow_model()))
    assert record["outcome"] == "refused"
    assert "the objective is 1 ms" in record["reason"]
    assert platform.target() == before


def test_a_missing_manifest_an_unknown_or_unmoved_model_and_a_pin_are_refused(platform: Platform) -> None:
    record = platform.outcome(platform.start("never-published"))
    assert "the manifest of scale never-published is not in the store" in record["reason"]
    record = platform.outcome(platform.start("v1", model="stranger"), model="stranger")
    assert record["reason"] == "no model stranger in the catalogue of this environment"
    told = unmoved(SimpleNamespace(engine="vllm", backend="eks"), embedded=False)
    platform.parameter("delivery", {"worker": "", "unmoved": told}, "llama")
    record = platform.outcome(platform.start("v2", model="llama"), model="llama")
    assert record["outcome"] == "refused"
    assert record["reason"].startswith("deliveries do not move llama: vLLM loads its weights when it starts;")
    assert "set the model's version in environments/models.yaml" in record["reason"]
    platform.parameter("pin", {"version": "v1", "who": "someone", "why": "audit"})
    record = platform.outcome(platform.start("v2"))
    assert record["reason"] == "scale is pinned to v1 by someone: audit; unpin it first"
    assert platform.live() == "v1"


def test_a_path_that_leads_elsewhere_starts_nothing(platform: Platform) -> None:
    steps = platform.aws("stepfunctions")

    def failed(arn: str) -> bool:
        return bool(steps.describe_execution(executionArn=arn)["status"] == "FAILED")

    for request in (
        {"source": "aws.s3", "detail": {"object": {"key": "models/../x/v1/manifest.json", "etag": "e"}}},
        {"model": "../scale", "version": "v2", "action": "promote"},
        {"model": "scale", "version": "v2", "action": "erase"},
    ):
        started = steps.start_execution(stateMachineArn=platform.machine, input=json.dumps(request))
        arn = started["executionArn"]
        until(partial(failed, arn), "it ends")
        assert platform.states_of(arn)[0] == "Refused"
    assert platform.live() == "v1"


@pytest.fixture
def ring(platform: Platform) -> Iterator[Callable[[], None]]:
    """Makes an alarm of the model ring."""
    cloudwatch = platform.aws("cloudwatch")
    cloudwatch.put_metric_alarm(
        AlarmName="scale-alarm",
        Namespace="Tests",
        MetricName="Errors",
        Statistic="Sum",
        Period=60,
        EvaluationPeriods=1,
        Threshold=0,
        ComparisonOperator="GreaterThanThreshold",
    )

    def now() -> None:
        cloudwatch.put_metric_data(Namespace="Tests", MetricData=[{"MetricName": "Errors", "Value": 5}])
        cloudwatch.set_alarm_state(AlarmName="scale-alarm", StateValue="ALARM", StateReason="errors")

    yield now
    cloudwatch.delete_alarms(AlarmNames=["scale-alarm"])


def test_a_canary_is_rolled_back_when_an_alarm_of_the_model_rings(
    platform: Platform, ring: Callable[[], None]
) -> None:
    platform.parameter("delivery", {**SETTINGS, "canary_s": 60})
    delivery = platform.start("v2")
    until(lambda: platform.target()[1] != {}, "the canary takes requests")
    assert list(platform.target()[1].values()) == [0.1]
    ring()
    record = platform.outcome(delivery)
    assert (record["outcome"], record["reason"]) == ("refused", "canary: in alarm: scale-alarm")
    assert platform.target() == ("v1", {}, "v1", [])


def test_an_alarm_that_rang_before_does_not_condemn_a_canary(
    platform: Platform, ring: Callable[[], None]
) -> None:
    ring()
    record = platform.outcome(platform.start("v2"))
    assert record["outcome"] == "delivered", record
    [alarm] = platform.aws("cloudwatch").describe_alarms(AlarmNames=["scale-alarm"])["MetricAlarms"]
    assert alarm["StateValue"] == "ALARM"


def test_a_canary_whose_requests_fail_is_rolled_back(platform: Platform) -> None:
    platform.parameter("delivery", {**SETTINGS, "canary_s": 60})
    delivery = platform.publish("r-faulty", 3.0)
    until(lambda: platform.target()[1] != {}, "the canary takes requests")
    dimensions = [{"Name": "model", "Value": MODEL}, {"Name": "version", "Value": "r-faulty"}]
    platform.aws("cloudwatch").put_metric_data(
        Namespace="InferencePlatform",
        MetricData=[
            {"MetricName": name, "Dimensions": dimensions, "Value": value}
            for name, value in (("duration_ms", 5.0), ("faults", 1.0))
        ],
    )
    record = platform.outcome(delivery)
    assert record["reason"] == "canary: 1 of its 1 requests ended with a 5xx; 10.00% may"
    assert platform.target() == ("v1", {}, "v1", [])


def test_two_at_once_and_one_again_queue_and_the_last_one_serves(platform: Platform) -> None:
    deliveries = [platform.start(version) for version in ("v2", "v1", "v2", "v2")]
    records = [platform.outcome(delivery) for delivery in deliveries]
    history = [record["id"] for record in platform.ledger.history(MODEL)]
    assert sorted(history[: len(deliveries)]) == sorted(deliveries)
    assert {record["outcome"] for record in records} <= {"delivered", "unchanged"}
    served = next(record for record in platform.ledger.history(MODEL))["version"]
    assert platform.live() == served
    assert platform.target() == (served, {}, served, [])
    # An execution gives up its turn before its last states.
    until(lambda: platform.executions() == [], "every execution has ended")


@pytest.mark.parametrize("state", KILLED_IN)
def test_stopped_in_any_step_it_leaves_one_version_and_no_trace(platform: Platform, state: str) -> None:
    before = platform.target()[0]
    wanted = "v1" if before == "v2" else "v2"
    delivery = platform.start(wanted)
    arn = f"{platform.machine.replace(':stateMachine:', ':execution:')}:{delivery}"
    until(lambda: state in platform.states_of(arn), f"it comes to {state}")
    with suppress(ClientError):  # on a slow machine it may have ended meanwhile
        platform.aws("stepfunctions").stop_execution(executionArn=arn)
    record = platform.outcome(delivery)
    assert record["outcome"] in ("aborted", "delivered"), record
    served, weights, configured, newer = platform.target()
    assert (weights, configured, newer) == ({}, served, [])
    assert served == (wanted if record["outcome"] == "delivered" else before)
    assert platform.live() == served
