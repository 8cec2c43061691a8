"""Compiled networks as ONNX models, every rounding a QuantizeLinear and a DequantizeLinear."""
