"""Figures of jobs: `python -m benchmarks.jobs`.

rows       one job on a platform of its own against the same rows sent to the model's function directly,
           in requests of the same size, in one run
gigabyte   1 GB of lines as one job there, and the largest memory of any process of each function of jobs
           meanwhile; a quarter of an hour
"""

import json
import os
import re
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np

from benchmarks.__main__ import inferctl, proxy_event
from inferctl.jobs import platform_of
from inferctl.session import deployed
from serving.jobs import FINAL, Job
from serving.jobs_flow import Platform
from serving.jobs_predict import BATCH_ROWS

ROWS = 20_000
GIGABYTE = 10**9
FUNCTIONS = ("jobs-control", "jobs-worker")


def main() -> None:
    """Print both tables."""
    with tempfile.TemporaryDirectory(prefix="inference-bench-") as folder:
        os.environ["INFERENCE_LOCAL_DIR"] = folder
        try:
            inferctl("up")
            job, direct = rows_per_second()
            rows, took, memory = gigabyte()
        finally:
            inferctl("down")
    print("| what | figure |\n| --- | --- |")
    print(f"| {ROWS:,} rows as a job | {job:,.0f} rows/s |")
    print(f"| the same rows to the model's function, {BATCH_ROWS} a request | {direct:,.0f} rows/s |")
    print(f"| job in terms of direct | {job / direct:.2f} |")
    print(f"| 1 GB of lines as a job, {rows:,} rows | {rows / took:,.0f} rows/s |")
    for function, mib in sorted(memory.items()):
        print(f"| largest memory of a process of {function} meanwhile | {mib:,.0f} MiB |")


def gigabyte() -> tuple[int, float, dict[str, float]]:
    """Rows, seconds from the upload to the result, and function -> MiB."""
    platform = platform_of(deployed("local").client())
    key = "input/digits/acme/gigabyte.jsonl"
    with tempfile.TemporaryFile() as file:
        file.writelines(lines(GIGABYTE))
        file.seek(0)
        platform.s3.upload_fileobj(file, platform.bucket, key)
    started, memory = time.perf_counter(), dict.fromkeys(FUNCTIONS, 0.0)
    while not (job := finished(platform, key)):
        time.sleep(1)
        for function, mib in peaks():
            memory[function] = max(memory[function], mib)
    if job.state != "succeeded":
        sys.exit(f"the job of 1 GB is {job.state}: {job.reason}")
    return job.rows_done, time.perf_counter() - started, memory


def peaks() -> Iterator[tuple[str, float]]:
    """Function and largest memory until now, in MiB, of each process of a function of jobs."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_text()
            peak = re.search(r"VmHWM:\s+(\d+) kB", (process / "status").read_text())
        except OSError:  # it has ended
            continue
        for function in FUNCTIONS:
            if peak and f"-local-{function}" in command and os.environ["INFERENCE_LOCAL_DIR"] in command:
                yield function, int(peak[1]) / 1024


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
    while not finished(platform, key):
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
    while not finished(platform, key):
        time.sleep(0.1)


def finished(platform: Platform, key: str) -> Job | None:
    """The job of a file, once it has ended."""
    jobs = platform.table.of_tenant("acme")
    return next((job for job in jobs if job.input_key == key and job.state in FINAL), None)


if __name__ == "__main__":
    main()
