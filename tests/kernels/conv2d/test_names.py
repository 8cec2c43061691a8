"""A form's name stands in its family's file alone: everybody else asks the Form."""

from __future__ import annotations

import re
from pathlib import Path

import lowbit
from lowbit.kernels.conv2d.forms import FORMS
from lowbit.kernels.layout import FLOATS

SOURCE = Path(lowbit.__file__).parent
FAMILIES = SOURCE / "kernels" / "conv2d" / "forms"
# the names of the plain forms of floats are those of their dtypes, which stand everywhere
NAMES = re.compile("|".join(rf"\b{re.escape(name)}\b" for name in FORMS if name not in FLOATS))


def test_no_name_stands_elsewhere() -> None:
    found = {
        f"{path.relative_to(SOURCE)}:{number}: {line.strip()}"
        for path in SOURCE.rglob("*.py")
        if path.parent != FAMILIES
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if NAMES.search(line)
    }
    assert not found


def test_a_name_stands_in_one_family() -> None:
    for name in FORMS.keys() - set(FLOATS):
        files = [path.name for path in FAMILIES.glob("*.py") if re.search(rf'name="{name}"', path.read_text())]
        assert len(files) == 1, name


def test_nobody_compares_parts_of_names() -> None:
    guesses = re.compile(r"""form(\.name)?\.(startswith|endswith)\(|["'] in (\w+\.)*form(\.name)?\b""")
    assert not [path for path in SOURCE.rglob("*.py") if guesses.search(path.read_text())]
