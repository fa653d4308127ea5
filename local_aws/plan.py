"""Plan mode: what a resource of any `aws:*` type would return, made up but well-formed.

Nothing is created. Ids and ARNs have AWS's form and are the same for the same URN, so that programs, policies
and JSON documents built from them can be run and judged. Only what AWS always computes is made up; a setting
that a program leaves out stays absent, so that no rule ever judges an invented one.
"""

import hashlib
import re
import uuid
from dataclasses import dataclass
from typing import Any

from local_aws.autonaming import naming
from local_aws.carried import filled
from local_aws.provider import State, name_of
from local_aws.sdk_types import ResourceType, Shape
from local_aws.tables import TABLES
from local_aws.values import Props, Secret, plain

# Types whose id is not their name: `{hex}` is 17 digits, as EC2 has them.
_EC2_PREFIXES = {
    "EgressOnlyInternetGateway": "eigw",
    "Eip": "eipalloc",
    "FlowLog": "fl",
    "Instance": "i",
    "InternetGateway": "igw",
    "LaunchTemplate": "lt",
    "NatGateway": "nat",
    "NetworkAcl": "acl",
    "NetworkInterface": "eni",
    "Route": "r-rtb",
    "RouteTable": "rtb",
    "RouteTableAssociation": "rtbassoc",
    "SecurityGroup": "sg",
    "DefaultSecurityGroup": "sg",
    "SecurityGroupEgressRule": "sgr",
    "SecurityGroupIngressRule": "sgr",
    "Subnet": "subnet",
    "Vpc": "vpc",
    "VpcEndpoint": "vpce",
}
_ID_FORMS = {
    "aws:apigateway/apiKey:ApiKey": "{lower10}",
    "aws:apigateway/deployment:Deployment": "{lower6}",
    "aws:apigateway/restApi:RestApi": "{lower10}",
    "aws:apigateway/usagePlan:UsagePlan": "{lower6}",
    "aws:apigateway/vpcLink:VpcLink": "{lower6}",
    "aws:cognito/userPool:UserPool": "{region}_{mixed9}",
    "aws:cognito/userPoolClient:UserPoolClient": "{lower26}",
    "aws:efs/accessPoint:AccessPoint": "fsap-{hex}",
    "aws:efs/fileSystem:FileSystem": "fs-{hex}",
    "aws:kms/key:Key": "{uuid}",
    "aws:route53/zone:Zone": "Z{upper19}",
    "aws:sqs/queue:Queue": "https://sqs.{region}.amazonaws.com/{account}/{name}",
    "aws:wafv2/webAcl:WebAcl": "{uuid}",
}
# Where the ARN is neither in a table nor `arn:aws:<module>:<region>:<account>:<type-in-kebab-case>/<name>`.
_ARN_FORMS = {
    "aws:acm/certificate:Certificate": "arn:aws:acm:{region}:{account}:certificate/{uuid}",
    "aws:apigateway/restApi:RestApi": "arn:aws:apigateway:{region}::/restapis/{id}",
    "aws:apigateway/stage:Stage": "arn:aws:apigateway:{region}::/restapis/{restApi}/stages/{stageName}",
    "aws:apigateway/usagePlan:UsagePlan": "arn:aws:apigateway:{region}::/usageplans/{id}",
    "aws:apigateway/apiKey:ApiKey": "arn:aws:apigateway:{region}::/apikeys/{id}",
    "aws:appautoscaling/policy:Policy": (
        "arn:aws:autoscaling:{region}:{account}:scalingPolicy:{uuid}:resource/{serviceNamespace}/{resourceId}"
        ":policyName/{name}"
    ),
    "aws:cloudtrail/trail:Trail": "arn:aws:cloudtrail:{region}:{account}:trail/{name}",
    "aws:cloudwatch/eventRule:EventRule": "arn:aws:events:{region}:{account}:rule/{name}",
    "aws:cloudwatch/metricAlarm:MetricAlarm": "arn:aws:cloudwatch:{region}:{account}:alarm:{name}",
    "aws:ec2/eip:Eip": "arn:aws:ec2:{region}:{account}:elastic-ip/{id}",
    "aws:ec2/flowLog:FlowLog": "arn:aws:ec2:{region}:{account}:vpc-flow-log/{id}",
    "aws:ec2/natGateway:NatGateway": "arn:aws:ec2:{region}:{account}:natgateway/{id}",
    "aws:efs/fileSystem:FileSystem": "arn:aws:elasticfilesystem:{region}:{account}:file-system/{id}",
    "aws:iam/instanceProfile:InstanceProfile": "arn:aws:iam::{account}:instance-profile/{name}",
    "aws:iam/openIdConnectProvider:OpenIdConnectProvider": "arn:aws:iam::{account}:oidc-provider/{url}",
    "aws:iam/policy:Policy": "arn:aws:iam::{account}:policy/{name}",
    "aws:iam/role:Role": "arn:aws:iam::{account}:role/{name}",
    "aws:kinesis/firehoseDeliveryStream:FirehoseDeliveryStream": (
        "arn:aws:firehose:{region}:{account}:deliverystream/{name}"
    ),
    "aws:kms/alias:Alias": "arn:aws:kms:{region}:{account}:{name}",
    "aws:kms/key:Key": "arn:aws:kms:{region}:{account}:key/{id}",
    "aws:lambda/alias:Alias": "arn:aws:lambda:{region}:{account}:function:{functionName}:{name}",
    "aws:lambda/function:Function": "arn:aws:lambda:{region}:{account}:function:{name}",
    "aws:lb/loadBalancer:LoadBalancer": (
        "arn:aws:elasticloadbalancing:{region}:{account}:loadbalancer/app/{name}/{hex16}"
    ),
    "aws:lb/targetGroup:TargetGroup": (
        "arn:aws:elasticloadbalancing:{region}:{account}:targetgroup/{name}/{hex16}"
    ),
    "aws:route53/zone:Zone": "arn:aws:route53:::hostedzone/{id}",
    "aws:secretsmanager/secret:Secret": "arn:aws:secretsmanager:{region}:{account}:secret:{name}-{mixed6}",
    "aws:sfn/stateMachine:StateMachine": "arn:aws:states:{region}:{account}:stateMachine:{name}",
    "aws:sns/topic:Topic": "arn:aws:sns:{region}:{account}:{name}",
    "aws:sqs/queue:Queue": "arn:aws:sqs:{region}:{account}:{name}",
    "aws:ssm/parameter:Parameter": "arn:aws:ssm:{region}:{account}:parameter{name}",
    "aws:wafv2/webAcl:WebAcl": "arn:aws:wafv2:{region}:{account}:regional/webacl/{name}/{id}",
}
# Types whose id is their ARN.
_ARN_IDS = frozenset(
    {
        "aws:acm/certificate:Certificate",
        "aws:iam/openIdConnectProvider:OpenIdConnectProvider",
        "aws:iam/policy:Policy",
        "aws:lambda/alias:Alias",
        "aws:lb/loadBalancer:LoadBalancer",
        "aws:lb/targetGroup:TargetGroup",
        "aws:secretsmanager/secret:Secret",
        "aws:sfn/stateMachine:StateMachine",
        "aws:sns/topic:Topic",
    }
)
# What AWS fills in inside an object that is otherwise the program's.
_FILLED_IN = {"aws:eks/cluster:Cluster": {"vpcConfig": ("clusterSecurityGroupId", "vpcId")}}
# End of an output's name -> its form; the first that fits counts.
_TEXT_FORMS = (
    ("invokearn", "arn:aws:apigateway:{region}:lambda:path/2015-03-31/functions/{arn}/invocations"),
    ("qualifiedarn", "{arn}:1"),
    ("executionarn", "arn:aws:execute-api:{region}:{account}:{id}"),
    ("arn", "arn:aws:{service}:{region}:{account}:{kebab}/{hex}"),
    ("securitygroupid", "sg-{hex}"),
    ("subnetid", "subnet-{hex}"),
    ("vpcid", "vpc-{hex}"),
    ("routetableid", "rtb-{hex}"),
    ("networkaclid", "acl-{hex}"),
    ("networkinterfaceid", "eni-{hex}"),
    ("allocationid", "eipalloc-{hex}"),
    ("associationid", "eipassoc-{hex}"),
    ("prefixlistid", "pl-{hex}"),
    ("zoneid", "Z{upper19}"),
    ("ownerid", "{account}"),
    ("accountid", "{account}"),
    ("registryid", "{account}"),
    ("keyid", "{uuid}"),
    ("id", "{lower10}"),
    ("repositoryurl", "{account}.dkr.ecr.{region}.amazonaws.com/{name}"),
    ("invokeurl", "https://{restApi}.execute-api.{region}.amazonaws.com/{stageName}"),
    ("url", "https://{lower10}.{service}.{region}.amazonaws.com"),
    ("issuer", "https://{lower10}.{service}.{region}.amazonaws.com"),
    ("endpoint", "https://{lower10}.{service}.{region}.amazonaws.com"),
    ("domain", "{lower10}.{service}.{region}.amazonaws.com"),
    ("domainname", "{lower10}.{service}.{region}.amazonaws.com"),
    ("dnsname", "{lower10}.{service}.{region}.amazonaws.com"),
    ("ip", "203.0.113.{octet}"),
    ("date", "2026-01-01T00:00:00Z"),
    ("time", "2026-01-01T00:00:00Z"),
    ("createdat", "2026-01-01T00:00:00Z"),
    ("lastmodified", "2026-01-01T00:00:00Z"),
    ("status", "ACTIVE"),
    ("state", "ACTIVE"),
    ("version", "1"),
    ("name", "{name}"),
    ("", "{lower26}"),
)


@dataclass(frozen=True)
class Planner:
    """Makes outputs up for resources of one account and region."""

    account: str
    region: str

    def state(self, urn: str, kind: ResourceType, inputs: Props) -> State:
        """Id and outputs: the inputs, and made-up values for what only AWS could tell."""
        bare = plain(inputs)
        scope = self._scope(urn, kind, bare)
        table = TABLES.get(kind.token)
        outputs: Props = {"region": scope["region"]}
        for name, shape in kind.outputs.items():
            if (name not in kind.inputs and not shape.optional) or name in kind.secrets:
                outputs[name] = self._value(name, shape, kind, scope)
        for name, template in table.outputs.items() if table is not None else ():
            if "{emulator}" not in template:  # the embedded AWS's own address
                outputs[name] = filled(template, outputs | scope)
        outputs |= {"arn": scope["arn"]} if "arn" in kind.outputs else {}
        outputs |= {name: Secret(outputs[name]) for name in kind.secrets if name in outputs}
        outputs |= inputs
        for name, fields in _FILLED_IN.get(kind.token, {}).items():
            made_up = {key: self._value(key, Shape("str"), kind, scope) for key in fields}
            outputs[name] = made_up | plain(inputs.get(name) or {})
        if kind.taggable:
            outputs["tagsAll"] = inputs.get("tags") or {}
        return State(scope["id"], outputs)

    def _scope(self, urn: str, kind: ResourceType, inputs: Props) -> Props:
        """What templates are filled from."""
        _, module, class_name = kind.token.split(":")
        rule = naming(kind)
        name = str(inputs.get(rule.property if rule else "name") or name_of(urn))
        scope = {
            "region": self.region,
            "account": self.account,
            "service": module.split("/")[0],
            "kebab": _kebab(class_name),
            "name": name,
            **inputs,
            **_digests(urn),
        }
        table = TABLES.get(kind.token)
        scope["id"] = self._id(kind, scope)
        default = "arn:aws:{service}:{region}:{account}:{kebab}/" + (
            "{id}" if kind.token.startswith("aws:ec2/") else "{name}"
        )
        form = _ARN_FORMS.get(kind.token) or (table.outputs.get("arn") if table else None) or default
        scope["arn"] = filled(form, scope)
        if kind.token in _ARN_IDS:
            scope["id"] = scope["arn"]
        return scope

    def _id(self, kind: ResourceType, scope: Props) -> str:
        _, module, class_name = kind.token.split(":")
        table = TABLES.get(kind.token)
        if kind.token in _ID_FORMS:
            form = _ID_FORMS[kind.token]
        elif module.split("/")[0] in ("ec2", "vpc") and class_name in _EC2_PREFIXES:
            form = _EC2_PREFIXES[class_name] + "-{hex}"
        elif table is not None and set(re.findall(r"\{(\w+)\}", table.id)) <= set(scope):
            form = table.id
        else:
            form = "{name}" if naming(kind) else "{lower10}"
        return str(filled(form, scope))

    def _value(self, name: str, shape: Shape, kind: ResourceType, scope: Props) -> Any:
        """A value of the shape; a list has one item, since programs index what AWS always fills."""
        match shape.kind:
            case "str" | "any":
                letters = name.lower()
                form = next(form for end, form in _TEXT_FORMS if letters.endswith(end))
                return str(filled(form, scope | _digests(f"{scope['uuid']}.{name}")))
            case "list" if shape.of is not None:
                return [self._value(name.removesuffix("s"), shape.of, kind, scope)]
            case "object":
                fields = kind.fields(shape).items()
                return {field: self._value(field, of, kind, scope) for field, of in fields}
            case "map":
                return {}
            case "bool":
                return False
        return 1


def _digests(seed: str) -> dict[str, str]:
    """Parts of ids, each a pure function of the seed."""
    digest = hashlib.sha256(seed.encode())
    number = int.from_bytes(digest.digest())

    def text(alphabet: str, length: int) -> str:
        return "".join(alphabet[number // len(alphabet) ** at % len(alphabet)] for at in range(length))

    lower, upper = "abcdefghijklmnopqrstuvwxyz0123456789", "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
    return {
        "hex": digest.hexdigest()[:17],
        "hex16": digest.hexdigest()[:16],
        "uuid": str(uuid.UUID(bytes=digest.digest()[:16], version=4)),
        "lower6": text(lower, 6),
        "lower10": text(lower, 10),
        "lower26": text(lower, 26),
        "upper19": text(upper, 19),
        "mixed6": text(lower + upper[:26], 6),
        "mixed9": text(lower + upper[:26], 9),
        "octet": str(number % 254 + 1),
    }


def _kebab(class_name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", class_name).lower()
