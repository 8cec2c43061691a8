"""The version, in the one place that the package, the artifacts and the wheel read it from."""

__all__ = ["__version__"]

__version__ = "0.1.0"
