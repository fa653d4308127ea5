"""What ministack lacks of AWS and the platform needs, put into it when its process starts.

Each part says what is missing and where AWS documents it; an upgrade of ministack may make it useless. The
process knows nothing of `local_aws`, so that these modules import each other alone.
"""

import asyncio
import logging

from .alarms import complete_alarm_events, complete_dimensions, complete_permissions, evaluate_all
from .athena import complete_athena
from .functions import complete_lambda
from .gateway import complete_proxies, complete_requests
from .headers import complete_headers
from .logs import complete_metric_filters, complete_searches
from .queues import sample_queues
from .trail import complete_trail

__all__ = ["complete", "keep_watching"]

_EVERY_S = 2
"""AWS does it once a minute, https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarm-evaluation.html;
nobody wants to wait for that here."""


def complete() -> None:
    """All of it, but for what goes on by itself."""
    complete_alarm_events()
    complete_athena()
    complete_dimensions()
    complete_headers()
    complete_lambda()
    complete_metric_filters()
    complete_permissions()
    complete_proxies()
    complete_requests()
    complete_searches()
    complete_trail()


async def keep_watching() -> None:
    """Sample queues and judge alarms until cancelled: ministack does so only when a client puts a metric."""
    while True:
        await asyncio.sleep(_EVERY_S)
        try:
            sample_queues()
            evaluate_all()
        except Exception:  # it must go on, and the log says why it did not
            logging.getLogger("completions").exception(
                "metrics of queues and states of alarms are not current"
            )
