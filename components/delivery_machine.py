"""The state machine that delivers model versions, as a document.

    Admit -> Try -> Prepare -> Attempt -> [Shift -> (Bake -> Watch)*] -> Promote -> Settle -> Notify
    anything that fails -> RollBack -> Settle -> Notify
    what the model registry's approval started -> ... -> Settle -> Register -> Notify

Each task gets the delivery as it is known so far and answers it with what it found out.
Amazon States Language:
https://docs.aws.amazon.com/step-functions/latest/dg/concepts-amazon-states-language.html
"""

from typing import Any

Json = dict[str, Any]

EVENT_SOURCE = "inference-platform.delivery"
DETAIL_TYPE = "Model Delivery"
"""Of the event that tells how each delivery ended; its detail is the record of the history."""

# Longest that a step may take: Lambda's own limit.
_STEP_S = 900
_DAY_S = 24 * 60 * 60
# An endpoint that is being updated cannot be stopped, and a GPU may not be had at once: who needs them has to
# wait, for hours at the most.
_BUSY: Json = {
    "ErrorEquals": ["EndpointBusy", "ReplicasAwaited"],
    "IntervalSeconds": 60,
    "MaxAttempts": 240,
    "BackoffRate": 1,
}
# A refusal is an answer of a step; what a function fails with may pass.
_RETRY: list[Json] = [
    _BUSY,
    {"ErrorEquals": ["States.ALL"], "IntervalSeconds": 2, "MaxAttempts": 3, "BackoffRate": 2},
]


def _caught(kept_in: str, following: str) -> list[Json]:
    """After every retry: what went wrong becomes a part of the delivery."""
    return [{"ErrorEquals": ["States.ALL"], "ResultPath": kept_in, "Next": following}]


_UNDO = _caught("$.error", "RollBack")


def delivery_machine(*, control_arn: str, trial_arn: str, queue_s: int) -> Json:
    """The definition.

    Args:
        control_arn: function that admits deliveries and records how they end.
        trial_arn: function that tries a version before any backend sees it.
        queue_s: how often a delivery that waits asks whether it is its turn.
    """
    return {
        "Comment": "Delivers one version of one model",
        "StartAt": "Admit",
        "TimeoutSeconds": _DAY_S,
        "States": {
            "Admit": _task(control_arn, "Turn", step="admit"),
            "Turn": _choice(
                ("$.turn", "go", "Try"),
                ("$.turn", "wait", "Queue"),
                ("$.turn", "recover", "RollBack"),
                ("$.turn", "refuse", "Settle"),
                ("$.turn", "invalid", "Settled"),
                ("$.turn", "tell", "Settled"),
                otherwise="Ignored",
            ),
            "Queue": {"Type": "Wait", "Seconds": queue_s, "Next": "Admit"},
            "Try": _task(trial_arn, "Tried", step="try", Catch=_UNDO),
            "Tried": _checked(otherwise="Prepare"),
            "Prepare": _work("prepare", "Prepared"),
            "Prepared": _checked(("$.unchanged", True, "Settle"), otherwise="Attempt"),
            "Attempt": _work("attempt", "Attempted"),
            "Attempted": _checked(("$.canary_s", 0, "Promote"), otherwise="Shift"),
            "Shift": _work("shift", "Shifted"),
            "Shifted": _checked(otherwise="Bake"),
            "Bake": {"Type": "Wait", "SecondsPath": "$.look_s", "Next": "Watch"},
            "Watch": _work("watch", "Watched"),
            "Watched": _checked(("$.baked", True, "Promote"), otherwise="Bake"),
            "Promote": _work("promote", "Promoted"),
            "Promoted": _checked(otherwise="Settle"),
            # Without a catch: where even this fails, the execution does, and a recovery begins.
            "RollBack": _work("roll_back", "Settle", catch=False),
            "Settle": _task(control_arn, "Settled", step="settle"),
            "Settled": _choice(("$.package", "", "Notify"), otherwise="Register"),
            # The delivery has ended, and stays as it is where the registry cannot be told.
            "Register": _task(
                control_arn, "Notify", step="register", Catch=_caught("$.registered", "Notify")
            ),
            "Notify": {
                "Type": "Task",
                "Resource": "arn:aws:states:::aws-sdk:eventbridge:putEvents",
                "Parameters": {
                    "Entries": [
                        {
                            "Source": EVENT_SOURCE,
                            "DetailType": DETAIL_TYPE,
                            "Detail.$": "States.JsonToString($)",
                        }
                    ]
                },
                "ResultPath": "$.notified",
                "Retry": _RETRY,
                "Catch": _caught("$.notified", "Outcome"),
                "Next": "Outcome",
            },
            "Outcome": _choice(
                ("$.outcome", "refused", "Refused"),
                ("$.outcome", "aborted", "Refused"),
                otherwise="Delivered",
            ),
            "Delivered": {"Type": "Succeed"},
            "Ignored": {"Type": "Succeed"},
            "Refused": {"Type": "Fail", "Error": "DeliveryRefused", "CausePath": "$.reason"},
        },
    }


def _work(step: str, following: str, *, catch: bool = True) -> Json:
    """A step of the worker that the model's settings name."""
    return _task(None, following, step=step, **({"Catch": _UNDO} if catch else {}))


def _task(function_arn: str | None, following: str, *, step: str, **more: Any) -> Json:
    function = {"FunctionName.$": "$.worker"} if function_arn is None else {"FunctionName": function_arn}
    return {
        "Type": "Task",
        "Resource": "arn:aws:states:::lambda:invoke",
        "Parameters": {
            **function,
            "Payload": {"step": step, "execution.$": "$$.Execution.Id", "delivery.$": "$"},
        },
        "OutputPath": "$.Payload",
        "TimeoutSeconds": _STEP_S,
        "Retry": _RETRY,
        "Next": following,
        **more,
    }


def _checked(*rules: tuple[str, Any, str], otherwise: str) -> Json:
    """What follows a step that may have refused the version."""
    choice = _choice(*rules, otherwise=otherwise)
    refused = {"Not": {"Variable": "$.error", "StringEquals": ""}, "Next": "RollBack"}
    return {**choice, "Choices": [refused, *choice["Choices"]]}


def _choice(*rules: tuple[str, Any, str], otherwise: str) -> Json:
    """Rules are a variable, its value and the state that follows."""
    operators = {bool: "BooleanEquals", int: "NumericEquals", str: "StringEquals"}
    return {
        "Type": "Choice",
        "Choices": [
            {"Variable": variable, operators[type(value)]: value, "Next": target}
            for variable, value, target in rules
        ],
        "Default": otherwise,
    }
