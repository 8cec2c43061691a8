"""What ONNX's operations are in aten's, one file a family."""
