"""Fine-tuning learns, can be stopped, and what it learned is what is compiled."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

import lowbit
from lowbit.errors import CalibrationError, ConfigError, InputError
from lowbit.fake import FakeQuantized
from lowbit.fake.finetune import _mixed
from tests.tiny import module

X = torch.randn((32, 3, 8, 8), generator=torch.Generator().manual_seed(3))


def fake() -> FakeQuantized:
    return lowbit.fake_quantize(module(), X[:1], config="w2a3", calibration=[X])


def batches() -> list[torch.Tensor]:
    return list(X.split(8))


def distance(network: FakeQuantized) -> float:
    with torch.no_grad():
        return float((network(X) - module()(X)).square().mean())


def test_it_comes_nearer_to_the_float_network_and_compiles_to_what_was_trained() -> None:
    network = fake()
    before = distance(network)
    scale = network.quantizer("body.weight").params.scale.copy()
    report = lowbit.finetune(network, batches(), epochs=15, lr=0.02)
    assert len(report.losses) == 15
    assert report.losses[-1] < 0.9 * report.losses[0]
    assert report.images == 15 * 32
    assert distance(network) < 0.8 * before
    assert not np.array_equal(scale, network.quantizer("body.weight").params.scale)
    compiled = lowbit.compile(network)
    for row in range(4):
        assert np.array_equal(compiled(X[row : row + 1].numpy()), network(X[row : row + 1]).detach().numpy())


def test_labels_are_learned() -> None:
    network, labels = fake(), torch.arange(32) % 10
    pairs = list(zip(X.split(8), labels.split(8), strict=True))
    report = lowbit.finetune(network, pairs, epochs=10, lr=0.02, distill=0.0)
    assert report.losses[-1] < report.losses[0]


class Interrupted:
    """Stops in the middle of an epoch."""

    def __init__(self, after: int) -> None:
        self.left = after

    def __len__(self) -> int:
        return len(batches())

    def __iter__(self) -> Iterator[torch.Tensor]:
        for batch in batches():
            self.left -= 1
            if self.left < 0:
                raise KeyboardInterrupt
            yield batch


def test_mixed_rows_are_means_that_labels_do_not_fit() -> None:
    seen: list[torch.Tensor] = []

    def loss(output: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        seen.append(labels)
        return torch.nn.functional.cross_entropy(output, labels)

    pairs = list(zip(X.split(8), (torch.arange(32) % 10).split(8), strict=True))
    report = lowbit.finetune(fake(), pairs, epochs=10, lr=0.02, mixed=0.5, loss=loss)
    assert 10 <= len(seen) <= 30  # of 40 batches
    assert report.losses[-1] < report.losses[0]
    always, without = (lowbit.finetune(fake(), given, epochs=2, mixed=1.0).losses for given in (pairs, batches()))
    assert always == without
    assert always != lowbit.finetune(fake(), batches(), epochs=2).losses
    labels = torch.arange(8)
    x, y = X[:8], torch.arange(8.0).view(8, 1)
    (mean, number), none = _mixed([x, y], labels, 1.0, torch.Generator().manual_seed(0))
    assert none is None
    for row, place in zip(mean, number.flatten().tolist(), strict=True):  # each lies between two rows of the batch
        assert any(
            torch.allclose(row, torch.lerp(x[a], x[b], (place - a) / (b - a)), atol=1e-5)
            for a in range(8)
            for b in range(a + 1, 8)
            if a <= place <= b
        ) or torch.equal(row, x[round(place)])
    kept, same = _mixed([x], labels, 0.0, torch.Generator().manual_seed(0))
    assert kept[0] is x
    assert same is labels
    with pytest.raises(ConfigError, match="only the teacher can say"):
        lowbit.finetune(fake(), pairs, mixed=0.5, distill=0.0)
    with pytest.raises(ConfigError, match=r"mixed 1\.5"):
        lowbit.finetune(fake(), pairs, mixed=1.5)


@pytest.mark.parametrize("mixed", [0.0, 0.5])
def test_interrupted_it_keeps_whole_epochs_and_goes_on(tmp_path: Path, mixed: float) -> None:
    straight = fake()
    lowbit.finetune(straight, batches(), epochs=4, mixed=mixed)
    state, network = tmp_path / "state.pt", fake()
    report = lowbit.finetune(network, Interrupted(9), epochs=4, mixed=mixed, state=state)
    assert report.interrupted
    assert len(report.losses) == 2
    after_two = fake()
    stopped = lowbit.finetune(after_two, Interrupted(8), epochs=4, mixed=mixed)
    assert stopped.interrupted
    assert torch.equal(network(X), after_two(X))
    resumed = fake()
    report = lowbit.finetune(resumed, batches(), epochs=4, mixed=mixed, state=state)
    assert not report.interrupted
    assert len(report.losses) == 4
    assert torch.equal(resumed(X), straight(X))


def test_bad_input_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CalibrationError, match="yielded no batch in epoch 1"):
        lowbit.finetune(fake(), [])
    with pytest.raises(ConfigError, match="epochs 0"):
        lowbit.finetune(fake(), batches(), epochs=0)
    with pytest.raises(InputError, match=r"labels of shape \(3,\) for 8 rows"):
        lowbit.finetune(fake(), [(X[:8], torch.zeros(3))])
    with pytest.raises(InputError, match="holds NaN"):
        lowbit.finetune(fake(), [X[:8] * torch.nan])
    wrong = tmp_path / "state"
    wrong.write_bytes(b"nothing")
    with pytest.raises(ConfigError, match="no state of a fine-tuning"):
        lowbit.finetune(fake(), batches(), state=wrong)


def test_narrow_weights_start_as_real_ones_and_end_rounded() -> None:
    network, seen = lowbit.fake_quantize(module(), X[:1], config="w1a3", calibration=[X]), []
    quantizer = network.quantizer("body.weight")

    def loss(output: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        seen.append(quantizer.soft)
        return output.square().mean()

    pairs = [(x, torch.zeros(8)) for x in batches()]
    lowbit.finetune(network, pairs, epochs=4, soften=0.5, loss=loss)
    assert seen == pytest.approx([*np.linspace(1, 0, 8, endpoint=False), *[0.0] * 8])
    assert quantizer.soft == 0.0
    wide = lowbit.fake_quantize(module(), X[:1], config="w2a3", calibration=[X])
    quantizer = wide.quantizer("body.weight")
    seen.clear()
    lowbit.finetune(wide, pairs, epochs=1, soften=0.5, loss=loss)
    assert seen == [0.0] * 4


def test_wholly_soft_weights_compute_with_the_real_ones() -> None:
    network = fake()
    network.train()
    layer = network.get_submodule("body")
    for q in network.quantizers.values():
        q.soft = 1.0 if q.weights else 0.0
    given: list[torch.Tensor] = []
    handle = layer.register_forward_hook(lambda step, args, result: given.append(args[1][1].detach()))
    network(X)
    handle.remove()
    scale = network.quantizer("body.weight").scale.detach().reshape(-1, 1, 1, 1)
    torch.testing.assert_close(given[0] * scale, layer.get_parameter("weight").detach(), rtol=1e-5, atol=1e-7)


def test_a_share_of_one_is_refused() -> None:
    with pytest.raises(ConfigError, match="soften 1.0"):
        lowbit.finetune(fake(), batches(), soften=1.0)
