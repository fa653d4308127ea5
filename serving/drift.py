"""How far what a model is asked and answers has moved from the data that it was trained on.

For each feature, and for the predicted classes, over the bins of the baseline:

    PSI  population stability index, sum((q - p) * ln(q / p)) over the shares p (baseline) and q (captured).
         Below 0.1 is taken for no change, above 0.2 for a change that matters.
    KS   Kolmogorov-Smirnov: the largest distance between the two cumulative shares, and how likely a sample
         of the same distribution has one as large.

A sample of few rows has a large PSI by chance alone. Under no change, PSI * n * m / (n + m) for samples of n
and m rows is distributed as chi-squared with one degree of freedom less than there are bins (Yurdakul and
Naranjo, 2020, https://doi.org/10.21314/JRMV.2020.227). What of the PSI chance explains is taken off: the
quantile that one index in a hundred thousand exceeds.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from serving.tensors import Array

# Normal quantile of 1 - 1e-5: a report has a hundred indices, and there are many reports.
_Z = 4.265


@dataclass(frozen=True, slots=True)
class Shift:
    """One feature, or the classes of an output, against the baseline; counts by bin."""

    name: str
    psi: float
    """What chance does not explain, 0 or more."""
    ks: float
    p_value: float
    expected: tuple[int, ...]
    captured: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Drift:
    """A model version against its baseline. Without enough rows there are no shifts, and no index at all."""

    model: str
    version: str
    rows: int
    shifts: tuple[Shift, ...]
    missing: str = ""
    """Why there is nothing to say; empty where there is."""

    @property
    def psi(self) -> float | None:
        """The largest index; None without data, which is not the same as no drift."""
        return None if self.missing else max(shift.psi for shift in self.shifts)


def compare(
    model: str,
    version: str,
    baseline: Mapping[str, Any],
    records: Iterable[Mapping[str, Any]],
    min_rows: int = 200,
) -> Drift:
    """Sum the records of a version up and compare them with the baseline of its manifest."""
    rows = 0
    inputs: dict[str, list[Array]] = {}
    outputs: dict[str, dict[int, int]] = {}
    for record in records:
        if (record["model"], record["version"]) != (model, version):
            continue
        rows += record["rows"]
        for name, counts in record["inputs"].items():
            added = [np.asarray(bins) for bins in counts]
            inputs[name] = (
                [a + b for a, b in zip(inputs[name], added, strict=True)] if name in inputs else added
            )
        for name, values in record["outputs"].items():
            sums = outputs.setdefault(name, {})
            for value, count in values.items():
                sums[int(value)] = sums.get(int(value), 0) + count
    if rows < min_rows:
        reason = f"no data: {rows} rows were captured, {min_rows} are needed"
        return Drift(model, version, rows, (), reason)
    shifts = [
        _shift(f"{name}[{index}]", feature["counts"], captured[index])
        for name, captured in inputs.items()
        for index, feature in enumerate(baseline.get("inputs", {}).get(name, ()))
    ]
    for name, expected in baseline.get("outputs", {}).items():
        if name in outputs:
            size = max(len(expected), 1 + max(outputs[name]))
            counts = [outputs[name].get(value, 0) for value in range(size)]
            shifts.append(_shift(name, [*expected, *[0] * (size - len(expected))], counts))
    if not shifts:
        return Drift(model, version, rows, (), "no data: the manifest has no baseline for what was captured")
    return Drift(model, version, rows, tuple(shifts))


def psi(expected: Array, captured: Array) -> float:
    """The population stability index of two counts by bin. An empty bin counts as half a row."""
    p = np.maximum(expected, 0.5) / expected.sum()
    q = np.maximum(captured, 0.5) / captured.sum()
    return float(np.sum((q - p) * np.log(q / p)))


def chance(bins: int, rows: int, others: int) -> float:
    """The index that samples of one distribution hardly ever exceed.

    The chi-squared quantile as Wilson and Hilferty approximate it: https://doi.org/10.1073/pnas.17.12.684
    """
    freedom = max(1, bins - 1)
    quantile: float = freedom * (1 - 2 / (9 * freedom) + _Z * (2 / (9 * freedom)) ** 0.5) ** 3
    return quantile * (1 / rows + 1 / others)


def kolmogorov_smirnov(expected: Array, captured: Array) -> tuple[float, float]:
    """The statistic over the bins' edges and its asymptotic p-value; bins can only make both milder."""
    distance = float(
        np.max(np.abs(np.cumsum(expected) / expected.sum() - np.cumsum(captured) / captured.sum()))
    )
    n, m = expected.sum(), captured.sum()
    scaled = distance * np.sqrt(n * m / (n + m))
    if scaled < 0.2:  # the series below converges too slowly; the sum is 1 to 12 digits
        return distance, 1.0
    k = np.arange(1, 101)
    p_value = 2 * np.sum((-1.0) ** (k - 1) * np.exp(-2 * (k * scaled) ** 2))
    return distance, float(min(max(p_value, 0.0), 1.0))


def _shift(name: str, expected: Iterable[int], captured: Iterable[int]) -> Shift:
    p, q = np.asarray(list(expected), np.float64), np.asarray(list(captured), np.float64)
    occupied = int(np.count_nonzero(p + q))
    distance, p_value = kolmogorov_smirnov(p, q)
    explained = chance(occupied, int(p.sum()), int(q.sum()))
    return Shift(
        name=name,
        psi=max(0.0, psi(p, q) - explained),
        ks=distance,
        p_value=p_value,
        expected=tuple(int(count) for count in p),
        captured=tuple(int(count) for count in q),
    )
