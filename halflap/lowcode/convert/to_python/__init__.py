"""YAML → Python: a document as a module that does the same.

`module` writes a document: `settings` its config, `flow` (with `actions` and `loops`) the steps of
a flow, `routes` a pre-process flow. `say` says an expression in Python where that is exactly the
same, by what `kind` knows of the values; all others stay `expr("…")`. `suite` writes its tests.
"""

from halflap.lowcode.convert.to_python.module import to_python
from halflap.lowcode.convert.to_python.refusal import NotConvertible
from halflap.lowcode.convert.to_python.suite import to_pytest

__all__ = ["NotConvertible", "to_pytest", "to_python"]
