"""YAML → Python: write a document as a module that does the same, and its tests as pytest.

`module` writes a document: `settings` its config, `flow` the steps of a flow, each by its kind
(`lowcode/kinds`), and `values` what they ask for. `terms` writes an expression as Python where that is
exactly the same; all others stay `expr("…")`, and code stays `code("…")`. `suite` writes the tests.
"""

from halflap.lowcode.convert.module import to_python
from halflap.lowcode.convert.suite import to_pytest

__all__ = ["to_pytest", "to_python"]
