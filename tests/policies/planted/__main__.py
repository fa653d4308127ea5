"""The platform's own program with faults planted in it; run by the engine, for test_planted_faults.py.

PLANTED names the repository and the faults: (resource, property path, value); a value of null removes.
"""

import json
import os
import re
import runpy
import sys
from pathlib import Path
from typing import Any

import pulumi

planted = json.loads(Path(os.environ["PLANTED"]).read_text())
sys.path.insert(0, planted["repository"])


def plant(target: Any, path: str, value: Any) -> None:
    *way, last = [int(step) if step.isdigit() else step for step in re.findall(r"[^.\[\]]+", path)]
    for step in way:
        target = target[step]
    if value is None:
        target.pop(last, None)
    else:
        target[last] = value


def transform(args: pulumi.ResourceTransformArgs) -> pulumi.ResourceTransformResult | None:
    faults = [fault for fault in planted["faults"] if fault["resource"] == args.name]
    if not faults or not args.custom:
        return None
    props, opts = dict(args.props), args.opts
    for fault in faults:
        if fault["path"] == "protect":
            opts.protect = fault["value"]
        else:
            plant(props, fault["path"], fault["value"])
    return pulumi.ResourceTransformResult(props=props, opts=opts)


pulumi.runtime.register_resource_transform(transform)
runpy.run_path(str(Path(planted["repository"]) / "__main__.py"))
if planted["strangers"]:
    runpy.run_path(str(Path(__file__).with_name("strangers.py")))
