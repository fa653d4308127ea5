"""Programs built from source: the Go modules that a `go.mod` here pins, by hash in the `go.sum` beside it.

The Pulumi CLI, measured on two cores: 50 s of downloads and five minutes of compiling, once; then a few
seconds.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from toolchain.progress import CommandError, Step

MODULE = Path(__file__).with_name("go")
PACKAGE = "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi"
SDK = "github.com/pulumi/pulumi/sdk/v3"
EXECUTOR = "pulumi-language-python-exec"
"""The script that the official language host runs a program with; it is part of the SDK's Go module."""


class Unavailable(Exception):
    """No program is to be had in some way; the message says why."""


def required_go(module: Path = MODULE) -> str:
    """The oldest Go that can build the module, as its go.mod states it."""
    return pinned(module, "go")


def pinned(module: Path, path: str) -> str:
    """The version of Go itself or of a dependency that a go.mod states."""
    stated = re.search(rf"^\s*{re.escape(path)} (\S+)", (module / "go.mod").read_text(), re.MULTILINE)
    assert stated is not None, f"{module}/go.mod states no version of {path}"
    return stated[1]


def build(directory: Path, version: str, step: Step) -> None:
    """Leave `pulumi` and the executor of Python programs in `directory`; raises Unavailable."""
    step.detail = "building the Pulumi CLI: several minutes, once"
    linked = {f"{SDK}/go/common/version.Version": f"v{version}"}
    go = compile_programs(MODULE, [PACKAGE], directory, linked, step)
    located = _run(step, [go, "list", "-m", "-f", "{{.Dir}}", SDK], MODULE)
    shutil.copyfile(Path(located[-1], "python", "cmd", EXECUTOR), directory / EXECUTOR)


def compile_programs(
    module: Path,
    packages: Sequence[str],
    directory: Path,
    linked: Mapping[str, str],
    step: Step,
    *,
    politely: bool = False,
) -> str:
    """Compile main packages into `directory`, each under the last element of its path; returns the `go` used.

    Args:
        module: folder of the go.mod and go.sum that pin everything.
        linked: variable of a package -> the text that the linker gives it.
        politely: with half of the processors and a low priority, for what nobody waits for.

    Raises:
        Unavailable: there is no Go that can, or it fails; the message says why.
    """
    go = shutil.which("go")
    if go is None:
        raise Unavailable("there is no `go` on PATH")
    _refuse_old(go, module, packages[0])
    flags = " ".join(["-s", "-w", *(f"-X {name}={text}" for name, text in linked.items())])
    command = [go, "build", "-v", "-trimpath", "-mod=readonly", "-ldflags", flags]
    if politely:
        command = ["nice", *command, "-p", str(max((os.cpu_count() or 1) // 2, 1))]
    _run(step, [*command, "-o", f"{directory}/", *packages], module, _describer(packages))
    return go


def _run(
    step: Step, command: Sequence[str], module: Path, describe: Callable[[str], str] = str.strip
) -> list[str]:
    # No cgo: no C compiler is needed, as in the official builds. No workspace: go.mod alone decides.
    environment = {**os.environ, "CGO_ENABLED": "0", "GOWORK": "off"}
    try:
        return step.run(command, describe=describe, env=environment, cwd=module)
    except CommandError as error:
        # Of what Go says, the lines that are neither a download nor a package's name tell the reason.
        reasons = [line for line in error.lines if " " in line and not line.startswith("go: downloading ")]
        raise Unavailable("; ".join(reasons[:2])[:500] or str(error)) from error


def _describer(packages: Sequence[str]) -> Callable[[str], str]:
    """What a line of `go build -v` means: it names a package as its compiling starts, the command last."""
    downloaded = compiled = 0

    def describe(line: str) -> str:
        nonlocal downloaded, compiled
        if line.startswith("go: downloading "):
            downloaded += 1
            return f"downloading Go module {downloaded}: {line.split()[2]}"
        compiled += 1
        doing = "compiling and linking the last of" if line.strip() in packages else "compiling Go package"
        return f"{doing} {compiled}: {line.strip()}"

    return describe


def _refuse_old(go: str, module: Path, package: str) -> None:
    """Raise where this Go can neither build the module nor fetch a Go that can.

    Since 1.21, Go fetches the version that go.mod asks for unless GOTOOLCHAIN forbids it.
    """
    said = subprocess.run([go, "env", "GOVERSION", "GOTOOLCHAIN"], cwd="/", capture_output=True, text=True)
    version, _, choice = said.stdout.strip().partition("\n")
    found = tuple(map(int, re.findall(r"\d+", version)[:3]))
    required = required_go(module)
    too_old = found < tuple(map(int, required.split(".")))
    if too_old and ("auto" not in choice or found < (1, 21)):
        raise Unavailable(f"{go} is {version or 'broken'}, and {package} needs go{required} or newer")
