"""Seconds from a publication to the first answer of the new version: `python -m benchmarks.delivery`.

On a platform of its own, model by model, with the canary of `local` (6 s) and without one: a rollback to the
version before, then forward again. The API is asked without a pause; what it answers first with the new
version ends the clock.
"""

import os
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import httpx

from benchmarks.__main__ import inferctl
from inferctl.client import Client
from inferctl.deliveries import Deliveries, require_delivered
from inferctl.session import deployed
from serving.manifest import FILE_NAME
from serving.recipes import digits

MODELS = {"digits": "Lambda", "digits-gpu": "EKS model server"}
TURNS = 3
IMAGE = {"name": "image", "datatype": "FP32", "shape": [1, 64], "data": [0.0] * 64}


def main() -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory(prefix="inference-bench-") as folder:
        os.environ["INFERENCE_LOCAL_DIR"] = folder
        try:
            inferctl("up")
            rows = [row for model in MODELS for row in measured(model, Path(folder))]
        finally:
            inferctl("down")
    print("| what, median of 3 | first answer | all answers |\n| --- | --- | --- |")
    print("\n".join(rows))


def measured(model: str, folder: Path) -> list[str]:
    """Lines of the table about one model."""
    client = deployed("local").client()
    deliveries = Deliveries(client)

    def publish(made: Path) -> str:
        return deliveries.publish(made, "benchmark")[1]

    published, back = [], []
    for turn in range(TURNS):
        name = f"b{turn}"
        made = folder / "bench" / model / name
        manifest = digits.build(made, name)
        (made / FILE_NAME).write_bytes(replace(manifest, name=model).encode())
        before = str(deliveries.live(model))
        published.append(until_answered(client, model, name, partial(publish, made)))
        undo = partial(deliveries.start, model, before, "roll_back", "benchmark")
        back.append(until_answered(client, model, before, undo))
    return [
        f"| {model} ({MODELS[model]}): {what} | {median(times, 0):.1f} s | {median(times, 1):.1f} s |"
        for what, times in (("publish, canary of 6 s", published), ("rollback", back))
    ]


def median(times: list[tuple[float, float]], place: int) -> float:
    return statistics.median(each[place] for each in times)


def until_answered(client: Client, model: str, version: str, begin: Callable[[], str]) -> tuple[float, float]:
    """Seconds until the first answer of a version, and until the last one of another."""
    answers: list[tuple[float, str]] = []
    stopped = threading.Event()

    def ask() -> None:
        url = f"{client.url}/v2/models/{model}/infer"
        with httpx.Client(headers=client.headers("acme"), timeout=60) as http:
            while not stopped.wait(0.01):  # within the tenant's rate
                answer = http.post(url, json={"inputs": [IMAGE]})
                answer.raise_for_status()
                answers.append((time.perf_counter(), answer.json()["model_version"]))

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        started = time.perf_counter()
        require_delivered(Deliveries(client).follow(model, begin()))
        time.sleep(0.5)
    finally:
        stopped.set()
        asking.join()
    first = next(at for at, served in answers if served == version)
    last = max((at for at, served in answers if served != version), default=started)
    return first - started, last - started


if __name__ == "__main__":
    main()
