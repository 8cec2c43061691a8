"""A trained network on real images, at several widths: LOWBIT_DATA=<folder> python examples/cifar10.py

ResNet-20 (92.26 % on the images there) is compiled at 8, 6 and 4 bits; then once more with a plan of its
own: 4-bit weights, but 8 bits in the last stage.
"""

from __future__ import annotations

import numpy as np
import torch

import lowbit
from lowbit.measure.accuracy import agreement
from lowbit.zoo import images, load_pretrained

NAME, BATCH, IMAGES = "cifar10_resnet20", 50, 1000


def main() -> None:
    model, _ = load_pretrained(NAME)
    calibration = list(images(NAME, "calib", BATCH, 500)[0])
    batches, labels = images(NAME, "eval", BATCH, IMAGES)
    pictures = list(batches)
    with torch.inference_mode():
        reference = np.concatenate([model(torch.from_numpy(x)).numpy() for x in pictures])
    example = torch.from_numpy(pictures[0])
    wanted = {
        "i8 x u8": {"weights": "i8", "activations": "u8"},
        "i6 x u6": {"weights": "i6", "activations": "u6"},
        "i4 x u4": {"weights": "i4", "activations": "u4"},
        "i4 x u8, layer3 i8": {"weights": "i4", "activations": "u8", "layers": {"layer3.*": "i8/u8"}},
    }
    for text, types in wanted.items():
        compiled = lowbit.compile(model, example, calibration=calibration, name=NAME, **types)
        result = agreement(np.concatenate([compiled(x) for x in pictures]), reference, labels)
        print(
            f"{text:20s} top-1 {100 * result.top1:.2f} % (float {100 * result.reference_top1:.2f} %), "
            f"difference {100 * result.difference:+.2f} +- {100 * result.difference_error:.2f} points, "
            f"{compiled.manifest['weight_bytes']:,} bytes of weights"
        )


if __name__ == "__main__":
    main()
