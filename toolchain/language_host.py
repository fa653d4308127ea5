"""A language host: the process through which the Pulumi engine runs Python programs and policy packs.

The engine starts `pulumi-language-python <engine's address>`, reads a port from its stdout and speaks the
LanguageRuntime protocol to it. The official host ships with the official CLI; a CLI built from source has
none, and gets this one. A program is run by the SDK's own executor, with the arguments and the environment
that the official host gives it.

Usage: language_host.py EXECUTOR [FLAGS...] ENGINE_ADDRESS
"""
# ruff: noqa: N802 (the protocol names the methods)

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue
from typing import IO, Any

import grpc
from google.protobuf.empty_pb2 import Empty
from google.protobuf.json_format import MessageToDict, ParseDict
from pulumi.runtime.proto import language_pb2 as pb
from pulumi.runtime.proto import plugin_pb2
from pulumi.runtime.proto.language_pb2_grpc import (
    LanguageRuntimeServicer,
    add_LanguageRuntimeServicer_to_server,
)

ALREADY_REPORTED = 32
"""Exit status by which the executor says that it has shown the program's error to the user."""

PURE_LIBRARY = "import sysconfig; print(sysconfig.get_path('purelib'))"


class LanguageHost(LanguageRuntimeServicer):
    """One engine's Python runtime. `stopping` is set when the engine asks the host to end."""

    def __init__(self, executor: Path, engine: str) -> None:
        self._executor, self._engine = executor, engine
        self.stopping = threading.Event()

    def Handshake(self, request: Any, context: Any) -> Any:
        self._engine = request.engine_address
        return pb.LanguageHandshakeResponse()

    def GetPluginInfo(self, request: Any, context: Any) -> Any:
        return plugin_pb2.PluginInfo()

    def Cancel(self, request: Any, context: Any) -> Any:
        self.stopping.set()
        return Empty()

    def About(self, request: Any, context: Any) -> Any:
        python = _python(request.info, context)
        version = _output(python, "-c", "import platform; print(platform.python_version())")
        return pb.AboutResponse(executable=str(python), version=version.strip())

    def GetProgramDependencies(self, request: Any, context: Any) -> Any:
        directly = [] if request.transitiveDependencies else ["--not-required"]
        listed = _output(_python(request.info, context), "-m", "pip", "list", "--format=json", *directly)
        found = [pb.DependencyInfo(name=each["name"], version=each["version"]) for each in json.loads(listed)]
        return pb.GetProgramDependenciesResponse(dependencies=found)

    def GetRequiredPackages(self, request: Any, context: Any) -> Any:
        """The resource plug-ins that the installed Pulumi packages name, each in its pulumi-plugin.json."""
        library = Path(_output(_python(request.info, context), "-c", PURE_LIBRARY).strip())
        packages = []
        for file in sorted(library.glob("*/pulumi-plugin.json")):
            described = json.loads(file.read_text())
            if described.pop("resource", False):
                package = ParseDict(described, plugin_pb2.PackageDependency(), ignore_unknown_fields=True)
                package.kind = "resource"
                package.version = f"v{package.version.removeprefix('v')}"
                packages.append(package)
        return pb.GetRequiredPackagesResponse(packages=packages)

    def RuntimeOptionsPrompts(self, request: Any, context: Any) -> Any:
        return pb.RuntimeOptionsResponse()

    def InstallDependencies(self, request: Any, context: Any) -> Iterator[Any]:
        said = f"Nothing is installed here: packages are as they are in {_python(request.info, context)}.\n"
        yield pb.InstallDependenciesResponse(stdout=said.encode())

    def Run(self, request: Any, context: Any) -> Any:
        """Run a program; its output goes to the engine through this process's own stdout and stderr."""
        python = _python(request.info, context)
        arguments = {
            "monitor": request.monitor_address,
            "engine": self._engine,
            "project": request.project,
            "root_directory": request.info.root_directory,
            "stack": request.stack,
            "pwd": request.pwd,
            "dry_run": "true" if request.dryRun else "false",
            "parallel": str(request.parallel),
            "organization": request.organization,
        }
        flags = [word for name, value in arguments.items() if value for word in (f"--{name}", value)]
        environment = {
            **_environment(python),
            "PULUMI_CONFIG": json.dumps(dict(request.config)),
            "PULUMI_CONFIG_SECRET_KEYS": json.dumps(list(request.configSecretKeys)),
        }
        command = [python, self._executor, *flags, request.info.entry_point, *request.args]
        with _child(context, command, env=environment) as program:
            status = program.wait()
        if status in (0, ALREADY_REPORTED):
            return pb.RunResponse(bail=status == ALREADY_REPORTED)
        return pb.RunResponse(error=f"the program ended with exit status {status}")

    def RunPlugin(self, request: Any, context: Any) -> Iterator[Any]:
        """Run a plug-in's `__main__.py`, such as a policy pack's; stream what it says, then its status."""
        python = _python(request.info, context)
        environment = {**_environment(python), **dict(pair.split("=", 1) for pair in request.env)}
        command = [python, request.info.program_directory, *request.args]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        with _child(context, command, cwd=request.pwd, env=environment, **pipes) as plugin:
            said: SimpleQueue[Any] = SimpleQueue()
            for name in pipes:
                threading.Thread(target=_pump, args=(getattr(plugin, name), name, said), daemon=True).start()
            for _ in pipes:
                yield from iter(said.get, None)
            yield pb.RunPluginResponse(exitcode=plugin.wait())


def _pump(stream: IO[bytes], name: str, into: SimpleQueue[Any]) -> None:
    """Pass on what arrives as it arrives, and None at the stream's end."""
    with stream:
        while chunk := os.read(stream.fileno(), 65536):
            message = pb.RunPluginResponse()
            setattr(message, name, chunk)
            into.put(message)
    into.put(None)


@contextmanager
def _child(context: Any, command: list[Any], **options: Any) -> Iterator[subprocess.Popen[bytes]]:
    """A child process that does not outlive the call: gRPC ends it when the engine cancels or goes away."""
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, **options)
    try:
        if not context.add_callback(child.kill):  # the call has ended already
            child.kill()
        yield child
    finally:
        child.kill()
        child.wait()


def _python(info: Any, context: Any) -> Path:
    """The Python that the project's runtime options name; this process's own where they name none."""
    options = MessageToDict(info.options)
    virtualenv = options.pop("virtualenv", "")
    if options.pop("toolchain", "pip") != "pip" or options:
        known = "runtime options: this language host knows `virtualenv` and `toolchain: pip`"
        context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"{known}; take the official Pulumi CLI for others")
    if not virtualenv:
        return Path(sys.executable)
    python = Path(info.root_directory, virtualenv, "bin", "python")
    if not python.exists():
        missing = f"runtime option `virtualenv: {virtualenv}`: there is no {python}; make it first"
        context.abort(grpc.StatusCode.FAILED_PRECONDITION, missing)
    return python


def _environment(python: Path) -> dict[str, str]:
    """This process's environment with the Python's virtual environment activated."""
    environment = dict(os.environ)
    environment.pop("PYTHONHOME", None)
    environment["VIRTUAL_ENV"] = str(python.parent.parent)
    environment["PATH"] = os.pathsep.join((str(python.parent), environment.get("PATH", os.defpath)))
    return environment


def _output(python: Path, *arguments: str) -> str:
    return subprocess.run([python, *arguments], stdout=subprocess.PIPE, text=True, check=True).stdout


def main() -> None:
    executor, engine = Path(sys.argv[1]), sys.argv[-1]
    host = LanguageHost(executor, engine)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: host.stopping.set())
    # Every policy pack and program holds a thread for as long as it runs.
    server = grpc.server(ThreadPoolExecutor(max_workers=100))
    add_LanguageRuntimeServicer_to_server(host, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    parent = os.getppid()
    print(port, flush=True)
    while not host.stopping.wait(1.0) and os.getppid() == parent:
        continue
    server.stop(grace=0.5).wait()
    if os.getpgrp() == os.getpid():  # the engine made this process a group, for it and all that it started
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        os.killpg(0, signal.SIGTERM)


if __name__ == "__main__":
    main()
