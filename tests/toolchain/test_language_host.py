"""The language host by itself: a real process, called over gRPC as the engine calls it."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.empty_pb2 import Empty
from google.protobuf.json_format import ParseDict
from google.protobuf.struct_pb2 import Struct
from pulumi.runtime.proto import language_pb2 as pb
from pulumi.runtime.proto.language_pb2_grpc import LanguageRuntimeStub

HOST = Path(__file__).parents[2] / "toolchain" / "language_host.py"


@dataclass(frozen=True)
class Host:
    process: subprocess.Popen[str]
    calls: Any


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    """A host whose executor writes down the arguments and the environment that it was given."""
    executor = tmp_path / "executor.py"
    executor.write_text(
        "import json, os, sys\n"
        "said = {'arguments': sys.argv[1:], 'environment': dict(os.environ), 'python': sys.executable}\n"
        "open('said.json', 'w').write(json.dumps(said))\n"
        "sys.exit(int(os.environ.get('STATUS', 0)))\n"
    )
    with subprocess.Popen(
        [sys.executable, "-P", HOST, executor, "--logtostderr", "127.0.0.1:1"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        with grpc.insecure_channel(f"127.0.0.1:{int(process.stdout.readline())}") as channel:
            yield Host(process, LanguageRuntimeStub(channel))
        process.kill()


def info(root: Path, **options: str) -> pb.ProgramInfo:
    described = ParseDict(options, Struct())
    return pb.ProgramInfo(
        root_directory=str(root), program_directory=str(root), entry_point=".", options=described
    )


def plugin(directory: Path, text: str, **environment: str) -> pb.RunPluginRequest:
    (directory / "__main__.py").write_text(text)
    pairs = [f"{name}={value}" for name, value in environment.items()]
    return pb.RunPluginRequest(pwd=str(directory), args=["engine:1"], env=pairs, info=info(directory))


def gone(pid: int) -> None:
    """Return when a process has ended."""
    for _ in range(600):
        state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True).stdout
        if not state.strip() or state.startswith("Z"):
            return
        time.sleep(0.05)
    pytest.fail(f"process {pid} still runs")


def line(answers: Iterator[pb.RunPluginResponse], stream: str) -> bytes:
    """The next line of a stream, however it was cut in pieces."""
    said = b""
    while not said.endswith(b"\n"):
        said += getattr(next(answers), stream)
    return said


def test_a_program_gets_the_arguments_and_configuration_of_the_official_host(
    host: Host, tmp_path: Path
) -> None:
    request = pb.RunRequest(
        project="p",
        stack="s",
        organization="o",
        pwd=str(tmp_path),
        monitor_address="monitor:1",
        parallel=16,
        dryRun=True,
        config={"p:size": "3", "p:key": "hush"},
        configSecretKeys=["p:key"],
        info=info(tmp_path, virtualenv=sys.prefix),
        args=["more"],
    )
    assert host.calls.Run(request) == pb.RunResponse()
    said = json.loads((tmp_path / "said.json").read_text())
    *flags, entry_point, last = said["arguments"]
    assert (entry_point, last) == (".", "more")
    assert dict(zip(flags[::2], flags[1::2], strict=True)) == {
        "--monitor": "monitor:1",
        "--engine": "127.0.0.1:1",
        "--project": "p",
        "--root_directory": str(tmp_path),
        "--stack": "s",
        "--pwd": str(tmp_path),
        "--dry_run": "true",
        "--parallel": "16",
        "--organization": "o",
    }
    environment = said["environment"]
    assert json.loads(environment["PULUMI_CONFIG"]) == {"p:size": "3", "p:key": "hush"}
    assert json.loads(environment["PULUMI_CONFIG_SECRET_KEYS"]) == ["p:key"]
    assert environment["VIRTUAL_ENV"] == sys.prefix
    assert environment["PATH"].startswith(f"{sys.prefix}/bin:")


def test_an_engine_that_attaches_gives_its_address_by_handshake(host: Host, tmp_path: Path) -> None:
    host.calls.Handshake(pb.LanguageHandshakeRequest(engine_address="127.0.0.1:2"))
    host.calls.Run(pb.RunRequest(pwd=str(tmp_path), info=info(tmp_path)))
    arguments = json.loads((tmp_path / "said.json").read_text())["arguments"]
    assert arguments[arguments.index("--engine") + 1] == "127.0.0.1:2"


def test_required_packages_are_those_that_name_a_resource_plugin(host: Host, tmp_path: Path) -> None:
    answer = host.calls.GetRequiredPackages(pb.GetRequiredPackagesRequest(info=info(tmp_path)))
    found = {package.name: package for package in answer.packages}
    assert set(found) == {"aws", "eks", "kubernetes"}  # pulumi-policy says that it has none
    assert {package.kind for package in answer.packages} == {"resource"}
    assert found["aws"].version == f"v{version('pulumi-aws')}"


def test_a_parameterized_package_is_reported_with_its_parameter(host: Host, tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True)
    (library,) = (tmp_path / "venv" / "lib").glob("python*/site-packages")
    (library / "pulumi_cloud").mkdir()
    parameter = {"name": "cloud", "version": "1.0.0", "value": "aGVsbG8="}
    described = {"resource": True, "name": "bridge", "version": "v2.0.0", "parameterization": parameter}
    (library / "pulumi_cloud" / "pulumi-plugin.json").write_text(json.dumps(described))
    request = pb.GetRequiredPackagesRequest(info=info(tmp_path, virtualenv="venv"))
    (package,) = host.calls.GetRequiredPackages(request).packages
    assert (package.name, package.version) == ("bridge", "v2.0.0")
    assert package.parameterization.name == "cloud"
    assert package.parameterization.value == b"hello"


def test_about_and_dependencies_tell_of_the_program_s_python(host: Host, tmp_path: Path) -> None:
    about = host.calls.About(pb.AboutRequest(info=info(tmp_path, virtualenv=sys.prefix)))
    assert about.executable == f"{sys.prefix}/bin/python"
    assert about.version == ".".join(map(str, sys.version_info[:3]))
    request = pb.GetProgramDependenciesRequest(info=info(tmp_path), transitiveDependencies=True)
    every = {found.name: found.version for found in host.calls.GetProgramDependencies(request).dependencies}
    request.transitiveDependencies = False
    direct = {found.name for found in host.calls.GetProgramDependencies(request).dependencies}
    assert "grpcio" in every and "grpcio" not in direct
    assert direct < set(every)


def test_nothing_is_asked_or_installed_but_said_so(host: Host, tmp_path: Path) -> None:
    assert not host.calls.RuntimeOptionsPrompts(pb.RuntimeOptionsRequest()).prompts
    assert host.calls.GetPluginInfo(Empty()).version == ""
    (said,) = host.calls.InstallDependencies(pb.InstallDependenciesRequest(info=info(tmp_path)))
    assert sys.executable in said.stdout.decode()


@pytest.mark.parametrize(
    ("options", "code", "named"),
    [
        ({"toolchain": "poetry"}, grpc.StatusCode.INVALID_ARGUMENT, "`toolchain: pip`"),
        ({"typechecker": "mypy"}, grpc.StatusCode.INVALID_ARGUMENT, "official Pulumi CLI"),
        ({"virtualenv": "gone"}, grpc.StatusCode.FAILED_PRECONDITION, "gone/bin/python"),
    ],
)
def test_runtime_options_that_cannot_be_honoured_are_refused(
    host: Host, tmp_path: Path, options: dict[str, str], code: grpc.StatusCode, named: str
) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        host.calls.Run(pb.RunRequest(info=info(tmp_path, **options)))
    assert refused.value.code() == code
    assert named in refused.value.details()


def test_a_plugin_s_output_is_streamed_while_it_runs(host: Host, tmp_path: Path) -> None:
    request = plugin(
        tmp_path,
        "import os, sys, time\n"
        "print(sys.argv[1], os.environ['SHELF'], flush=True)\n"
        "while not os.path.exists('go on'): time.sleep(0.05)\n"
        "print('so long', file=sys.stderr)\n"
        "sys.exit(7)\n",
        SHELF="oak",
    )
    answers = host.calls.RunPlugin(request)
    assert line(answers, "stdout") == b"engine:1 oak\n"
    (tmp_path / "go on").touch()
    assert line(answers, "stderr") == b"so long\n"
    assert [answer.exitcode for answer in answers] == [7]


def test_cancelling_the_call_ends_the_plugin(host: Host, tmp_path: Path) -> None:
    request = plugin(tmp_path, "import os, time\nprint(os.getpid(), flush=True)\ntime.sleep(600)\n")
    answers = host.calls.RunPlugin(request)
    pid = int(line(answers, "stdout"))
    answers.cancel()
    gone(pid)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, "Cancel"])
def test_the_host_ends_quietly_and_takes_its_children_along(host: Host, tmp_path: Path, how: Any) -> None:
    text = (
        "import subprocess, time\n"
        "print(subprocess.Popen(['sleep', '600']).pid, flush=True)\n"
        "time.sleep(600)\n"
    )
    answers = host.calls.RunPlugin(plugin(tmp_path, text))
    pid = int(line(answers, "stdout"))
    if how == "Cancel":
        host.calls.Cancel(Empty())
    else:
        host.process.send_signal(how)
    _, complaints = host.process.communicate(timeout=30)
    assert (host.process.returncode, complaints) == (0, "")
    gone(pid)
