"""Alarms of the running platform as subscribers of the alert topic hear them, and their twins."""

import json
import time
from collections.abc import Callable
from typing import Any

from inferctl.client import Client

PREFIX = "inference-platform-local"
PATIENCE_S = 120
TWIN_S = 10
"""The shortest period that CloudWatch takes."""
_COPIED = (
    "AlarmDescription",
    "ComparisonOperator",
    "Dimensions",
    "MetricName",
    "Namespace",
    "Statistic",
    "Threshold",
    "TreatMissingData",
)


class Alarms:
    """Alarms of the platform, by their names without its prefix, and what a subscriber of the topic hears."""

    def __init__(self, client: Client, queue_url: str) -> None:
        self.cloudwatch, self._sqs = client.aws("cloudwatch"), client.aws("sqs")
        self._topic, self._queue_url = client.outputs["alerts_topic"], queue_url
        self._heard: dict[str, list[str]] = {}
        self.twins: list[str] = []

    def describe(self, alarm: str) -> Any:
        types = ["MetricAlarm", "CompositeAlarm"]
        found = self.cloudwatch.describe_alarms(AlarmNames=[f"{PREFIX}-{alarm}"], AlarmTypes=types)
        alarms: list[Any] = [*found["MetricAlarms"], *found["CompositeAlarms"]]
        assert len(alarms) == 1, alarm
        return alarms[0]

    def state(self, alarm: str) -> str:
        return str(self.describe(alarm)["StateValue"])

    def quiet(self, *alarms: str) -> None:
        """Set them to OK: the next evaluation looks at their metrics again."""
        for alarm in alarms:
            self.cloudwatch.set_alarm_state(
                AlarmName=f"{PREFIX}-{alarm}", StateValue="OK", StateReason="to be tried"
            )

    def twin(self, alarm: str, **other: Any) -> str:
        """The same alarm with a short memory, and what else is `other` with it; it tells by itself."""
        found = self.describe(alarm)
        self.put(twin := f"{alarm}-twin", **{key: found[key] for key in _COPIED} | other)
        return twin

    def put(self, alarm: str, **given: Any) -> None:
        self.twins.append(f"{PREFIX}-{alarm}")
        self.cloudwatch.put_metric_alarm(
            AlarmName=f"{PREFIX}-{alarm}",
            Period=TWIN_S,
            EvaluationPeriods=1,
            AlarmActions=[self._topic],
            OKActions=[self._topic],
            **given,
        )

    def until(self, state: str, *alarms: str, meanwhile: Callable[[], Any] = lambda: None) -> None:
        """Wait until people have heard that each came into a state, after what this waited for before."""
        deadline = time.monotonic() + PATIENCE_S
        missing = list(alarms)
        while missing := [alarm for alarm in missing if not self._told(alarm, state)]:
            assert time.monotonic() < deadline, f"nobody was told that {missing} are in {state}"
            meanwhile()
            time.sleep(0.25)

    def _told(self, alarm: str, state: str) -> bool:
        self._listen()
        states = self._heard.get(f"{PREFIX}-{alarm}", [])
        if state not in states:
            return False
        del states[: states.index(state) + 1]
        return True

    def _listen(self) -> None:
        answer = self._sqs.receive_message(QueueUrl=self._queue_url, MaxNumberOfMessages=10)
        for message in answer.get("Messages", []):
            self._sqs.delete_message(QueueUrl=self._queue_url, ReceiptHandle=message["ReceiptHandle"])
            told = json.loads(json.loads(message["Body"])["Message"])
            if "AlarmName" in told:
                self._heard.setdefault(told["AlarmName"], []).append(told["NewStateValue"])
