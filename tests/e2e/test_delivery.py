"""Versions come and go under requests in flight: no client sees more of it than a canary's share."""

import hashlib
import json
import re
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from inferctl.client import Client
from inferctl.deliveries import Deliveries
from serving.manifest import FILE_NAME, Manifest
from serving.recipes import digits
from tests.asking import Asking
from tests.e2e.listener import listening
from tests.examples import test_model_repository as model_repository

IMAGE = {"name": "image", "datatype": "FP32", "shape": [1, 64], "data": [0.0] * 64}
REQUESTS = 1000
FAILED = re.compile(r"ended with a 5xx|in alarm: \S+-burn-fast-short")
"""Why a version that fails is refused: by its canary's own answers, or by the alarm that they ring."""


class Clients(Asking):
    """Ask the model without a pause until they are stopped; what they were answered, in order."""

    def __init__(self, client: Client, model: str = "digits") -> None:
        self._url, self._headers = f"{client.url}/v2/models/{model}/infer", client.headers("acme")
        super().__init__(self._ask, self._ask)

    def _ask(self) -> None:
        with httpx.Client(headers=self._headers, timeout=60) as http:
            while not self._stop.wait(0.02):
                answer = http.post(self._url, json={"inputs": [IMAGE]})
                version = answer.json().get("model_version", "") if answer.is_success else ""
                self.answers.append((answer.status_code, version))

    def during(self, act: Callable[[], Any]) -> tuple[Any, list[tuple[int, str]]]:
        """What `act` returns, and the answers that came meanwhile."""
        before = len(self.answers)
        returned = act()
        return returned, self.answers[before:]


def version(folder: Path, name: str, **changes: Any) -> Path:
    """The digits model as another version, with changes of its manifest."""
    manifest = digits.build(folder, name)
    (folder / FILE_NAME).write_bytes(replace(manifest, **changes).encode())
    return folder


def lying(folder: Path, name: str) -> Path:
    """A version whose golden requests expect other labels."""
    manifest = digits.build(folder, name)
    first = manifest.golden[0]
    label, *others = first.outputs
    wrong = replace(first, outputs=({**label, "data": [9]}, *others))
    return version(folder, name, golden=(wrong, *manifest.golden[1:]))


def failing(folder: Path, name: str) -> Path:
    """A version that answers every golden request rightly, and on an empty image wants more memory than any
    machine has: no fault of the request, so a 5xx."""
    manifest = digits.build(folder, name)
    model = onnx.load(folder / manifest.file)
    graph = model.graph
    for node in graph.node:
        node.input[:] = ["checked" if given == "image" else given for given in node.input]
    shapes = {"whole": np.array([1, 1]), "broken": np.array([2**44, 1])}
    graph.initializer.extend(
        numpy_helper.from_array(value.astype(np.int64), key) for key, value in shapes.items()
    )
    graph.initializer.append(numpy_helper.from_array(np.zeros((), np.float32), "nothing"))
    nodes = [
        helper.make_node("ReduceSum", ["image"], ["ink"], keepdims=0),
        helper.make_node("Greater", ["ink", "nothing"], ["drawn"]),
        helper.make_node("Where", ["drawn", "whole", "broken"], ["shape"]),
        helper.make_node("Expand", ["image", "shape"], ["checked"]),
    ]
    kept = list(graph.node)
    del graph.node[:]
    graph.node.extend([*nodes, *kept])
    assert graph.input[0].type.tensor_type.elem_type == TensorProto.FLOAT
    data = model.SerializeToString()
    (folder / manifest.file).write_bytes(data)
    changed: Manifest = replace(manifest, sha256=hashlib.sha256(data).hexdigest(), size=len(data))
    (folder / FILE_NAME).write_bytes(changed.encode())
    return folder


def test_requests_in_flight_see_nothing_but_good_versions(
    client: Client, inferctl: Any, tmp_path: Path, back_to_v1: None
) -> None:
    def publish(name: str, make: Callable[[Path, str], Path], check: bool = True) -> Any:
        folder = make(tmp_path / name, name)
        return inferctl("models", "publish", "digits", name, str(folder), "--why", name, check=check)

    with Clients(client) as clients:
        _, answers = clients.during(lambda: publish("v2", version))
        assert {status for status, _ in answers} == {200}
        assert {served for _, served in answers} == {"v1", "v2"}

        refused, answers = clients.during(lambda: publish("v3", lying, check=False))
        assert refused.returncode == 1
        assert "golden request digit-0: output 'label' differs" in refused.stderr
        assert Counter(answers).keys() == {(200, "v2")}

        refused, answers = clients.during(lambda: publish("v4", failing, check=False))
        assert FAILED.search(refused.stderr), refused.stderr
        failed = sum(status != 200 for status, _ in answers)
        assert {entry for entry in answers if entry[0] == 200} == {(200, "v2")}
        assert 0 < failed < 0.25 * len(answers)

        _, answers = clients.during(
            lambda: (
                inferctl("models", "promote", "digits", "v1", "--why", "compare"),
                inferctl("models", "rollback", "digits", "--why", "v2 was better"),
            )
        )
        assert {status for status, _ in answers} == {200}
        while len(clients.answers) < REQUESTS:
            time.sleep(0.1)
        _, answers = clients.during(lambda: time.sleep(0.5))
        assert set(answers) == {(200, "v2")}

    listed = inferctl("models", "history", "digits", "--json").stdout
    records = json.loads(listed)[:5]
    assert [(r["version"], r["outcome"]) for r in records] == [
        ("v2", "delivered"),
        ("v1", "delivered"),
        ("v4", "refused"),
        ("v3", "refused"),
        ("v2", "delivered"),
    ]
    assert all(record["who"] and record["why"] for record in records)


def test_the_example_of_a_models_repository_brings_a_version_live(
    client: Client, local_dir: Path, tmp_path: Path, back_to_v1: None
) -> None:
    commands = model_repository.steps()
    here = {"ENV": "local", "GITHUB_SHA": "0123abc", "INFERENCE_LOCAL_DIR": str(local_dir)}
    for name in ("train", "evaluate", "publish"):
        done = model_repository.run(commands[name], tmp_path, **here)
        assert done.returncode == 0, done.stdout + done.stderr
    deliveries = Deliveries(client)
    assert deliveries.live("digits") == "v7"
    assert deliveries.ledger.history("digits")[0]["why"] == "commit 0123abc"


def on_cluster(make: Callable[[Path, str], Path], folder: Path, name: str) -> Path:
    """A version of the model that the cluster serves."""
    made = make(folder, name)
    manifest = replace(Manifest.parse((made / FILE_NAME).read_bytes()), name="digits-gpu")
    (made / FILE_NAME).write_bytes(manifest.encode())
    return made


def test_replicas_on_the_cluster_go_over_between_two_requests(
    client: Client, inferctl: Any, tmp_path: Path
) -> None:
    def publish(name: str, make: Callable[[Path, str], Path], check: bool = True) -> Any:
        folder = on_cluster(make, tmp_path / name, name)
        return inferctl("models", "publish", "digits-gpu", name, str(folder), "--why", name, check=check)

    with Clients(client, "digits-gpu") as clients:
        _, answers = clients.during(lambda: publish("v2", version))
        assert {status for status, _ in answers} == {200}
        assert {served for _, served in answers} == {"v1", "v2"}

        refused, answers = clients.during(lambda: publish("v3", lying, check=False))
        assert "golden request digit-0: output 'label' differs" in refused.stderr
        assert Counter(answers).keys() == {(200, "v2")}

        refused, answers = clients.during(lambda: publish("v4", failing, check=False))
        assert FAILED.search(refused.stderr), refused.stderr
        assert {entry for entry in answers if entry[0] == 200} == {(200, "v2")}
        assert 0 < sum(status != 200 for status, _ in answers) < 0.25 * len(answers)

        _, answers = clients.during(
            lambda: inferctl("models", "rollback", "digits-gpu", "--to", "v1", "--why", "end of the test")
        )
        assert {status for status, _ in answers} == {200}
        _, answers = clients.during(lambda: time.sleep(0.5))
        assert set(answers) == {(200, "v1")}


def test_people_are_told_how_a_delivery_ended(client: Client) -> None:
    with listening(client) as queue:
        deliveries = Deliveries(client)
        deliveries.follow("digits", deliveries.start("digits", "stranger", "promote", "a try"))
        told = client.aws("sqs").receive_message(QueueUrl=queue, WaitTimeSeconds=20)["Messages"]
    message = json.loads(json.loads(told[0]["Body"])["Message"])
    assert "Delivery of digits stranger: refused." in message
    assert f"Asked by {deliveries.who()} (promote): a try." in message
    assert "Reason: the manifest of digits stranger is not in the store" in message


def test_operators_see_compare_and_pin_versions(client: Client, inferctl: Any, back_to_v1: None) -> None:
    assert "v1" in inferctl("models", "list").stdout
    assert "digits" in inferctl("models", "list").stdout
    inferctl("models", "pin", "digits", "--why", "audit")
    try:
        held = inferctl("models", "promote", "digits", "v3", "--why", "try", check=False)
        assert held.returncode == 1
        assert "pinned to v1" in held.stderr
    finally:
        inferctl("models", "unpin", "digits")
    assert "same file, signature and metrics" in inferctl("models", "diff", "digits", "v1", "v2").stdout
    unknown = inferctl("models", "history", "stranger", check=False)
    assert unknown.returncode == 1
    assert "choose one of: digits" in unknown.stderr
