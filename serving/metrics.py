"""What a server counts, in Prometheus' text format.

https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format
"""

from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass, field

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
# Seconds. From a small model on a CPU to the gateway's longest wait.
BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


@dataclass(slots=True)
class _Counts:
    """Of one version."""

    requests: Counter[int] = field(default_factory=Counter)
    rows: int = 0
    buckets: list[int] = field(default_factory=lambda: [0] * (len(BUCKETS) + 1))
    seconds: float = 0.0


class Metrics:
    """Counts of one server, which serves one model, version by version. Used from one thread."""

    def __init__(self, model: str) -> None:
        self._model = model
        self._versions: dict[str, _Counts] = {}

    def observe(self, version: str, status: int, seconds: float, rows: int) -> None:
        """Count one answered request."""
        counts = self._versions.setdefault(version, _Counts())
        counts.requests[status] += 1
        counts.rows += rows
        counts.buckets[bisect_left(BUCKETS, seconds)] += 1
        counts.seconds += seconds

    def render(self, live: str, *, in_flight: int, ready: bool) -> bytes:
        """The page that Prometheus reads; `live`: the version that is served."""
        versions = {live: _Counts(), **self._versions}
        lines = ["# TYPE inference_requests_total counter"]
        for version, counts in versions.items():
            labels = self._labels(version)
            for status, count in sorted(counts.requests.items()):
                lines.append(f'inference_requests_total{{{labels},status="{status}"}} {count}')
        lines.append("# TYPE inference_request_duration_seconds histogram")
        for version, counts in versions.items():
            labels, name, total = self._labels(version), "inference_request_duration_seconds", 0
            for bound, count in zip((*BUCKETS, "+Inf"), counts.buckets, strict=True):
                total += count
                lines.append(f'{name}_bucket{{{labels},le="{bound}"}} {total}')
            lines.append(f"{name}_sum{{{labels}}} {counts.seconds}")
            lines.append(f"{name}_count{{{labels}}} {total}")
        lines.append("# TYPE inference_rows_total counter")
        for version, counts in versions.items():
            lines.append(f"inference_rows_total{{{self._labels(version)}}} {counts.rows}")
        for name, value in (
            ("inference_requests_in_flight", in_flight),
            ("inference_model_ready", int(ready)),
        ):
            lines += [f"# TYPE {name} gauge", f"{name}{{{self._labels(live)}}} {value}"]
        return "\n".join([*lines, ""]).encode()

    def _labels(self, version: str) -> str:
        return f'model="{self._model}",version="{version}"'
