"""An engine plug-in in Python: pulumi's ResourceProvider service over gRPC, told in plain values.

A plug-in subclasses `Plugin`, overrides the hooks it needs and ends its module with `serve(MyPlugin())`.
Hooks get and give the values of `local_aws.values`; they run on a thread pool, several at a time, and say
what is wrong by raising `Refused` (or `PartlyCreated` after the fact). Messages that only a component
provider needs (`Construct`, `Call`) can be overridden as plain servicer methods.
"""

import functools
import os
import signal
import threading
import traceback
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, NoReturn

import grpc
from google.protobuf import any_pb2
from google.protobuf.empty_pb2 import Empty
from pulumi.runtime.proto import engine_pb2, engine_pb2_grpc, plugin_pb2, provider_pb2, status_pb2
from pulumi.runtime.proto.provider_pb2_grpc import (
    ResourceProviderServicer,
    add_ResourceProviderServicer_to_server,
)

from local_aws.values import Props, changes, decode, encode

_NO_LIMIT = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
# The engine runs 16 operations at a time unless told otherwise; checks and diffs come on top.
_THREADS = 32
# Less than the 5 s after which the engine kills a plug-in that it has interrupted.
_LAST_CALLS_S = 4


class Refused(Exception):
    """The operation did not happen; the message is what the user reads, so it says what to do."""


class PartlyCreated(Refused):
    """The resource exists under `id` but is not whole: the engine keeps it, and the next `up` updates it.

    `inputs` are those that took effect; all others differ at the next diff and are applied again.
    """

    def __init__(self, reason: str, id: str, inputs: Props, outputs: Props) -> None:
        super().__init__(reason)
        self.id, self.inputs, self.outputs = id, inputs, outputs


@dataclass(frozen=True)
class Checked:
    """Inputs with defaults filled in, or the failures: (property path, reason)."""

    inputs: Props
    failures: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Diff:
    """`paths` are those of `values.changes`; `replaces` the top-level properties that force a replacement."""

    paths: dict[str, str]
    replaces: frozenset[str] = frozenset()
    delete_before_replace: bool = False


@dataclass(frozen=True)
class State:
    """What exists: its id, outputs, and (from `read`) the inputs that would make it so."""

    id: str
    outputs: Props
    inputs: Props = field(default_factory=dict)


def type_of(urn: str) -> str:
    """Type token of a resource: `aws:kms/key:Key`."""
    return urn.split("::")[2].split("$")[-1]


def name_of(urn: str) -> str:
    """Logical name of a resource, the fourth part of its URN (which may hold `::` itself)."""
    return urn.split("::", 3)[3]


def top_level(path: str) -> str:
    """The property that a path of `values.changes` begins with."""
    return path.split(".")[0].split("[")[0]


def _answered(handler: Callable[..., Any]) -> Callable[..., Any]:
    """Turns what a hook raises into the status that the engine understands."""

    @functools.wraps(handler)
    def call(self: "Plugin", request: Any, context: grpc.ServicerContext) -> Any:
        try:
            return handler(self, request, context)
        except PartlyCreated as error:
            detail = provider_pb2.ErrorResourceInitFailed(
                id=error.id,
                properties=encode(error.outputs),
                inputs=encode(error.inputs),
                reasons=[str(error)],
            )
            packed = any_pb2.Any()
            packed.Pack(detail)
            code = grpc.StatusCode.FAILED_PRECONDITION
            status = status_pb2.Status(code=code.value[0], message=str(error), details=[packed])
            context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
            context.abort(code, str(error))
        except Refused as error:
            context.abort(grpc.StatusCode.FAILED_PRECONDITION, str(error))
        except Exception as error:
            # UNKNOWN tells the engine that the resource's state is uncertain.
            traceback.print_exc()
            context.abort(grpc.StatusCode.UNKNOWN, f"{type(error).__name__}: {error}")

    return call


class Plugin(ResourceProviderServicer):
    """The base: every message of the protocol, each a hook in plain values.

    Attributes:
        name, version: what GetPluginInfo and GetSchema answer; the version is the SDK package's.
    """

    name: str
    version: str
    _engine: engine_pb2_grpc.EngineStub | None = None

    # Hooks -----------------------------------------------------------------------------------------

    def configure(self, config: Props) -> None:
        """Takes the provider's settings (decoded, secrets marked)."""

    def check(self, urn: str, olds: Props, news: Props, seed: bytes) -> Checked:
        """Validates inputs and fills in defaults, names included. `olds` is empty for a new resource."""
        return Checked(news)

    def diff(self, urn: str, id: str, old_inputs: Props, old_outputs: Props, news: Props) -> Diff:
        return Diff(changes(old_inputs, news))

    def create(self, urn: str, inputs: Props, preview: bool) -> State:
        raise NotImplementedError

    def read(self, urn: str, id: str, inputs: Props, outputs: Props) -> State | None:
        """The resource as it is now; None when it is gone."""
        return State(id, outputs, inputs)

    def update(
        self, urn: str, id: str, old_inputs: Props, old_outputs: Props, news: Props, preview: bool
    ) -> Props:
        """Makes the change and returns the outputs."""
        raise NotImplementedError

    def delete(self, urn: str, id: str, inputs: Props, outputs: Props) -> None:
        raise NotImplementedError

    def invoke(self, token: str, args: Props) -> Props:
        raise Refused(f"{token}: the local {self.name} plug-in does not hold this function")

    def log(self, urn: str, message: str) -> None:
        """Shows a warning beside the resource."""
        if self._engine is not None:
            severity = engine_pb2.LogSeverity.WARNING
            self._engine.Log(engine_pb2.LogRequest(severity=severity, message=message, urn=urn))

    # Protocol --------------------------------------------------------------------------------------

    def connect(self, engine_address: str) -> None:
        """Opens the way back to the engine, for `log`."""
        channel = grpc.insecure_channel(engine_address, options=_NO_LIMIT)
        self._engine = engine_pb2_grpc.EngineStub(channel)

    def Handshake(self, request: Any, context: Any) -> Any:  # noqa: N802
        self.connect(request.engine_address)
        return provider_pb2.ProviderHandshakeResponse(accept_secrets=True)

    def Attach(self, request: Any, context: Any) -> Any:  # noqa: N802
        self.connect(request.address)
        return Empty()

    def GetPluginInfo(self, request: Any, context: Any) -> Any:  # noqa: N802
        return plugin_pb2.PluginInfo(version=self.version)

    def GetSchema(self, request: Any, context: Any) -> Any:  # noqa: N802
        schema = f'{{"name": "{self.name}", "version": "{self.version}"}}'
        return provider_pb2.GetSchemaResponse(schema=schema)

    def Cancel(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Nothing to do: calls under way are short, and the engine waits for them."""
        return Empty()

    def CheckConfig(self, request: Any, context: Any) -> Any:  # noqa: N802
        return provider_pb2.CheckResponse(inputs=request.news)

    @_answered
    def DiffConfig(self, request: Any, context: Any) -> Any:  # noqa: N802
        return _diff_response(Diff(changes(decode(request.old_inputs), decode(request.news))))

    @_answered
    def Configure(self, request: Any, context: Any) -> Any:  # noqa: N802
        self.configure(decode(request.args))
        return provider_pb2.ConfigureResponse(acceptSecrets=True, supportsPreview=True)

    @_answered
    def Check(self, request: Any, context: Any) -> Any:  # noqa: N802
        checked = self.check(request.urn, decode(request.olds), decode(request.news), request.randomSeed)
        failures = [provider_pb2.CheckFailure(property=at, reason=why) for at, why in checked.failures]
        return provider_pb2.CheckResponse(inputs=encode(checked.inputs), failures=failures)

    @_answered
    def Diff(self, request: Any, context: Any) -> Any:  # noqa: N802
        old_inputs, olds, news = decode(request.old_inputs), decode(request.olds), decode(request.news)
        return _diff_response(self.diff(request.urn, request.id, old_inputs, olds, news))

    @_answered
    def Create(self, request: Any, context: Any) -> Any:  # noqa: N802
        made = self.create(request.urn, decode(request.properties), request.preview)
        return provider_pb2.CreateResponse(id=made.id, properties=encode(made.outputs))

    @_answered
    def Read(self, request: Any, context: Any) -> Any:  # noqa: N802
        found = self.read(request.urn, request.id, decode(request.inputs), decode(request.properties))
        if found is None:
            return provider_pb2.ReadResponse()
        return provider_pb2.ReadResponse(
            id=found.id, properties=encode(found.outputs), inputs=encode(found.inputs)
        )

    @_answered
    def Update(self, request: Any, context: Any) -> Any:  # noqa: N802
        outputs = self.update(
            request.urn,
            request.id,
            decode(request.old_inputs),
            decode(request.olds),
            decode(request.news),
            request.preview,
        )
        return provider_pb2.UpdateResponse(properties=encode(outputs))

    @_answered
    def Delete(self, request: Any, context: Any) -> Any:  # noqa: N802
        self.delete(request.urn, request.id, decode(request.old_inputs), decode(request.properties))
        return Empty()

    @_answered
    def Invoke(self, request: Any, context: Any) -> Any:  # noqa: N802
        return provider_pb2.InvokeResponse(
            **{"return": encode(self.invoke(request.tok, decode(request.args)))}
        )


def _diff_response(diff: Diff) -> Any:
    def kind(path: str, change: str) -> Any:
        forced = "_REPLACE" if top_level(path) in diff.replaces else ""
        return provider_pb2.PropertyDiff.Kind.Value(change.upper() + forced)

    detailed = {
        path: provider_pb2.PropertyDiff(kind=kind(path, change), inputDiff=True)
        for path, change in diff.paths.items()
    }
    return provider_pb2.DiffResponse(
        changes=provider_pb2.DiffResponse.DIFF_SOME if detailed else provider_pb2.DiffResponse.DIFF_NONE,
        diffs=_distinct(map(top_level, diff.paths)),
        replaces=_distinct(top for top in map(top_level, diff.paths) if top in diff.replaces),
        deleteBeforeReplace=diff.delete_before_replace,
        detailedDiff=detailed,
        hasDetailedDiff=True,
    )


def _distinct(items: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(items))


def start(plugin: Plugin) -> tuple[grpc.Server, int]:
    """Serves the plug-in on a free loopback port; gives the server and its port."""
    server = grpc.server(ThreadPoolExecutor(_THREADS), options=_NO_LIMIT)
    add_ResourceProviderServicer_to_server(plugin, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    return server, port


def serve(plugin: Plugin) -> NoReturn:
    """Runs the plug-in as the engine's child: the port on stdout, then until the engine ends it or dies.

    The engine interrupts its plug-ins, each in a process group of its own, when all their work is done; a
    killed engine cannot, so the plug-in watches for a new parent. Calls under way then come to their end
    first, so that what they make is on record.
    """
    engine, stop = os.getppid(), threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    server, port = start(plugin)
    print(port, flush=True)
    while os.getppid() == engine and not stop.wait(0.5):
        pass
    server.stop(_LAST_CALLS_S).wait()
    os._exit(0)  # a worker thread may still wait for an engine that is gone
