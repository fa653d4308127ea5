"""Writes what is generated from the settings' and components' source, or checks that it is up to date.

python -m environments.docs            writes the files
python -m environments.docs --check    exits with 1 and names the files that are out of date
"""

import argparse
import sys

from environments import docs


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m environments.docs", description=__doc__.split("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing; fail if a file is out of date")
    check = parser.parse_args().check
    stale = docs.stale()
    for path, text in stale.items():
        if not check:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
        print(f"{path.relative_to(docs.ROOT)}: {'out of date' if check else 'written'}")
    if check and stale:
        print("run `python -m environments.docs`, review and commit")
    return int(bool(check and stale))


if __name__ == "__main__":
    sys.exit(main())
