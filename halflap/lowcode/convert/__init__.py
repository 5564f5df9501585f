"""The two ways between YAML and Python: a document as a module that does the same, and back."""

from halflap.lowcode.convert.to_python import NotConvertible, to_pytest, to_python
from halflap.lowcode.convert.to_yaml import NotYaml, Refusal, to_yaml

__all__ = ["NotConvertible", "NotYaml", "Refusal", "to_pytest", "to_python", "to_yaml"]
