"""The two ways between YAML and Python: a document as a module that does the same, and back.

`module` writes a document: `settings` its config, `flow` (with `actions` and `loops`) the steps of
a flow, `routes` a pre-process flow. `say` says an expression in Python where that is exactly the
same, by what `kind` knows of the values; all others stay `expr("…")`. `to_yaml` is the way back.
"""

from halflap.lowcode.convert.module import to_python
from halflap.lowcode.convert.refusal import NotConvertible
from halflap.lowcode.convert.to_yaml import NotYaml, Refusal, to_yaml

__all__ = ["NotConvertible", "NotYaml", "Refusal", "to_python", "to_yaml"]
