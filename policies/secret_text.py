"""Recognises secrets in text, so that none is written where many can read it."""

import re

# What it is -> how it looks, wherever it stands.
_KINDS = {
    "an AWS access key": re.compile(r"\b(AKIA|ASIA)[A-Z0-9]{16}\b"),
    "a private key": re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----"),
    "a GitHub token": re.compile(r"\b(gh[pousr]_[A-Za-z0-9]{36,}|github_pat_\w{22,})"),
    "a Slack token": re.compile(r"\bxox[abprs]-[A-Za-z0-9-]{10,}"),
    "an API key of a model provider": re.compile(r"\b(sk-[A-Za-z0-9_-]{20,}|hf_[A-Za-z0-9]{30,})"),
    "a JSON web token": re.compile(r"\beyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{10,}"),
    "a URL with a password": re.compile(r"\b[a-z][a-z0-9+.-]*://[^/\s:@]+:[^/\s:@]+@", re.IGNORECASE),
}

_WORDS = (
    r"(secret|password|passwd|pwd|token|credentials?|(api|access|private|secret|signing|encryption)_?key)"
)
_NAME = re.compile(rf"(^|[_.-]){_WORDS}$", re.IGNORECASE)
"""A variable whose name ends so holds a secret; API_KEY_SOURCE or TOKEN_URL holds something about one."""
_ASSIGNMENT = re.compile(rf"\b(\w*[_.-])?{_WORDS}\s*[=:]\s*[\"']?([^\s\"'$<]{{6,}})", re.IGNORECASE)

_REFERENCE = re.compile(r"(arn:aws|/|\{\{resolve:|https?://(?![^/]*@))", re.IGNORECASE)
"""Values that say where a secret is: an ARN, a parameter's name, a URL without credentials."""


def kind_in(text: str) -> str:
    """What kind of secret stands somewhere in the text; empty for none."""
    return next((kind for kind, pattern in _KINDS.items() if pattern.search(text)), "")


def kind_of(name: str, value: str) -> str:
    """What kind of secret the variable holds, by its value or else by its name; empty for none."""
    if kind := kind_in(value):
        return kind
    return "a secret" if value and _NAME.search(name) and not _REFERENCE.match(value) else ""


def kind_in_script(text: str) -> str:
    """As `kind_in`, with assignments such as `DB_PASSWORD=hunter2`."""
    if kind := kind_in(text):
        return kind
    assigned = (match[match.re.groups] for match in _ASSIGNMENT.finditer(text))
    return "a secret" if any(not _REFERENCE.match(value) for value in assigned) else ""
