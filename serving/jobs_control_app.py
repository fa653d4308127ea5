"""Entry point of the control function: its queue's messages, and the clock's.

Environment: see `serving.jobs_flow.Platform`; LOG_LEVEL.
"""

import json
import logging
import os
from collections.abc import Mapping
from functools import cache
from typing import Any

from botocore.exceptions import ClientError

from serving import logs
from serving.jobs_control import Control
from serving.jobs_flow import Platform

_FIRST_WAIT_S = 5

logger = logging.getLogger(__name__)


@cache
def _platform() -> Platform:
    logs.configure(os.environ.get("LOG_LEVEL", "INFO"))
    return Platform.of()


@cache
def _control() -> Control:
    return Control(_platform())


def handler(event: Mapping[str, Any], _context: Any) -> dict[str, Any]:
    """Handle a batch; the messages that failed are named, so that these alone come again."""
    control, failed = _control(), []
    for record in event["Records"]:
        received = int(record["attributes"]["ApproximateReceiveCount"])
        try:
            control.handle(json.loads(record["body"]), received)
        except Exception as error:
            # AWS's own messages name the operation and what was refused, and quote no rows.
            said = str(error) if isinstance(error, ClientError) else type(error).__name__
            logger.error("a message failed: %s", said, exc_info=error)
            failed.append({"itemIdentifier": record["messageId"]})
            # Sooner than after the time that the largest file may take.
            _platform().sqs.change_message_visibility(
                QueueUrl=_platform().control_url,
                ReceiptHandle=record["receiptHandle"],
                VisibilityTimeout=_FIRST_WAIT_S * 2**received,
            )
    return {"batchItemFailures": failed}
