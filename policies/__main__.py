"""Starts the policy pack for the Pulumi engine, which stops it by ending the process."""

import datetime
import sys
from pathlib import Path

# The engine runs this folder as a script; the package is importable from the folder above it.
sys.path[0] = str(Path(__file__).resolve().parent.parent)

from policies import settings, waivers
from policies.rules import RULES
from policies.server import Analyzer, serve

serve(
    Analyzer(
        rules=RULES,
        configs=settings.load(settings.STRICTEST, RULES),
        waivers=waivers.load(Path(__file__).with_name("waivers.yaml")),
        today=datetime.datetime.now(datetime.UTC).date(),
    )
)
