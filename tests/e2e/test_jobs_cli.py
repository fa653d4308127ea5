"""`inferctl jobs` on the running platform: piped for scripts, and with live progress in a terminal."""

import json
import os
import re
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pexpect
import pytest

from inferctl.client import Client
from inferctl.errors import Exit
from inferctl.jobs import platform_of

BINARY = str(Path(__file__).resolve().parents[2] / "bin/inferctl")
ID = re.compile(r"[0-9a-f]{32}")
ROWS = 40


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    images = np.random.default_rng(11).integers(0, 17, (ROWS, 64)).tolist()
    images[5] = [1]
    path = tmp_path_factory.mktemp("jobs") / "meine Zahlen ü.jsonl"
    path.write_text("".join(json.dumps({"image": image}) + "\n" for image in images), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def submitted(client: Client, inferctl: Any, file: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Id of a job that came to its end, piped."""
    output = tmp_path_factory.mktemp("result") / "result.jsonl"
    done = inferctl("jobs", "submit", "digits", "acme", str(file), "--output", str(output))
    first, *others = done.stdout.splitlines()
    assert ID.fullmatch(first)
    assert any(line.startswith("output: output/jsonl/model=digits/tenant=acme/") for line in others)
    assert f"succeeded: {ROWS} rows, 1 failed" in done.stderr
    assert "\x1b" not in done.stdout + done.stderr
    results = [json.loads(line) for line in output.read_text(encoding="utf-8").splitlines()]
    assert [result["row"] for result in results] == list(range(ROWS))
    assert [result["row"] for result in results if "error" in result] == [5]
    return str(first)


def test_status_is_the_job_as_json_and_only_for_its_owner(submitted: str, inferctl: Any) -> None:
    for more in ((), ("--wait",)):
        job = json.loads(inferctl("jobs", "status", "acme", submitted, *more).stdout)
        assert (job["id"], job["state"]) == (submitted, "succeeded")
        assert job["rows"] == {"all": ROWS, "done": ROWS, "failed": 1}
    refused = inferctl("jobs", "status", "acme", "0" * 32, check=False)
    assert refused.returncode == Exit.FAILED
    assert "404: no such job" in refused.stderr
    assert refused.stdout == ""


def test_list_has_the_job_with_its_counts(submitted: str, inferctl: Any) -> None:
    lines = inferctl("jobs", "list", "acme").stdout
    assert submitted in lines
    assert f"{ROWS}/{ROWS}" in lines


def test_a_job_that_ended_cannot_be_cancelled_and_one_that_waits_can(
    client: Client, submitted: str, inferctl: Any
) -> None:
    late = inferctl("jobs", "cancel", "acme", submitted, check=False)
    assert late.returncode == Exit.FAILED
    assert "409: the job has ended: succeeded" in late.stderr
    id = _waiting(client)
    assert inferctl("jobs", "cancel", "acme", id).stdout.split() == [id, "cancelled"]


def _waiting(client: Client) -> str:
    """A job whose file was not uploaded yet."""
    answer = httpx.post(
        f"{client.url}/v2/models/digits/jobs",
        json={"upload": "never.jsonl"},
        headers=client.headers("acme"),
        timeout=60,
    )
    return str(answer.json()["id"])


def test_a_dead_part_is_tried_again_and_an_unreadable_file_stays(client: Client, inferctl: Any) -> None:
    platform = platform_of(client)
    url = platform.routes["digits"].dead_letters_url
    platform.sqs.send_message(QueueUrl=url, MessageBody=json.dumps({"key": "x", "reason": "unreadable"}))
    said = inferctl("jobs", "redrive", "digits").stderr
    assert re.search(r"0 parts are tried again, [1-9]\d* letters stay", said)
    unknown = inferctl("jobs", "redrive", "nosuch", check=False)
    assert unknown.returncode == Exit.FAILED
    assert "choose one of: digits" in unknown.stderr


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("digits", "acme", "none.jsonl"), "there is no file none.jsonl"),
        (("nosuch", "acme", "FILE"), "404"),
        (("digits", "nobody", "FILE"), "there is no tenant 'nobody'"),
    ],
)
def test_a_job_that_cannot_be_submitted_is_told_why(
    submitted: str, inferctl: Any, file: Path, args: tuple[str, ...], said: str
) -> None:
    given = [str(file) if each == "FILE" else each for each in args]
    done = inferctl("jobs", "submit", *given, check=False)
    assert done.returncode == Exit.FAILED
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_terminal_gets_live_progress(client: Client, inferctl: Any, local_dir: Path) -> None:
    id = _waiting(client)  # stays as it is until it is cancelled, so that there is something to watch
    environ = {**os.environ, "INFERENCE_LOCAL_DIR": str(local_dir), "COLUMNS": "120"}
    args = ["jobs", "status", "acme", id, "--wait"]
    child = pexpect.spawn(BINARY, args, env=environ, encoding="utf-8", timeout=120, dimensions=(24, 120))
    child.expect(r"\r\x1b\[Kjob \d+ s: ")  # the live line, which the last one replaces
    inferctl("jobs", "cancel", "acme", id)
    child.expect_exact("cancelled: 0 rows, 0 failed")
    child.expect(f'"id": "{id}"')
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == Exit.DONE


def test_usage_has_the_job_with_its_cost(submitted: str, inferctl: Any) -> None:
    lines = json.loads(inferctl("usage", "--tenant", "acme", "--json").stdout)["usage"]
    (jobs,) = (each for each in lines if (each["model"], each["how"]) == ("digits", "jobs"))
    assert jobs["rows"] >= ROWS
    assert jobs["usd"] > 0
    assert "cost" in inferctl("usage", "--tenant", "acme").stdout
