"""Python → YAML: a documented subset of Python, read from its text, as a document that does the same.

`module` says a module, `flow`, `loops` and `calls` its statements, `values` and `expressions` what
they are given, by what `types` knows and `names` remembers. All that has no YAML is refused at once,
by its place.
"""

from __future__ import annotations

from collections.abc import Mapping

from halflap.lowcode.convert.to_yaml.emit import written
from halflap.lowcode.convert.to_yaml.module import document_of_python
from halflap.lowcode.convert.to_yaml.refusal import NotYaml, Refusal

__all__ = ["NotYaml", "Refusal", "to_yaml"]


def to_yaml(files: Mapping[str, str], path: str) -> str:
    """The document of a Python module with one integration, as text; nothing is run.

    `files` are the project's sources by path, for what the module imports of it. `NotYaml` names all
    that cannot be said in YAML, with places.
    """
    return written(document_of_python(files, path))
