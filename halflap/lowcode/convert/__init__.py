"""YAML → Python: write a document as a module that does the same.

`module` writes a document: `settings` its config, `flow` the steps of a flow, each by its kind
(`lowcode/kinds`), and `values` what they ask for. `terms` writes an expression as Python where that is
exactly the same; all others stay `expr("…")`, and code stays `code("…")`.
"""

from halflap.lowcode.convert.module import to_python

__all__ = ["to_python"]
