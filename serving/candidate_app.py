"""Tries a version in this environment and prints what was found, as JSON, for a replica that is to load it.

    python -m serving.candidate_app VERSION

Environment: as the model server's. A version that breaks the process ends this one, and no other.
"""

import json
import os
import sys

from serving import golden
from serving.errors import ServingError
from serving.http_app import Settings, version_loader


def main() -> None:
    """Print `digest`, `golden` and `slowest_ms` of the version, or why it is `refused`."""
    try:
        model = version_loader(os.environ, Settings.of(os.environ))(sys.argv[1])
        report = golden.run(model.manifest, model.infer)
    except ServingError as error:
        found: dict[str, object] = {"refused": str(error)}
    else:
        found = {"digest": model.manifest.sha256, "golden": report.passed, "slowest_ms": report.slowest_ms}
        if report.failed:
            failed = report.failed[0]
            found = {"refused": f"golden request {failed['golden']}: {failed['reason']}"}
    print(json.dumps(found))


if __name__ == "__main__":
    main()
