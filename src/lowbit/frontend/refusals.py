"""What lowbit does not compile, and what to write instead."""

from __future__ import annotations

from lowbit.frontend.call import Call

__all__ = ["INSTEAD", "instead"]

_ENLARGE = "enlarging is supported only as pixel_shuffle(r), behind a conv2d with r * r times the channels"

_ROWS = (
    (
        "recurrent layers are not supported; compile the layers before it as a network of their own and run it outside",
        "LSTM GRU RNN LSTMCell GRUCell RNNCell lstm gru rnn_tanh rnn_relu lstm_cell gru_cell rnn_tanh_cell rnn_relu_cell",
    ),
    (
        "3 spatial axes (video, volumes); supported are 1 and 2: fold one axis into the batch or the channels",
        "conv3d conv_transpose3d max_pool3d max_pool3d_with_indices adaptive_avg_pool3d _adaptive_avg_pool3d adaptive_max_pool3d",
    ),
    (
        "3 spatial axes (video, volumes) are resized only by nearest neighbours; fold one axis into the batch",
        "upsample_trilinear3d",
    ),
    (
        "antialias=True is not supported; shrink by average pooling (F.adaptive_avg_pool2d), or resize outside the network",
        "_upsample_bilinear2d_aa _upsample_bicubic2d_aa _upsample_lanczos2d_aa",
    ),
    ("unpooling by indices is not supported; " + _ENLARGE, "max_unpool1d max_unpool2d max_unpool3d"),
    (
        "the distances of all pairs are not supported; return the values before it and compare outside the network",
        "cdist",
    ),
    (
        "its result are positions (torch.int64), not activations; return the values before it (logits) and do this outside",
        "argsort nonzero bucketize searchsorted",
    ),
    (
        "the order of its result depends on the values; return the values before it and do this outside the network",
        "sort kthvalue median nanmedian mode quantile unique _unique2",
    ),
    ("the shape of its result depends on values", "masked_select"),
    (
        "adding into a part of a tensor is not supported; join the changed and the unchanged parts with torch.cat",
        "scatter_add scatter_reduce index_add index_reduce",
    ),
    (
        "its result is a condition (torch.bool), not an activation; decide outside the network",
        "isnan isinf isfinite signbit isclose isin",
    ),
    ("a number taken from an activation is known only at run time; keep it a tensor", "item _local_scalar_dense"),
    (
        "rounding inside the network is not supported; quantization rounds: leave it out, or do it outside",
        "round floor ceil trunc fix frac fmod remainder floor_divide",
    ),
    (
        "reading at positions computed at run time is not supported; do it outside the network",
        "grid_sampler grid_sampler_2d grid_sampler_3d affine_grid_generator deform_conv2d",
    ),
    ("boxes are worked on outside the network; return the values before it", "roi_align roi_pool nms"),
    (
        "complex numbers are not supported; compute the spectrum outside and give it as input",
        "fft_fft fft_rfft fft_ifft fft_irfft fft_fft2 fft_rfft2 stft istft view_as_complex",
    ),
    (
        "the network is quantized already; give lowbit the float network",
        "quantize_per_tensor quantize_per_channel fake_quantize_per_tensor_affine fake_quantize_per_channel_affine "
        "_fused_moving_avg_obs_fq_helper",
    ),
)

INSTEAD = {name: text for text, names in _ROWS for name in names.split()}
"""Layer of ``torch.nn``, function of torch or aten operation, as the user or the trace names it -> why it is not compiled and
what to write instead; ``{argument}`` stands for an argument of the operation."""


def instead(call: Call) -> str | None:
    """The line of the table for this call: its layer's, its function's or its operation's; None where there is none."""
    for name in (*call.layers, call.function):
        if name in INSTEAD:
            return INSTEAD[name]
    return INSTEAD[call.op].format_map(call.args) if call.op in INSTEAD else None
