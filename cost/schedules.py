"""Capacity that follows the clock, as the mean over a week."""

from collections.abc import Collection, Sequence

_DAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
_WEEK_H = 7 * 24


class NotUnderstood(ValueError):
    """A schedule that is not one of whole hours within a week."""


def mean_over_week(changes: Sequence[tuple[str, float]], otherwise: float) -> float:
    """The mean of a value that each schedule sets, `otherwise` before any has.

    A schedule that is not understood counts as if the highest value held all the time.
    """
    if not changes:
        return otherwise
    try:
        moments = {hour: value for cron, value in changes for hour in hours_of(cron)}
    except NotUnderstood:
        return max(otherwise, *(value for _, value in changes))
    if not moments:
        return otherwise
    value, total = moments[max(moments)], 0.0  # the week before ended with the last change
    for hour in range(_WEEK_H):
        value = moments.get(hour, value)
        total += value
    return total / _WEEK_H


def hours_of(cron: str) -> Collection[int]:
    """Hours of the week, from Sunday 0:00, at which a cron expression fires; minutes are left out.

    Five fields with days 0 to 6 as in Unix, or AWS's `cron(...)` with six and days 1 to 7.

    Raises:
        NotUnderstood: it names days of a month, months or years, or cannot be read.
    """
    aws = cron.startswith("cron(")
    fields = cron.removeprefix("cron(").removesuffix(")").split()
    if len(fields) != (6 if aws else 5):
        raise NotUnderstood(cron)
    if any(field not in ("*", "?") for field in (*fields[2:4], *fields[5:])):
        raise NotUnderstood(cron)
    days = {(day - 1 if aws else day) % 7 for day in _values(fields[4], 1 if aws else 0, cron)}
    return [24 * day + hour for day in sorted(days) for hour in sorted(_hours(fields[1], cron))]


def _hours(field: str, cron: str) -> Collection[int]:
    if field == "*":
        return range(24)
    hours = _values(field, 0, cron)
    if any(hour > 23 for hour in hours):
        raise NotUnderstood(cron)
    return hours


def _values(field: str, first: int, cron: str) -> Collection[int]:
    """Numbers of a field: `*`, `?`, a list, ranges, names of days. `first` is Sunday's number."""
    if field in ("*", "?"):
        return range(first, first + 7)
    found: list[int] = []
    for part in field.upper().split(","):
        ends = [first + _DAYS.index(end) if end in _DAYS else end for end in part.split("-")]
        if len(ends) > 2 or not all(str(end).isdigit() for end in ends):
            raise NotUnderstood(cron)
        found += range(int(ends[0]), int(ends[-1]) + 1)
    return found
