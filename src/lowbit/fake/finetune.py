"""Quantization-aware fine-tuning: weights, biases and step sizes learned together (LSQ)."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Sequence, Sized
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lowbit.errors import CalibrationError, ConfigError, InputError
from lowbit.fake.network import FakeQuantized
from lowbit.files import check_writable, write_whole
from lowbit.progress import stage

__all__ = ["FinetuneReport", "finetune"]

_TEMPERATURE = 2.0
_SCALE_RATE = 0.3  # of step sizes, relative to that of weights
_SOFTENED = 1  # bits of weights up to which they harden slowly


@dataclass
class FinetuneReport:
    """``losses``: mean loss of each epoch.  ``images``: rows seen.  ``interrupted``: stopped before the last epoch."""

    losses: list[float] = field(default_factory=list)
    images: int = 0
    interrupted: bool = False


def finetune(
    fake: FakeQuantized,
    loader: Iterable[Any],
    epochs: int = 10,
    *,
    lr: float = 5e-3,
    distill: float = 1.0,
    hints: float = 1.0,
    soften: float = 0.7,
    mixed: float = 0.0,
    loss: Callable[[Tensor, Tensor], Tensor] | None = None,
    state: str | Path | None = None,
    progress: bool | None = None,
) -> FinetuneReport:
    """Trains a network of fake quantizers, in place, so that ``compile(fake)`` gives exactly the integers that were trained.

    ``loader``: iterated once an epoch; yields (x, y) or (x..., y) batches, or x alone, x float32, y (N,) int64 labels.  Augment
    there.  The loss, of the first output, is ``distill`` * T^2 KL(teacher || student) at T = 2 (Hinton et al. 2015), the teacher
    being the float network as it was before, plus ``loss`` (cross entropy) with the labels, where there are any, plus ``hints``
    times the mean over layers of |y - t|^2 / |t|^2, y what the layer gives here and t there (Romero et al. 2015, for every
    layer): it reaches deep layers while the outputs are still noise.
    Step sizes learn by the gradient of Esser et al. 2020 (LSQ, eq. 3), which the straight-through roundings of the integer
    semantics give by themselves; they are updated in their logarithm, so that they stay positive.  Adam; ``lr`` is relative:
    a step moves a layer's weights by about ``lr`` times their root mean square; it falls to 0 along a cosine.
    ``soften``: during this share of the training, weights of 1 bit are (1 - h) w + h s q, w the real and s q the rounded
    ones, with h from 0 to 1 in a straight line (Yin et al. 2018, BinaryRelax: there h = lambda / (1 + lambda), lambda growing
    geometrically): the network starts as the float one and hardens while it learns.  The integers that it would compile to are
    worth little before that share is over.
    ``mixed``: share of the batches whose rows become weighted means of two of them, weights drawn from 0..1; their labels are
    not used, the teacher says what such rows are (Beyer et al. 2022, section 3: many more inputs than there are images).
    ``state``: file that keeps the state after every epoch; a later call with the same file goes on from there.

    Ctrl-C ends the training after the epochs that are complete and leaves the network as it was after the last of them.
    Raises ConfigError for wrong numbers, CalibrationError for a loader that yields nothing, InputError for batches that are
    not of the network's shapes.
    """
    if epochs < 1 or not 0 < lr < 1 or min(distill, hints) < 0 or not 0 <= soften < 1 or not 0 <= mixed <= 1:
        given = f"epochs {epochs}, lr {lr}, distill {distill}, hints {hints}, soften {soften}, mixed {mixed}"
        raise ConfigError(
            f"{given}; write at least 1, a rate between 0 and 1, weights of 0 or more, a share below 1, one up to 1"
        )
    if mixed and not distill:
        raise ConfigError(f"mixed {mixed} with distill {distill}: only the teacher can say what mixed rows are; give it a weight")
    path = None if state is None else Path(state)
    if path is not None:
        check_writable(path)
    trainer = _Trainer(fake, lr, epochs, distill, hints, soften, mixed, loss or F.cross_entropy)
    if path is not None and path.exists():
        trainer.load(path)
    report = FinetuneReport(list(trainer.losses))
    good = trainer.snapshot()
    length = len(loader) if isinstance(loader, Sized) else None
    left = epochs - len(trainer.losses)
    fake.train()
    try:
        with stage("fine-tune", None if length is None else length * left, progress) as advance:
            for epoch in range(len(trainer.losses), epochs):
                mean, rows = trainer.epoch(loader, epoch, length, lambda text: advance(1, text))
                report.losses.append(mean)
                report.images += rows
                good = trainer.snapshot()
                if path is not None:
                    trainer.save(path)
    except KeyboardInterrupt:
        report.interrupted = True
        trainer.restore(good)
    finally:
        trainer.soften(1.0)
        fake.eval()
    return report


class _Trainer:
    def __init__(
        self,
        fake: FakeQuantized,
        lr: float,
        epochs: int,
        distill: float,
        hints: float,
        soften: float,
        mixed: float,
        loss: Callable[[Tensor, Tensor], Tensor],
    ) -> None:
        fake.train()
        fake.choice()  # numbers asked for are settled before parameters are collected
        self.fake, self.lr, self.epochs, self.distill, self.hints, self.loss = fake, lr, epochs, distill, hints, loss
        self.softened, self.mixed = soften, mixed
        self.narrow = [q for q in fake.quantizers.values() if q.weights and q.enabled and q.bits <= _SOFTENED]
        self.teacher = copy.deepcopy(fake).eval()
        self.teacher.disable()
        self.losses: list[float] = []
        self.scales: dict[str, nn.Parameter] = {}
        groups: list[dict[str, Any]] = []
        for name, parameter in fake.named_parameters():
            if name.endswith("scale"):
                self.scales[name] = parameter
            else:
                size = float(parameter.detach().double().square().mean().sqrt())
                groups.append({"params": [parameter], "size": size or 1e-3})
        self.logs = {name: nn.Parameter(parameter.detach().double().log()) for name, parameter in self.scales.items()}
        groups.append({"params": list(self.logs.values()), "size": _SCALE_RATE})
        self.optimizer = torch.optim.Adam(groups, lr=lr, betas=(0.9, 0.99))
        self.steps = 0

    def epoch(self, loader: Iterable[Any], epoch: int, length: int | None, say: Callable[[str], None]) -> tuple[float, int]:
        total, rows = 0.0, 0
        for index, batch in enumerate(loader):
            inputs, labels = _batch(batch, self.fake, index)
            if self.mixed:  # the same draw where a training goes on
                inputs, labels = _mixed(inputs, labels, self.mixed, torch.Generator().manual_seed((epoch << 32) + index))
            done = (epoch + (0.0 if not length else index / length)) / self.epochs
            for group in self.optimizer.param_groups:
                group["lr"] = self.lr * group["size"] * 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))
            self.soften(done)
            loss = self._step(inputs, labels)
            count = len(inputs[0])
            total, rows = total + loss * count, rows + count
            say(f"fine-tune, epoch {epoch + 1} of {self.epochs}, loss {total / rows:.4f}")
        if not rows:
            raise CalibrationError(f"the loader yielded no batch in epoch {epoch + 1}; give one that can be iterated every epoch")
        self.losses.append(total / rows)
        return total / rows, rows

    def soften(self, done: float) -> None:
        """Sets how soft the weights are after the share ``done`` of the training."""
        for quantizer in self.narrow:
            quantizer.soft = max(0.0, 1.0 - done / self.softened) if self.softened else 0.0

    def _step(self, inputs: Sequence[Tensor], labels: Tensor | None) -> float:
        with torch.no_grad(), self.teacher.watched() as wanted:
            target = self.teacher.outputs(*inputs)[0]
        with self.fake.watched() as given:
            output = self.fake.outputs(*inputs)[0]
        loss = self.distill * _divergence(output, target)
        inner = [name for name in given if name in wanted]
        if self.hints and inner:
            loss = loss + self.hints * torch.stack([_distance(given[name], wanted[name]) for name in inner]).mean()
        if labels is not None:
            loss = loss + self.loss(output, labels)
        if not bool(torch.isfinite(loss)):
            raise ConfigError(f"the loss is {float(loss)} after {self.steps} steps; a smaller lr than {self.lr} may help")
        self.optimizer.zero_grad(set_to_none=True)
        for parameter in self.scales.values():
            parameter.grad = None
        loss.backward()
        for name, parameter in self.scales.items():
            gradient = parameter.grad
            self.logs[name].grad = None if gradient is None else gradient.double() * parameter.detach().double()
        self.optimizer.step()
        with torch.no_grad():
            for name, parameter in self.scales.items():
                parameter.copy_(self.logs[name].exp())
        self.steps += 1
        return float(loss.detach())

    def snapshot(self) -> dict[str, Any]:
        return {
            "network": {name: value.detach().clone() for name, value in self.fake.named_parameters()},
            "optimizer": self.optimizer.state_dict(),
            "logs": {name: value.detach().clone() for name, value in self.logs.items()},
            "losses": list(self.losses),
        }

    def restore(self, kept: dict[str, Any]) -> None:
        with torch.no_grad():
            for name, parameter in self.fake.named_parameters():
                parameter.copy_(kept["network"][name])
            for name, log in self.logs.items():
                log.copy_(kept["logs"][name])

    def save(self, path: Path) -> None:
        import io

        buffer = io.BytesIO()
        torch.save(self.snapshot(), buffer)
        write_whole(path, buffer.getvalue())

    def load(self, path: Path) -> None:
        try:
            kept = torch.load(path, weights_only=True)
            shapes = {name: value.shape for name, value in kept["network"].items()}
        except Exception as error:
            raise ConfigError(f"{path} is no state of a fine-tuning: {error}; remove it to start anew") from error
        if shapes != {name: value.shape for name, value in self.fake.named_parameters()}:
            raise ConfigError(f"{path} is the state of another network; remove it to start anew")
        self.restore(kept)
        self.optimizer.load_state_dict(kept["optimizer"])
        self.losses = list(kept["losses"])


def _mixed(
    inputs: list[Tensor], labels: Tensor | None, share: float, generator: torch.Generator
) -> tuple[list[Tensor], Tensor | None]:
    """A batch, or with probability ``share`` means of its rows without labels."""
    rows = len(inputs[0])
    if float(torch.rand((), generator=generator)) >= share:
        return inputs, labels
    order, weight = torch.randperm(rows, generator=generator), torch.rand(rows, generator=generator)
    return [torch.lerp(x, x[order], weight.view(-1, *(1,) * (x.ndim - 1))) for x in inputs], None


def _divergence(output: Tensor, wanted: Tensor) -> Tensor:
    """T^2 KL(teacher || student) over the last axis, mean of rows."""
    t = _TEMPERATURE
    rows = output.reshape(-1, output.shape[-1])
    teacher = F.log_softmax(wanted.reshape(rows.shape) / t, -1)
    return t * t * F.kl_div(F.log_softmax(rows / t, -1), teacher, reduction="batchmean", log_target=True)


def _distance(given: Tensor, wanted: Tensor) -> Tensor:
    """|y - t|^2 / |t|^2."""
    return (given - wanted).square().sum() / wanted.square().sum().clamp_min(1e-12)


def _batch(batch: Any, fake: FakeQuantized, index: int) -> tuple[list[Tensor], Tensor | None]:
    names = fake.graph_inputs
    given = list(batch) if isinstance(batch, tuple | list) else [batch]
    if len(given) not in (len(names), len(names) + 1):
        raise InputError(
            f"batch {index} of the loader has {len(given)} parts; write {', '.join(names)} and, if there are any, labels"
        )
    inputs = [torch.as_tensor(value).float() for value in given[: len(names)]]
    labels = torch.as_tensor(given[-1]).long() if len(given) > len(names) else None
    if labels is not None and labels.shape != inputs[0].shape[:1]:
        raise InputError(f"batch {index} of the loader: labels of shape {tuple(labels.shape)} for {len(inputs[0])} rows")
    for name, value in zip(names, inputs, strict=True):
        if not bool(torch.isfinite(value).all()):
            raise InputError(f"batch {index} of the loader: input {name!r} holds NaN or infinity")
    return inputs, labels
