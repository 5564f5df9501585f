"""Code steps: Python that a low-code author writes, in a sandbox of its own.

`Code.parse` checks a text without running it; a `CodeRunner` runs it in worker processes that hold the
Monty interpreter, under limits. The code has its inputs, and the actions of components, which it
awaits; it has no clock, no chance, no files, no environment and no network, so a replay takes the
same path.
"""

from halflap.lowcode.code.conversation import CodeCall, Do, Json, Print, Together
from halflap.lowcode.code.pool import Pool
from halflap.lowcode.code.runner import CodeRunner
from halflap.lowcode.code.source import Code, CodeError, CodePlace, CodeProblem, Use, components_of
from halflap.lowcode.code.worker.limits import CodeLimits

__all__ = [
    "Code",
    "CodeCall",
    "CodeError",
    "CodeLimits",
    "CodePlace",
    "CodeProblem",
    "CodeRunner",
    "Do",
    "Json",
    "Pool",
    "Print",
    "Together",
    "Use",
    "components_of",
]
