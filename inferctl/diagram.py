"""Mermaid texts of an environment: system, deployment and request, made from its resource graph alone."""

from collections.abc import Mapping
from typing import Any

from inferctl.boxes import BOXES, GROUPS
from inferctl.graph import Graph, path_lines
from inferctl.request_diagram import request
from inferctl.site_diagram import alignments, deployment

# Icons a little apart, and the same picture every time: fcose starts from a grid, not from chance.
# The text keeps clear of lines (`paint-order` draws its white edge first).
HEADER = """---
config:
  architecture:
    iconSize: 84
    fontSize: 12.5
    padding: 40
    idealEdgeLengthMultiplier: 2.5
    randomize: false
    seed: 1
  themeCSS: "text { paint-order: stroke; stroke: #fff; stroke-width: 4px; }"
---
architecture-beta"""


def texts(env: str, export: Mapping[str, Any]) -> dict[str, str]:
    """File name -> mermaid text of the environment's three diagrams."""
    graph = Graph.of(export)
    return {
        "system.mmd": system(env, graph),
        "deployment.mmd": "\n".join([HEADER, *deployment(env, graph)]) + "\n",
        "request.mmd": request(env, graph),
    }


def system(env: str, graph: Graph) -> str:
    """The parts of the platform, and the way of a request through them."""
    shown = ["client", *graph.boxes]
    lines = [HEADER, f"  accTitle: {env}: the platform", f"  accDescr: {'; '.join(path_lines(graph))}"]
    used = {BOXES[box].group for box in shown}
    lines += [
        f'  group {name}_group({icon})["{title}"]' for name, (icon, title) in GROUPS.items() if name in used
    ]
    for box in shown:
        spec = BOXES[box]
        where = f" in {spec.group}_group" if spec.group else ""
        lines.append(f'  service {box}({spec.icon})["{graph.title(box)}"]{where}')
    for flow, number in graph.flows:
        lines.append(edge(flow.source, flow.target, f"{number} {flow.label}".strip()))
    return "\n".join(lines + alignments({box: (BOXES[box].column, BOXES[box].row) for box in shown})) + "\n"


def edge(source: str, target: str, label: str) -> str:
    """An arrow that leaves and enters where it crosses the fewest others; a bent one has no label."""
    one, other = BOXES[source], BOXES[target]
    if one.row == other.row:
        sides = ("R", "L") if one.column < other.column else ("L", "R")
    elif one.column == other.column:
        sides = ("B", "T") if one.row < other.row else ("T", "B")
    elif other.group == "data":  # along the row, then up or down the last column
        sides, label = ("R", "B" if one.row > other.row else "T"), ""
    else:  # along the column, then into the row
        sides, label = ("B" if one.row < other.row else "T", "L" if one.column < other.column else "R"), ""
    line = f'-["{label}"]->' if label else "-->"
    return f"  {source}:{sides[0]} {line} {sides[1]}:{target}"
