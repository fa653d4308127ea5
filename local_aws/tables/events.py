"""Queues, topics, event rules, state machines, alarms and dashboards."""

import json

from local_aws.tables.form import Run, Step, call, held, step
from local_aws.values import Props

# Property -> queue attribute, where the two differ by more than case.
_QUEUE = {
    "maxMessageSize": "MaximumMessageSize",
    "messageRetentionSeconds": "MessageRetentionPeriod",
    "receiveWaitTimeSeconds": "ReceiveMessageWaitTimeSeconds",
    "visibilityTimeoutSeconds": "VisibilityTimeout",
}
_QUEUE_SETTINGS = (
    " ".join(_QUEUE) + " "
    "contentBasedDeduplication deduplicationScope delaySeconds fifoQueue fifoThroughputLimit "
    "kmsDataKeyReusePeriodSeconds kmsMasterKeyId policy redriveAllowPolicy redrivePolicy "
    "sqsManagedSseEnabled"
)
_TOPIC_SETTINGS = (
    "contentBasedDeduplication deliveryPolicy displayName fifoTopic kmsMasterKeyId policy "
    "signatureVersion tracingConfig"
)
_SUBSCRIPTION_SETTINGS = (
    "deliveryPolicy filterPolicy filterPolicyScope rawMessageDelivery redrivePolicy subscriptionRoleArn"
)


def _attribute(name: str, value: object) -> tuple[str, str]:
    text = value if isinstance(value, str) else json.dumps(value)
    return _QUEUE.get(name, name[0].upper() + name[1:]), text


def _attributes(names: str, inputs: Props) -> Props:
    given = (
        _attribute(name, inputs[name]) for name in names.split() if inputs.get(name) not in (None, False, "")
    )
    return inputs | {"attributes": dict(given)}


def _set_each(operation: str, key: str, names: str) -> Step:
    """Changed attributes, one call each; a topic and a subscription are changed like that."""

    def act(run: Run, state: Props, old: Props) -> None:
        for name in names.split():
            if state.get(name) != old.get(name):
                attribute, text = _attribute(name, "" if state.get(name) is None else state[name])
                run(operation, **{key: state["id"]}, AttributeName=attribute, AttributeValue=text)

    return step(act, on=names)


def _set_queue(run: Run, queue: Props, old: Props) -> None:
    changed = [name for name in _QUEUE_SETTINGS.split() if queue.get(name) != old.get(name)]
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


# fmt: off
TABLE = dict((
    held("sqs:Queue", "sqs", "{QueueUrl}", create=call("create_queue", on="name attributes tags"),
         prepare=lambda inputs: _attributes(_QUEUE_SETTINGS, inputs),
         update=(step(_set_queue, _QUEUE_SETTINGS),),
         read=call("get_queue_attributes", "Attributes", QueueUrl="{id}", AttributeNames=["All"]),
         delete=call("delete_queue", QueueUrl="{id}"), tag=call("tag_queue", QueueUrl="{id}"),
         untag=call("untag_queue", QueueUrl="{id}"), renames=_QUEUE, outputs={"url": "{id}"},
         replace="fifoQueue"),
    held("sqs:QueuePolicy", "sqs", "{queueUrl}",
         put=call("set_queue_attributes", on="queueUrl policy", Attributes={"Policy": "{policy}"}),
         read=call("get_queue_attributes", "Attributes.Policy && Attributes", AttributeNames=["All"]),
         delete=call("set_queue_attributes", Attributes={"Policy": ""})),
    held("sns:Topic", "sns", "{TopicArn}", create=call("create_topic", on="name attributes tags"),
         prepare=lambda inputs: _attributes(_TOPIC_SETTINGS, inputs),
         update=(_set_each("set_topic_attributes", "TopicArn", _TOPIC_SETTINGS),),
         read=call("get_topic_attributes", "Attributes", TopicArn="{id}"),
         delete=call("delete_topic", TopicArn="{id}"), outputs={"arn": "{id}"}, replace="fifoTopic"),
    held("sns:TopicPolicy", "sns", "{arn}", read=call("get_topic_attributes", "Attributes", TopicArn="{arn}"),
         put=call("set_topic_attributes", on="arn policy", TopicArn="{arn}", AttributeName="Policy",
                  AttributeValue="{policy}")),
    held("sns:TopicSubscription", "sns", "{SubscriptionArn}",
         create=call("subscribe", on="topic protocol endpoint attributes", ReturnSubscriptionArn=True),
         prepare=lambda inputs: _attributes(_SUBSCRIPTION_SETTINGS, inputs),
         update=(_set_each("set_subscription_attributes", "SubscriptionArn", _SUBSCRIPTION_SETTINGS),),
         read=call("get_subscription_attributes", "Attributes", SubscriptionArn="{id}"),
         delete=call("unsubscribe", SubscriptionArn="{id}"), outputs={"arn": "{id}"}),
    held("cloudwatch:EventRule", "events", "{name}", put="put_rule", renames={"name": "Name"},
         read=call("describe_rule", EventBusName="{eventBusName}"),
         delete=call("delete_rule", EventBusName="{eventBusName}"),
         outputs={"arn": "arn:aws:events:{region}:{account}:rule/{name}"}),
    held("cloudwatch:EventTarget", "events", "{rule}-{targetId}", put="put_targets", prepare=_target,
         read=call("list_targets_by_rule", "Targets[?Id=='{targetId}'] | [0]", EventBusName="{eventBusName}"),
         delete=call("remove_targets", Ids=["{targetId}"], EventBusName="{eventBusName}"),
         renames={"targets.targetId": "Id", "targets.sqsTarget": "SqsParameters"}),
    held("cloudwatch:MetricAlarm", "cloudwatch", "{name}", put="put_metric_alarm", prepare=_alarm,
         read=call("describe_alarms", "MetricAlarms[0]", AlarmNames=["{name}"]),
         delete=call("delete_alarms", AlarmNames=["{name}"]),
         renames={"name": "AlarmName", "arn": "AlarmArn"}),
    held("cloudwatch:Dashboard", "cloudwatch", "{dashboardName}", put="put_dashboard", read="get_dashboard",
         delete=call("delete_dashboards", DashboardNames=["{dashboardName}"]),
         outputs={"dashboardArn": "arn:aws:cloudwatch::{account}:dashboard/{dashboardName}"}),
    held("sfn:StateMachine", "stepfunctions", "{stateMachineArn}", create="create_state_machine",
         update=("update_state_machine",), delete="delete_state_machine",
         read=call("describe_state_machine", stateMachineArn="{id}"), outputs={"arn": "{id}"}),
))
