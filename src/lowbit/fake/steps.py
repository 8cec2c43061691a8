"""The steps of a network as modules, in the places that their names say."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from lowbit.fake.grid import Sum
from lowbit.fake.operations import OPERATIONS, Site
from lowbit.fake.quantizer import TensorQuantizer
from lowbit.frontend.evaluation import compute
from lowbit.graph.ops import PASS_THROUGH, POSITIONS

__all__ = ["Layer", "Step", "place"]


class Step(nn.Module):
    """One operation.  Called with its site and its operands: integers where they have a grid, else real numbers.  Hooks see
    both, and what comes out."""

    output_quantizer: TensorQuantizer

    def forward(self, site: Site, values: Sequence[Tensor]) -> Tensor | Sum:
        node = site.node
        if site.grids[0] is not None or node.op in (*PASS_THROUGH, *POSITIONS, "quantize"):
            return OPERATIONS[node.op](site, values)
        return compute(node, site.shape, *(value.float() for value in values))


class Layer(Step):
    """conv2d or linear: ``weight`` float32, as the float graph has it (O, I, ...); ``bias`` (O,) float64."""

    weight_quantizer: TensorQuantizer
    input_quantizer: TensorQuantizer

    def __init__(self, weight: Tensor, bias: Tensor, quantizer: TensorQuantizer) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight)
        self.bias = nn.Parameter(bias)
        self.weight_quantizer = quantizer


def place(root: nn.Module, name: str, module: nn.Module) -> str:
    """Puts ``module`` below ``root`` where a dotted ``name`` says; returns its path.  Parts of the name that are taken by
    attributes of modules (``float``, ``weight``) get an underscore."""
    *scopes, last = name.split(".")
    parent, path = root, []
    for part in scopes:
        part = _free(parent, part)
        if part not in parent._modules:
            parent.add_module(part, nn.Module())
        parent = parent.get_submodule(part)
        path.append(part)
    last = _free(parent, last)
    while last in parent._modules:
        present = parent._modules[last]
        if type(present) is nn.Module:  # a scope so far: its members move below the step
            for inner, member in present.named_children():
                module.add_module(inner, member)
            break
        last += "_"
    parent.add_module(last, module)
    return ".".join([*path, last])


def _free(parent: nn.Module, part: str) -> str:
    while not part or (hasattr(parent, part) and part not in parent._modules):
        part += "_"
    return part
