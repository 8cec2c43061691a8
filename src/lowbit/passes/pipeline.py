"""The passes in order."""

from __future__ import annotations

from collections.abc import Callable

from lowbit.graph import Graph
from lowbit.passes.batch_norm_to_affine import batch_norm_to_affine
from lowbit.passes.bound_masks import bound_masks
from lowbit.passes.canonical_form import canonical_form
from lowbit.passes.constants_to_affine import constants_to_affine
from lowbit.passes.drop_expand import drop_expand
from lowbit.passes.find_activations import find_activations
from lowbit.passes.find_min_pools import find_min_pools
from lowbit.passes.find_norms import find_norms
from lowbit.passes.find_response_norms import find_response_norms
from lowbit.passes.fold_into_next import fold_into_next
from lowbit.passes.fold_into_previous import fold_into_previous
from lowbit.passes.fuse_clamp import fuse_clamp
from lowbit.passes.fuse_residual import fuse_residual
from lowbit.passes.hoist_channelwise import hoist_channelwise
from lowbit.passes.hoist_clamp import hoist_clamp
from lowbit.passes.merge_moves import merge_moves
from lowbit.passes.merge_pad import merge_pad
from lowbit.passes.norm_ahead_of_permute import norm_ahead_of_permute
from lowbit.passes.pad_into_pool import pad_into_pool
from lowbit.passes.remove_dead import remove_dead
from lowbit.passes.remove_identities import remove_identities
from lowbit.passes.scale_into_product import scale_into_product

__all__ = ["PASSES", "Pass", "canonicalize"]

Pass = Callable[[Graph], Graph]

PASSES: tuple[Pass, ...] = (
    remove_dead,
    bound_masks,
    find_activations,
    find_min_pools,
    find_norms,
    find_response_norms,
    canonical_form,
    norm_ahead_of_permute,
    scale_into_product,
    merge_moves,
    remove_identities,
    drop_expand,
    pad_into_pool,
    merge_pad,
    remove_dead,
    batch_norm_to_affine,
    fold_into_previous,
    constants_to_affine,
    hoist_channelwise,
    fold_into_previous,
    fold_into_next,
    merge_pad,
    remove_dead,
    fold_into_next,
    hoist_clamp,
    fuse_clamp,
    fuse_residual,
    merge_moves,
    remove_identities,
    remove_dead,
)
"""Each is named after its function.  Dead readers are removed first, since fusing asks who reads a value.
Padding and folding meet twice: a pad in front of a folded affine reaches its convolution only then, and
a scale in front of a merged pad only after that."""


def canonicalize(graph: Graph, after: Callable[[Pass, Graph], None] | None = None) -> Graph:
    """The float graph as quantization expects it: folded, fused, with every default written out.

    ``after(pass, graph)`` is called behind every pass: for verifiers, dumps and timers.
    """
    for step in PASSES:
        graph = step(graph)
        if after is not None:
            after(step, graph)
    return graph
