"""docs/api.md, the public names with their signatures and docstrings: ``make docs``."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from typing import Any

from benchmarks.results_file import ROOT

import lowbit
from lowbit import errors

__all__ = ["PAGE", "api_page"]

PAGE = ROOT / "docs" / "api.md"


def api_page() -> str:
    """The page as text."""
    names = [name for name in lowbit.__all__ if not name.startswith("_")]
    functions = [name for name in names if not inspect.isclass(getattr(lowbit, name))]
    lines = [
        "# The public API",
        "",
        "Made from the docstrings by `make docs`.",
        "",
        "Functions: " + ", ".join(f"[{name}](#lowbit{name.lower()})" for name in functions) + ".",
        "Classes: " + ", ".join(f"[{name}](#lowbit{name.lower()})" for name in names if name not in functions) + ".",
    ]
    for name in [*functions, *(name for name in names if name not in functions)]:
        value = getattr(lowbit, name)
        lines += ["", f"## lowbit.{name}", "", *_code(name, value), "", *_text(value)]
        for member, function in _members(value):
            lines += ["", f"**{member}**", "", *_code(member, function), "", *_text(function)]
    from lowbit import dynamo

    lines += ["", '## torch.compile(backend="lowbit")', "", *_code("lowbit", dynamo.lowbit), "", *_text(dynamo.lowbit)]
    lines += ["", "## Errors and warnings", "", "All in `lowbit.errors`; every error is a `LowbitError`.", ""]
    for name in errors.__all__:
        if inspect.isclass(getattr(errors, name)):
            lines.append(f"- `{name}`: {' '.join(_text(getattr(errors, name)))}")
    return "\n".join(line.rstrip() for line in lines) + "\n"


def _members(value: Any) -> Iterator[tuple[str, Any]]:
    """Public methods and properties of a class with words of their own, those of other libraries' bases left out."""
    if not inspect.isclass(value):
        return
    for name, member in vars(value).items():
        function = member.fget if isinstance(member, property) else getattr(member, "__func__", member)
        if not name.startswith("_") and (inspect.isfunction(function)) and function.__doc__:
            yield name, function


def _code(name: str, value: Any) -> list[str]:
    try:
        signature = inspect.signature(value)
    except (TypeError, ValueError):
        return []
    kept = [p for p in signature.parameters.values() if p.name != "self"]
    parts = [re.sub(r" at 0x[0-9a-f]+", "", str(p)) for p in kept]  # an object's address is no news
    named = [i for i, p in enumerate(kept) if p.kind is inspect.Parameter.KEYWORD_ONLY]
    if named and not any(p.kind is inspect.Parameter.VAR_POSITIONAL for p in kept):
        parts.insert(named[0], "*")
    returned = "" if signature.return_annotation in (inspect.Signature.empty, None) else f" -> {signature.return_annotation}"
    one = f"{name}({', '.join(parts)}){returned}".replace("'", "")
    if len(one) > 100:
        one = f"{name}(\n    " + ",\n    ".join(parts) + f",\n){returned}".replace("'", "")
    return ["```python", one, "```"]


def _text(value: Any) -> list[str]:
    text = inspect.getdoc(value) or ""
    text = re.sub(r":(?:func|class|meth|data|attr):`~?\.?([^`]+)`", r"`\1`", text)
    return text.replace("``", "`").splitlines()


def main() -> None:
    PAGE.write_text(api_page())


if __name__ == "__main__":
    main()
