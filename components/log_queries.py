"""Saved queries of CloudWatch Logs Insights: the questions that an incident asks first.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/CWL_QuerySyntax.html
"""

from collections.abc import Mapping
from typing import Literal

Source = Literal["access", "models"]
"""Whose logs a query reads: the gateway's access log, or the functions of the models."""

QUERIES: Mapping[str, tuple[Source, str]] = {
    "slowest-requests": (
        "access",
        "fields @timestamp, tenant, route, status, latencyMs, integrationMs, requestId\n"
        "| filter ispresent(latencyMs)\n"
        "| sort latencyMs desc\n"
        "| limit 50",
    ),
    "errors-by-model": (
        "models",
        'filter message = "request" and status >= 400\n'
        "| stats count(*) as requests by model, version, status\n"
        "| sort requests desc",
    ),
    "cold-starts": (
        "models",
        "fields @timestamp, model, version, duration_ms, request_id\n"
        '| filter message = "request" and cold_start = 1\n'
        "| sort @timestamp desc\n"
        "| limit 100",
    ),
    "tenants-by-volume": (
        "access",
        "filter ispresent(tenant)\n"
        "| stats count(*) as requests, avg(latencyMs) as mean_ms by tenant\n"
        "| sort requests desc",
    ),
    "throttled-tenants": (
        "access",
        "filter status = 429\n| stats count(*) as requests by tenant, error\n| sort requests desc",
    ),
}
"""Name -> (whose logs, query)."""
