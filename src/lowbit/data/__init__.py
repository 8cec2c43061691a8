"""Labelled samples: where they come from, how they become a network's inputs, which calibrate and which judge."""

from lowbit.data.arrays import from_arrays, from_npz
from lowbit.data.dataset import Batch, Dataset
from lowbit.data.folder import from_folder, read_labels
from lowbit.data.loader import from_iterable, from_map_style
from lowbit.data.named import as_dataset, open_data
from lowbit.data.part import Part
from lowbit.data.preprocessing import Preprocessing
from lowbit.data.source import Indexed, Source, Stream

__all__ = [
    "Batch",
    "Dataset",
    "Indexed",
    "Part",
    "Preprocessing",
    "Source",
    "Stream",
    "as_dataset",
    "from_arrays",
    "from_folder",
    "from_iterable",
    "from_map_style",
    "from_npz",
    "open_data",
    "read_labels",
]
