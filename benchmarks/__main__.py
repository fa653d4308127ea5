"""The README's table: `make bench` (or `python -m benchmarks`) on a platform of its own, then taken down.

Everything is measured in one run on one machine; figures from different runs are not to be compared.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import numpy as np

from inferctl.session import deployed

ROOT = Path(__file__).resolve().parents[1]
REQUESTS = 300
WARM_UP = 30


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="inference-bench-") as folder:
        os.environ["INFERENCE_LOCAL_DIR"] = folder
        try:
            nothing = seconds("up")
            again = min(seconds("up") for _ in range(2))
            through_api, direct = predictions()
        finally:
            inferctl("down")
    print("| what | p50 | p99 | ratio |")
    print("| --- | --- | --- | --- |")
    print(f"| `make up` from nothing, packages and caches warm | {nothing:.1f} s | | 1 |")
    print(f"| `make up` with nothing to do | {again:.1f} s | | {again / nothing:.2f} of the above |")
    for what, taken in (("direct Lambda invoke", direct), ("prediction through the API", through_api)):
        p50, p99 = np.percentile(taken, [50, 99])
        ratio = f"{p50 / np.percentile(direct, 50):.2f} of the direct invoke"
        print(f"| warm {what} | {p50:.1f} ms | {p99:.1f} ms | {ratio} |")


def inferctl(*args: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "inferctl", *args], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(f"inferctl {' '.join(args)} failed:\n{done.stdout}{done.stderr}")


def seconds(*args: str) -> float:
    started = time.perf_counter()
    inferctl(*args)
    return time.perf_counter() - started


def predictions() -> tuple[list[float], ...]:
    """Milliseconds of sequential warm requests: through the API, and of the same function directly."""
    session = deployed("local")
    client = session.client()
    body = (session.workspace.local / "models/digits-request.json").read_text(encoding="utf-8")
    headers = {**client.headers("acme"), "Content-Type": "application/json"}
    lambdas = client.aws("lambda")
    event = proxy_event(body)
    with httpx.Client() as http:
        url = f"{client.url}/v2/models/digits/infer"

        def through_api() -> None:
            answer = http.post(url, content=body, headers=headers)
            if answer.status_code == httpx.codes.TOO_MANY_REQUESTS:
                sys.exit("the tenant's rate is used up: the figures would be the limiter's")
            answer.raise_for_status()

        def direct() -> None:
            name = client.outputs["model_functions"]["digits"]
            lambdas.invoke(FunctionName=name, Qualifier="live", Payload=event)["Payload"].read()

        return interleaved(through_api, direct)


def proxy_event(body: str) -> bytes:
    """What API Gateway gives the function for this request."""
    return json.dumps(
        {
            "httpMethod": "POST",
            "resource": "/v2/models/digits/infer",
            "path": "/v2/models/digits/infer",
            "headers": {"Content-Type": "application/json"},
            "requestContext": {"requestId": "bench", "authorizer": {"tenant": "acme"}},
            "body": body,
            "isBase64Encoded": False,
        }
    ).encode()


def interleaved(*calls: Callable[[], None]) -> tuple[list[float], ...]:
    """Milliseconds of each call, taken in turns, so that what else the machine does falls on all alike."""
    taken: tuple[list[float], ...] = tuple([] for _ in calls)
    for number in range(WARM_UP + REQUESTS):
        for call, times in zip(calls, taken, strict=True):
            started = time.perf_counter()
            call()
            if number >= WARM_UP:
                times.append((time.perf_counter() - started) * 1000)
    return taken


if __name__ == "__main__":
    main()
