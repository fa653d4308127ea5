"""Jobs on the running platform: everything twice, workers killed at random, and every row there once."""

import json
import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest

from inferctl.client import Client
from inferctl.jobs import platform_of, redriven
from serving.jobs import FINAL, Job
from serving.jobs_flow import Platform, send_parts

FILES, ROWS, POISONED, KILLS = 200, 50, 50, 20
UNREADABLE = {"utf16.jsonl": '{"image": [1]}\n'.encode("utf-16"), "truncated.parquet": b"PAR1..."}
PATIENCE_S = 200


@pytest.fixture(scope="module")
def headers(client: Client) -> dict[str, str]:
    return client.headers("acme")


@pytest.fixture(scope="module")
def platform(client: Client) -> Platform:
    return platform_of(client)


def workers_of(folder: Path) -> list[int]:
    """Processes of the workers' function, known by their environment."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            environment = (process / "environ").read_bytes().split(b"\0")
            mine = any(str(folder).encode() in value for value in environment)
            if mine and b"AWS_LAMBDA_FUNCTION_NAME=inference-platform-local-jobs-worker" in environment:
                found.append(int(process.name))
    return found


@contextmanager
def killer(folder: Path, kills: int) -> Iterator[list[int]]:
    """Kills workers at random moments, until it has killed so many or is told to stop."""
    killed: list[int] = []
    stop = threading.Event()
    chance = random.Random(7)

    def run() -> None:
        while len(killed) < kills and not stop.wait(chance.uniform(0.3, 1.5)):
            if workers := workers_of(folder):
                victim = chance.choice(workers)
                with suppress(ProcessLookupError):
                    os.kill(victim, signal.SIGKILL)
                    killed.append(victim)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield killed
    finally:
        stop.set()
        thread.join()


def content(file: int, poisoned: frozenset[int]) -> bytes:
    values = np.random.default_rng(file).integers(0, 17, (ROWS, 64))
    return b"".join(
        json.dumps({"id": f"{file}-{row}", "image": [1] if row in poisoned else image.tolist()}).encode()
        + b"\n"
        for row, image in enumerate(values)
    )


def ended(platform: Platform, tenant: str, known: set[str], count: int) -> list[Job]:
    """The jobs that are new, once so many have come to their end."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        jobs = [job for job in platform.table.of_tenant(tenant) if job.id not in known]
        if len(jobs) == count and all(job.state in FINAL for job in jobs):
            return jobs
        time.sleep(0.5)
    states = Counter(job.state for job in jobs)
    pytest.fail(f"after {PATIENCE_S} s there are {len(jobs)} of {count} jobs: {states}")


def waiting(platform: Platform, url: str) -> int:
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    found = platform.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
    return sum(int(found[name]) for name in names)


def test_every_row_once_although_workers_die_and_messages_come_twice(
    platform: Platform, local_dir: Path
) -> None:
    chance = random.Random(3)
    spots = chance.sample(range(FILES * ROWS), POISONED)
    inputs = {
        f"night run/{number:03} ü.jsonl": content(
            number, frozenset(spot % ROWS for spot in spots if spot // ROWS == number)
        )
        for number in range(FILES)
    }
    known = {job.id for job in platform.table.of_tenant("acme")}
    events = []
    with killer(local_dir, KILLS) as killed:
        for name, data in (inputs | UNREADABLE).items():
            key = f"input/digits/acme/{name}"
            etag = platform.s3.put_object(Bucket=platform.bucket, Key=key, Body=data)["ETag"].strip('"')
            found = {"key": key, "etag": etag}  # as the embedded AWS's own events say it, without a version
            events.append({"detail-type": "Object Created", "detail": {"object": found}})
        for event in chance.sample(events, len(events)):  # EventBridge delivers once or more
            platform.sqs.send_message(QueueUrl=platform.control_url, MessageBody=json.dumps(event))
        again, deadline = set[str](), time.monotonic() + PATIENCE_S
        while len(killed) < KILLS or len(again) < FILES:  # and so does SQS
            assert time.monotonic() < deadline, f"{len(killed)} kills, {len(again)} jobs"
            time.sleep(0.3)
            for job in platform.table.of_tenant("acme"):
                if job.id not in known | again and job.parts:
                    send_parts(platform, job, range(job.parts))
                    again.add(job.id)
        ended(platform, "acme", known, FILES + len(UNREADABLE))
    assert len(killed) == KILLS
    # Whoever was killed too often with the same rows in hand is tried again, as an operator would have it.
    redriven(platform, "digits")
    jobs = ended(platform, "acme", known, FILES + len(UNREADABLE))
    readable = [job for job in jobs if job.rows]
    assert {job.state for job in readable} == {"succeeded"}
    assert {job.state for job in jobs if not job.rows} == {"failed"}
    seen: Counter[str] = Counter()
    reasons = []
    for job in readable:
        body = platform.s3.get_object(Bucket=platform.bucket, Key=job.output_key)["Body"].read()
        results = [json.loads(line) for line in body.splitlines()]
        assert [result["row"] for result in results] == list(range(ROWS))
        assert [int(result["id"].split("-")[1]) for result in results] == list(range(ROWS))
        seen.update(result["id"] for result in results)
        reasons += [(result["id"], result["error"]) for result in results if "error" in result]
    assert len(seen) == FILES * ROWS
    assert set(seen.values()) == {1}
    assert sorted(id for id, _ in reasons) == sorted(f"{spot // ROWS}-{spot % ROWS}" for spot in spots)
    assert all("1 values, the model takes 64" in reason for _, reason in reasons)
    route = platform.routes["digits"]
    deadline = time.monotonic() + PATIENCE_S
    while waiting(platform, route.queue_url) + waiting(platform, platform.control_url):
        assert time.monotonic() < deadline, "messages stay in the queues"
        time.sleep(0.5)
    assert waiting(platform, platform.dead_letters_url) == 0
    assert waiting(platform, route.dead_letters_url) == len(UNREADABLE)
    letters = platform.sqs.receive_message(QueueUrl=route.dead_letters_url, MaxNumberOfMessages=10)
    reasons_of_files = " ".join(json.loads(found["Body"])["reason"] for found in letters["Messages"])
    assert "UTF-16" in reasons_of_files
    assert "Parquet" in reasons_of_files
