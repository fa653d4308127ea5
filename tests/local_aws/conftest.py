"""The aws plug-in over gRPC, as the engine speaks to it, and one embedded AWS for all tests that need it."""

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import grpc
import pytest
from pulumi.runtime.proto import provider_pb2
from pulumi.runtime.proto.provider_pb2_grpc import ResourceProviderStub

from local_aws.aws_plugin import SCRATCH_MARKER, AwsPlugin, Settings
from local_aws.emulator import Emulator
from local_aws.operations import Operations
from local_aws.provider import start
from local_aws.values import Props, decode, encode


def urn(token: str, name: str = "thing") -> str:
    return f"urn:pulumi:test::trial::pulumi:pulumi:Stack${token}::{name}"


class Engine:
    """The engine's half of the protocol for one plug-in, in plain values."""

    def __init__(self, environment: Mapping[str, str], config: Props | None = None) -> None:
        self._server, port = start(AwsPlugin(environment))
        self._channel = grpc.insecure_channel(f"127.0.0.1:{port}")
        self._stub = ResourceProviderStub(self._channel)
        self._stub.Configure(provider_pb2.ConfigureRequest(args=encode(config or {})))

    def close(self) -> None:
        self._channel.close()
        self._server.stop(None).wait()

    def check(
        self, token: str, news: Props, olds: Props | None = None, name: str = "thing", seed: bytes = b"seed"
    ) -> tuple[Props, dict[str, str]]:
        """The checked inputs, and path -> reason of each failure."""
        request = provider_pb2.CheckRequest(
            urn=urn(token, name), olds=encode(olds or {}), news=encode(news), randomSeed=seed
        )
        answer = self._stub.Check(request)
        return decode(answer.inputs), {failure.property: failure.reason for failure in answer.failures}

    def diff(self, token: str, old: Props, new: Props, id: str = "id") -> Any:
        request = provider_pb2.DiffRequest(
            urn=urn(token), id=id, old_inputs=encode(old), olds=encode(old), news=encode(new)
        )
        return self._stub.Diff(request)

    def create(
        self, token: str, inputs: Props, *, name: str = "thing", preview: bool = False
    ) -> tuple[str, Props]:
        """Check and create; the id and the outputs."""
        checked, failures = self.check(token, inputs, name=name)
        assert failures == {}
        request = provider_pb2.CreateRequest(
            urn=urn(token, name), properties=encode(checked), preview=preview
        )
        answer = self._stub.Create(request)
        return answer.id, decode(answer.properties)

    def read(
        self, token: str, id: str, inputs: Props, outputs: Props, name: str = "thing"
    ) -> tuple[str, Props, Props]:
        """The id (empty when gone), inputs and outputs."""
        request = provider_pb2.ReadRequest(
            urn=urn(token, name), id=id, inputs=encode(inputs), properties=encode(outputs)
        )
        answer = self._stub.Read(request)
        return answer.id, decode(answer.inputs), decode(answer.properties)

    def update(
        self, token: str, id: str, old: Props, outputs: Props, new: Props, *, preview: bool = False
    ) -> Props:
        request = provider_pb2.UpdateRequest(
            urn=urn(token),
            id=id,
            old_inputs=encode(old),
            olds=encode(outputs),
            news=encode(new),
            preview=preview,
        )
        return decode(self._stub.Update(request).properties)

    def delete(self, token: str, id: str, outputs: Props, name: str = "thing") -> None:
        request = provider_pb2.DeleteRequest(urn=urn(token, name), id=id, properties=encode(outputs))
        self._stub.Delete(request)

    def invoke(self, token: str) -> Props:
        return decode(getattr(self._stub.Invoke(provider_pb2.InvokeRequest(tok=token)), "return"))


Start = Callable[..., Engine]


@pytest.fixture
def plan_mode(tmp_path: Path) -> Iterator[Start]:
    """Starts plug-ins in plan mode on a scratch backend; keyword arguments are further environment."""
    (tmp_path / SCRATCH_MARKER).touch()
    started: list[Engine] = []

    def begin(config: Props | None = None, **environment: str) -> Engine:
        given = {"LOCAL_AWS_MODE": "plan", "PULUMI_BACKEND_URL": tmp_path.as_uri()} | environment
        started.append(Engine(given, config))
        return started[-1]

    yield begin
    for engine in started:
        engine.close()


class EmbeddedAws:
    """A running ministack and moto, and what a plug-in must be told of them; `run` goes past the plug-in."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.environment = environment
        settings = Settings.of(environment)
        self.operations = Operations(settings.endpoints, settings.key, "us-east-1")
        self.run = self.operations.run


@pytest.fixture(scope="session")
def embedded_aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedAws]:
    folder = tmp_path_factory.mktemp("embedded") / "local"
    emulator = Emulator(folder, preferred_port=0, report=lambda line: None)
    endpoints = emulator.start()
    try:
        environment = {
            "LOCAL_AWS_MODE": "emulate",
            "LOCAL_AWS_DIR": str(folder),
            "LOCAL_AWS_ENDPOINT": endpoints.ministack,
            "LOCAL_AWS_MOTO_ENDPOINT": endpoints.moto,
            "PATH": os.environ["PATH"],
        }
        yield EmbeddedAws(environment | emulator.credentials())
    finally:
        emulator.stop()


@pytest.fixture
def emulate_mode(embedded_aws: EmbeddedAws) -> Iterator[Start]:
    """Starts plug-ins in emulate mode on the session's embedded AWS."""
    started: list[Engine] = []

    def begin(config: Props | None = None) -> Engine:
        started.append(Engine(embedded_aws.environment, config))
        return started[-1]

    yield begin
    for engine in started:
        engine.close()
