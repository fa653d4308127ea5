"""`validate-cluster`: every manifest of an environment, held before a real Kubernetes API server.

Only when asked for, and no part of the tests: the first time, it builds the server from source.
"""

import signal
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from environments import loader
from environments.schema import Environment
from inferctl.checks import Finding, Result, fault, ok, report, unknown
from inferctl.errors import CommandFailed, Exit
from inferctl.options import Json
from inferctl.plan import deployment
from inferctl.session import environment
from inferctl.up import told
from inferctl.workspace import Workspace
from local_aws import custom_resources, manifests
from local_aws.api_server import ApiServer, api_server
from toolchain import crds, kube_apiserver
from toolchain.go_build import Unavailable
from toolchain.progress import Progress


def validate_cluster(
    envs: Annotated[list[str] | None, typer.Argument(help="Environments; default all.")] = None,
    as_json: Json = False,
) -> None:
    """Apply every Kubernetes manifest to a real API server, which is built at first; exit with 6 on a fault.

    Example: inferctl validate-cluster prod
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # as an interrupt: the server ends, too
    report("validate-cluster", examine(envs or loader.names()), as_json)


def examine(names: Sequence[str]) -> list[Result]:
    """What an API server says of environments, one that holds nothing else for each.

    Raises:
        CommandFailed: a setting is wrong, the program fails, or the server cannot be had.
        EmulatorError: the server does not start.
    """
    environments = [environment(name) for name in names]
    binaries = _binaries()
    return [
        Result(check=env.name, verdict=found.verdict, what=found.what, next_step=found.next_step)
        for env in environments
        for found in _judged(env, binaries)
    ]


def _binaries() -> Path:
    with Progress() as progress, progress.step("api server") as step:
        try:
            binaries = kube_apiserver.ensure(step)
        except Unavailable as reason:
            raise CommandFailed(
                f"the Kubernetes API server cannot be built: {reason}",
                "put Go on PATH (https://go.dev/dl/), with a Go module proxy within reach (GOPROXY), and run "
                "it again: what is compiled is kept",
                Exit.NOT_THERE,
            ) from None
    if not crds.folder().is_dir():
        raise CommandFailed(
            "set-up has got no definitions of custom resources",
            "run `make setup` where a Go module proxy is within reach (GOPROXY)",
            Exit.NOT_THERE,
        )
    return binaries


def _judged(env: Environment, binaries: Path) -> Iterator[Finding]:
    if not env.has_cluster:
        yield ok("no model is on a cluster: there are no manifests")
        return
    deployment(env.name)
    workspace = Workspace.here()
    folder = workspace.manifests(env.name)
    rendered = {path: yaml.safe_load(path.read_text("utf-8")) for path in sorted(folder.rglob("*.yaml"))}
    charts = [each for each in rendered.values() if manifests.kind_of(each) == manifests.HELM_RELEASE]
    objects = [each for each in rendered.values() if each not in charts]
    with (
        Progress() as progress,
        progress.step("apply") as step,
        api_server(binaries, workspace.local / "api-server", told(step)) as server,
    ):
        step.detail = f"{len(objects)} manifests of {env.name}"
        found = list(_said(server, objects, folder))
        step.result = f"{len(objects)} manifests of {env.name}"
    yield from found
    yield unknown(f"{len(charts)} charts: Helm renders them at the cluster")


def _said(server: ApiServer, objects: Sequence[dict[str, Any]], folder: Path) -> Iterator[Finding]:
    if unfit := server.apply(custom_resources.definitions()):
        raise CommandFailed(
            f"the API server refuses the definition {unfit[0].manifest}: {unfit[0].reason}",
            "correct its version in toolchain/crds.py, or local_aws/custom_resources.yaml",
        )
    refusals = server.apply(objects)
    for refusal in refusals:
        field = f" {refusal.field}:" if refusal.field else ""
        yield fault(
            f"{refusal.manifest}:{field} {refusal.reason}",
            f"correct the resource that the first line of {folder / refusal.manifest} names",
        )
    accepted = len(objects) - len({refusal.manifest for refusal in refusals})
    if accepted:
        yield ok(f"Kubernetes {server.version()} accepts {accepted} manifests")
