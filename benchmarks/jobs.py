"""Figures of jobs: `python -m benchmarks.jobs`.

rows       one job on a platform of its own against the same rows sent to the model's function directly,
           in requests of the same size, in one run
gigabyte   1 GB of lines, dropped for a model that nobody works for there: the control function reads it from
           S3 and writes its parts there; then this process is their worker, whose answers are the rows, and
           the control function joins them to one result; MB/s, and the largest memory of its processes
"""

import json
import os
import re
import sys
import tempfile
import time
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import numpy as np

from benchmarks.__main__ import inferctl, proxy_event
from inferctl.jobs import platform_of
from inferctl.session import deployed
from serving.jobs import FINAL, Job
from serving.jobs_flow import Platform
from serving.jobs_predict import BATCH_ROWS, Predicted, Predictor
from serving.jobs_work import Message, Worker

ROWS = 20_000
GIGABYTE = 10**9


def main() -> None:
    """Print both tables."""
    with tempfile.TemporaryDirectory(prefix="inference-bench-") as folder:
        os.environ["INFERENCE_LOCAL_DIR"] = folder
        try:
            inferctl("up")
            job, direct = rows_per_second()
            figures = list(gigabyte())
        finally:
            inferctl("down")
    print("| what | figure |\n| --- | --- |")
    print(f"| {ROWS:,} rows as a job | {job:,.0f} rows/s |")
    print(f"| the same rows to the model's function, {BATCH_ROWS} a request | {direct:,.0f} rows/s |")
    print(f"| job in terms of direct | {job / direct:.2f} |")
    for what, size, took, memory in figures:
        print(f"| {what} | {size / 1e6 / took:.0f} MB/s |")
        print(f"| largest memory of the control function meanwhile | {memory:,.0f} MiB |")


def gigabyte() -> Iterator[tuple[str, int, float, float]]:
    """What was done with 1 GB, its bytes, seconds and MiB: cut into parts, and the parts' results joined."""
    platform = platform_of(deployed("local").client())
    key = "input/llama/acme/gigabyte.jsonl"
    with tempfile.TemporaryFile() as file:
        file.writelines(lines(GIGABYTE))
        file.seek(0)
        platform.s3.upload_fileobj(file, platform.bucket, key)
    job, took, memory = watched(platform, key, frozenset({"running", *FINAL}))
    if job.state != "running":
        sys.exit(f"the job of 1 GB is {job.state}: {job.reason}")
    yield f"1 GB of lines, {job.rows:,} rows, cut into {job.parts:,} parts in S3", GIGABYTE, took, memory
    worker = Worker(platform, platform.routes["llama"].queue_url, echoing)
    for part in range(job.parts):
        if part == job.parts - 1:
            forget_peaks()
        worker.handle(Message(json.dumps({"job": job.id, "part": part}), receipt="", received=1))
    job, took, memory = watched(platform, key, FINAL)
    if job.state != "succeeded" or job.rows_failed:
        sys.exit(f"the job of 1 GB is {job.state}, {job.rows_failed} rows failed: {job.reason}")
    size = platform.s3.head_object(Bucket=platform.bucket, Key=job.output_key)["ContentLength"]
    yield f"their results, {size / 1e9:.2f} GB, joined to one object in S3", size, took, memory


def echoing(job: Job, part: int, last: bool) -> Predictor:
    """Answers each row with itself: results of about the size of the rows."""
    return lambda rows: Predicted([{"outputs": {"text": row.decode()}} for row in rows])


def watched(platform: Platform, key: str, states: Collection[str]) -> tuple[Job, float, float]:
    """The job of a file once it is in one of the states, the seconds until then, and the peak in MiB."""
    started, memory = time.perf_counter(), 0.0
    while not (job := found(platform, key, states)):
        time.sleep(0.5)
        memory = max(memory, *peaks())
    return job, time.perf_counter() - started, max(memory, *peaks())


def peaks() -> Iterator[float]:
    """Largest memory until now, in MiB, of each process of the control function; 0 besides."""
    yield 0
    for process in processes():
        if peak := re.search(r"VmHWM:\s+(\d+) kB", (process / "status").read_text()):
            yield int(peak[1]) / 1024


def forget_peaks() -> None:
    """Let the largest memory of each process begin anew; https://docs.kernel.org/filesystems/proc.html"""
    for process in processes():
        (process / "clear_refs").write_text("5")


def processes() -> Iterator[Path]:
    """Those of the control function."""
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended
            command = (process / "cmdline").read_text()
            if "-local-jobs-control-" in command and os.environ["INFERENCE_LOCAL_DIR"] in command:
                yield process


def lines(size: int) -> Iterator[bytes]:
    """Chunks of 1 MiB that end anywhere."""
    data = b"".join(
        json.dumps({"image": row.tolist()}).encode() + b"\n"
        for row in np.random.default_rng(1).integers(0, 17, (5000, 64))
    )
    for start in range(0, size, 2**20):
        at = start % len(data)
        chunk = data[at : at + 2**20]
        yield chunk + data[: 2**20 - len(chunk)]


def rows_per_second() -> tuple[float, float]:
    """Rows per second of a job, from the upload to the result, and of direct requests one after the other."""
    client = deployed("local").client()
    platform = platform_of(client)
    images = np.random.default_rng(2).integers(0, 17, (ROWS, 64)).astype(float).tolist()
    body = b"".join(json.dumps({"image": image}).encode() + b"\n" for image in images)
    key = "input/digits/acme/bench.jsonl"
    warm(platform)
    started = time.perf_counter()
    platform.s3.put_object(Bucket=platform.bucket, Key=key, Body=body)
    while not found(platform, key, FINAL):
        time.sleep(0.1)
    job = ROWS / (time.perf_counter() - started)
    lambdas = client.aws("lambda")
    started = time.perf_counter()
    for start in range(0, ROWS, BATCH_ROWS):
        batch = images[start : start + BATCH_ROWS]
        tensor = {
            "name": "image",
            "datatype": "FP32",
            "shape": [len(batch), 64],
            "data": [value for image in batch for value in image],
        }
        answer = lambdas.invoke(
            FunctionName=client.outputs["model_functions"]["digits"],
            Qualifier="live",
            Payload=proxy_event(json.dumps({"inputs": [tensor]})),
        )
        if json.loads(answer["Payload"].read())["statusCode"] != httpx.codes.OK:
            sys.exit("the model refused a batch")
    return job, ROWS / (time.perf_counter() - started)


def warm(platform: Platform) -> None:
    """A small job first, so that no start of a function is in the figures."""
    key = "input/digits/acme/warm.jsonl"
    row = json.dumps({"image": [0.0] * 64}).encode() + b"\n"
    platform.s3.put_object(Bucket=platform.bucket, Key=key, Body=row)
    while not found(platform, key, FINAL):
        time.sleep(0.1)


def found(platform: Platform, key: str, states: Collection[str]) -> Job | None:
    """The job of a file, once it is in one of the states."""
    jobs = platform.table.of_tenant("acme")
    return next((job for job in jobs if job.input_key == key and job.state in states), None)


if __name__ == "__main__":
    main()
