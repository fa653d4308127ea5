"""Runs components, or the whole program, against mocks and records what they register."""

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import patch

import pulumi
from pulumi.runtime import mocks, rpc, settings

STACK = "pulumi:pulumi:Stack"
KUBECONFIG = json.dumps(
    {
        "clusters": [
            {"cluster": {"server": "https://cluster", "certificate-authority-data": "Y2VydGlmaWNhdGU="}}
        ]
    }
)
"""What an imaginary cluster says of itself."""


@dataclass(frozen=True, kw_only=True)
class Resource:
    """A registration as the engine would get it."""

    type: str
    name: str
    inputs: Mapping[str, Any]
    """Under the engine's names; secrets bare."""
    secrets: frozenset[str] = frozenset()
    """Names of the inputs that are secret."""
    urn: str = ""
    parent: str = ""
    provider: str = ""
    protect: bool = False
    ignore_changes: Sequence[str] = ()
    depends_on: Sequence[str] = ()
    """URNs that it waits for, whether asked for or because an input is their output."""


@dataclass
class Recorded(mocks.Mocks):
    """What was registered; `outputs` are what an imaginary AWS adds to the inputs."""

    resources: list[Resource] = field(default_factory=list)
    finished: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    """URN of a component -> the outputs that it registered."""
    exports: dict[str, Any] = field(default_factory=dict)
    """What a program exports; empty for a component alone."""

    def outputs(self, type_: str, name: str, inputs: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        """Id and outputs of a resource that is made of `inputs`."""
        outputs = {"arn": f"arn:aws:mock:us-east-1:111111111111:{name}", **inputs}
        if type_ == "aws:acm/certificate:Certificate":
            outputs["domainValidationOptions"] = [
                {
                    "domainName": inputs["domainName"],
                    "resourceRecordName": "_proof.example.com.",
                    "resourceRecordType": "CNAME",
                    "resourceRecordValue": "_value.acm-validations.aws.",
                }
            ]
        if type_ == "aws:acm/certificateValidation:CertificateValidation":
            outputs["certificateArn"] = inputs["certificateArn"] + "/validated"
        if type_ == "aws:apigateway/domainName:DomainName":
            outputs["regionalDomainName"] = "d-regional.execute-api.us-east-1.amazonaws.com"
            outputs["regionalZoneId"] = "ZREGIONAL"
        if type_ == "aws:ecr/repository:Repository":
            outputs["repositoryUrl"] = f"registry/{inputs['name']}"
        if type_ == "aws:lambda/alias:Alias":
            outputs["invokeArn"] = f"{outputs['arn']}/invocations"
        if type_ == "aws:apigateway/apiKey:ApiKey":
            outputs["value"] = f"secret value of {name}"
        return f"{name}-id", outputs

    def new_resource(self, args: mocks.MockResourceArgs) -> tuple[str | None, dict[str, Any]]:
        inputs = {key: rpc.unwrap_rpc_secret(value) for key, value in args.inputs.items()}
        if args.typ == "eks:index:Cluster":  # its children are the plug-in's affair
            return args.name, {"kubeconfigJson": KUBECONFIG, "clusterSecurityGroupId": "sg-nodes"}
        if not args.custom:
            return None, inputs
        return self.outputs(args.typ, args.name, inputs)

    def call(self, args: mocks.MockCallArgs) -> tuple[dict[Any, Any], list[tuple[str, str]] | None]:
        raise AssertionError(f"{args.token} is called; components ask AWS for nothing while they are built")

    def all(self, type_: str) -> list[Resource]:
        return [resource for resource in self.resources if resource.type == type_]

    def one(self, type_: str) -> Resource:
        [found] = self.all(type_)
        return found

    def named(self, name: str) -> Resource:
        """The resource of that logical name."""
        [found] = [resource for resource in self.resources if resource.name == name]
        return found


class _Monitor(mocks.MockMonitor):
    """Also keeps what the SDK's monitor does not hand to the mocks: options and registered outputs."""

    mocks: Recorded

    def RegisterResource(self, request: Any) -> Any:  # noqa: N802 - the protocol's name
        answer = super().RegisterResource(request)  # type: ignore[no-untyped-call]
        if request.type != STACK:
            given = rpc.deserialize_properties(request.object)
            self.mocks.resources.append(
                Resource(
                    type=request.type,
                    name=request.name,
                    inputs={key: rpc.unwrap_rpc_secret(value) for key, value in given.items()},
                    secrets=frozenset(key for key, value in given.items() if rpc.is_rpc_secret(value)),
                    urn=answer.urn,
                    parent=request.parent,
                    provider=request.provider,
                    protect=request.protect,
                    ignore_changes=tuple(request.ignoreChanges),
                    depends_on=tuple(request.dependencies),
                )
            )
        return answer

    def RegisterResourceOutputs(self, request: Any) -> Any:  # noqa: N802 - the protocol's name
        self.mocks.finished[request.urn] = rpc.deserialize_properties(request.outputs)
        return super().RegisterResourceOutputs(request)  # type: ignore[no-untyped-call]


def deployed(
    build: Callable[[], object], *, stack: str = "dev", recorded: Recorded | None = None
) -> Recorded:
    """What `build` registers, once every registration and apply is through.

    Raises:
        Exception: whatever `build`, a registration or an apply raises.
    """
    recorded = recorded if recorded is not None else Recorded()
    loop = asyncio.new_event_loop()
    # The first error is raised below. Tasks that fail with it would be reported when they are collected, in
    # the middle of whatever runs then.
    loop.set_exception_handler(lambda _loop, _context: None)
    asyncio.set_event_loop(loop)
    mocks.set_mocks(
        recorded,
        project="inference-platform",
        stack=stack,
        preview=False,
        monitor=_Monitor(recorded),
    )
    try:
        # A resource that is an input (the cluster's role) would be read back from the engine, by a task that
        # outlives the program; its URN says as much.
        with patch.object(rpc, "deserialize_resource", lambda reference, *_: reference["urn"]):
            pulumi.runtime.test(build)()  # type: ignore[no-untyped-call]
    finally:
        settings.reset_options()
        loop.close()
    return recorded
