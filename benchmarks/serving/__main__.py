"""The README's tables on serving: `make bench-serving` (or `python -m benchmarks.serving`).

Servers with the same ONNX model run side by side, one worker each, and are asked in turns, so that what else
the machine does falls on all alike: the ratios of one run hold, figures of different runs are not to be
compared. Peers are installed into `.local/bench`, for this alone.
"""

import argparse
import os
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import boto3
import numpy as np
import orjson

from benchmarks.serving import parts
from benchmarks.serving.load import Measured, drive, post
from benchmarks.serving.servers import PEERS, ROOT, install, running
from local_aws.emulator import Emulator
from serving import publication
from serving.manifest import FILE_NAME, Manifest
from serving.recipes import digits as digits_recipe
from serving.recipes import minilm as minilm_recipe

OURS = "this"
PATH = "/v2/models/digits/infer"
CONCURRENCIES = (1, 16)


def main() -> None:
    """Measure and print; ends with 1 where a peer is faster."""
    parser = argparse.ArgumentParser(description="Measure the model server beside its peers.")
    parser.add_argument("--rounds", type=int, default=8, help="turns of each server (default: 8)")
    parser.add_argument("--requests", type=int, default=500, help="requests of a turn (default: 500)")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the servers are ended, too
    with tempfile.TemporaryDirectory(prefix="bench-models-") as folder:
        digits, minilm = Path(folder, "digits"), Path(folder, "minilm")
        digits_recipe.build(digits)
        minilm_recipe.build(minilm)
        ahead = servers(digits, arguments.rounds, arguments.requests)
        handler(digits)
        embeddings(minilm)
        cold_start(digits, minilm, Path(folder, "aws"))
    if not ahead:
        sys.exit("a peer was faster")


def servers(digits: Path, rounds: int, requests: int) -> bool:
    """The table of servers; whether this one answers more than every peer, with less of the processor."""
    bench = ROOT / ".local" / "bench"
    failed = install(bench)
    commands: dict[str, list[str | Path]] = {OURS: [sys.executable, "-m", "serving.http_app", "serve"]}
    for peer, (module, _) in PEERS.items():
        if peer not in failed:
            script = ROOT / f"benchmarks/serving/peers/{module}_peer.py"
            commands[peer] = [bench / module / "bin" / "python", script]
    document = Manifest.parse((digits / FILE_NAME).read_bytes()).golden[0].request
    body = orjson.dumps({"id": "1", **document})  # KServe answers no request without an id
    request = post(0, PATH, body)
    loop = parts.plain_loop(digits)
    alone: list[float] = []
    measured = {name: {each: Measured() for each in CONCURRENCIES} for name in commands}
    with running(commands, digits, request) as started:
        for number in range(rounds + 1):
            print(f"\rround {number} of {rounds}", end="", file=sys.stderr, flush=True)
            alone += parts.milliseconds(loop, requests)
            for name in sorted(commands, key=lambda name: hash((name, number))):
                for concurrency in CONCURRENCIES:
                    into = measured[name][concurrency] if number else Measured()  # the first is to warm up
                    before = started[name].cpu_s()
                    answer = drive(started[name].port, request, concurrency, requests, into)
                    into.cpu_s += started[name].cpu_s() - before
                    label = orjson.loads(answer)["outputs"][0]["data"]
                    if np.ravel(label).tolist() != [0]:
                        raise RuntimeError(f"{name} answers {label}")
    print(file=sys.stderr)
    return _report(measured, alone, failed)


def _report(measured: dict[str, dict[int, Measured]], alone: Sequence[float], failed: dict[str, str]) -> bool:
    bare = float(np.median(alone))
    print("| server | req/s c=1 | p99 c=1 | req/s c=16 | p99 c=16 | processor at c=16 | over the loop |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    ours = measured[OURS]
    for name, by in sorted(measured.items(), key=lambda item: -item[1][16].rate):
        cells = []
        for concurrency in CONCURRENCIES:
            share = by[concurrency].rate / ours[concurrency].rate
            cells.append(f"{by[concurrency].rate:,.0f}" + ("" if name == OURS else f" ({share:.2f})"))
            cells.append(f"{by[concurrency].percentile(99):.1f} ms")
        over = by[1].percentile(50) - bare
        title = "this server" if name == OURS else name
        print(f"| {title} | {' | '.join(cells)} | {by[16].cpu_ms:.2f} ms | {over:.2f} ms |")
    print(f"| ONNX Runtime in a loop | {1e3 / bare:,.0f} | {np.percentile(alone, 99):.3f} ms | | | | 0 |")
    for peer, reason in failed.items():
        print(f"{peer} could not be installed: {reason}")
    print()
    return all(
        ours[each].rate > by[each].rate and ours[each].cpu_ms < by[each].cpu_ms
        for name, by in measured.items()
        if name != OURS
        for each in CONCURRENCIES
    )


def handler(digits: Path) -> None:
    """What the Lambda handler adds to the model's own time."""
    call, loop = parts.lambda_handler(digits), parts.plain_loop(digits)
    said, sys.stdout = sys.stdout, Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - closed below
    try:
        taken: tuple[list[float], list[float]] = ([], [])
        for _ in range(20):
            for each, times in zip((call, loop), taken, strict=True):
                times += parts.milliseconds(each, 100)
    finally:
        sys.stdout.close()
        sys.stdout = said
    ours, bare = (float(np.median(times)) * 1e3 for times in taken)
    print("| part of a warm invocation | median |")
    print("| --- | --- |")
    print(f"| ONNX Runtime | {bare:.0f} us |")
    print(f"| the handler around it: event, checks, answer, log line with metrics | {ours - bare:.0f} us |")
    print()


def embeddings(minilm: Path) -> None:
    """MiniLM by the length of the text, on one thread, and through the HTTP server."""
    model = parts.load(minilm)
    command: list[str | Path] = [sys.executable, "-m", "serving.http_app", "serve"]
    first = post(0, "/v1/embeddings", orjson.dumps({"model": "minilm", "input": "warm"}))
    print("| MiniLM, one text of | the model | by HTTP |")
    print("| --- | --- | --- |")
    with running({OURS: command}, minilm, first) as started:
        for tokens in parts.TOKENS:
            text = parts.texts_of(model, tokens)
            if parts.count(model, text) != tokens:
                raise RuntimeError(f"the text has {parts.count(model, text)} tokens, not {tokens}")
            request = post(0, "/v1/embeddings", orjson.dumps({"model": "minilm", "input": text}))
            alone: list[float] = []
            served = Measured()
            for _ in range(6):
                alone += parts.milliseconds(lambda text=text: parts.embed(model, text), 8)  # type: ignore[misc]
                drive(started[OURS].port, request, 1, 8, served)
            print(f"| {tokens} tokens | {np.median(alone):.1f} ms | {served.percentile(50):.1f} ms |")
    print()


def cold_start(digits: Path, minilm: Path, folder: Path) -> None:
    """The init phase by its parts, out of an embedded S3, and what libraries would add to it."""
    folder.mkdir()
    emulator = Emulator(folder, preferred_port=0)
    endpoint = emulator.start().ministack
    try:
        credentials = emulator.credentials()
        s3 = boto3.client(
            "s3",
            endpoint_url=endpoint,
            region_name="us-east-1",
            aws_access_key_id=credentials["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=credentials["AWS_SECRET_ACCESS_KEY"],
        )
        s3.create_bucket(Bucket="models")
        print("| init phase, median of 7 | digits | minilm |")
        print("| --- | --- | --- |")
        columns = []
        for model in (digits, minilm):
            manifest, _ = publication.publish(s3, "models", model)
            environment = {
                "PATH": os.environ["PATH"],
                "AWS_ENDPOINT_URL": endpoint,
                "AWS_REGION": "us-east-1",
                "AWS_DEFAULT_REGION": "us-east-1",
                **credentials,
                "MODEL_NAME": manifest.name,
                "MODEL_VERSION": manifest.version,
                "MODEL_BUCKET": "models",
            }
            taken = []
            for number in range(7):
                cache = str(folder / f"{manifest.name}-{number}")  # a new one: the download counts
                taken.append(parts.cold_start(ROOT, environment | {"MODEL_CACHE_DIR": cache}, 1))
            medians = {key: float(np.median([each[key] for each in taken])) for key in taken[0]}
            medians["imports_ms"] = 2 * medians["init_ms"] - sum(medians.values())
            columns.append(medians)
        for key, what in (
            ("imports_ms", "imports"),
            ("client_ms", "S3 client"),
            ("fetch_ms", "manifest and model from S3, verified"),
            ("session_ms", "ONNX session"),
            ("init_ms", "all of it"),
        ):
            print(f"| {what} | {columns[0][key]:.0f} ms | {columns[1][key]:.0f} ms |")
    finally:
        emulator.stop()
    ours, powertools = (
        parts.import_ms(ROOT, statement, 5) for statement in (parts.OURS, f"{parts.OURS}\n{parts.POWERTOOLS}")
    )
    print(f"\nAWS Lambda Powertools with its tracer would add {powertools - ours:.0f} ms to the imports.")


if __name__ == "__main__":
    main()
