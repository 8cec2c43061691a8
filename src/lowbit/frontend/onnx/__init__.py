"""ONNX files in: nodes become calls of aten operations, which the handlers of the torch frontend turn into a graph."""
