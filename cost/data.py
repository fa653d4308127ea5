"""Prices of storage, keys, data and events."""

import json
from collections.abc import Iterator, Mapping

from cost.lines import Line, Plan, Pricer
from cost.resources import Resource, number

_MILLION = 1e6
_THOUSAND = 1e3


def _bucket(resource: Resource, plan: Plan) -> Iterator[Line]:
    stored = plan.part(plan.load.stored_gb, resource)
    yield plan.line(resource, "s3.gb", "storage", idle=stored, why="load.stored_gb over all buckets")
    # A job writes its input and its output, and each is read once.
    requests = plan.part(2 * plan.load.jobs / _THOUSAND, resource)
    yield plan.usage(resource, "s3.writes", "writes", requests, "two for each job, over all buckets")
    yield plan.usage(resource, "s3.reads", "reads", requests, "two for each job, over all buckets")


def _repository(resource: Resource, plan: Plan) -> Iterator[Line]:
    stored = plan.part(plan.load.image_gb, resource)
    yield plan.line(resource, "ecr.gb", "images", idle=stored, why="load.image_gb over all repositories")


def _key(resource: Resource, plan: Plan) -> Iterator[Line]:
    yield plan.month(resource, "kms.key", "customer managed key")
    requests = plan.part(plan.load.kms_requests / 10_000, resource)
    yield plan.usage(resource, "kms.requests", "requests", requests, "load.kms_requests over all keys")


def _secret(resource: Resource, plan: Plan) -> Iterator[Line]:
    yield plan.month(resource, "secret.month", "secret")


def _parameter(resource: Resource, plan: Plan) -> Iterator[Line]:
    if resource.get("tier", "Standard") != "Standard":
        yield plan.month(resource, "parameter.advanced", "advanced parameter")


def _table(resource: Resource, plan: Plan) -> Iterator[Line]:
    """On demand, a job is written twice (accepted, done) and read twice (twice asked for)."""
    if resource.get("billingMode", "PROVISIONED") == "PROVISIONED":
        writes = number(resource.get("writeCapacity"), "writeCapacity")
        reads = number(resource.get("readCapacity"), "readCapacity")
        yield plan.hours(resource, "dynamodb.wcu", "write capacity", writes)
        yield plan.hours(resource, "dynamodb.rcu", "read capacity", reads)
    else:
        units = plan.part(2 * plan.load.jobs / _MILLION, resource)
        yield plan.usage(resource, "dynamodb.writes", "writes", units, "two for each job")
        yield plan.usage(resource, "dynamodb.reads", "reads", units, "two for each job")
    stored = plan.part(plan.load.table_gb, resource)
    yield plan.line(resource, "dynamodb.gb", "storage", idle=stored, why="load.table_gb over all tables")
    if resource.get("pointInTimeRecovery.enabled"):
        yield plan.line(resource, "dynamodb.pitr", "point-in-time recovery", idle=stored, why="load.table_gb")


def _catalogue(resource: Resource, plan: Plan) -> Iterator[Line]:
    yield plan.line(resource, "glue.objects", "catalogue object", idle=1 / 100_000, why="one object")


def _workgroup(resource: Resource, plan: Plan) -> Iterator[Line]:
    scanned = plan.part(plan.load.scanned_tb, resource)
    yield plan.usage(resource, "athena.tb", "data scanned", scanned, "load.scanned_tb over all workgroups")


def _stream(resource: Resource, plan: Plan) -> Iterator[Line]:
    gigabytes = plan.part(plan.load.stream_gb, resource)
    yield plan.usage(resource, "firehose.gb", "data taken in", gigabytes, "load.stream_gb over all streams")


def _queue(resource: Resource, plan: Plan) -> Iterator[Line]:
    """A job's message is sent, received and deleted; polls of an empty queue are not counted.

    Only a queue that has another for its dead letters takes jobs.
    """
    if not resource.inputs.get("redrivePolicy"):
        return
    key = "sqs.fifo" if resource.get("fifoQueue") else "sqs.standard"
    model = plan.load.of(resource.model)
    jobs = model.jobs if resource.model else plan.part(plan.load.jobs, resource)
    yield plan.usage(resource, key, "requests", 3 * jobs / _MILLION, "three for each job")


def _topic(resource: Resource, plan: Plan) -> Iterator[Line]:
    jobs = plan.load.of(resource.model).jobs if resource.model else plan.part(plan.load.jobs, resource)
    yield plan.usage(resource, "sns.requests", "messages", jobs / _MILLION, "one for each job")


def _bus(resource: Resource, plan: Plan) -> Iterator[Line]:
    events = plan.part(plan.load.jobs / _MILLION, resource)
    yield plan.usage(resource, "events.custom", "events of the platform", events, "one for each job")


def _archive(resource: Resource, plan: Plan) -> Iterator[Line]:
    # An event of a job is 1 KB at most; a year of them is kept at most.
    gigabytes = plan.part(12 * plan.load.jobs * 1e-6, resource)
    yield plan.usage(resource, "events.archive", "kept events", gigabytes, "jobs x 1 KB x 12 months")


def _pipe(resource: Resource, plan: Plan) -> Iterator[Line]:
    yield plan.usage(resource, "pipes.requests", "requests", plan.part(plan.load.jobs / _MILLION, resource))


def _state_machine(resource: Resource, plan: Plan) -> Iterator[Line]:
    runs = plan.part(plan.load.deliveries, resource)
    if resource.get("type", "STANDARD") == "EXPRESS":
        yield plan.usage(resource, "states.express", "runs", runs / _MILLION, "load.deliveries")
        return
    definition = resource.get("definition", {})  # JSON, or what it says
    document = json.loads(definition) if isinstance(definition, str) else definition
    states = len(document.get("States", {})) or 1
    why = f"load.deliveries x {states} states"
    yield plan.usage(resource, "states.transitions", "transitions", runs * states / _THOUSAND, why)


def _backup(resource: Resource, plan: Plan) -> Iterator[Line]:
    yield plan.line(resource, "backup.gb", "backups", idle=plan.load.table_gb, why="load.table_gb")


PRICERS: Mapping[str, Pricer] = {
    "aws:s3/bucket:Bucket": _bucket,
    "aws:s3/bucketV2:BucketV2": _bucket,
    "aws:ecr/repository:Repository": _repository,
    "aws:kms/key:Key": _key,
    "aws:kms/replicaKey:ReplicaKey": _key,
    "aws:secretsmanager/secret:Secret": _secret,
    "aws:ssm/parameter:Parameter": _parameter,
    "aws:dynamodb/table:Table": _table,
    "aws:glue/catalogDatabase:CatalogDatabase": _catalogue,
    "aws:glue/catalogTable:CatalogTable": _catalogue,
    "aws:athena/workgroup:Workgroup": _workgroup,
    "aws:kinesis/firehoseDeliveryStream:FirehoseDeliveryStream": _stream,
    "aws:sqs/queue:Queue": _queue,
    "aws:sns/topic:Topic": _topic,
    "aws:cloudwatch/eventBus:EventBus": _bus,
    "aws:cloudwatch/eventArchive:EventArchive": _archive,
    "aws:pipes/pipe:Pipe": _pipe,
    "aws:sfn/stateMachine:StateMachine": _state_machine,
    "aws:backup/vault:Vault": _backup,
}
