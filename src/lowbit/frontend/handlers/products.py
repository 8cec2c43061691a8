"""Matrix products of two activations, and attention made of them."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from lowbit.frontend.builder import Builder
from lowbit.frontend.call import Call, Value
from lowbit.frontend.handlers.linear import constant_product
from lowbit.frontend.handlers.operands import activation, constant
from lowbit.frontend.handlers.shape import expand_to

__all__ = ["attention", "baddbmm", "einsum", "matmul", "product"]


def _stacked(b: Builder, call: Call, x: Value, lead: Sequence[int]) -> Value:
    """(..., M, K) as (B, M, K), its leading axes repeated to ``lead``."""
    rows, columns = b.shape(x)[-2:]
    flat = (math.prod(lead), rows, columns)
    if isinstance(x, str):
        return b.reshape(call, expand_to(b, call, x, (*lead, rows, columns)), flat)
    return x.expand(*lead, rows, columns).reshape(flat)


def _untransposed(b: Builder, x: Value) -> tuple[Value, bool]:
    """What ``x`` is the transpose of, its last two axes exchanged, and whether it is one."""
    node = b.producer(x) if isinstance(x, str) else None
    rank = len(b.shape(x))
    if node is not None and node.op == "permute" and tuple(node.attrs["dims"]) == (*range(rank - 2), rank - 1, rank - 2):
        return node.inputs[0], True
    return x, False


def product(b: Builder, call: Call, x: Value, y: Value, *, transposed: bool = False, factor: float = 1.0) -> str:
    """factor * x y of (..., M, K) and (..., K, N), or (..., N, K) with ``transposed``; leading axes broadcast.  One of both may
    be a constant."""
    if not isinstance(x, str):  # x y = (y^T x^T)^T
        y = activation(call, y)
        rank = len(b.shape(y))
        swapped = (*range(rank - 2), rank - 1, rank - 2)
        turned = product(b, call, y if transposed else b.permute(call, y, swapped), x, transposed=True, factor=factor)
        rank = len(b.shape(turned))
        return b.permute(call, turned, (*range(rank - 2), rank - 1, rank - 2))
    y, exchanged = _untransposed(b, y)
    transposed ^= exchanged
    lead = torch.broadcast_shapes(b.shape(x)[:-2], b.shape(y)[:-2])
    left, right = _stacked(b, call, x, lead), _stacked(b, call, y, lead)
    rows, columns = b.shape(x)[-2], b.shape(y)[-2 if transposed else -1]
    out = (math.prod(lead), rows, columns)
    result = b.emit(call, "matmul", [left, right], out, transposed=transposed, factor=factor)
    return b.reshape(call, result, (*lead, rows, columns))


def matmul(b: Builder, call: Call) -> Value:
    """``matmul``, ``mm``, ``bmm``: a constant matrix as the right factor is a linear layer."""
    x, y = call.args["self"], call.args["mat2" if "mat2" in call.args else "other"]
    if isinstance(x, str) and isinstance(y, torch.Tensor) and y.dim() <= 2:
        return constant_product(b, call, x, y)
    if isinstance(x, torch.Tensor) and x.dim() == 2 and len(b.shape(y)) >= 2:  # (y^T W^T)^T
        y = activation(call, y)
        rank = len(b.shape(y))
        swapped = (*range(rank - 2), rank - 1, rank - 2)
        shape = (*b.shape(y)[:-2], b.shape(y)[-1], len(x))
        return b.permute(call, b.emit(call, "linear", [b.permute(call, y, swapped), x], shape), swapped)
    if len(b.shape(x)) == 1:
        x = _with_shape(b, call, x, (1, *b.shape(x)))
    if len(b.shape(y)) == 1:
        y = _with_shape(b, call, y, (*b.shape(y), 1))
    return b.reshape(call, product(b, call, x, y), call.shape)


def _with_shape(b: Builder, call: Call, x: Value, shape: tuple[int, ...]) -> Value:
    return b.reshape(call, x, shape) if isinstance(x, str) else x.reshape(shape)


def baddbmm(b: Builder, call: Call) -> Value:
    """beta * self + alpha * batch1 batch2; with beta 0 ``self`` is not looked at."""
    alpha, beta, addend = call.args["alpha"], call.args["beta"], call.args["self"]
    y = product(b, call, call.args["batch1"], call.args["batch2"], factor=b.number(call, "alpha", alpha))
    if beta == 0:
        return y
    if beta != 1:
        computed = isinstance(addend, str)
        addend = b.emit(call, "mul", [addend, constant(beta)], b.shape(addend)) if computed else addend.double() * beta
    return b.emit(call, "add", [y, addend], call.shape)


def attention(b: Builder, call: Call) -> Value:
    """softmax(scale * q k^T + mask) v; scale is 1 / sqrt(E) without one.  A mask of bool is 0 where it is true, else -inf; a
    causal one hides the keys j > i from query i.  Grouped, each head of k and v serves as many of q as there are for one."""
    args = call.args
    if args["dropout_p"]:
        call.refuse("dropout is active although the model is in evaluation mode; leave it out")
    q, k, v, mask = args["query"], args["key"], args["value"], args["attn_mask"]
    if args["enable_gqa"]:
        k, v = (_repeated_heads(b, call, x, b.shape(q)[-3]) for x in (k, v))
    scale = 1 / math.sqrt(b.shape(q)[-1]) if args["scale"] is None else b.number(call, "scale", args["scale"])
    scores = product(b, call, q, k, transposed=True, factor=scale)
    if args["is_causal"]:
        mask = torch.ones(b.shape(scores)[-2:], dtype=torch.bool).tril()
    if isinstance(mask, torch.Tensor) and mask.dtype == torch.bool:
        mask = torch.zeros(mask.shape).masked_fill(~mask, -math.inf)
    if mask is not None:
        scores = b.emit(call, "add", [scores, mask], torch.broadcast_shapes(b.shape(scores), b.shape(mask)))
    shape = b.shape(scores)
    flat = b.reshape(call, scores, (math.prod(shape[:-2]), *shape[-2:]))
    p = b.emit(call, "softmax", [flat], b.shape(flat), axis=2)
    return product(b, call, b.reshape(call, p, shape), v)


def _repeated_heads(b: Builder, call: Call, x: Value, heads: int) -> Value:
    """(..., H, L, E) -> (..., heads, L, E), each head heads / H times in a row."""
    *lead, own, places, size = b.shape(x)
    if own == heads:
        return x
    if isinstance(x, torch.Tensor):
        return x.repeat_interleave(heads // own, -3)
    apart = b.reshape(call, x, (*lead, own, 1, places, size))
    repeated = expand_to(b, call, apart, (*lead, own, heads // own, places, size))
    return b.reshape(call, repeated, (*lead, heads, places, size))


def einsum(b: Builder, call: Call) -> Value:
    """A contraction of two operands that is a matrix product: every letter once an operand, no letter of one operand alone that
    the result lacks."""
    equation, operands = call.args["equation"].replace(" ", ""), call.args["tensors"]
    call.args.without_effect("path")
    inputs, arrow, out = equation.partition("->")
    terms = inputs.split(",")
    unique = all(len(set(term)) == len(term) for term in (*terms, out))
    if len(operands) != 2 or len(terms) != 2 or not arrow or "." in equation or not unique:
        call.refuse(
            f"einsum {equation!r}: supported are two operands, every letter once in each, and -> with the result's letters"
        )
    left, right = terms
    shared = [c for c in left if c in right]
    batch, summed = [c for c in shared if c in out], [c for c in shared if c not in out]
    rows, columns = [c for c in left if c not in right], [c for c in right if c not in left]
    if not summed or set(out) != {*batch, *rows, *columns}:
        call.refuse(f"einsum {equation!r} is no matrix product; write it with mul and sum")
    sizes = {c: n for term, x in zip(terms, operands, strict=True) for c, n in zip(term, b.shape(x), strict=True)}

    def arranged(x: Value, term: str, groups: tuple[list[str], ...]) -> Value:
        order = [term.index(c) for group in groups for c in group]
        shape = tuple(math.prod(sizes[c] for c in group) for group in groups)
        if isinstance(x, str):
            return b.reshape(call, b.permute(call, x, order), shape)
        return x.permute(order).reshape(shape)

    x = arranged(operands[0], left, (batch, rows, summed))
    y = arranged(operands[1], right, (batch, columns, summed))
    product_ = product(b, call, x, y, transposed=True)
    letters = [*batch, *rows, *columns]
    y = b.reshape(call, product_, tuple(sizes[c] for c in letters))
    return b.permute(call, y, [letters.index(c) for c in out])
