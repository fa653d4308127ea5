"""Deliveries to replicas on the cluster: the real machine, and real model servers in the place of pods."""

import json
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from botocore.exceptions import ClientError
from onnx import TensorProto, helper, numpy_helper

from serving.rollout import Rollouts
from tests.asking import Asking
from tests.delivery.conftest import SETTINGS, TABLE, Platform
from tests.delivery.test_machine import KILLED_IN
from tests.serving.conftest import serialize
from tests.serving.http_server import Server
from tests.waiting import until

pytestmark = pytest.mark.integration

MODEL = "clustered"
INFER = f"/v2/models/{MODEL}/infer"
BODY = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 2], "data": [0.0, 0.0]}]}


class Replicas(Asking):
    """Two model servers, asked by turns without a pause; what they answered: status and version."""

    def __init__(self, servers: list[Server]) -> None:
        self.servers = servers
        super().__init__(*(partial(self._ask, server) for server in servers))

    def _ask(self, server: Server) -> None:
        while not self._stop.wait(0.01):
            answer = server.http.post(INFER, json=BODY)
            self.answers.append((answer.status_code, answer.json().get("model_version", "")))


def replica(platform: Platform, folder: Path, name: str) -> Server:
    """A model server, as a pod of that name starts it."""
    return Server(
        folder / "log",
        **platform.environment,
        MODEL_NAME=MODEL,
        MODEL_VERSION="v1",
        MODEL_BUCKET=platform.bucket,
        MODEL_CACHE_DIR=str(folder / "models"),
        DELIVERY_TABLE=TABLE,
        REPLICA_NAME=name,
    )


def settings(platform: Platform, **changes: Any) -> dict[str, Any]:
    """What deliveries know of the model."""
    queue_url = platform.aws("sqs").create_queue(QueueName="job-clustered")["QueueUrl"]
    return {
        **SETTINGS,
        "backend": "eks",
        "worker": "delivery-eks",
        "target": {"queue_url": queue_url},
        "alarms": [],
        "canary_s": 6,
        **changes,
    }


@pytest.fixture(scope="module")
def servers(platform: Platform, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Server]]:
    """Started before the model has any version; its first delivery makes them ready."""
    known = settings(platform)
    for name, value in (("delivery", known), ("live", "none"), ("pin", "none")):
        platform.parameter(name, value, MODEL)
    names = ("replica-0", "replica-1")
    made = [replica(platform, tmp_path_factory.mktemp(name), name) for name in names]
    try:
        for server in made:
            server.wait("/v2/health/live")
        record = platform.outcome(platform.publish("v1", 2.0, name=MODEL), MODEL)
        assert record["outcome"] == "delivered", record
        queue = known["target"]["queue_url"]
        [woken] = platform.aws("sqs").receive_message(QueueUrl=queue)["Messages"]
        assert json.loads(woken["Body"]) == {"wake": True}
        for server in made:
            server.wait()
        assert platform.outcome(platform.publish("v2", 3.0, name=MODEL), MODEL)["outcome"] == "delivered"
        assert platform.outcome(platform.start("v1", "roll_back", MODEL), MODEL)["outcome"] == "delivered"
        yield made
    finally:
        for server in made:
            server.end()


@pytest.fixture
def rollouts(platform: Platform) -> Rollouts:
    return Rollouts(platform.aws("dynamodb"), TABLE)


@pytest.fixture(autouse=True)
def back_to_v1(platform: Platform, servers: list[Server]) -> None:
    if platform.live(MODEL) != "v1":
        platform.outcome(platform.start("v1", "roll_back", MODEL), MODEL)


def served(servers: list[Server]) -> set[str]:
    """The versions that answer now."""
    return {server.http.get("/v2").json()["version"] for server in servers}


def test_a_version_goes_live_on_every_replica_and_no_request_fails(
    platform: Platform, servers: list[Server], rollouts: Rollouts
) -> None:
    with Replicas(servers) as asked:
        record = platform.outcome(platform.publish("v3", 4.0, name=MODEL), MODEL)
        moved = len(asked.answers)
        time.sleep(0.5)
    assert (record["outcome"], record["previous"]) == ("delivered", "v1"), record
    assert Counter(asked.answers).keys() == {(200, "v1"), (200, "v3")}
    assert set(asked.answers[moved:]) == {(200, "v3")}
    wanted = rollouts.wanted(MODEL)
    assert wanted
    assert (wanted.version, wanted.candidate, wanted.share) == ("v3", "", 0.0)
    assert served(servers) == {"v3"}


def test_what_is_not_right_is_refused_and_no_client_sees_it(
    platform: Platform, servers: list[Server]
) -> None:
    with Replicas(servers) as asked:
        record = platform.outcome(platform.publish("r-golden", 2.0, 5.0, name=MODEL), MODEL)
    assert record["outcome"] == "refused"
    assert "golden request one: output 'y' is off by up to 9" in record["reason"]
    assert set(asked.answers) == {(200, "v1")}


def test_a_canary_that_errors_is_rolled_back(platform: Platform, servers: list[Server]) -> None:
    with Replicas(servers) as asked:
        record = platform.outcome(platform.publish("r-faulty", 2.0, name=MODEL, data=faulty()), MODEL)
        gone = len(asked.answers)
        time.sleep(0.5)
        after = asked.answers[gone:]
    assert record["outcome"] == "refused", record
    assert "requests ended with a 5xx; 10.00% may" in record["reason"]
    failed = sum(status != 200 for status, _ in asked.answers)
    assert 0 < failed < 0.25 * len(asked.answers)
    assert set(after) == {(200, "v1")}
    assert served(servers) == {"v1"}


def test_a_canary_that_ends_its_server_is_refused(
    platform: Platform, servers: list[Server], rollouts: Rollouts, tmp_path: Path
) -> None:
    platform.parameter("delivery", settings(platform, canary_s=600), MODEL)
    breaking = replica(platform, tmp_path, "breaking")
    try:
        breaking.wait()
        delivery = platform.publish("r-deadly", 2.0, name=MODEL)
        until(lambda: any(r.share for r in rollouts.reports(MODEL) if r.replica == "breaking"), "it is asked")
        breaking.end()
        breaking = replica(platform, tmp_path, "breaking")  # as the cluster starts its container anew
        breaking.wait()
        record = platform.outcome(delivery, MODEL)
    finally:
        breaking.end()
        platform.parameter("delivery", settings(platform), MODEL)
    assert record["outcome"] == "refused", record
    assert record["reason"].endswith("on replica breaking: the server that had loaded it ended")
    assert served(servers) == {"v1"}


@pytest.mark.parametrize("state", KILLED_IN)
def test_stopped_in_any_step_it_leaves_one_version_and_no_trace(
    platform: Platform, servers: list[Server], rollouts: Rollouts, state: str
) -> None:
    delivery = platform.start("v2", model=MODEL)
    arn = f"{platform.machine.replace(':stateMachine:', ':execution:')}:{delivery}"
    until(lambda: state in platform.states_of(arn), f"it comes to {state}")
    with suppress(ClientError):  # on a slow machine it may have ended meanwhile
        platform.aws("stepfunctions").stop_execution(executionArn=arn)
    record = platform.outcome(delivery, MODEL)
    assert record["outcome"] in ("aborted", "delivered"), record
    live = platform.live(MODEL)
    assert live == ("v2" if record["outcome"] == "delivered" else "v1")
    wanted = rollouts.wanted(MODEL)
    assert wanted
    assert (wanted.version, wanted.candidate) == (live, "")
    until(lambda: served(servers) == {live}, f"every replica serves {live}")


def test_a_replica_that_starts_later_serves_what_is_live(
    platform: Platform, servers: list[Server], tmp_path: Path
) -> None:
    assert platform.outcome(platform.start("v2", model=MODEL), MODEL)["outcome"] == "delivered"
    late = replica(platform, tmp_path, "late")
    try:
        late.wait()
        assert late.http.post(INFER, json=BODY).json()["model_version"] == "v2"
    finally:
        late.end()


def faulty() -> bytes:
    """Answers the golden request as it should, and on zeros wants more memory than any machine has: a 5xx."""
    shapes = {"whole": np.array([1, 1]), "broken": np.array([2**44, 1])}
    constants = [numpy_helper.from_array(value.astype(np.int64), key) for key, value in shapes.items()]
    constants += [
        numpy_helper.from_array(np.zeros((), np.float32), "nothing"),
        numpy_helper.from_array(np.array(2.0, np.float32), "factor"),
    ]
    nodes = [
        helper.make_node("ReduceSum", ["x"], ["sum"], keepdims=0),
        helper.make_node("Greater", ["sum", "nothing"], ["given"]),
        helper.make_node("Where", ["given", "whole", "broken"], ["shape"]),
        helper.make_node("Expand", ["x", "shape"], ["checked"]),
        helper.make_node("Mul", ["checked", "factor"], ["y"]),
    ]
    ends: list[Any] = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 2]) for name in ("x", "y")
    ]
    return serialize(helper.make_graph(nodes, "faulty", ends[:1], ends[1:], constants))
