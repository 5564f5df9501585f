"""YAML → Python: a document as a module that does the same.

`module` writes a document: `settings` its config, `flow` (with `actions` and `loops`) the steps of
a flow, `routes` a pre-process flow. `say` says an expression in Python where that is exactly the
same, by what `kind` knows of the values; all others stay `expr("…")`.
"""

from halflap.lowcode.convert.to_python.module import to_python
from halflap.lowcode.convert.to_python.refusal import NotConvertible

__all__ = ["NotConvertible", "to_python"]
