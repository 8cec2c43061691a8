"""What is found in arrays, files, folders and loaders, and how it is refused."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from lowbit.data import Dataset, Preprocessing, as_dataset, from_arrays, from_folder, from_npz, open_data, read_labels
from lowbit.errors import ConfigError, DataError, DataWarning

RNG = np.random.default_rng(0)
NHWC = RNG.integers(0, 256, (12, 5, 7, 3), np.uint8)
NCHW = np.ascontiguousarray(NHWC.transpose(0, 3, 1, 2))
LABELS = np.arange(12) * 5 % 4


def inputs(dataset: Dataset) -> np.ndarray:
    return np.concatenate([batch.inputs[0] for batch in dataset.batches(5)])


@pytest.mark.parametrize(
    ("values", "text"),
    [
        (NHWC, "uint8 pixels, channels last"),
        (NCHW, "uint8 pixels, channels first"),
        (NCHW.astype(np.float32), "float32, channels first"),
        (NHWC.astype(np.float64), "float64, channels last (5 x 7 x 3), brought to the front"),
        (NCHW.astype(np.int64), "int64, channels first"),
    ],
)
def test_layouts_are_found(values: np.ndarray, text: str) -> None:
    source = from_arrays(values, LABELS)
    assert text in source.description
    assert "labels 0..3" in source.description
    np.testing.assert_array_equal(inputs(Dataset(source, Preprocessing(1.0))), NCHW.astype(np.float32))


def test_grey_images_and_features() -> None:
    grey = from_arrays(NHWC[..., 0], LABELS)
    assert "grey pixels, 5 x 7" in grey.description
    assert inputs(Dataset(grey, Preprocessing())).shape == (12, 1, 5, 7)
    assert inputs(Dataset(from_arrays(NHWC[:, 0, :, 0].astype(np.float32), LABELS))).shape == (12, 7)


def test_tensors_are_arrays() -> None:
    import torch

    np.testing.assert_array_equal(inputs(as_dataset((torch.from_numpy(NCHW).float(), torch.from_numpy(LABELS)))), NCHW)


def test_sorted_labels_are_shuffled_once_and_for_all() -> None:
    values, labels = np.arange(100, dtype=np.float32)[:, None], np.repeat(np.arange(4), 25)
    dataset = Dataset(from_arrays(values, labels))
    assert "shuffled" in dataset.description
    batch = next(dataset.batches(20))
    assert len(np.unique(batch.labels)) == 4
    assert np.array_equal(batch.labels, labels[batch.inputs[0][:, 0].astype(int)])
    assert dataset.where(batch.positions[3]) == f"row {int(batch.inputs[0][3, 0])}"
    np.testing.assert_array_equal(inputs(dataset), inputs(Dataset(from_arrays(values, labels))))


@pytest.mark.parametrize(
    ("values", "labels", "text"),
    [
        (NHWC, LABELS[:-1], "both need the same number of samples"),
        (NHWC[:0], LABELS[:0], "at least one"),
        (RNG.integers(0, 256, (3, 5, 7, 9), np.uint8), LABELS[:3], "neither axis 1 nor axis 3 has 1 or 3 channels"),
        (NHWC, np.eye(12), "one class number for each sample"),
        (NHWC, LABELS - 1.0, "label 0 is -1.0; labels are whole numbers from 0 on"),
        (NHWC, LABELS + 0.5, "12 are not"),
        (NHWC, np.full(12, np.nan), "label 0 is nan"),
        (NHWC, np.array(["cat"] * 12), "one class number for each sample"),
    ],
)
def test_arrays_that_cannot_be_right(values: np.ndarray, labels: np.ndarray, text: str) -> None:
    with pytest.raises(DataError, match=text):
        from_arrays(values, labels)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_npz(tmp_path: Path, save: Callable[..., None]) -> None:
    save(tmp_path / "a.npz", x=NHWC, y=LABELS)
    dataset = open_data(tmp_path / "a.npz", Preprocessing(1.0))
    assert str(tmp_path / "a.npz") in dataset.description
    np.testing.assert_array_equal(inputs(dataset), NCHW.astype(np.float32))


def test_npz_of_uncompressed_arrays_is_mapped(tmp_path: Path) -> None:
    from lowbit.data.arrays import _mapped

    np.savez(tmp_path / "a.npz", labels=LABELS, images=np.asfortranarray(NHWC))
    mapped = _mapped(tmp_path / "a.npz", "images")
    assert isinstance(mapped, np.memmap)
    np.testing.assert_array_equal(mapped, NHWC)


def test_npz_that_cannot_be_right(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", pixels=NHWC, labels=LABELS)
    with pytest.raises(DataError, match="holds the arrays pixels, labels; expected one of images, inputs, x, data"):
        from_npz(tmp_path / "a.npz")
    (tmp_path / "b.npz").write_bytes(b"PK nothing")
    with pytest.raises(DataError, match="is not an .npz file of numbers"):
        open_data(tmp_path / "b.npz")
    with pytest.raises(DataError, match="c.npz does not exist"):
        open_data(tmp_path / "c.npz")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """cat (3 images), dog (2) and 1 of another size in bird."""
    from PIL import Image

    for index, name in enumerate(["cat/a.png", "cat/b.png", "cat/deep/c.png", "dog/d.png", "dog/e.png", "bird/f.png"]):
        path = tmp_path / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(NHWC[index] if name != "bird/f.png" else NHWC[index].repeat(2, 0)).save(path)
    (tmp_path / "images" / "notes.txt").write_text("no image")
    return tmp_path / "images"


def test_class_folders(folder: Path) -> None:
    dataset = open_data(folder, Preprocessing(1.0, size=(5, 5)))
    assert dataset.classes == ("bird", "cat", "dog")
    assert "6 image files of 3 classes" in dataset.description
    (batch,) = dataset.batches(10)
    assert sorted(batch.labels.tolist()) == [0, 1, 1, 1, 2, 2]
    assert batch.inputs[0].shape == (6, 3, 5, 5)
    names = [Path(dataset.where(p)).relative_to(folder).parts[0] for p in batch.positions]
    assert [dataset.classes[label] for label in batch.labels] == names
    position = next(p for p in batch.positions if dataset.where(p).endswith("dog/e.png"))
    np.testing.assert_array_equal(batch.inputs[0][position], NHWC[4, :, 1:6].transpose(2, 0, 1))


def test_images_of_several_sizes_name_two_files(folder: Path) -> None:
    with pytest.raises(DataError, match=r"is \(.*\), .*\.png is \(.*\) \(height, width, channels\); say the size"):
        list(open_data(folder, Preprocessing()).batches())
    with pytest.raises(DataError, match=r"\.png: after scaling its shorter side to 3"):
        list(open_data(folder, Preprocessing(size=(5, 5), resize=3)).batches())


def test_labels_from_a_file(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps({"cat": 7, "dog": 2, "bird/f.png": 9}))
    (tmp_path / "a.csv").write_text("file,use,label\ncat,x,7\ndog,x,2\nf.png,x,9\n")
    (tmp_path / "b.csv").write_text("cat,7\ndog,2\nf.png,9\n")
    for name in ("a.json", "a.csv", "b.csv"):
        source = from_folder(folder, read_labels(tmp_path / name))
        assert sorted(source.labels.tolist()) == [2, 2, 7, 7, 7, 9]
    with pytest.raises(DataError, match="f.png has no label; the 2 labels given are for cat, dog"):
        from_folder(folder, {"cat": 0, "dog": 1})


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.json", "[1, 2", "cannot be read as labels"),
        ("a.csv", "cat\ndog\n", "every line must have a name and a label"),
        ("a.csv", "", "every line must have a name and a label"),
        ("a.csv", "cat,fluffy\n", "label 'fluffy' is not a whole number"),
        ("a.json", '{"cat": -1}', "label -1 is not a whole number"),
    ],
)
def test_label_files_that_cannot_be_right(tmp_path: Path, name: str, text: str, message: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=message):
        read_labels(tmp_path / name)


def test_folders_that_cannot_be_right(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="has no images in its folders"):
        from_folder(tmp_path / "empty")
    with pytest.raises(DataError, match="the network reads 4"):
        from_folder(folder, channels=4)
    (folder / "loose.png").write_bytes((folder / "cat" / "a.png").read_bytes())
    with pytest.raises(DataError, match=r"loose.png lies in no class folder \(1 images do not\)"):
        from_folder(folder)
    (folder / "loose.png").unlink()
    (folder / "cat" / "a.png").write_bytes(b"\x89PNG broken")
    with pytest.raises(DataError, match="a.png cannot be decoded"):
        list(Dataset(from_folder(folder), Preprocessing(size=(4, 4))).batches())


def test_channels(folder: Path, tmp_path: Path) -> None:
    from PIL import Image

    with pytest.warns(DataWarning, match=r"is in colour \(RGB\), the network reads one channel") as seen:
        (batch,) = Dataset(from_folder(folder, channels=1), Preprocessing(size=(4, 4))).batches()
    assert len(seen) == 1
    assert batch.inputs[0].shape == (6, 1, 4, 4)
    (tmp_path / "deep" / "one").mkdir(parents=True)
    Image.fromarray(np.zeros((4, 4), np.int32)).save(tmp_path / "deep" / "one" / "a.tif")
    with pytest.raises(DataError, match="more than 8 bits a channel"):
        list(Dataset(from_folder(tmp_path / "deep"), Preprocessing()).batches())


class Images:
    """As a torch.utils.data.Dataset; ``classes`` as torchvision has them."""

    classes = ("zero", "one", "two", "three")

    def __len__(self) -> int:
        return len(LABELS)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        from PIL import Image

        return Image.fromarray(NHWC[index]), int(LABELS[index])


def pairs() -> Iterator[tuple[np.ndarray, np.ndarray]]:
    yield from ((NHWC[i : i + 5], LABELS[i : i + 5]) for i in range(0, 12, 5))


def singles() -> Iterator[tuple[np.ndarray, int]]:
    yield from zip(NHWC, LABELS.tolist(), strict=True)


def ready() -> Dataset:
    return as_dataset((NHWC, LABELS), Preprocessing(1.0))


not_data = 3
takes_an_argument = read_labels


@pytest.mark.parametrize("given", [Images(), pairs, singles, list(pairs()), list(singles()), Images, (NHWC, LABELS), ready])
def test_python_data(given: Any) -> None:
    dataset = as_dataset(given, Preprocessing(1.0))
    for _ in range(2):
        np.testing.assert_array_equal(inputs(dataset), NCHW.astype(np.float32))
    np.testing.assert_array_equal(np.concatenate([b.labels for b in dataset.batches(5)]), LABELS)


def test_torch_loaders() -> None:
    import torch
    from torch.utils.data import DataLoader, TensorDataset

    tensors = TensorDataset(torch.from_numpy(NCHW).float(), torch.from_numpy(LABELS))
    for given in (tensors, DataLoader(tensors, batch_size=5)):
        np.testing.assert_array_equal(inputs(as_dataset(given)), NCHW.astype(np.float32))
    shuffled = as_dataset(DataLoader(tensors, batch_size=5, shuffle=True, generator=torch.Generator().manual_seed(0)))
    list(shuffled.batches())
    with pytest.raises(DataError, match="its first sample is another one than last time"):
        [list(shuffled.batches()) for _ in range(5)]


def test_several_inputs() -> None:
    a, b = np.zeros((4, 3), np.float32), np.ones((4, 2), np.float32)
    (batch,) = as_dataset([((a, b), np.zeros(4, int))]).batches()
    assert [value.shape for value in batch.inputs] == [(4, 3), (4, 2)]


def test_loaders_by_name() -> None:
    np.testing.assert_array_equal(inputs(open_data("tests.data.test_sources:pairs", Preprocessing(1.0))), NCHW)
    assert open_data("tests.data.test_sources:Images", Preprocessing(1.0)).classes == Images.classes


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("tests.data.test_sources:nothing", "has no 'nothing'"),
        ("nowhere_at_all:x", "module 'nowhere_at_all' cannot be imported"),
        ("nowhere", "nowhere does not exist; data is a folder of class folders"),
        ("tests.data.test_sources:not_data", "is a int; data is"),
        ("tests.data.test_sources:takes_an_argument", "cannot be called without arguments"),
    ],
)
def test_names_that_name_nothing(text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        open_data(text)


@pytest.mark.parametrize(
    ("items", "message"),
    [
        ([NCHW], "data, item 0 is a ndarray; a loader yields"),
        ([(NCHW[:3], LABELS[:2])], "item 0: inputs of shapes .* for 2 labels"),
        ([("pixels", np.zeros(1, int))], "a value of type str"),
        ([(NHWC, LABELS), (NHWC, LABELS - 9)], "item 1: label 0 is -9"),
    ],
)
def test_loaders_that_cannot_be_right(items: list[Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        list(as_dataset(lambda: iter(items), Preprocessing()).batches(50))


def test_a_generator_is_read_once() -> None:
    dataset = as_dataset(pairs(), Preprocessing())
    list(dataset.batches())
    with pytest.raises(DataError, match="a generator can be read once only"):
        list(dataset.batches())


def test_items_of_several_shapes() -> None:
    items = [(np.zeros((1, 2 + i), np.float32), i) for i in range(3)]
    with pytest.raises(DataError, match="items of several shapes"):
        list(as_dataset(items).batches())


def test_torchvision(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    class Halves(Images):
        def __init__(self, root: str, train: bool = True) -> None:
            asked.append((root, train))

    class Splits(Images):
        def __init__(self, root: str, split: str = "train") -> None:
            asked.append((root, split))
            if split == "test":
                raise ValueError("no split test")

    class Missing:
        def __init__(self, root: str) -> None:
            raise RuntimeError("Dataset not found")

    package, datasets = ModuleType("torchvision"), ModuleType("torchvision.datasets")
    datasets.__dict__.update(Halves=Halves, Splits=Splits, Missing=Missing)
    monkeypatch.setitem(sys.modules, "torchvision", package)
    monkeypatch.setitem(sys.modules, "torchvision.datasets", datasets)
    for name in ("Halves", "Splits"):
        np.testing.assert_array_equal(inputs(open_data(f"torchvision:{name}:there", Preprocessing(1.0))), NCHW)
    assert asked == [("there", False), ("there", "test"), ("there", "val")]
    with pytest.raises(DataError, match="torchvision:Missing:x: Dataset not found"):
        open_data("torchvision:Missing:x")
    with pytest.raises(DataError, match="write torchvision:<a class of torchvision.datasets>:<folder>"):
        open_data("torchvision:Nothing:x")
    monkeypatch.setitem(sys.modules, "torchvision.datasets", None)
    with pytest.raises(ConfigError, match="needs torchvision: pip install torchvision"):
        open_data("torchvision:Halves:x")
