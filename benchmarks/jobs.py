"""Figures of jobs: `python -m benchmarks.jobs`.

splitter   1 GB of lines through the splitter in a process of its own: MB/s and its largest memory
rows       one job on a platform of its own against the same rows sent to the model's function directly,
           in requests of the same size, in one run
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator

import httpx
import numpy as np

from benchmarks.__main__ import inferctl, proxy_event
from inferctl.jobs import platform_of
from inferctl.session import deployed
from serving.jobs import FINAL
from serving.jobs_flow import Platform
from serving.jobs_predict import BATCH_ROWS
from serving.jobs_rows import PartSize, json_lines, parts_of

ROWS = 20_000
GIGABYTE = 10**9


def main() -> None:
    """Print both tables."""
    measured = subprocess.run(
        [sys.executable, "-m", "benchmarks.jobs", "splitter"], capture_output=True, text=True, check=True
    )
    print("| what | figure |\n| --- | --- |")
    print(measured.stdout, end="")
    with tempfile.TemporaryDirectory(prefix="inference-bench-") as folder:
        os.environ["INFERENCE_LOCAL_DIR"] = folder
        try:
            inferctl("up")
            job, direct = rows_per_second()
        finally:
            inferctl("down")
    print(f"| {ROWS:,} rows as a job | {job:,.0f} rows/s |")
    print(f"| the same rows to the model's function, {BATCH_ROWS} a request | {direct:,.0f} rows/s |")
    print(f"| job in terms of direct | {job / direct:.2f} |")


def splitter() -> None:
    """1 GB of lines, made while they are read, cut into parts that nobody keeps."""
    started, size, rows, parts = time.perf_counter(), 0, 0, 0
    for content, count in parts_of(json_lines(lines(GIGABYTE)), PartSize()):
        size, rows, parts = size + len(content), rows + count, parts + 1
    took = time.perf_counter() - started
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"| splitter, {size / 1e9:.2f} GB, {rows:,} rows, {parts:,} parts | {size / 1e6 / took:.0f} MB/s |")
    print(f"| largest memory of its process | {memory:.0f} MiB |")


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
    while not any(job.input_key == key and job.state in FINAL for job in platform.table.of_tenant("acme")):
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
    while not any(job.input_key == key and job.state in FINAL for job in platform.table.of_tenant("acme")):
        time.sleep(0.1)


if __name__ == "__main__":
    splitter() if sys.argv[1:] == ["splitter"] else main()
