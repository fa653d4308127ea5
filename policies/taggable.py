"""Which AWS resource types take tags: those whose class in the SDK has both `tags` and `tags_all`.

The list is a committed file, because importing the SDK takes seconds and the pack starts with every plan.
`python -m policies.taggable` writes it anew after an upgrade of pulumi-aws.
"""

import re
from importlib.util import find_spec
from pathlib import Path

FILE = Path(__file__).with_suffix(".txt")
_TOKEN = re.compile(r'^@pulumi\.type_token\("(aws:[^"]+)"\)', re.MULTILINE)


def types() -> frozenset[str]:
    """Type tokens, from the file."""
    return frozenset(FILE.read_text().split())


def scan() -> list[str]:
    """Type tokens, from the sources of the installed SDK."""
    spec = find_spec("pulumi_aws")
    assert spec is not None and spec.origin is not None
    found = []
    for file in Path(spec.origin).parent.glob("*/*.py"):
        text = file.read_text()
        if (token := _TOKEN.search(text)) and all(
            f"def {name}(self)" in text for name in ("tags", "tags_all")
        ):
            found.append(token[1])
    return sorted(found)


if __name__ == "__main__":
    FILE.write_text("\n".join(scan()) + "\n")
