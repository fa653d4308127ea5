"""Runs a component against mocks and records what it registers."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pulumi
from pulumi.runtime import mocks, settings


@dataclass(frozen=True)
class Resource:
    type: str
    name: str
    inputs: Mapping[str, Any]


@dataclass
class Recorded(mocks.Mocks):
    resources: list[Resource] = field(default_factory=list)

    def new_resource(self, args: mocks.MockResourceArgs) -> tuple[str, dict[str, Any]]:
        self.resources.append(Resource(args.typ, args.name, args.inputs))
        outputs = {"arn": f"arn:aws:mock:us-east-1:111111111111:{args.name}", **args.inputs}
        if args.typ == "aws:acm/certificate:Certificate":
            outputs["domainValidationOptions"] = [
                {
                    "domainName": args.inputs["domainName"],
                    "resourceRecordName": "_proof.example.com.",
                    "resourceRecordType": "CNAME",
                    "resourceRecordValue": "_value.acm-validations.aws.",
                }
            ]
        if args.typ == "aws:acm/certificateValidation:CertificateValidation":
            outputs["certificateArn"] = args.inputs["certificateArn"] + "/validated"
        if args.typ == "aws:apigateway/domainName:DomainName":
            outputs["regionalDomainName"] = "d-regional.execute-api.us-east-1.amazonaws.com"
            outputs["regionalZoneId"] = "ZREGIONAL"
        if args.typ == "aws:ecr/repository:Repository":
            outputs["repositoryUrl"] = f"registry/{args.inputs['name']}"
        return f"{args.name}-id", outputs

    def call(self, args: mocks.MockCallArgs) -> tuple[dict[Any, Any], list[tuple[str, str]] | None]:
        raise AssertionError(f"{args.token} is called; components ask AWS for nothing while they are built")

    def all(self, type_: str) -> list[Resource]:
        return [resource for resource in self.resources if resource.type == type_]

    def one(self, type_: str) -> Resource:
        [found] = self.all(type_)
        return found


def deployed(build: Callable[[], object]) -> Recorded:
    recorded = Recorded()
    asyncio.set_event_loop(asyncio.new_event_loop())
    mocks.set_mocks(recorded, project="inference-platform", stack="dev", preview=False)
    try:
        pulumi.runtime.test(build)()  # type: ignore[no-untyped-call]
    finally:
        settings.reset_options()
        asyncio.get_event_loop().close()
    return recorded
