"""What watches: composite alarms, metric filters, schedules and the trail."""

from local_aws.tables.form import Run, call, held, step
from local_aws.values import Props


def _log(run: Run, trail: Props, old: Props) -> None:
    run("stop_logging" if trail.get("enableLogging") is False else "start_logging", Name=trail["name"])


# fmt: off
TABLE = dict((
    held("cloudwatch:CompositeAlarm", "cloudwatch", "{alarmName}", put="put_composite_alarm",
         read=call("describe_alarms", "CompositeAlarms[0]", AlarmNames=["{alarmName}"],
                   AlarmTypes=["CompositeAlarm"]),
         delete=call("delete_alarms", AlarmNames=["{alarmName}"]),
         outputs={"arn": "arn:aws:cloudwatch:{region}:{account}:alarm:{alarmName}"},
         unread="okActions alarmActions insufficientDataActions actionsEnabled"),
    held("cloudwatch:LogMetricFilter", "logs", "{name}", put="put_metric_filter",
         read=call("describe_metric_filters", "metricFilters[?filterName=='{name}'] | [0]",
                   logGroupName="{logGroupName}", filterNamePrefix="{name}"),
         delete="delete_metric_filter", replace="logGroupName name", unread="metricTransformation",
         renames={"name": "filterName", "pattern": "filterPattern", "metricTransformation.name": "metricName",
                  "metricTransformation.namespace": "metricNamespace",
                  "metricTransformation.value": "metricValue"}),
    held("scheduler:Schedule", "scheduler", "{groupName}/{name}", create="create_schedule",
         update=("update_schedule",), read="get_schedule", delete="delete_schedule",
         outputs={"arn": "arn:aws:scheduler:{region}:{account}:schedule/{groupName}/{name}"}),
    held("cloudtrail:Trail", "cloudtrail", "{TrailARN}", create="create_trail", update=("update_trail",),
         then=(call("put_event_selectors", on="eventSelectors", TrailName="{name}"),
               step(_log, on="enableLogging")),
         read=call("get_trail", "Trail", Name="{name}"), delete=call("delete_trail", Name="{name}"),
         tag=call("add_tags", ResourceId="{id}"), untag=call("remove_tags", ResourceId="{id}"),
         outputs={"arn": "{id}"}, unread="eventSelectors enableLogging",
         renames={"cloudWatchLogsGroupArn": "CloudWatchLogsLogGroupArn"}),
))
