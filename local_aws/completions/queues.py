"""What ministack's SQS lacks: metrics."""

import time

from .metrics import record

_held: set[str] = set()
"""Queues that held messages when they were last looked at."""


def sample_queues() -> None:
    """Metrics of each queue that holds messages, and the zeros of one that no longer does; AWS goes on with
    those for six hours:
    https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-available-cloudwatch-metrics.html
    """
    from ministack.core.responses import request_scope
    from ministack.services import sqs

    for (account, region, url), queue in list(sqs._queues.all_items()):
        sqs._refresh_counts(queue)
        messages = list(queue["messages"])
        if messages or url in _held:
            oldest = min((each["sent_at"] for each in messages), default=time.time())
            values = {
                "ApproximateAgeOfOldestMessage": int(time.time() - oldest),
                "ApproximateNumberOfMessagesVisible": int(queue["attributes"]["ApproximateNumberOfMessages"]),
            }
            with request_scope(account, region):
                for name, value in values.items():
                    record("AWS/SQS", name, value, QueueName=queue["name"])
        (_held.add if messages else _held.discard)(url)
