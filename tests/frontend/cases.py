"""Small networks, each with something that is easy to get wrong."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["CASES", "Lambda", "case"]


class Lambda(nn.Module):
    """A module whose forward is a function of (module, *inputs); layers are its attributes."""

    def __init__(self, forward: Callable[..., object], **layers: nn.Module) -> None:
        super().__init__()
        self.function = forward
        for name, layer in layers.items():
            setattr(self, name, layer)

    def forward(self, *inputs: Tensor) -> object:
        return self.function(self, *inputs)


def _trained(module: nn.Module) -> nn.Module:
    """Batch norm with statistics and weights unlike the initial ones."""
    for layer in module.modules():
        if isinstance(layer, (nn.BatchNorm1d, nn.BatchNorm2d)):
            layer.running_mean.normal_(0, 0.5)
            layer.running_var.uniform_(0.3, 2.0)
            if layer.affine:
                nn.init.uniform_(layer.weight, -1.5, 1.5)
                nn.init.normal_(layer.bias)
    return module


INF, NAN = float("inf"), float("nan")
IMAGE = (2, 6, 11, 13)
CASES: dict[str, tuple[Callable[[], nn.Module], tuple[tuple[int, ...], ...]]] = {}


def _case(name: str, make: Callable[[], nn.Module], *shapes: tuple[int, ...]) -> None:
    CASES[name] = (make, shapes or (IMAGE,))


def _function(name: str, forward: Callable[..., object], *shapes: tuple[int, ...]) -> None:
    _case(name, lambda: Lambda(lambda self, *inputs: forward(*inputs)), *shapes)


def case(name: str) -> tuple[nn.Module, tuple[Tensor, ...]]:
    """The module in evaluation mode and example inputs, the same every time."""
    torch.manual_seed(sum(map(ord, name)))
    make, shapes = CASES[name]
    return _trained(make()).eval(), tuple(torch.randn(shape) for shape in shapes)


# Convolution and linear
_case("conv_stride_dilation", lambda: nn.Conv2d(6, 4, (3, 2), stride=(2, 3), padding=(1, 2), dilation=(2, 1)))
_case("conv_groups", lambda: nn.Conv2d(6, 9, 3, padding=1, groups=3))
_case("conv_depthwise", lambda: nn.Conv2d(6, 12, 3, groups=6, bias=False))
_case("conv_same", lambda: nn.Conv2d(6, 4, (4, 3), padding="same", dilation=(1, 2)))
_case("conv_valid", lambda: nn.Conv2d(6, 4, 3, padding="valid"))
_case("conv_zeros_padding_mode", lambda: nn.Conv2d(6, 4, 3, padding=(2, 0), padding_mode="zeros"))
_case("conv1d", lambda: nn.Sequential(nn.Conv1d(6, 4, 3, 2, 1), nn.BatchNorm1d(4), nn.ReLU()), (3, 6, 17))
_case("conv1d_same", lambda: nn.Conv1d(6, 6, 4, padding="same", groups=2), (3, 6, 17))
_case("conv_functional", lambda: Lambda(lambda self, x: F.conv2d(x, self.c.weight, stride=2), c=nn.Conv2d(6, 4, 3)))
_case("linear_rank_3", lambda: nn.Sequential(nn.Linear(5, 7), nn.ReLU(), nn.Linear(7, 2, bias=False)), (2, 4, 5))
_case("linear_rank_4", lambda: nn.Sequential(nn.Linear(5, 7), nn.ReLU(), nn.Linear(7, 2)), (2, 3, 4, 5))
_case("linear_rank_4_residual", lambda: Lambda(lambda self, x: F.relu(self.c(x) + x), c=nn.Linear(5, 5)), (2, 3, 4, 5))
_case("matmul", lambda: Lambda(lambda self, x: (x @ self.c.weight.T) + self.c.bias, c=nn.Linear(5, 7)), (3, 5))
_case("mm", lambda: Lambda(lambda self, x: torch.mm(x, self.c.weight), c=nn.Linear(5, 7)), (3, 7))
_case(
    "addmm",
    lambda: Lambda(lambda self, x: torch.addmm(self.c.bias, x, self.c.weight.t(), beta=0.5, alpha=2), c=nn.Linear(5, 7)),
    (3, 5),
)
_function("linear_rank_1", lambda x: F.linear(x, torch.arange(15.0).reshape(3, 5).to(x), torch.ones(3).to(x)), (5,))
_function("linear_bias_of_activation", lambda x: F.linear(x, torch.eye(5).to(x), x[0]), (3, 5))
_function("addmm_beta_0", lambda x: torch.addmm(torch.full((2,), NAN).to(x), x, x.new_ones(5, 2), beta=0, alpha=0.5), (3, 5))
_function("addmm_matrix_bias", lambda x: torch.addmm(torch.arange(6.0).reshape(3, 2).to(x), x, x.new_ones(5, 2), beta=2), (3, 5))
_function("addmm_activation_bias", lambda x: torch.addmm(x[:, :2], x, x.new_ones(5, 2), beta=2), (3, 5))
_case("one_by_one", lambda: nn.Sequential(nn.Conv2d(6, 1, 1), nn.Conv2d(1, 1, 1), nn.Flatten(), nn.Linear(143, 1)))

# Transposed convolutions
_case("transposed", lambda: nn.Sequential(nn.ConvTranspose2d(6, 4, 4, 2, 1), nn.BatchNorm2d(4), nn.ReLU()), (2, 6, 5, 7))
_case(
    "transposed_no_overlap", lambda: nn.Sequential(nn.ConvTranspose2d(6, 20, 2, 2), nn.ReLU(), nn.Conv2d(20, 3, 3)), (1, 6, 5, 7)
)
_case(
    "transposed_uneven", lambda: nn.Sequential(nn.ConvTranspose2d(6, 4, 3, 2, 1, 1), nn.BatchNorm2d(4), nn.ReLU6()), (2, 6, 5, 7)
)
_case("transposed_grouped", lambda: nn.ConvTranspose2d(6, 4, (4, 3), (2, 3), (1, 0), (1, 2), groups=2), (2, 6, 5, 4))
_case("transposed_grouped_even", lambda: nn.ConvTranspose2d(6, 4, 4, 2, 1, groups=2, bias=False), (2, 6, 5, 4))
_case("transposed_depthwise", lambda: nn.Sequential(nn.ConvTranspose2d(6, 6, 4, 2, 1, groups=6), nn.BatchNorm2d(6)), (2, 6, 5, 4))
_case("transposed_dilated", lambda: nn.ConvTranspose2d(6, 4, 3, (2, 3), (2, 1), (1, 0), dilation=(3, 2)), (1, 6, 5, 4))
_case("transposed_with_gaps", lambda: nn.Sequential(nn.ConvTranspose2d(6, 4, 1, 2, 0, 1), nn.BatchNorm2d(4)), (1, 6, 5, 4))
_case("transposed_cut", lambda: nn.ConvTranspose2d(6, 4, 3, 1, 2), (1, 6, 7, 8))
_case("transposed_1d", lambda: nn.Sequential(nn.ConvTranspose1d(6, 4, 5, 3, 1), nn.BatchNorm1d(4), nn.ReLU()), (2, 6, 9))
_case(
    "transposed_two_readers",
    lambda: Lambda(lambda self, x: (y := self.c(x)).relu() + y * 2, c=nn.ConvTranspose2d(6, 4, 2, 2)),
    (1, 6, 5, 4),
)
_case("conv1d_bn_relu", lambda: nn.Sequential(nn.Conv1d(6, 4, 3), nn.BatchNorm1d(4), nn.ReLU(), nn.Conv1d(4, 3, 1)), (2, 6, 17))

# Weighted neighbours
for _align in (False, True):
    _function(f"up_bilinear_{_align}", lambda x, a=_align: F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=a))
    _function(f"up_bilinear_sizes_{_align}", lambda x, a=_align: F.interpolate(x, (17, 5), mode="bilinear", align_corners=a))
    _function(f"up_linear_{_align}", lambda x, a=_align: F.interpolate(x, 30, mode="linear", align_corners=a), (3, 6, 17))
_function("up_bilinear_factors", lambda x: F.interpolate(x, scale_factor=(1.7, 0.6), mode="bilinear"))
_function("up_bilinear_recomputed", lambda x: F.interpolate(x, scale_factor=1.7, mode="bilinear", recompute_scale_factor=True))
_function("up_bilinear_of_one_pixel", lambda x: F.interpolate(x.mean((2, 3), keepdim=True), (5, 3), mode="bilinear"))
_case("up_bilinear_between", lambda: nn.Sequential(nn.Conv2d(6, 20, 1), nn.UpsamplingBilinear2d((21, 25)), nn.Conv2d(20, 4, 3)))
_function("up_bicubic", lambda x: F.interpolate(x, (17, 20), mode="bicubic"))

# Constant masks, and powers along an axis
_function("where", lambda x: torch.where(torch.arange(13) % 2 == 0, x, 2 * x) + torch.where(torch.eye(11, 13) > 0, -1.5, x))
_function("where_constant", lambda x: torch.where(torch.arange(6)[:, None, None] > 2, x, torch.arange(13.0)))
_function("where_all", lambda x: torch.where(torch.ones(13) > 0, x, 7.0) + torch.where(torch.ones(2, 1, 1, 1) < 0, x, x.relu()))
_function("masked_fill", lambda x: x.masked_fill(torch.arange(13) % 3 == 0, -0.5) + x.masked_fill(torch.eye(11, 13) > 0, 0.0))
_function("pow_per_channel", lambda x: (x.abs() + 0.125) ** torch.tensor([2.0, 2, 0, 3, 0.5, 1.75])[:, None, None])

# Elements read at constant positions
_case("up_nearest", lambda: nn.Sequential(nn.Conv2d(6, 20, 1), nn.Upsample(scale_factor=2), nn.Conv2d(20, 4, 3, padding=1)))
_function("up_nearest_sizes", lambda x: F.interpolate(x, (17, 9)))
_function("up_nearest_exact", lambda x: F.interpolate(x, (17, 9), mode="nearest-exact"))
_function("up_nearest_factors", lambda x: F.interpolate(x, scale_factor=(1.75, 2.25)))
_function("up_nearest_doubled", lambda x: F.interpolate(x, scale_factor=2.3), (1, 1, 3, 1))
_function("up_nearest_recomputed", lambda x: F.interpolate(x, scale_factor=(0.6, 1.3), recompute_scale_factor=True))
_function("up_nearest_1d", lambda x: F.interpolate(x, 40), (3, 6, 17))
_function("up_nearest_3d", lambda x: F.interpolate(x, scale_factor=2), (1, 2, 3, 4, 5))
for _mode in ("reflect", "replicate", "circular"):
    _case(f"pad_{_mode}", lambda mode=_mode: nn.Conv2d(6, 4, 5, padding=(2, 1), padding_mode=mode))
    _function(f"pad_{_mode}_cut", lambda x, mode=_mode: F.pad(x, (3, -1, 0, 2), mode=mode))
_case("pad_reflect_1d", lambda: nn.Conv1d(6, 4, 3, padding=2, padding_mode="reflect"), (3, 6, 17))
_function("pad_circular_3d", lambda x: F.pad(x, (1, 2, 3, 0, 1, 1), mode="circular"), (2, 2, 3, 4, 5))
_function("flip", lambda x: torch.flip(x, (3,)) + torch.flip(x, (1, -2)))
_function("flip_spellings", lambda x: x.fliplr() + x.flipud())
_function("rot90", lambda x: torch.rot90(x, 3, (2, 3)))
_function("roll", lambda x: torch.roll(x, (1, -5), (1, 3)))
_function("roll_flat", lambda x: torch.roll(x, 7))
_case("channels_reversed", lambda: Lambda(lambda self, x: self.c(x[:, [2, 1, 0, 5, 4, 3]]), c=nn.Conv2d(6, 4, 3)))
_function("index_lists", lambda x: x[:, [[0, 3], [-1, 2]]].flatten(1, 2) + x[:, [4, 4, 1, 0]])
_function("index_two_axes", lambda x: x[:, [0, 5, 2], :, [1, 3, 12]] + x[:, 0, [2, 0, 1]].permute(1, 0, 2)[..., :1])
_function("index_select", lambda x: x.index_select(2, torch.tensor([4, 4, 0], device=x.device)))

# Batch norm
_case("bn_behind_conv", lambda: nn.Sequential(nn.Conv2d(6, 4, 3), nn.BatchNorm2d(4), nn.ReLU6()))
_case("bn_first", lambda: nn.Sequential(nn.BatchNorm2d(6), nn.Conv2d(6, 4, 3, padding=1)))
_case("bn_first_no_padding", lambda: nn.Sequential(nn.BatchNorm2d(6), nn.Conv2d(6, 6, 3, groups=3)))
_case("bn_without_affine", lambda: nn.Sequential(nn.Conv2d(6, 4, 1), nn.BatchNorm2d(4, affine=False)))
_case("bn_relu_conv", lambda: nn.Sequential(nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 4, 3)))
_case("bn_twice", lambda: nn.Sequential(nn.BatchNorm2d(6), nn.BatchNorm2d(6), nn.MaxPool2d(2), nn.BatchNorm2d(6)))
_case("bn_behind_linear", lambda: nn.Sequential(nn.Linear(5, 7), nn.BatchNorm1d(7), nn.ReLU(), nn.Linear(7, 3)), (3, 5))
_case("bn_before_linear", lambda: nn.Sequential(nn.BatchNorm1d(5), nn.Linear(5, 7)), (3, 5))
_case("bn_channels_not_last", lambda: nn.Sequential(nn.Linear(5, 7), nn.BatchNorm1d(4), nn.Linear(7, 2)), (3, 4, 5))
_case("bn_shared_conv", lambda: Lambda(lambda self, x: self.b(self.c(x)) + self.c(x), c=nn.Conv2d(6, 4, 3), b=nn.BatchNorm2d(4)))
_case(
    "bn_two_readers", lambda: Lambda(lambda self, x: (y := self.c(x)) * 1 + self.b(y), c=nn.Conv2d(6, 4, 3), b=nn.BatchNorm2d(4))
)

# Activations
for _layer in (nn.ReLU, nn.ReLU6, nn.Hardswish, nn.Hardsigmoid, nn.SiLU, nn.GELU, nn.ELU, nn.LeakyReLU, nn.Sigmoid, nn.Tanh,
               nn.Mish, nn.Softplus, nn.SELU, nn.LogSigmoid, nn.Softsign, nn.PReLU):  # fmt: skip
    _case(f"act_{_layer.__name__}", lambda layer=_layer: nn.Sequential(nn.Conv2d(6, 4, 1), layer()))
_case("act_gelu_tanh", lambda: nn.GELU(approximate="tanh"))
_case("act_elu_alpha", lambda: nn.ELU(0.3, inplace=True))
_case("act_leaky_slope", lambda: nn.LeakyReLU(0.2, inplace=True))
_case("act_prelu_channels", lambda: nn.PReLU(6))
_case("act_hardtanh", lambda: nn.Hardtanh(-0.3, 0.7))
CHANNELS = torch.linspace(-0.6, 0.6, 6).reshape(6, 1, 1)

_function("act_clamp", lambda x: torch.clamp(x, -0.2) + torch.clamp(x, max=0.3) + x.clamp(min=0.1, max=0.2))
_function("act_clamp_min_max", lambda x: x.clamp_min(-0.5).clamp_max(0.5))
_case("act_clamp_chain", lambda: nn.Sequential(nn.Conv2d(6, 4, 1), nn.ReLU(), nn.ReLU6(), nn.Hardtanh(-1, 0.5)))
_case("act_clamp_apart", lambda: nn.Sequential(nn.Hardtanh(-1, -0.5), nn.ReLU()))
_function("act_clamp_inside_out", lambda x: x.clamp(2, 1) + x.clamp(torch.tensor(-0.5), torch.tensor([0.5])) + x.clamp(-INF, 1))
_function("act_softplus_threshold", lambda x: F.softplus(x, 1.0, 0.5) + F.softplus(x, 3.0, -2))
_function("act_softmax", lambda x: F.softmax(x, -1) + torch.softmax(x, 1))
_function("act_log_softmax", lambda x: F.log_softmax(x, 1) + F.logsigmoid(x))
_case("act_log_softmax_head", lambda: nn.Sequential(nn.Flatten(), nn.Linear(858, 10), nn.LogSoftmax(dim=1)))
_case("act_softmax_head", lambda: nn.Sequential(nn.Flatten(), nn.Linear(858, 10), nn.Softmax(dim=1)))
_function("act_pointwise", lambda x: torch.exp(x) + torch.abs(x) + torch.sqrt(torch.abs(x)) + torch.sin(x) + torch.erf(x))
_case("act_before_pool", lambda: nn.Sequential(nn.Conv2d(6, 4, 3), nn.MaxPool2d(2), nn.Flatten(), nn.ReLU(), nn.Linear(80, 3)))
_case("act_reused", lambda: Lambda(lambda self, x: self.r(self.c(self.r(self.c(x)))), c=nn.Conv2d(6, 6, 1), r=nn.ReLU()))


# Normalisation by statistics of the values
def _uneven(module: nn.Module) -> nn.Module:
    """Weights and biases unlike the initial ones."""
    for parameter in module.parameters():
        if parameter.dim() == 1:
            nn.init.uniform_(parameter, 0.5, 1.5)
    return module


_case(
    "norm_group",
    lambda: _uneven(nn.Sequential(nn.Conv2d(6, 12, 3), nn.GroupNorm(4, 12), nn.ReLU(), nn.GroupNorm(1, 12, affine=False))),
)
_case("norm_group_of_vectors", lambda: _uneven(nn.Sequential(nn.Flatten(1), nn.Linear(36, 20), nn.GroupNorm(5, 20))), (3, 6, 6))
_case("norm_group_1d", lambda: _uneven(nn.Sequential(nn.Conv1d(6, 9, 3), nn.GroupNorm(3, 9))), (2, 6, 17))
_case(
    "norm_instance", lambda: _uneven(nn.Sequential(nn.Conv2d(6, 5, 3), nn.InstanceNorm2d(5, affine=True), nn.InstanceNorm2d(5)))
)
_case("norm_instance_1d", lambda: nn.Sequential(nn.Conv1d(6, 9, 3), nn.InstanceNorm1d(9)), (2, 6, 17))
_case("norm_instance_tracked", lambda: _uneven(nn.InstanceNorm2d(6, affine=True, track_running_stats=True)))
_case(
    "norm_layer_last", lambda: _uneven(nn.Sequential(nn.Linear(13, 20), nn.LayerNorm(20), nn.LayerNorm((11, 20)), nn.RMSNorm(20)))
)
_case(
    "norm_layer_pictures",
    lambda: _uneven(nn.Sequential(nn.LayerNorm((6, 11, 13)), nn.LayerNorm((6, 11, 13), elementwise_affine=False))),
)
_case(
    "norm_layer_vectors",
    lambda: _uneven(nn.Sequential(nn.Flatten(1), nn.Linear(36, 20), nn.LayerNorm(20, bias=False))),
    (3, 6, 6),
)
_case(
    "norm_layer_channels_first",
    lambda: _uneven(Lambda(lambda self, x: self.n(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2) + x, n=nn.LayerNorm(6))),
)
_function(
    "norm_far_from_zero", lambda x: (F.group_norm(x + 30, 2), F.layer_norm(3 * x - 50, (13,)), F.instance_norm(x * 0.01 + 1))
)
_function(
    "norm_of_equal_values",
    lambda x: (F.group_norm(x.clamp(min=4), 3), F.layer_norm(x.mean(1, keepdim=True).expand(x.shape), (6, 11, 13))),
)

_case(
    "norm_response", lambda: nn.Sequential(nn.Conv2d(6, 20, 3), nn.LocalResponseNorm(5), nn.LocalResponseNorm(4, 0.5, 0.5, 2.0))
)
_function("norm_response_1d", lambda x: F.local_response_norm(x, 3, 0.25, 1.0, 0.5), (2, 6, 17))
_function(
    "norm_to_length",
    lambda x: (
        F.normalize(x),
        F.normalize(x, dim=-1),
        F.normalize(x.mean((2, 3))),
        x / x.norm(dim=2, keepdim=True).clamp(min=0.5),
    ),
)
_case(
    "norm_by_hand",
    lambda: Lambda(
        lambda self, x: _by_mean(self.c(x), (2, 3), 1e-3) + _by_mean(self.c(x), (1,), 1e-6) + _by_root(x), c=nn.Conv2d(6, 6, 1)
    ),
)


def _by_mean(x: Tensor, axes: tuple[int, ...], eps: float) -> Tensor:
    c = x - x.mean(axes, keepdim=True)
    return c / torch.sqrt((x - x.mean(axes, keepdim=True)).pow(2).mean(axes, keepdim=True) + eps)


def _by_root(x: Tensor) -> Tensor:
    return x * torch.rsqrt((x * x).mean(-1, keepdim=True) + 1e-5)


# Products of two activations, and attention
TOKENS = (2, 11, 12)
_function(
    "product_of_pictures", lambda x: (x @ x.transpose(2, 3), torch.matmul(x.mean(1, keepdim=True).transpose(-1, -2) * 0.25, x))
)
_function(
    "product_of_stacks",
    lambda x, y: (torch.bmm(x, y), torch.baddbmm(x @ y, x, y, beta=0.5, alpha=-2), (x @ y) * 0.125),
    TOKENS,
    (2, 12, 7),
)
_function("product_of_vectors", lambda x, y: (x[0] @ y[0, :, 0], y[1, :, 2] @ y[1], x[0, 1] @ y[0, :, 1]), TOKENS, (2, 12, 7))
_function(
    "product_with_constants",
    lambda x: (_ramp(x, 4, 11) @ x, _ramp(x, 2, 3, 11) @ x, x @ _ramp(x, 12, 5), x @ _ramp(x, 2, 12, 4)),
    TOKENS,
)
_function(
    "product_by_letters",
    lambda x, y: (
        torch.einsum("bmk,bnk->bmn", x, y), torch.einsum("bmk,bnk->nbm", x, y), torch.einsum("xmb,kmb->bxk", x, y),
        torch.einsum("bck,ck->bc", x.unsqueeze(1)[..., 0, :], _ramp(x, 1, 12)),
    ),
    TOKENS, (2, 11, 12),
)  # fmt: skip
_function(
    "attention_scaled",
    lambda q, k, v: (
        F.scaled_dot_product_attention(q, k, v), F.scaled_dot_product_attention(q, k, v, 3 * _ramp(q, 5, 9), scale=0.25),
    ),
    (2, 3, 5, 8), (2, 3, 9, 8), (2, 3, 9, 7),
)  # fmt: skip
_function(
    "attention_masked",
    lambda q, k, v: (
        F.scaled_dot_product_attention(q, k, v, is_causal=True), F.scaled_dot_product_attention(q, k, v, _shown(5, 9)),
        F.scaled_dot_product_attention(q, k, v, _hiding(_shown(5, 9), -torch.inf).to(q.dtype)),
        F.scaled_dot_product_attention(q, k, v, _hiding(_shown(2, 1, 5, 9), -3e38) + _ramp(q, 5, 9)),
    ),
    (2, 3, 5, 8), (2, 3, 9, 8), (2, 3, 9, 7),
)  # fmt: skip
_function(
    "attention_of_constants",
    lambda x: (
        x + F.scaled_dot_product_attention(*(_ramp(x, 1, 11, 12) * k for k in (1, 2, 3)))
    ),  # a decoder's queries among themselves
    TOKENS,
)
_function(
    "attention_grouped",
    lambda q, k, v: F.scaled_dot_product_attention(q, k, v, _shown(5, 9), enable_gqa=True),
    (2, 6, 5, 8), (2, 3, 9, 8), (2, 2, 9, 7),
)  # fmt: skip
_function(
    "softmax_of_chosen",
    lambda x: (
        x.masked_fill(~_shown(11, 12), -torch.inf).softmax(-1), torch.where(_shown(12, 11).mT, x, -1e9).softmax(1),
        torch.where(_shown(11, 12), -torch.inf, 0).softmax(-1) * x,
    ),
    TOKENS,
)  # fmt: skip
_case(
    "attention_of_heads_masked",
    lambda: Lambda(
        lambda self, x: self.a(x, x, x, attn_mask=_hiding(_shown(11, 11), -torch.inf).to(x.dtype), need_weights=False)[0],
        a=nn.MultiheadAttention(12, 3, batch_first=True),
    ),
    TOKENS,
)
_case(
    "attention_of_heads",
    lambda: Lambda(lambda self, x: self.a(x, x, x), a=nn.MultiheadAttention(12, 3, batch_first=True)),
    TOKENS,
)
_case(
    "attention_without_weights",
    lambda: Lambda(lambda self, x: self.a(x, x[:4], x[:4], need_weights=False)[0], a=nn.MultiheadAttention(12, 2)),
    TOKENS,
)
_case("attention_encoder", lambda: _uneven(nn.TransformerEncoderLayer(12, 3, 20, batch_first=True, norm_first=True)), TOKENS)
_case(
    "attention_by_hand",
    lambda: Lambda(
        lambda self, x: _by_hand(*self.qkv(x).reshape(2, 11, 3, 4, 3).permute(2, 0, 3, 1, 4).unbind(0)), qkv=nn.Linear(12, 36)
    ),
    TOKENS,
)


def _ramp(like: Tensor, *shape: int) -> Tensor:
    """Numbers from -1 up in steps of 2^-7."""
    return (torch.arange(prod(shape), dtype=like.dtype) / 128 - 1).reshape(shape)


def _shown(*shape: int) -> Tensor:
    """True for one in three, the first of each row among them."""
    return (torch.arange(prod(shape)) % 3 * (torch.arange(prod(shape)) % shape[-1]) == 0).reshape(shape)


def _hiding(shown: Tensor, depth: float) -> Tensor:
    return torch.zeros(shown.shape).masked_fill(~shown, depth)


def _by_hand(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return (((q @ k.transpose(-2, -1)) / 3**0.5).softmax(-1) @ v).transpose(1, 2).reshape(2, 11, 12)


# Larger and smaller
_function("act_clamp_between_tensors", lambda x: (
    torch.clamp(x, CHANNELS - 0.5, CHANNELS + 0.25), torch.clamp(x, min=CHANNELS), x.clamp(max=x.flip(1)),
    x.clamp(CHANNELS.abs(), -CHANNELS.abs()), torch.clamp_min(x, x.flip(1)), torch.clamp_max(x, CHANNELS * x),
))  # fmt: skip
_function("extremes_of_two", lambda x, y: (torch.maximum(x, y).relu(), torch.min(x, 2 * y), torch.max(x, y[:, :1])), IMAGE, IMAGE)
_function(
    "extremes_with_constants",
    lambda x: (
        torch.maximum(x, torch.tensor(0.3)),
        torch.minimum(torch.linspace(-1, 1, 13), x),
        torch.max(torch.tensor([[0.1]]), x),
    ),
)
_function(
    "extremes_along_axes",
    lambda x: (x.amin((0, 2)), x.amin(), x.min(3, True)[0], x.max(0).values, x.min(), x.max(), x.aminmax(dim=1)),
)
_function(
    "positions", lambda x: (x.argmax(1), x.argmin(3, True), x.argmax(), x.max(2)[1], x.min(0).indices, x.topk(1, 1, False)[1])
)
_function(
    "positions_of_last_layer",
    lambda x: (x[:, :, 0].argmax(-1).reshape(3, 4), x[:, :, 0].argmin(1).permute(1, 0), x[0, 0].flatten().argmax(0)),
)
_case(
    "positions_head",
    lambda: nn.Sequential(nn.Conv2d(6, 19, 3), nn.ReLU(), nn.Conv2d(19, 21, 1), Lambda(lambda self, x: x.argmax(1))),
)
_function(
    "positions_with_ties", lambda x: ((x * 2).clamp(-1, 1).argmax(1), (x * 2).clamp(-1, 1).argmin(2), F.relu(-x.abs()).max(3)[1])
)
_function(
    "lengths",
    lambda x: (
        torch.linalg.vector_norm(x),
        x.norm(dim=1),
        x.norm(2, (2, 3), True),
        x.norm(1, 1),
        x.norm(INF, 2),
        x.norm(-INF, (0, 1)),
    ),
)

# Arithmetic
_function("add_scaled", lambda x, y: torch.add(x, y, alpha=0.5) - torch.sub(y, x, alpha=2), IMAGE, IMAGE)
_function("constants_both_sides", lambda x: (2 - x) * 3 + (1 + x) - (x - 0.5) + torch.rsub(x, 2, alpha=3))
_function("negation_and_squares", lambda x: -x + x**2 + torch.square(x) * x + x.abs() ** 0.5 + x**1)
_function("powers", lambda x: x**3 - x**-2 + x.abs() ** 0.7 + x**0 + x**-1 + x.abs() ** -0.5 + x ** torch.full((13,), 3.0))
_function("exponentials", lambda x: 2**x + torch.pow(torch.full((6, 1, 1), 0.3), x) + torch.tensor(1.5) ** x)
_function("powers_of_two_bases", lambda x: x.pow_(2).sub_(1) + x**5.0)
_function("division", lambda x: x / 4 + x / torch.tensor([2.0]) + torch.div(x, 0.5))
_function("division_by_activation", lambda x: x / (x.abs() + 2) + 1 / (x.abs() + 1))
_function("normalize_input", lambda x: (x - torch.arange(6.0).reshape(1, 6, 1, 1)) / torch.full((6, 1, 1), 0.25))
_function("constant_full_shape", lambda x: x + torch.arange(143.0).reshape(11, 13))
_function("constant_grows", lambda x: x + torch.arange(6.0).reshape(1, 6, 1, 1), (2, 1, 4, 4))
_function("in_place", lambda x: (x * 1.5).add_(1).mul_(2).sub_(0.5).div_(2).clamp_(0, 3))
_function("expanded", lambda x: x[:, :1].expand(-1, 6, -1, -1) + 1.0)
_function("expanded_twice", lambda x: (e := x.expand(4, 3)) * e + x.expand_as(e).sum(0), (1, 3))
_function("expanded_in_front", lambda x: x.expand(2, 1, 3, 5) * torch.ones(4, 1, 1) + x.broadcast_to(2, 4, 3, 5), (3, 5))
_function("expanded_output", lambda x: x.mean((2, 3), keepdim=True).expand(2, 6, 3, 3))
_function("expanded_scalar", lambda x: x.mean().expand(3) + x.amax().expand(2, 3), (2, 3))
_function("repeated", lambda x: x.repeat(1, 2, 1, 1) - x.tile(1, 2, 1, 1) * x.repeat(2, 1, 1, 3).sum(), (1, 2, 3, 2))
_function("repeated_in_front", lambda x: x.repeat(2, 1, 3) + x.repeat(3), (4,))
_function("interleaved", lambda x: x.repeat_interleave(2, 1) + x.repeat_interleave(2, -2).sum() + x.repeat_interleave(3).sum())
_function("rsub_of_constant", lambda x: torch.rsub(torch.full((13,), 2.0), x, alpha=3) + torch.rsub(x, torch.ones(13), alpha=2))
_function("in_place_seen_later", lambda x: (y := x * 2) + y.add_(1) + y)
_function("in_place_relu_seen_later", lambda x: F.relu((y := x + 1), inplace=True) + y)
_function("in_place_on_input", lambda x: F.relu(x.flatten(2) * 2, inplace=True).sum(1) + x.relu_().sum((1, 3)).mean())
_function("in_place_through_view", lambda x: _through_view(x))
_function("in_place_on_slice", lambda x: _slice_write(x))
_case("scale_behind_conv", lambda: Lambda(lambda self, x: self.c(x) * 0.5 + 1, c=nn.Conv2d(6, 4, 3)))
_case("bias_behind_linear", lambda: Lambda(lambda self, x: self.c(x) + self.c.bias * 2, c=nn.Linear(5, 7)), (2, 4, 5))
_case(
    "weight_standardised",
    lambda: Lambda(
        lambda self, x: F.conv2d(x, self.c.weight - self.c.weight.mean((1, 2, 3), keepdim=True)), c=nn.Conv2d(6, 4, 3)
    ),
)
_case(
    "squeeze_excite",
    lambda: Lambda(lambda self, x: x * torch.sigmoid(self.c(x.mean((2, 3), keepdim=True))), c=nn.Conv2d(6, 6, 1)),
)
_case(
    "squeeze_excite_expand",
    lambda: Lambda(lambda self, x: x * self.c(x.mean((2, 3), keepdim=True)).sigmoid().expand_as(x), c=nn.Conv2d(6, 6, 1)),
)


class _ShuffleUnit(nn.Module):
    """Half of the channels pass, half are convolved; then they are shuffled (ShuffleNetV2)."""

    def __init__(self) -> None:
        super().__init__()
        layers = [nn.Conv2d(4, 4, 1, bias=False), nn.BatchNorm2d(4), nn.ReLU(inplace=True)]
        layers += [nn.Conv2d(4, 4, 3, 1, 1, groups=4, bias=False), nn.BatchNorm2d(4)]
        self.branch = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        passed, convolved = x.chunk(2, dim=1)
        x = torch.cat((passed, self.branch(convolved)), dim=1)
        batch, channels, height, width = x.size()
        x = x.view(batch, 2, channels // 2, height, width).transpose(1, 2).contiguous()
        return x.view(batch, -1, height, width)


class _InvertedUnit(nn.Module):
    """Depthwise convolution, hardswish, squeeze and excitation with hardsigmoid, residual (MobileNetV3)."""

    def __init__(self) -> None:
        super().__init__()
        self.expand = nn.Sequential(nn.Conv2d(6, 12, 1, bias=False), nn.BatchNorm2d(12), nn.Hardswish(inplace=True))
        self.depthwise = nn.Sequential(nn.Conv2d(12, 12, 5, 1, 2, groups=12, bias=False), nn.BatchNorm2d(12))
        self.squeeze, self.excite = nn.Conv2d(12, 3, 1), nn.Conv2d(3, 12, 1)
        self.project = nn.Sequential(nn.Conv2d(12, 6, 1, bias=False), nn.BatchNorm2d(6))

    def forward(self, x: Tensor) -> Tensor:
        y = F.hardswish(self.depthwise(self.expand(x)))
        scale = F.hardsigmoid(self.excite(F.relu(self.squeeze(F.adaptive_avg_pool2d(y, 1)))), inplace=True)
        return x + self.project(scale * y)


class _InceptionUnit(nn.Module):
    """Branches of uneven kernels and a padded average pool, joined."""

    def __init__(self) -> None:
        super().__init__()
        self.rows, self.columns = nn.Conv2d(6, 4, (1, 3), padding=(0, 1)), nn.Conv2d(6, 4, (3, 1), padding=(1, 0))

    def forward(self, x: Tensor) -> Tensor:
        pooled = F.avg_pool2d(x, kernel_size=3, stride=1, padding=1, count_include_pad=False)
        return torch.cat([F.relu(self.rows(x)), F.relu(self.columns(x)), pooled], 1)


_case("unit_shuffle", _ShuffleUnit, (2, 8, 6, 6))
_case("unit_inverted", _InvertedUnit)
_case("unit_inception", _InceptionUnit)

# Residuals
_case("residual", lambda: Lambda(lambda self, x: F.relu(self.c(x) + x), c=nn.Conv2d(6, 6, 3, padding=1)))
_case("residual_earlier_layer", lambda: Lambda(lambda self, x: F.relu6(self.c(x) + torch.tanh(x)), c=nn.Conv2d(6, 6, 1)))
_case(
    "residual_two_layers",
    lambda: Lambda(lambda self, x: F.relu(self.c(x) + self.d(x)), c=nn.Conv2d(6, 4, 3, padding=1), d=nn.Conv2d(6, 4, 1)),
)
_case("residual_broadcast", lambda: Lambda(lambda self, x: self.c(x) + x.mean((2, 3), keepdim=True), c=nn.Conv2d(6, 6, 1)))
_case("residual_twice", lambda: Lambda(lambda self, x: (self.c(x) + x) + F.relu(x), c=nn.Conv2d(6, 6, 1)))
_case("residual_itself", lambda: Lambda(lambda self, x: (y := self.c(x)) + y, c=nn.Conv2d(6, 6, 1)))
_case("residual_subtracted", lambda: Lambda(lambda self, x: self.c(x) - x, c=nn.Conv2d(6, 6, 1)))
_case("residual_linear", lambda: Lambda(lambda self, x: F.relu(x + self.c(x)), c=nn.Linear(5, 5)), (3, 5))
_case("residual_after_clamp", lambda: Lambda(lambda self, x: F.relu(self.c(x)) + x, c=nn.Conv2d(6, 6, 1)))

# Pools
_case("pool_max", lambda: nn.MaxPool2d(3, 2, 1))
_case("pool_max_ceil", lambda: nn.MaxPool2d((3, 2), (2, 3), (1, 0), ceil_mode=True))
_case("pool_max_overlap", lambda: nn.MaxPool2d(3, 1, 1))
_case("pool_avg", lambda: nn.AvgPool2d(3, 2, 1))
_case("pool_avg_ceil", lambda: nn.AvgPool2d(3, 2, 1, ceil_mode=True))
_case("pool_avg_ceil_without_padding", lambda: nn.AvgPool2d((4, 3), (3, 2), (1, 1), ceil_mode=True, count_include_pad=False))
_case("pool_avg_divisor", lambda: nn.AvgPool2d(2, divisor_override=3))
_case("pool_avg_uneven", lambda: nn.AdaptiveAvgPool2d((3, 5)))
_case("pool_avg_larger_than_input", lambda: nn.AdaptiveAvgPool2d(7), (2, 3, 4, 5))
_case("pool_avg_keep_height", lambda: nn.AdaptiveAvgPool2d((None, 1)))
_case("pool_max_uneven", lambda: nn.AdaptiveMaxPool2d((4, 5)))
_case(
    "pool_1d", lambda: nn.Sequential(nn.MaxPool1d(3, 2, 1), nn.AvgPool1d(2, ceil_mode=True), nn.AdaptiveAvgPool1d(2)), (3, 6, 17)
)
_case("pool_adaptive_max_1d", lambda: nn.AdaptiveMaxPool1d(3), (3, 6, 17))
_function("mean_everything", lambda x: x.mean())
_function("mean_rows", lambda x: x.mean(2) + x.mean(-2, keepdim=True).squeeze(2))
_function("mean_channels", lambda x: x.mean(1, keepdim=True) * x)
_function("mean_tokens", lambda x: x.mean(1), (2, 7, 5))
_function("mean_with_batch", lambda x: x.mean((0, 2)))
_function("sums", lambda x: x.sum((2, 3)) + x.sum(dim=-1).sum(2) + x.sum())
_function("amax", lambda x: torch.amax(x, (2, 3)) + x.amax(dim=(-1, -2)))
_function("max", lambda x: (torch.max(x, 1, keepdim=True)[0] + x.max(-1).values.unsqueeze(-1), x.max()))

# Shapes
_function(
    "flatten_view_reshape", lambda x: x.flatten(1).view(2, 6, -1).reshape(2, 11, 78).unflatten(1, (11, 1)).squeeze().unsqueeze(0)
)
_function("permute_transpose", lambda x: x.permute(0, 2, 3, 1).transpose(1, -1).swapaxes(0, 1).movedim(0, 2).contiguous())
_function("permute_back", lambda x: x.permute(0, 2, 3, 1).permute(0, 3, 1, 2))
_function("matrix_t", lambda x: x.t() @ torch.eye(3, dtype=x.dtype), (3, 5))
_function("no_operations", lambda x: F.dropout(x.contiguous().clone().detach().float().to(torch.float32), training=False) * 2)
_function("channel_shuffle", lambda x: x.view(2, 3, 2, 11, 13).transpose(1, 2).contiguous().view(2, 6, 11, 13))
_case("channel_shuffle_layer", lambda: nn.ChannelShuffle(3))
_function("pixel_shuffle_rank_3", lambda x: F.pixel_shuffle(x, 3) + 1, (18, 3, 5))
_function("pixel_unshuffle_rank_5", lambda x: F.pixel_unshuffle(x, 2), (2, 3, 2, 4, 6))
_function("pixel_shuffle", lambda x: F.pixel_unshuffle(F.pixel_shuffle(x, 2) * 2, 2), (2, 8, 3, 5))
_function("empty_parts", lambda x: torch.cat([x[:, :0], x, x[:, 6:] * 2, x[:, :0].sum(1, keepdim=True).expand(-1, 0, -1, -1)], 1))
_function("empty_splits", lambda x: torch.cat([p + 1 for p in x.split([0, 2, 0, 4], 1)] + list(x.narrow(1, 6, 0).chunk(2, 1)), 1))
_function("tensor_split_anywhere", lambda x: torch.cat([p * k for k, p in enumerate(x.tensor_split((4, 2, -1), 1))], 1))
_function("scalars", lambda x: _scalars(x), (2, 3))
_function("scalar_results", lambda x: x @ x.new_ones(5) + x.select(0, 0) @ torch.arange(5.0).to(x), (3, 5))
_function("slices", lambda x: x[:, 1:5:2, ::2, -7:-1] + x[:, ::3, :6, 5:11])
_function("slices_of_slices", lambda x: x[:, :, 1:10][:, :, ::2][:, :, 1:4])
_function("select_unbind", lambda x: x[:, 2] + x.select(1, -1) + x.unbind(1)[3] + x.narrow(1, 1, 1).squeeze(1))
_function("split_chunk", lambda x: torch.cat([*reversed(x.chunk(3, 1)), *x.split(4, 1), *x.split([1, 5], 1)], 1))
_function("stack", lambda x: torch.stack([x, x * 2], 2))
_function("cat_rows", lambda x: torch.cat((x, F.relu(x)), dim=-2))
_function("cat_zeros", lambda x: torch.cat([torch.zeros_like(x), x, x.new_zeros(2, 1, 11, 13), torch.zeros(2, 1, 11, 13)], 1))
_function("option_a_shortcut", lambda x: F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 3, 3)))
_function("pad_value", lambda x: F.pad(x, (1, 2, 0, 3), value=1.5))
_function("pad_cuts_all", lambda x: F.pad(x, (2, -1), value=3.0) + x.sum() * 0, (2, 1))
_function("pad_cuts_and_grows", lambda x: F.pad(x, (2, -3, -1, 4), value=3.0))
_function(
    "cat_constants_anywhere",
    lambda x: torch.cat([torch.ones(2, 1, 11, 13), x, torch.zeros(2, 2, 11, 13), x * 2, x[:, :1] * 0], 1),
)
_function("pad_negative", lambda x: F.pad(x, (-1, 2, -3, 0)))
_case("pad_into_conv", lambda: nn.Sequential(nn.ZeroPad2d((0, 1, 2, 3)), nn.Conv2d(6, 4, 3, 2, padding=1)))
_case("pad_twice_into_conv", lambda: nn.Sequential(nn.ZeroPad2d(1), nn.ConstantPad2d((0, 1, 0, 1), 0.0), nn.Conv2d(6, 4, 3)))
_case("pad_value_before_conv", lambda: nn.Sequential(nn.ConstantPad2d(1, 0.5), nn.Conv2d(6, 4, 3)))
_case("pad_channels_before_conv", lambda: Lambda(lambda self, x: self.c(F.pad(x, (0, 0, 0, 0, 1, 1))), c=nn.Conv2d(8, 4, 3)))
_case("pad_before_pools", lambda: nn.Sequential(nn.ZeroPad2d((0, 1, 0, 1)), nn.MaxPool2d(3, 2), nn.ZeroPad2d(1), nn.AvgPool2d(2)))
_case(
    "pad_two_readers",
    lambda: Lambda(lambda self, x: self.c(y := F.pad(x, (1, 1, 1, 1))) + self.d(y), c=nn.Conv2d(6, 4, 3), d=nn.Conv2d(6, 4, 3)),
)

# Inputs and outputs
_function("two_inputs_two_outputs", lambda x, y: (x + y, [x * 2, {"y": F.relu(y)}]), IMAGE, IMAGE)
_function("unused_input", lambda x, y: x * 2, IMAGE, (1, 3))


def _tokens(self: Any, x: Tensor) -> Tensor:
    tokens = self.t.weight[None].expand(3, -1, -1)
    return self.l(torch.cat([tokens, x, tokens[:, :1]], 1))


def _added_products(x: Tensor) -> Tensor:
    y = torch.addcmul(torch.ones(13), x, x + 1, value=0.5) + torch.addcmul(x, x, torch.arange(13.0), value=2)
    return y + x.addcmul(torch.ones(11, 1), torch.full((13,), 0.5)) + torch.addcmul(x, x, x)


def _added_quotients(x: Tensor) -> Tensor:
    y = torch.addcdiv(x, x, x.abs() + 1, value=-2) + torch.addcdiv(x, torch.ones(11, 1), x.exp())
    return y + x.addcdiv(x, torch.full((13,), 4.0))


_case("class_token", lambda: Lambda(_tokens, t=nn.Embedding(2, 5), l=nn.Linear(5, 4)), (3, 4, 5))
_function("coordinates", lambda x: torch.cat([x, torch.linspace(-1, 1, 13).expand(2, 1, 11, 13), x * 2], 1))
_function("constant_of_each_row", lambda x: torch.cat([torch.arange(2 * 11 * 13.0).reshape(2, 1, 11, 13), x], 1))
_function("addcmul", _added_products)
_function("addcdiv", _added_quotients)
_function("windows", lambda x: (x.unfold(2, 5, 3), x.unfold(-1, 4, 2).unfold(1, 2, 2), x.unfold(0, 1, 1)))
_function("input_is_output", lambda x: (x, x + 1, x))
_function("same_output_twice", lambda x: ((y := F.relu(x)), y))
_case(
    "batch_of_three",
    lambda: nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3)),
    (3, 2, 6, 6),
)
_case(
    "shared_weights", lambda: Lambda(lambda self, x: self.b(self.c(self.b(self.c(x)))), c=nn.Conv2d(6, 6, 1), b=nn.BatchNorm2d(6))
)
_case(
    "dead_branch", lambda: Lambda(lambda self, x: (self.d(x), F.relu(self.c(x)))[1], c=nn.Conv2d(6, 4, 3), d=nn.Conv2d(6, 4, 3))
)


def _scalars(x: Tensor) -> Tensor:
    s = x.sum()
    s = s.sum(0) + s.mean(-1) + s.amax(0) + F.softmax(s, 0) + F.softmax(s, -1) + s.transpose(0, -1) + s.permute(()) + s.t()
    s = s + s.movedim(0, -1) + s.reshape(()) + s.view(1).squeeze() + s.sigmoid().unsqueeze(0)[0] + s.expand(()) + s.repeat(2)[1]
    return torch.stack([s, s * 2]) * x.mean() + F.relu(s)


def _through_view(x: Tensor) -> Tensor:
    y = x * 2
    y.view(-1).add_(1)
    return y + 1


def _slice_write(x: Tensor) -> Tensor:
    y = x * 2
    F.relu(y[:, :3], inplace=True)
    return F.relu(x)
