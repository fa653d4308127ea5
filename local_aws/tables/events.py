"""Queues, topics, event rules, state machines, alarms and dashboards."""

import json

from local_aws.tables.form import Run, Step, Type, call
from local_aws.values import Props

# Property -> queue attribute, where the two differ by more than case.
_QUEUE = {
    "maxMessageSize": "MaximumMessageSize",
    "messageRetentionSeconds": "MessageRetentionPeriod",
    "receiveWaitTimeSeconds": "ReceiveMessageWaitTimeSeconds",
    "visibilityTimeoutSeconds": "VisibilityTimeout",
}
_QUEUE_SETTINGS = (
    *_QUEUE,
    "contentBasedDeduplication",
    "deduplicationScope",
    "delaySeconds",
    "fifoQueue",
    "fifoThroughputLimit",
    "kmsDataKeyReusePeriodSeconds",
    "kmsMasterKeyId",
    "policy",
    "redriveAllowPolicy",
    "redrivePolicy",
    "sqsManagedSseEnabled",
)
_TOPIC_SETTINGS = (
    "contentBasedDeduplication",
    "deliveryPolicy",
    "displayName",
    "fifoTopic",
    "kmsMasterKeyId",
    "policy",
    "signatureVersion",
    "tracingConfig",
)
_SUBSCRIPTION_SETTINGS = (
    "deliveryPolicy",
    "filterPolicy",
    "filterPolicyScope",
    "rawMessageDelivery",
    "redrivePolicy",
    "subscriptionRoleArn",
)


def _attribute(name: str, value: object) -> tuple[str, str]:
    text = value if isinstance(value, str) else json.dumps(value)
    return _QUEUE.get(name, name[0].upper() + name[1:]), text


def _attributes(names: tuple[str, ...], inputs: Props) -> Props:
    given = (_attribute(name, inputs[name]) for name in names if inputs.get(name) not in (None, False, ""))
    return inputs | {"attributes": dict(given)}


def _set_each(operation: str, key: str, names: tuple[str, ...]) -> Step:
    """Changed attributes, one call each; a topic and a subscription are changed like that."""

    def act(run: Run, state: Props, old: Props) -> None:
        for name in names:
            if state.get(name) != old.get(name):
                attribute, text = _attribute(name, "" if state.get(name) is None else state[name])
                run(operation, **{key: state["id"]}, AttributeName=attribute, AttributeValue=text)

    return Step(act, on=names)


def _set_queue(run: Run, queue: Props, old: Props) -> None:
    changed = [name for name in _QUEUE_SETTINGS if queue.get(name) != old.get(name)]
    attributes = dict(_attribute(name, "" if queue.get(name) is None else queue[name]) for name in changed)
    run("set_queue_attributes", QueueUrl=queue["id"], Attributes=attributes)


def _target(inputs: Props) -> Props:
    return {"rule": inputs["rule"], "eventBusName": inputs.get("eventBusName"), "targets": [inputs]}


def _alarm(inputs: Props) -> Props:
    """Metric queries: what the provider keeps flat, CloudWatch nests."""

    def query(entry: Props) -> Props:
        if not entry.get("metric"):
            return entry
        metric = entry["metric"]
        stat = {name: metric[name] for name in ("period", "stat", "unit") if metric.get(name) is not None}
        return entry | {"metric": None, "metricStat": {"metric": metric, **stat}}

    queries = inputs.get("metricQueries")
    return inputs | ({"metrics": [query(entry) for entry in queries]} if queries else {})


TABLE = {
    "aws:sqs/queue:Queue": Type(
        service="sqs",
        id="{QueueUrl}",
        create=call("create_queue", on="name attributes tags"),
        update=(Step(_set_queue, on=_QUEUE_SETTINGS),),
        read=call("get_queue_attributes", "Attributes", QueueUrl="{id}", AttributeNames=["All"]),
        delete=call("delete_queue", QueueUrl="{id}"),
        prepare=lambda inputs: _attributes(_QUEUE_SETTINGS, inputs),
        renames=_QUEUE | {"name": "QueueName", "arn": "QueueArn"},
        outputs={"url": "{id}"},
        replace=frozenset({"fifoQueue"}),
        tag=call("tag_queue", QueueUrl="{id}"),
        untag=call("untag_queue", QueueUrl="{id}"),
    ),
    "aws:sqs/queuePolicy:QueuePolicy": Type(
        service="sqs",
        id="{queueUrl}",
        put=call("set_queue_attributes", on="queueUrl policy", Attributes={"Policy": "{policy}"}),
        read=call("get_queue_attributes", "Attributes.Policy && Attributes", AttributeNames=["All"]),
        delete=call("set_queue_attributes", Attributes={"Policy": ""}),
    ),
    "aws:sns/topic:Topic": Type(
        service="sns",
        id="{TopicArn}",
        create=call("create_topic", on="name attributes tags"),
        update=(_set_each("set_topic_attributes", "TopicArn", _TOPIC_SETTINGS),),
        read=call("get_topic_attributes", "Attributes", TopicArn="{id}"),
        delete=call("delete_topic", TopicArn="{id}"),
        prepare=lambda inputs: _attributes(_TOPIC_SETTINGS, inputs),
        outputs={"arn": "{id}"},
        replace=frozenset({"fifoTopic"}),
    ),
    "aws:sns/topicPolicy:TopicPolicy": Type(
        service="sns",
        id="{arn}",
        put=call(
            "set_topic_attributes",
            on="arn policy",
            TopicArn="{arn}",
            AttributeName="Policy",
            AttributeValue="{policy}",
        ),
        read=call("get_topic_attributes", "Attributes", TopicArn="{arn}"),
    ),
    "aws:sns/topicSubscription:TopicSubscription": Type(
        service="sns",
        id="{SubscriptionArn}",
        create=call("subscribe", on="topic protocol endpoint attributes", ReturnSubscriptionArn=True),
        update=(_set_each("set_subscription_attributes", "SubscriptionArn", _SUBSCRIPTION_SETTINGS),),
        read=call("get_subscription_attributes", "Attributes", SubscriptionArn="{id}"),
        delete=call("unsubscribe", SubscriptionArn="{id}"),
        prepare=lambda inputs: _attributes(_SUBSCRIPTION_SETTINGS, inputs),
        renames={"topic": "TopicArn"},
        outputs={"arn": "{id}"},
    ),
    "aws:cloudwatch/eventRule:EventRule": Type(
        service="events",
        id="{name}",
        put=call("put_rule"),
        read=call("describe_rule", EventBusName="{eventBusName}"),
        delete=call("delete_rule", EventBusName="{eventBusName}"),
        outputs={"arn": "arn:aws:events:{region}:{account}:rule/{name}"},
    ),
    "aws:cloudwatch/eventTarget:EventTarget": Type(
        service="events",
        id="{rule}-{targetId}",
        put=call("put_targets"),
        read=call("list_targets_by_rule", "Targets[?Id=='{targetId}'] | [0]", EventBusName="{eventBusName}"),
        delete=call("remove_targets", Ids=["{targetId}"], EventBusName="{eventBusName}"),
        prepare=_target,
        renames={"targets.targetId": "Id", "targets.sqsTarget": "SqsParameters"},
    ),
    "aws:cloudwatch/metricAlarm:MetricAlarm": Type(
        service="cloudwatch",
        id="{name}",
        put=call("put_metric_alarm"),
        read=call("describe_alarms", "MetricAlarms[0]", AlarmNames=["{name}"]),
        delete=call("delete_alarms", AlarmNames=["{name}"]),
        prepare=_alarm,
        renames={"name": "AlarmName", "arn": "AlarmArn"},
    ),
    "aws:cloudwatch/dashboard:Dashboard": Type(
        service="cloudwatch",
        id="{dashboardName}",
        put=call("put_dashboard"),
        read=call("get_dashboard"),
        delete=call("delete_dashboards", DashboardNames=["{dashboardName}"]),
        outputs={"dashboardArn": "arn:aws:cloudwatch::{account}:dashboard/{dashboardName}"},
    ),
    "aws:sfn/stateMachine:StateMachine": Type(
        service="stepfunctions",
        id="{stateMachineArn}",
        create=call("create_state_machine"),
        update=(call("update_state_machine", stateMachineArn="{id}"),),
        read=call("describe_state_machine", stateMachineArn="{id}"),
        delete=call("delete_state_machine", stateMachineArn="{id}"),
        renames={"arn": "stateMachineArn"},
        outputs={"arn": "{id}"},
    ),
}
