"""How the outputs of a network hang together: what ``forward`` returned, beyond one tensor or a row of them."""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any

__all__ = ["Structure", "flattened", "read_structure"]

_DEEPEST = 32
_MOST = 1 << 16
_PLAIN = (bool, int, float, str)


@dataclass(frozen=True)
class Structure:
    """``tree``, which JSON can say: a number is that output; None; {"value": v}; {"list": [...]}, {"tuple": [...]};
    {"dict": [[key, tree], ...]}; {"namedtuple": name, "fields": [[field, tree], ...]}, "dataclass" alike.

    ``classes``: by name, the classes of namedtuples and dataclasses where they are known: in the process that traced the network.
    Without them a namedtuple is one of the same name and fields, and a dataclass a dict of its fields: no class is ever
    imported by name."""

    tree: Any
    classes: Mapping[str, Any] = field(default_factory=dict, compare=False)

    def of(self, outputs: Sequence[Any]) -> Any:
        """The outputs put in their places."""
        return self._made(self.tree, outputs)

    def _made(self, tree: Any, outputs: Sequence[Any]) -> Any:
        if tree is None:
            return None
        if isinstance(tree, int):
            return outputs[tree]
        kind = next(iter(tree))
        if kind == "value":
            return tree["value"]
        if kind in ("list", "tuple"):
            made = [self._made(each, outputs) for each in tree[kind]]
            return made if kind == "list" else tuple(made)
        parts = {name: self._made(each, outputs) for name, each in tree["dict" if kind == "dict" else "fields"]}
        if kind == "dict" or (kind == "dataclass" and tree[kind] not in self.classes):
            return parts
        known = self.classes.get(tree[kind])
        return (known or namedtuple(tree[kind], parts))(**parts)


def flattened(value: Any, is_tensor: Callable[[Any], bool], refuse: Callable[[str], Any]) -> tuple[list[Any], Structure | None]:
    """The tensors in ``value`` in order, and how they hang together; None for one tensor, or a tuple or list of tensors, which
    networks return as a tensor or a tuple.  ``refuse(what)`` is called for what is none of this."""
    tensors: list[Any] = []
    classes: dict[str, Any] = {}

    def named(kind: str, each: Any, parts: Mapping[str, Any]) -> dict[str, Any]:
        name = type(each).__name__
        classes[name] = type(each)
        return {kind: name, "fields": [[key, tree(part)] for key, part in parts.items()]}

    def tree(each: Any) -> Any:
        if is_tensor(each):
            tensors.append(each)
            return len(tensors) - 1
        if each is None:
            return None
        if isinstance(each, _PLAIN):
            return {"value": each}
        if is_dataclass(each) and not isinstance(each, type):
            return named("dataclass", each, {f.name: getattr(each, f.name) for f in fields(each) if f.init})
        if isinstance(each, tuple) and hasattr(each, "_fields"):
            return named("namedtuple", each, dict(zip(each._fields, each, strict=True)))
        if isinstance(each, (list, tuple)):
            return {"list" if isinstance(each, list) else "tuple": [tree(part) for part in each]}
        if isinstance(each, Mapping) and all(isinstance(key, (str, int)) for key in each):
            return {"dict": [[key, tree(part)] for key, part in each.items()]}
        return refuse(type(each).__name__)

    made = tree(value)
    row = next(iter(made.values())) if isinstance(made, dict) and next(iter(made)) in ("list", "tuple") else None
    plain = isinstance(made, int) or (row is not None and all(type(each) is int for each in row))
    return tensors, None if plain else Structure(made, classes)


def read_structure(tree: Any, outputs: int) -> Structure:
    """The structure of so many outputs that a file says.  Raises ValueError for anything else."""
    left = [_MOST]

    def check(each: Any, depth: int) -> None:
        left[0] -= 1
        if depth > _DEEPEST or left[0] < 0:
            raise ValueError("it is too deep or too large")
        if each is None:
            return
        if type(each) is int:
            if not 0 <= each < outputs:
                raise ValueError(f"it has output {each} of {outputs}")
            return
        if not isinstance(each, dict) or not each:
            raise ValueError(f"it holds {each!r:.60}")
        kind, parts = next(iter(each)), next(iter(each.values()))
        if kind == "value" and len(each) == 1 and isinstance(parts, _PLAIN):
            return
        if kind in ("list", "tuple") and len(each) == 1 and isinstance(parts, list):
            for part in parts:
                check(part, depth + 1)
            return
        if kind in ("namedtuple", "dataclass") and list(each) == [kind, "fields"]:
            if not isinstance(parts, str) or not parts.isidentifier():
                raise ValueError(f"it has a {kind} of name {parts!r:.60}")
            parts, words = each["fields"], True
        elif kind == "dict" and len(each) == 1:
            words = False
        else:
            raise ValueError(f"it holds {each!r:.60}")
        if not isinstance(parts, list):
            raise ValueError(f"it holds {each!r:.60}")
        keys = []
        for pair in parts:
            if not isinstance(pair, list) or len(pair) != 2 or type(pair[0]) not in ((str,) if words else (str, int)):
                raise ValueError(f"it holds {pair!r:.60}")
            keys.append(pair[0])
            check(pair[1], depth + 1)
        if kind == "namedtuple":
            namedtuple(each[kind], keys)  # ValueError for fields that are no names
        if len(set(keys)) != len(keys):
            raise ValueError("it has a key twice")

    check(tree, 0)
    return Structure(tree)
