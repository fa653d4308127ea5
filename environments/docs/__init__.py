"""What is generated from the source: pages on settings and components, and a schema for editors."""

from collections.abc import Mapping
from pathlib import Path

from environments.docs import components, settings

ROOT = Path(__file__).parents[2]


def generated() -> Mapping[Path, str]:
    """Every generated file, with the content that it should have."""
    return {
        ROOT / "environments" / "settings.schema.json": settings.json_schema(),
        ROOT / "docs" / "environments.md": settings.render(),
        ROOT / "docs" / "components.md": components.render(),
    }


def stale() -> Mapping[Path, str]:
    """The generated files that are missing or differ from what they should be."""
    return {
        path: text
        for path, text in generated().items()
        if not path.exists() or path.read_text(encoding="utf-8") != text
    }
