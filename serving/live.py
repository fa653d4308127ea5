"""Whether the server of this container answers: exits with 0 if so. Docker's health check runs it."""

import os
import sys
import urllib.error
import urllib.request


def main() -> None:
    """Ask the server's liveness route; standard library only, for it runs every few seconds."""
    url = f"http://127.0.0.1:{os.environ.get('PORT', '8080')}/v2/health/live"
    try:
        with urllib.request.urlopen(url, timeout=4):
            pass
    except OSError as error:
        sys.exit(f"the server does not answer: {error}")


if __name__ == "__main__":
    main()
