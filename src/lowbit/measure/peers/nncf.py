"""OpenVINO's CPU plugin with a network quantized by NNCF, OpenVINO's own quantizer."""

from __future__ import annotations

import logging
import warnings

from lowbit.measure.peers.openvino import load_model
from lowbit.measure.peers.table import Peer, PeerModels
from lowbit.measure.size import bytes_on_disk

__all__ = ["INT8", "build"]

INT8 = "NNCF's post-training quantization, its defaults"


def build(models: PeerModels, threads: int) -> list[Peer]:
    """``openvino/int8-nncf``; quantized once, the file lies beside the ONNX files."""
    import openvino

    path = models.float_model.with_name("nncf.xml")
    if not path.exists():
        import nncf

        logging.getLogger("nncf").setLevel(logging.ERROR)  # its advice is for people, not for tables
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = openvino.Core().read_model(str(models.float_model))
            quantized = nncf.quantize(model, nncf.Dataset(list(models.calibration)), subset_size=len(models.calibration))
        openvino.save_model(quantized, str(path), compress_to_fp16=False)
    size = bytes_on_disk(path) + bytes_on_disk(path.with_suffix(".bin"))
    return [load_model("openvino/int8-nncf", openvino.Core().read_model(str(path)), threads, size, INT8)]
