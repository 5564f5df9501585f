"""YAML → Python: write a document as a module that does the same, and its tests as pytest."""

from halflap.lowcode.convert.to_python import NotConvertible, to_pytest, to_python

__all__ = ["NotConvertible", "to_pytest", "to_python"]
