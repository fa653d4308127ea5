"""Entry point of the model server's container: one model over HTTP.

    python -m serving.http_app [serve]      (SageMaker starts containers with the argument `serve`)

Environment:
    MODEL_NAME, MODEL_VERSION, MODEL_BUCKET   what to serve, out of the model store; or
    DELIVERY_TABLE                            with these, where deliveries say which version (see `replica`);
                                              MODEL_VERSION is then the one before the first; or
    MODEL_DIR                                 a folder with model and manifest (default /opt/ml/model, where
                                              SageMaker puts them, when that has a manifest)
    MODEL_CACHE_DIR                           where verified files are kept
    MODEL_PROVIDER                            on what it runs: auto, cpu, cuda or tensorrt (see `providers`)
    MODEL_THREADS                             threads of the CPU for one inference (default 1)
    REPLICA_NAME                              among those of the model (default: the host's, so the pod's)
    HOST, PORT                                where to listen (default 127.0.0.1, 8080)
    MAX_BODY_BYTES, MAX_IN_FLIGHT             what to take on (default 16 MiB, 64)
    DRAIN_SECONDS                             after SIGTERM: how long to answer while saying "not ready" (3)
    CAPTURE_STREAM, CAPTURE_SHARE, ...        what of it to count (see serving.capture)
    LOG_LEVEL                                 (INFO)
"""

import asyncio
import os
import socket
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Self

import botocore.session
import uvicorn
from botocore.config import Config

from serving import golden, listening, logs, providers
from serving.capture import Capture
from serving.errors import ModelRefused, ServingError
from serving.http_front import HttpFront, Limits
from serving.manifest import FILE_NAME
from serving.providers import Provider
from serving.replica import RolledModel, tried_in_a_process
from serving.rollout import Rollouts
from serving.runtime import Model
from serving.served import ServedModel
from serving.store import ModelStore, read_folder

SAGEMAKER_FOLDER = Path("/opt/ml/model")
# How long requests in flight may take after the drain; below the 120 s that a pod gets to end.
GRACE_S = 100
_DYNAMODB = Config(connect_timeout=2, read_timeout=5, retries={"mode": "standard", "total_max_attempts": 2})


@dataclass(frozen=True, slots=True)
class Settings:
    """How to listen and how to run the model."""

    host: str
    port: int
    drain_s: int
    limits: Limits
    providers: Sequence[Provider]
    threads: int

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Self:
        """Read the environment. Raises ValueError that names the variable at fault."""
        cache = Path(environment.get("MODEL_CACHE_DIR") or tempfile.gettempdir())
        try:
            chosen = providers.choose(environment.get("MODEL_PROVIDER", "auto"), cache)
        except ValueError as error:
            raise ValueError(f"MODEL_PROVIDER {error}") from None
        return cls(
            host=environment.get("HOST", "127.0.0.1"),
            port=_number(environment, "PORT", 8080),
            drain_s=_number(environment, "DRAIN_SECONDS", 3),
            limits=Limits(
                max_body_bytes=_number(environment, "MAX_BODY_BYTES", Limits().max_body_bytes),
                max_in_flight=_number(environment, "MAX_IN_FLIGHT", Limits().max_in_flight),
            ),
            providers=chosen,
            threads=_number(environment, "MODEL_THREADS", 1),
        )


def served_model(environment: Mapping[str, str], settings: Settings) -> ServedModel:
    """The model that the environment names. Raises ValueError, or ServingError for a folder at fault."""
    capture = Capture.of(environment, background=True)
    folder = environment.get("MODEL_DIR")
    if folder is None and (SAGEMAKER_FOLDER / FILE_NAME).is_file():
        folder = str(SAGEMAKER_FOLDER)
    if folder is not None:
        manifest, _, data = read_folder(Path(folder))
        model = partial(Model, manifest, data, settings.providers, settings.threads)
        return ServedModel(manifest.name, manifest.version, lambda: _checked(model()), capture)
    names = ("MODEL_NAME", "MODEL_VERSION", "MODEL_BUCKET")
    if missing := [name for name in names if not environment.get(name)]:
        raise ValueError(f"set MODEL_DIR, or MODEL_NAME, MODEL_VERSION and MODEL_BUCKET; missing: {missing}")
    name, version = environment["MODEL_NAME"], environment["MODEL_VERSION"]
    fetch = version_loader(environment, settings)

    def load(version: str) -> Model:
        return _checked(fetch(version))

    if (table := environment.get("DELIVERY_TABLE")) is None:
        return ServedModel(name, version, partial(load, version), capture)
    rollouts = Rollouts(botocore.session.get_session().create_client("dynamodb", config=_DYNAMODB), table)
    replica = environment.get("REPLICA_NAME") or socket.gethostname()
    return RolledModel(name, version, rollouts, load, tried_in_a_process, replica, capture)


def version_loader(environment: Mapping[str, str], settings: Settings) -> Callable[[str], Model]:
    """Loads a version of the environment's model out of the model store, before any request is made of it."""

    def fetch(version: str) -> Model:
        store = ModelStore.of(environment)
        stored = store.manifest(environment["MODEL_NAME"], version)
        return Model(stored, store.fetch(stored), settings.providers, settings.threads)

    return fetch


class DrainingServer(uvicorn.Server):
    """Ends in two steps: not ready but answering, so that routers can stop; then the last requests."""

    def __init__(self, front: HttpFront, settings: Settings) -> None:
        self._front = front
        self._drain_s = settings.drain_s
        super().__init__(listening.config(front, settings.host, settings.port, GRACE_S))

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """On the first signal, drain; on a second, end at once."""
        if self._front.draining:
            self.force_exit = self.should_exit = True
            return
        self._front.draining = True
        loop = asyncio.get_event_loop()
        loop.call_soon_threadsafe(loop.call_later, self._drain_s, self._end)

    def _end(self) -> None:
        self.should_exit = True


def _checked(model: Model) -> Model:
    """A model that passes its golden requests here; a replica that does not must get no requests."""
    report = golden.run(model.manifest, model.infer)
    if report.failed:
        raise ModelRefused(f"{model} fails golden requests here: {report.failed[0]['reason']}")
    return model


def _number(environment: Mapping[str, str], name: str, default: int) -> int:
    value = environment.get(name, str(default))
    if not value.isascii() or not value.isdigit():
        raise ValueError(f"{name} must be a whole number, not {value!r}")
    return int(value)


def main() -> None:
    """Serve until a signal ends it."""
    logs.configure(os.environ.get("LOG_LEVEL", "INFO"))
    if sys.argv[1:] not in ([], ["serve"]):
        sys.exit("usage: python -m serving.http_app [serve]")
    try:
        settings = Settings.of(os.environ)
        served = served_model(os.environ, settings)
    except (ValueError, ServingError) as error:
        sys.exit(f"the server cannot start: {error}")
    if isinstance(served, RolledModel):
        threading.Thread(target=served.follow, args=[threading.Event()], name="rollout", daemon=True).start()
    DrainingServer(HttpFront(served, settings.limits), settings).run()


if __name__ == "__main__":
    main()
