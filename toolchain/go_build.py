"""The Pulumi CLI built from source: the modules that `go/go.mod` pins, by hash in `go/go.sum`.

Measured on two cores: 50 s of downloads and five minutes of compiling, once; then a few seconds.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from toolchain.progress import CommandError, Step

MODULE = Path(__file__).with_name("go")
PACKAGE = "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi"
SDK = "github.com/pulumi/pulumi/sdk/v3"
EXECUTOR = "pulumi-language-python-exec"
"""The script that the official language host runs a program with; it is part of the SDK's Go module."""


class Unavailable(Exception):
    """No CLI is to be had in some way; the message says why."""


def required_go() -> str:
    """The oldest Go that can build the module, as go.mod states it."""
    stated = re.search(r"^go (\S+)", (MODULE / "go.mod").read_text(), re.MULTILINE)
    assert stated is not None
    return stated[1]


def build(directory: Path, version: str, step: Step) -> None:
    """Leave `pulumi` and the executor of Python programs in `directory`; raises Unavailable."""
    go = shutil.which("go")
    if go is None:
        raise Unavailable("there is no `go` on PATH")
    _refuse_old(go)
    # No cgo: no C compiler is needed, as in the official builds. No workspace: go.mod alone decides.
    environment = {**os.environ, "CGO_ENABLED": "0", "GOWORK": "off"}
    linker_flags = f"-s -w -X {SDK}/go/common/version.Version=v{version}"
    command = [go, "build", "-v", "-trimpath", "-mod=readonly", "-ldflags", linker_flags]
    step.detail = "building the Pulumi CLI: several minutes, once"
    try:
        step.run([*command, "-o", directory, PACKAGE], describe=_describer(), env=environment, cwd=MODULE)
        located = step.run([go, "list", "-m", "-f", "{{.Dir}}", SDK], env=environment, cwd=MODULE)
    except CommandError as error:
        # Of what Go says, the lines that are neither a download nor a package's name tell the reason.
        reasons = [line for line in error.lines if " " in line and not line.startswith("go: downloading ")]
        raise Unavailable("; ".join(reasons[:2])[:500] or str(error)) from error
    shutil.copyfile(Path(located[-1], "python", "cmd", EXECUTOR), directory / EXECUTOR)


def _describer() -> Callable[[str], str]:
    """What a line of `go build -v` means: it names a package as its compiling starts, the command last."""
    downloaded = compiled = 0

    def describe(line: str) -> str:
        nonlocal downloaded, compiled
        if line.startswith("go: downloading "):
            downloaded += 1
            return f"downloading Go module {downloaded}: {line.split()[2]}"
        compiled += 1
        doing = "compiling and linking the last of" if line.strip() == PACKAGE else "compiling Go package"
        return f"{doing} {compiled}: {line.strip()}"

    return describe


def _refuse_old(go: str) -> None:
    """Raise where this Go can neither build the module nor fetch a Go that can.

    Since 1.21, Go fetches the version that go.mod asks for unless GOTOOLCHAIN forbids it.
    """
    said = subprocess.run([go, "env", "GOVERSION", "GOTOOLCHAIN"], cwd="/", capture_output=True, text=True)
    version, _, choice = said.stdout.strip().partition("\n")
    found = tuple(map(int, re.findall(r"\d+", version)[:3]))
    required = tuple(map(int, required_go().split(".")))
    if found < required and ("auto" not in choice or found < (1, 21)):
        raise Unavailable(f"{go} is {version or 'broken'}, and {PACKAGE} needs go{required_go()} or newer")
