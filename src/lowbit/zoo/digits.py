"""A network that needs no download: a small CNN, trained here in seconds on the digits that scikit-learn brings along."""

from __future__ import annotations

import importlib
from contextlib import suppress
from functools import cache
from hashlib import blake2b
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lowbit.data import Dataset, Indexed, Part, Preprocessing, from_arrays
from lowbit.errors import ConfigError, LowbitError
from lowbit.files import cache_folder, write_whole

__all__ = ["PREPROCESSING", "DigitsCNN", "digits", "trained_weights"]

PREPROCESSING = Preprocessing(16.0, (0.3,), (0.37,))
_SEED, _EPOCHS, _BATCH, _RATE = 0, 14, 64, 4e-3
_PERIOD = 3  # every third image judges, the others train and calibrate
_DIGEST = 32


class DigitsCNN(nn.Module):
    """8x8 grey images -> 10 classes, 12,000 parameters: a convolution, a residual block, one of stride 2, a depthwise and a
    pointwise one, mean, linear; batch norm and relu behind each convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = _conv(1, 16)
        self.block1 = _conv(16, 16)
        self.block2 = _conv(16, 16)
        self.down = _conv(16, 32, stride=2)
        self.depthwise = _conv(32, 32, groups=32)
        self.pointwise = _conv(32, 48, size=1)
        self.head = nn.Linear(48, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.stem(x))
        x = F.relu(self.block2(F.relu(self.block1(x))) + x)
        x = F.relu(self.depthwise(F.relu(self.down(x))))
        x = F.relu(self.pointwise(x))
        return self.head(x.mean((2, 3)))


def _conv(inputs: int, outputs: int, size: int = 3, stride: int = 1, groups: int = 1) -> nn.Sequential:
    convolution = nn.Conv2d(inputs, outputs, size, stride, size // 2, groups=groups, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs))


@cache
def _source() -> Indexed:
    try:
        load_digits = importlib.import_module("sklearn.datasets").load_digits
    except ImportError as error:
        raise ConfigError(f"the digits come with scikit-learn: pip install lowbit[data] ({error})") from None
    found = load_digits()
    return from_arrays(found.images.astype(np.uint8), found.target, "scikit-learn's digits")


def digits(split: str) -> Dataset:
    """1,797 images of 8x8 (Alpaydin and Kaynak, UCI 1998): every third is for ``eval``, the others train and are for ``calib``.

    Raises ConfigError where scikit-learn is not installed.
    """
    return Dataset(_source(), PREPROCESSING, Part(_PERIOD, split == "eval"))


def trained_weights() -> dict[str, Tensor]:
    """The state of a trained DigitsCNN: from the user's cache, else trained, which takes seconds, and kept there.

    The entry's name is a hash of this file, the images and torch's version; one that is damaged is trained anew.
    """
    from safetensors.torch import load, save

    path = cache_folder() / "zoo" / f"digits-cnn-{_key()}.safetensors"
    with suppress(OSError):
        digest, data = (content := path.read_bytes())[:_DIGEST], content[_DIGEST:]
        if blake2b(data, digest_size=_DIGEST).digest() == digest:
            return load(data)
    state = {name: value.contiguous() for name, value in _train().state_dict().items()}
    data = save(state)
    with suppress(OSError, LowbitError):  # a cache that cannot be written only costs time
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, blake2b(data, digest_size=_DIGEST).digest(), data)
    return state


def _key() -> str:
    digest = blake2b(Path(__file__).read_bytes(), digest_size=16)
    for batch in digits("calib").batches(10_000):
        digest.update(batch.inputs[0].tobytes() + batch.labels.tobytes())
    digest.update(torch.__version__.encode())
    return digest.hexdigest()


def _train() -> DigitsCNN:
    """Adam with a cosine schedule on images shifted by up to a pixel; one thread and one seed, so that the same machine gets
    the same weights."""
    (everything,) = digits("calib").batches(10_000)
    images, labels = torch.from_numpy(everything.inputs[0]), torch.from_numpy(everything.labels)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(devices=[]), torch.enable_grad():
            torch.manual_seed(_SEED)
            model = DigitsCNN().train()
            steps = -(-len(images) // _BATCH)
            optimizer = torch.optim.Adam(model.parameters(), _RATE, weight_decay=1e-4)
            schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, _RATE, total_steps=_EPOCHS * steps)
            for _ in range(_EPOCHS):
                for rows in torch.randperm(len(images)).split(_BATCH):
                    dy, dx = torch.randint(-1, 2, (2,)).tolist()
                    shifted = torch.roll(images[rows], (dy, dx), (2, 3))
                    loss = F.cross_entropy(model(shifted), labels[rows])
                    optimizer.zero_grad()
                    loss.backward()
                    optimizer.step()
                    schedule.step()
    finally:
        torch.set_num_threads(threads)
    return model.eval()
