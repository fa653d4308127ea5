"""What a server counts, in Prometheus' text format.

https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format
"""

from bisect import bisect_left
from collections import Counter

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
# Seconds. From a small model on a CPU to the gateway's longest wait.
BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Metrics:
    """Counts of one server, which serves one version of one model. Used from one thread."""

    def __init__(self, model: str, version: str) -> None:
        self._labels = f'model="{model}",version="{version}"'
        self._requests: Counter[int] = Counter()
        self._rows = 0
        self._buckets = [0] * (len(BUCKETS) + 1)
        self._seconds = 0.0

    def observe(self, status: int, seconds: float, rows: int) -> None:
        """Count one answered request."""
        self._requests[status] += 1
        self._rows += rows
        self._buckets[bisect_left(BUCKETS, seconds)] += 1
        self._seconds += seconds

    def render(self, *, in_flight: int, ready: bool) -> bytes:
        """The page that Prometheus reads."""
        lines = ["# TYPE inference_requests_total counter"]
        for status, count in sorted(self._requests.items()):
            lines.append(f'inference_requests_total{{{self._labels},status="{status}"}} {count}')
        lines.append("# TYPE inference_request_duration_seconds histogram")
        total = 0
        for bound, count in zip((*BUCKETS, "+Inf"), self._buckets, strict=True):
            total += count
            lines.append(f'inference_request_duration_seconds_bucket{{{self._labels},le="{bound}"}} {total}')
        lines.append(f"inference_request_duration_seconds_sum{{{self._labels}}} {self._seconds}")
        lines.append(f"inference_request_duration_seconds_count{{{self._labels}}} {total}")
        for name, kind, value in (
            ("inference_rows_total", "counter", self._rows),
            ("inference_requests_in_flight", "gauge", in_flight),
            ("inference_model_ready", "gauge", int(ready)),
        ):
            lines += [f"# TYPE {name} {kind}", f"{name}{{{self._labels}}} {value}"]
        return "\n".join([*lines, ""]).encode()
