"""The drift report: one HTML file that needs nothing else.

Plots are inline SVG of two dozen lines: a plotting library would be the largest part of the function, and its
pictures neither scale nor can be read aloud.
"""

from html import escape

from serving.drift import Drift, Shift

_PLOTS = 12
_WIDTH, _HEIGHT = 360, 110
_STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222}"
    "table{border-collapse:collapse}td,th{padding:.2rem .8rem;text-align:right;border-bottom:1px solid #ddd}"
    "td:first-child,th:first-child{text-align:left}figure{display:inline-block;margin:.5rem}"
    ".drift{color:#b00020;font-weight:600}"
)


def render(drift: Drift, threshold: float, when: str) -> str:
    """The page. `threshold`: index from which a shift matters; `when`: what time it covers, for people."""
    title = f"Drift of {drift.model} {drift.version}"
    if drift.missing:
        verdict = f"<p><strong>{escape(drift.missing)}</strong>: this says nothing about drift.</p>"
    else:
        assert drift.psi is not None
        state = "drifted" if drift.psi > threshold else "no drift"
        verdict = (
            f'<p class="{"drift" if drift.psi > threshold else ""}">{state}: the largest index is '
            f"{drift.psi:.3f}, the threshold {threshold:g}; {drift.rows} rows.</p>"
        )
    worst = sorted(drift.shifts, key=lambda shift: shift.psi, reverse=True)
    rows = "".join(
        f"<tr><td>{escape(s.name)}</td><td>{s.psi:.3f}</td><td>{s.ks:.3f}</td><td>{s.p_value:.2g}</td></tr>"
        for s in worst
    )
    table = f"<table><tr><th></th><th>PSI</th><th>KS</th><th>p</th></tr>{rows}</table>" if worst else ""
    plots = "".join(_figure(shift) for shift in worst[:_PLOTS])
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(title)}</title>'
        f"<style>{_STYLE}</style><h1>{escape(title)}</h1><p>{escape(when)}</p>{verdict}"
        f"<p>Grey: training data. Blue: captured. One pair of bars a bin.</p>{plots}{table}</html>\n"
    )


def _figure(shift: Shift) -> str:
    """Shares by bin, training data beside captured data."""
    pairs = list(zip(_shares(shift.expected), _shares(shift.captured), strict=True))
    top = max(max(pair) for pair in pairs) or 1.0
    step = _WIDTH / len(pairs)
    bars = "".join(
        f'<rect x="{index * step + side * step * 0.4 + step * 0.1:.1f}" '
        f'y="{_HEIGHT * (1 - share / top):.1f}" width="{step * 0.4:.1f}" '
        f'height="{_HEIGHT * share / top:.1f}" fill="{colour}"/>'
        for index, pair in enumerate(pairs)
        for side, (share, colour) in enumerate(zip(pair, ("#999", "#1565c0"), strict=True))
    )
    label = f"{shift.name}: PSI {shift.psi:.3f}, KS {shift.ks:.3f}"
    return (
        f'<figure><svg role="img" aria-label="{escape(label)}" width="{_WIDTH}" height="{_HEIGHT}" '
        f'viewBox="0 0 {_WIDTH} {_HEIGHT}">{bars}</svg><figcaption>{escape(label)}</figcaption></figure>'
    )


def _shares(counts: tuple[int, ...]) -> list[float]:
    total = sum(counts) or 1
    return [count / total for count in counts]
