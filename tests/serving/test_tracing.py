"""Subsegments as X-Ray's daemon gets them."""

import json
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest

from serving import tracing

TRACE = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1"


class Daemon:
    """What X-Ray's daemon would have received."""

    def __init__(self) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.settimeout(5)
        self.address = f"127.0.0.1:{self.socket.getsockname()[1]}"

    def received(self) -> Any:
        header, _, document = self.socket.recv(65536).partition(b"\n")
        assert json.loads(header) == {"format": "json", "version": 1}
        return json.loads(document)

    def nothing(self) -> bool:
        self.socket.setblocking(False)
        try:
            self.socket.recv(1)
        except BlockingIOError:
            return True
        return False


@pytest.fixture
def daemon(monkeypatch: pytest.MonkeyPatch) -> Iterator[Daemon]:
    made = Daemon()
    monkeypatch.setenv("AWS_XRAY_DAEMON_ADDRESS", made.address)
    monkeypatch.setenv("_X_AMZN_TRACE_ID", TRACE)
    yield made
    made.socket.close()


def test_a_subsegment_belongs_to_the_invocations_trace(daemon: Daemon) -> None:
    started = time.time() - 0.5
    tracing.subsegment("inference", started, 200, model="digits", tenant=None, rows=5)
    sent = daemon.received()
    assert (sent["trace_id"], sent["parent_id"]) == (
        "1-5759e988-bd862e3fe1be46a994272793",
        "53995c3f42cd8ad8",
    )
    assert (sent["name"], sent["type"], len(sent["id"])) == ("inference", "subsegment", 16)
    assert (sent["start_time"], sent["error"], sent["fault"]) == (started, False, False)
    assert sent["end_time"] - started >= 0.5
    assert sent["annotations"] == {"status": 200, "model": "digits", "rows": 5}
    assert tracing.trace_id() == sent["trace_id"]


@pytest.mark.parametrize(("status", "error", "fault"), [(404, True, False), (503, False, True)])
def test_failures_are_told_as_errors_and_faults(
    daemon: Daemon, status: int, error: bool, fault: bool
) -> None:
    tracing.subsegment("inference", time.time(), status)
    sent = daemon.received()
    assert (sent["error"], sent["fault"]) == (error, fault)


@pytest.mark.parametrize("trace", ["", TRACE.replace("Sampled=1", "Sampled=0"), "Root=1-a", "nonsense;;="])
def test_what_is_not_sampled_is_not_sent(daemon: Daemon, monkeypatch: pytest.MonkeyPatch, trace: str) -> None:
    monkeypatch.setenv("_X_AMZN_TRACE_ID", trace)
    tracing.subsegment("inference", time.time(), 200)
    assert daemon.nothing()


@pytest.mark.parametrize("address", ["", "nowhere", "127.0.0.1:9", "127.0.0.1:http"])
def test_a_daemon_that_is_away_changes_nothing(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.setenv("AWS_XRAY_DAEMON_ADDRESS", address)
    for _ in range(3):
        tracing.subsegment("inference", time.time(), 200)
