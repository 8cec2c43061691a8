"""Names of nodes: where exporters wrote the path of the module into them, that path."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

__all__ = ["module_paths"]

_SCOPES = "pkg.torch.onnx.name_scopes"


def module_paths(nodes: Sequence[Any]) -> list[tuple[str, bool]]:
    """(path, whether only this node has it) of every node.

    A node that reads "layer1.0.conv1.weight" is layer1.0.conv1; so is "/layer1/layer1.0/conv1/Conv", and one that torch's newer
    exporter gave these scopes as metadata.  Other nodes have their name, or that of their first output."""
    layers = [_layer(node) for node in nodes]
    paths = [layer or _path(node) for layer, node in zip(layers, nodes, strict=True)]
    counts, of_layers = Counter(paths), Counter(layers)
    parents = {path.rpartition(".")[0] for path in paths}
    own = [
        of_layers[layer] == 1 if layer else counts[path] == 1 and path not in parents
        for layer, path in zip(layers, paths, strict=True)
    ]
    return list(zip(paths, own, strict=True))


def _layer(node: Any) -> str:
    """The module whose weight the node reads; "" if that has no such name."""
    name = str(node.input[1]) if len(node.input) > 1 else ""
    return name.removesuffix(".weight") if re.fullmatch(r"[A-Za-z]\w*(\.\w+)*\.weight", name) else ""


def _path(node: Any) -> str:
    for entry in node.metadata_props:
        if entry.key == _SCOPES:
            scopes = _listed(entry.value)
            if len(scopes) > 2:
                return str(scopes[-2])
    name = node.name or next((output for output in node.output if output), node.op_type)
    if not name.startswith("/"):
        return _plain(name)
    path = ""
    for part in name.strip("/").split("/")[:-1]:
        path = part if not path or part.startswith(f"{path}.") else f"{path}.{part}"
    return _plain(path) or _plain(name.strip("/"))


def _listed(text: str) -> list[Any]:
    try:
        scopes = ast.literal_eval(text)
    except (SyntaxError, ValueError):
        return []
    return scopes if isinstance(scopes, list) else []


def _plain(name: str) -> str:
    return re.sub(r"[^\w.]+", "_", name).strip("_.")
