"""Containers as local processes: started once, adopted, started anew when they must be, ended for good."""

import os
import signal
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from local_aws import ports
from local_aws.emulator_process import EmulatorError
from local_aws.workloads import Workload, Workloads, answers

SERVER = "import http.server as h, os; h.HTTPServer(('127.0.0.1', int(os.environ['PORT'])), type('H', \
(h.BaseHTTPRequestHandler,), {'do_GET': lambda s: (s.send_response(200), s.end_headers())})).serve_forever()"


def quiet(line: str) -> None:
    """Nobody listens."""


@pytest.fixture
def workload(tmp_path: Path) -> Workload:
    port = ports.port_of(tmp_path / "aws", "endpoint/a")
    return Workload(
        name="a",
        command=[sys.executable, "-c", SERVER],
        environment={"PORT": str(port)},
        port=port,
        ready_path="/ping",
    )


@pytest.fixture
def workloads(tmp_path: Path) -> Iterator[Workloads]:
    made = Workloads(tmp_path / "servers", tmp_path)
    yield made
    made.stop(quiet)


def test_a_port_stays_a_backends_own(tmp_path: Path) -> None:
    first, second = ports.port_of(tmp_path, "endpoint/a"), ports.port_of(tmp_path, "endpoint/b")
    assert first != second
    assert ports.port_of(tmp_path, "endpoint/a") == first


def test_what_runs_is_adopted_by_another_command(
    workloads: Workloads, workload: Workload, tmp_path: Path
) -> None:
    assert workloads.apply([workload], quiet) == {"a": "started"}
    pid = workloads.running("a")
    assert answers(workload.port, "/ping")
    later = Workloads(tmp_path / "servers", tmp_path)
    assert later.apply([workload], quiet) == {"a": "runs"}
    assert later.running("a") == pid


def test_a_killed_one_is_started_anew(workloads: Workloads, workload: Workload) -> None:
    workloads.apply([workload], quiet)
    pid = workloads.running("a")
    assert pid
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    assert workloads.running("a") is None
    assert workloads.apply([workload], quiet) == {"a": "started"}
    assert workloads.running("a") not in (None, pid)


def test_another_revision_is_another_process(workloads: Workloads, workload: Workload) -> None:
    workloads.apply([workload], quiet)
    pid = workloads.running("a")
    assert workloads.apply([replace(workload, revision="v2")], quiet) == {"a": "started"}
    assert workloads.running("a") not in (None, pid)


def test_what_is_no_longer_wanted_ends(workloads: Workloads, workload: Workload) -> None:
    workloads.apply([workload], quiet)
    assert workloads.apply([], quiet) == {}
    assert workloads.running("a") is None
    assert not answers(workload.port, "/ping")
    assert list(workloads.names()) == []


def test_nothing_of_the_users_environment_is_inherited(
    workloads: Workloads, workload: Workload, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("A_SECRET_OF_THE_USER", "hunter2")
    workloads.apply([workload], quiet)
    environment = Path(f"/proc/{workloads.running('a')}/environ")
    if environment.exists():
        assert b"hunter2" not in environment.read_bytes()


def test_one_that_ends_says_why(workloads: Workloads, workload: Workload) -> None:
    broken = replace(workload, command=[sys.executable, "-c", "raise SystemExit('no model here')"])
    with pytest.raises(EmulatorError, match="no model here"):
        workloads.apply([broken], quiet)
    assert workloads.running("a") is None


def test_a_port_that_somebody_else_took_is_named(workloads: Workloads, workload: Workload) -> None:
    other = Workloads(workloads._folder / "other", workloads._folder)
    try:
        (workloads._folder / "other").mkdir(parents=True)
        other.apply([workload], quiet)
        with pytest.raises(EmulatorError, match=str(workload.port)):
            workloads.apply([workload], quiet)
    finally:
        other.stop(quiet)
