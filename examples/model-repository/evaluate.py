"""The gate between training and publishing: a version that is worse than it may be is never published.

    python evaluate.py FOLDER --metric accuracy --at-least 0.95

reads the metrics that training measured on held-out data and wrote into the manifest.
"""

import argparse
import json
import sys
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="folder with the model and its manifest.json")
    parser.add_argument("--metric", required=True, help="name of a metric in the manifest")
    parser.add_argument("--at-least", type=float, required=True, help="least value that may be published")
    arguments = parser.parse_args()
    manifest = json.loads((arguments.folder / "manifest.json").read_text(encoding="utf-8"))
    measured = manifest["metrics"].get(arguments.metric)
    if measured is None:
        sys.exit(f"the manifest has no metric {arguments.metric}; it has {', '.join(manifest['metrics'])}")
    what = f"{manifest['name']} {manifest['version']}: {arguments.metric} {measured:g}"
    if measured < arguments.at_least:
        sys.exit(f"{what} is below {arguments.at_least:g}: not published")
    print(f"{what}, at least {arguments.at_least:g}: may be published")


if __name__ == "__main__":
    main()
