"""The deployment diagram: which services of the account hold what, and how the network is laid out."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from inferctl.graph import Graph

# AWS service (the module of its resource types) -> (icon, title, type that is counted, what one is called).
SERVICES: Mapping[str, tuple[str, str, str, str]] = {
    "apigateway": ("logos:aws-api-gateway", "API Gateway", "restApi:RestApi", "API"),
    "apigatewayv2": ("logos:aws-api-gateway", "VPC link", "vpcLink:VpcLink", "link"),
    "wafv2": ("logos:aws-waf", "WAF", "webAcl:WebAcl", "web ACL"),
    "cognito": ("logos:aws-cognito", "Cognito", "userPool:UserPool", "user pool"),
    "lambda": ("logos:aws-lambda", "Lambda", "function:Function", "function"),
    "eks": ("logos:aws-eks", "EKS", "cluster:Cluster", "cluster"),
    "sagemaker": ("logos:aws", "SageMaker", "endpoint:Endpoint", "endpoint"),
    "s3": ("logos:aws-s3", "S3", "bucket:Bucket", "bucket"),
    "sqs": ("logos:aws-sqs", "SQS", "queue:Queue", "queue"),
    "sns": ("logos:aws-sns", "SNS", "topic:Topic", "topic"),
    "sfn": ("logos:aws-step-functions", "Step Functions", "stateMachine:StateMachine", "machine"),
    "dynamodb": ("logos:aws-dynamodb", "DynamoDB", "table:Table", "table"),
    "kinesis": (
        "logos:aws-kinesis",
        "Firehose",
        "firehoseDeliveryStream:FirehoseDeliveryStream",
        "stream",
    ),
    "glue": ("logos:aws-glue", "Glue", "catalogTable:CatalogTable", "table"),
    "athena": ("logos:aws-athena", "Athena", "workgroup:Workgroup", "workgroup"),
    "ecr": ("logos:docker-icon", "ECR", "repository:Repository", "repository"),
    "codebuild": ("logos:aws-codebuild", "CodeBuild", "project:Project", "project"),
    "kms": ("logos:aws-kms", "KMS", "key:Key", "key"),
    "ssm": ("logos:aws-systems-manager", "SSM", "parameter:Parameter", "parameter"),
    "cloudwatch": ("logos:aws-cloudwatch", "CloudWatch", "logGroup:LogGroup", "log group"),
    "route53": ("logos:aws-route53", "Route 53", "record:Record", "record"),
    "acm": ("logos:aws-certificate-manager", "Certificates", "certificate:Certificate", "certificate"),
}

# Settings and connections that no picture needs; the network is drawn by itself.
UNDRAWN = frozenset({"appautoscaling", "autoscaling", "ebs", "ec2", "iam", "lb", "vpc"})
COLUMNS = 4
"""Services side by side."""


def deployment(env: str, graph: Graph) -> list[str]:
    """Lines of the diagram after its header."""
    vpc = next(graph.of_type("aws:ec2/vpc:Vpc"), None)
    region, account = _site(graph)
    lines = [
        f"  accTitle: {env}: what stands where",
        f"  accDescr: AWS account {account} in {region}, its services and its network",
        f'  group account(logos:aws)["AWS account {account}, {region}"]',
    ]
    places: dict[str, tuple[int, int]] = {}
    if vpc:
        lines += _network(vpc, graph, places)
    first_row = 1 + max((row for _, row in places.values()), default=-1)
    lines.append('  group services(cloud)["Services of the region"] in account')
    for number, (name, icon, title) in enumerate(_services(graph)):
        lines.append(f'  service aws_{name}({icon})["{title}"] in services')
        places[f"aws_{name}"] = (1 + number % COLUMNS, first_row + number // COLUMNS)
    return lines + alignments(places)


def alignments(places: Mapping[str, tuple[int, int]]) -> list[str]:
    """The directives that put boxes on a grid of (column, row): mermaid knows no coordinates."""
    lines = []
    for word, axis in (("row", 1), ("column", 0)):
        for value in sorted({place[axis] for place in places.values()}):
            members = [box for box, place in places.items() if place[axis] == value]
            if len(members) > 1:
                members.sort(key=lambda box: places[box][1 - axis])
                lines.append(f"  align {word} {' '.join(members)}")
    return lines


def _network(vpc: Mapping[str, Any], graph: Graph, places: dict[str, tuple[int, int]]) -> Iterator[str]:
    """The VPC: a row for each zone, and in it the way to the internet where there is one."""
    yield f'  group vpc(logos:aws-vpc)["VPC {vpc["inputs"]["cidrBlock"]}"] in account'
    subnets: dict[tuple[str, str], str] = {}  # (zone, tier) -> range
    for subnet in graph.of_type("aws:ec2/subnet:Subnet"):
        tier, zone = _name(subnet["urn"]).split("-")[-2:]
        subnets[zone, tier] = subnet["inputs"]["cidrBlock"]
    zones, tiers = sorted({zone for zone, _ in subnets}), ("public", "private", "intra")
    nats = {_name(nat["urn"]).split("-")[-1] for nat in graph.of_type("aws:ec2/natGateway:NatGateway")}
    online = next(graph.of_type("aws:ec2/internetGateway:InternetGateway"), None)
    for row, zone in enumerate(zones):
        yield f'  group zone_{zone}(server)["Zone {zone}"] in vpc'
        for column, tier in enumerate(tiers, start=1):
            if cidr := subnets.get((zone, tier)):
                nat = ", NAT" if tier == "public" and zone in nats else ""
                yield (f'  service {tier}_{zone}(logos:aws-vpc)["{tier}{nat} {cidr}"] in zone_{zone}')
                places[f"{tier}_{zone}"] = (column, row)
    if online:
        yield '  service internet(internet)["Internet"]'
        places["internet"] = (0, 0)
        for row, zone in enumerate(zones):
            if (zone, "public") in subnets:
                yield f"  public_{zone}:L --> {'R' if not row else 'B'}:internet"
            if (zone, "private") in subnets and zone in nats:
                yield f"  private_{zone}:L --> R:public_{zone}"
    endpoints = [_service_of(entry) for entry in graph.of_type("aws:ec2/vpcEndpoint:VpcEndpoint")]
    if endpoints:
        shown = ", ".join(sorted(endpoints)) if len(endpoints) <= 3 else str(len(endpoints))
        yield f'  service endpoints(logos:aws-vpc)["Endpoints: {shown}"] in vpc'
        places["endpoints"] = (len(tiers) + 1, 0)


def _services(graph: Graph) -> Iterator[tuple[str, str, str]]:
    """(id, icon, title with count) of each AWS service, the known ones in the table's order."""
    counted: Counter[str] = Counter()
    present = set()
    for resource in graph.resources:
        kind = resource["type"]
        if kind.startswith("aws:") and resource.get("custom"):
            module = kind.split(":")[1].split("/")[0]
            present.add(module)
            if module in SERVICES and kind.split("/")[1] == SERVICES[module][2]:
                counted[module] += 1
    if any(graph.of_type("eks:index:Cluster")):
        present.add("eks")
        counted["eks"] = sum(1 for _ in graph.of_type("eks:index:Cluster"))
    for module, (icon, title, _, noun) in SERVICES.items():
        if module in present:
            count = counted[module]
            said = f" {count} {noun if count == 1 else _plural(noun)}" if count else ""
            yield module, icon, f"{title}{said}"
    if others := present - SERVICES.keys() - UNDRAWN:
        # Records, threats, billing: they stand beside the request's way, and a box each hides that way.
        yield "others", "logos:aws", f"{len(others)} more services"


def _site(graph: Graph) -> tuple[str, str]:
    """(region, account) of the stack's provider."""
    for provider in graph.of_type("pulumi:providers:aws"):
        inputs = provider["inputs"]
        accounts = inputs.get("allowedAccountIds", "")
        return inputs.get("region", "?"), "".join(filter(str.isdigit, str(accounts))) or "?"
    return "?", "?"


def _service_of(endpoint: Mapping[str, Any]) -> str:
    return ".".join(str(endpoint["inputs"].get("serviceName", "")).split(".")[3:])


def _plural(noun: str) -> str:
    return f"{noun[:-1]}ies" if noun.endswith("y") and noun != "key" else f"{noun}s"


def _name(urn: str) -> str:
    return urn.split("::")[3]
