"""Arguments of operations that read and write at constant positions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.fuzz.draws import Draws
from tests.fuzz.tensors import Mask, Places, draw_recipe

if TYPE_CHECKING:
    from tests.fuzz.arguments import Unbound

__all__ = ["plan"]


def plan(u: Unbound) -> dict[str, Any]:
    """Every argument but the first, by name; those of other overloads are not asked for."""
    draws, shape, dim = u.draws, u.shape, u.axis
    axis = dim % u.rank if u.rank else 0
    size = u.extent(axis)
    common = {"dim": dim, "accumulate": False, "reduce": "add"}
    if u.operation in ("gather", "take_along_dim", "scatter"):
        wanted = [draws.integer(1, max(n, 1)) if k == axis else draws.choose((n, n, max(n - 1, 1))) for k, n in enumerate(shape)]
        index = Places("places", tuple(wanted), draws.integer(0, 31), size)
        return {**common, "index": index, "indices": index, "src": draw_recipe(draws, wanted), "value": 0.5}
    if u.operation in ("index_copy", "index_fill"):
        index = Places("places", (draws.integer(1, 4),), draws.integer(0, 31), size)
        source = [index.shape[0] if k == axis else n for k, n in enumerate(shape)]
        return {**common, "index": index, "source": draw_recipe(draws, source if shape else ()), "value": _number(u, draws)}
    if u.operation == "masked_scatter":
        mask = Mask("mask", draws.broadcastable(shape, grows=False), draws.integer(0, 31))
        return {**common, "mask": mask, "source": draw_recipe(draws, shape)}
    if u.operation == "take":
        count = 1
        for n in shape:
            count *= n
        return {**common, "index": Places("places", draws.shape(0, 3, 24), draws.integer(0, 31), count)}
    if u.operation == "index_put":
        width = draws.integer(1, 3)
        lists = [Places("places", (width,), draws.integer(0, 31), n) if draws.chance(50) else None for n in shape]
        return {**common, "indices": lists, "values": draw_recipe(draws, draws.choose(((), (1,), (width,))))}
    return {}


def _number(u: Unbound, draws: Draws) -> Any:
    return draws.choose((0.5, 0, -1.25)) if draws.chance(50) else draw_recipe(draws, ())
