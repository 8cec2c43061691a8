"""Images in folders, a folder for each class, or with a file that says which class each has."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from lowbit.data.source import Indexed
from lowbit.errors import DataError, DataWarning, warn

__all__ = ["EXTENSIONS", "from_folder", "read_image", "read_labels"]

EXTENSIONS = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm")
_MODES = {1: "L", 3: "RGB"}


def from_folder(path: Path, labels: Mapping[str, int] | None = None, channels: int = 3, labelled: bool = True) -> Indexed:
    """A source of the images below ``path``, read in a shuffled order (seed 0), each decoded when it is asked for.

    Without ``labels`` each folder in it is a class; sorted by name, they are labels 0, 1, ....  ``labels``: label by path below
    ``path``, by file name or by the name of the folder an image is in.  Not ``labelled``: images wherever they lie, all with
    label 0, for calibration.  ``channels``: 3, or 1 for grey.
    Raises DataError: no images, an image without a label, one that cannot be decoded.
    """
    if channels not in _MODES:
        raise DataError(f"{path}: images have 1 or 3 channels, the network reads {channels}; give its inputs as an .npz")
    files = sorted(p for p in path.rglob("*") if p.suffix.lower() in EXTENSIONS and p.is_file())
    if not files:
        raise DataError(f"{path} has no images in its folders ({', '.join(EXTENSIONS)})")
    names = tuple(sorted({p.relative_to(path).parts[0] for p in files if p.parent != path}))
    if not labelled:
        known, names = dict.fromkeys(files, 0), ()
    elif labels is None:
        if loose := [p for p in files if p.parent == path]:
            raise DataError(
                f"{loose[0]} lies in no class folder ({len(loose):,} images do not); put each class into a folder of its name, "
                "or say the labels in a file (--labels)"
            )
        labels = {name: index for index, name in enumerate(names)}
        known = {p: labels[p.relative_to(path).parts[0]] for p in files}
    else:
        known = {p: _label(p, path, labels) for p in files}
        names = ()
    order = np.random.default_rng(0).permutation(len(files))
    shuffled = [files[i] for i in order]
    warned: list[Path] = []

    def fetch(positions: np.ndarray) -> tuple[list[np.ndarray]]:
        return ([read_image(shuffled[i], channels, warned) for i in positions],)

    classes = np.array([known[p] for p in shuffled], np.int64)
    text = f"{path}: {len(files):,} image files" + (f" of {len(np.unique(classes))} classes" if labelled else "")
    return Indexed(text, classes, fetch, lambda position: str(shuffled[position]), names)


def _label(file: Path, root: Path, labels: Mapping[str, int]) -> int:
    inside = file.relative_to(root)
    for key in (inside.as_posix(), file.name, *(part.name for part in inside.parents if part.name)):
        if key in labels:
            return labels[key]
    raise DataError(f"{file} has no label; the {len(labels):,} labels given are for {', '.join(list(labels)[:3])}, ...")


def read_image(path: Path, channels: int, warned: list[Path] | None = None) -> np.ndarray:
    """uint8 (H, W, ``channels``) of one file.  Warns (DataWarning) of colours that get lost, unless ``warned`` has an entry."""
    from PIL import Image

    try:
        with Image.open(path) as image:
            if image.mode.startswith(("I", "F")):
                raise DataError(f"{path} has more than 8 bits a channel ({image.mode}); give such images as an .npz of floats")
            if channels == 1 and image.mode not in ("1", "L", "LA") and warned is not None and not warned:
                warned.append(path)
                warn(f"{path} is in colour ({image.mode}), the network reads one channel: images are made grey", DataWarning)
            return np.asarray(image.convert(_MODES[channels])).reshape(image.height, image.width, channels)
    except (OSError, SyntaxError, ValueError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path} cannot be decoded: {error}") from None


def read_labels(path: Path) -> dict[str, int]:
    """Name -> label: of a .json object, or of a .csv whose header has ``label`` and whose first column is the name, or which
    has no header and two columns.  Raises DataError."""
    try:
        text = path.read_text()
        if path.suffix.lower() == ".json":
            return {str(name): _whole(label, path) for name, label in dict(json.loads(text)).items()}
        lines = list(csv.reader(text.splitlines()))
    except (OSError, ValueError, TypeError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path} cannot be read as labels: {error}") from None
    header = [cell.strip() for cell in lines[0]] if lines else []
    column = header.index("label") if "label" in header else 1
    rows = lines[1:] if "label" in header else lines
    if not rows or any(len(row) <= column for row in rows if row):
        raise DataError(f"{path}: every line must have a name and a label, such as cat,3")
    return {row[0].strip(): _whole(row[column], path) for row in rows if row}


def _whole(label: object, path: Path) -> int:
    try:
        number = int(str(label))
    except ValueError:
        number = -1
    if number < 0:
        raise DataError(f"{path}: label {label!r} is not a whole number from 0 on")
    return number
