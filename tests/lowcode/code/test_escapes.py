"""The escapes that broke other platforms' code steps. Each is tried on the sandbox itself, unchecked.

The control of each runs in a plain interpreter, in a process of its own: there it does get out, so it
is an attack and not a typing mistake.
"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass

import pytest

from halflap.errors import CodeFailed
from halflap.lowcode.code import Code, CodeError, CodeRunner
from tests.cases import for_each
from tests.coding import PLACE, no_calls, unchecked

SECRET = "hunter2-of-another-customer"
"""Stands in the environment, in a global of the host, and in a file."""


@dataclass(frozen=True, slots=True)
class Escape:
    """An attack: where it is from, and code that assigns what it got to `got`."""

    id: str
    of: str
    code: str
    proof: str = SECRET
    """The value of `got` where the escape succeeded."""


CLASSES = "().__class__.__base__.__subclasses__()"

ESCAPES = [
    # n8n's Python code node, by what it let through each time.
    Escape(
        "CVE-2025-68668-import-os",
        "n8n: the node's modules were not restricted",
        "import os\ngot = os.environ['SECRET']",
    ),
    Escape(
        "CVE-2025-68668-subprocess",
        "n8n: commands from the Pyodide node",
        "import subprocess\ngot = subprocess.check_output(['env'], text=True)",
    ),
    Escape(
        "CVE-2026-0863-format-attribute",
        "n8n: attributes by str.format",
        "def f(): pass\ngot = '{0.__globals__[SECRET]}'.format(f)",
    ),
    Escape(
        "CVE-2026-0863-format-map",
        "n8n: attributes by str.format_map",
        "def f(): pass\ngot = '{f.__globals__[SECRET]}'.format_map({'f': f})",
    ),
    Escape(
        "CVE-2026-0863-exception-object",
        "n8n: AttributeError.obj holds what could not be named",
        "try:\n    '{0.__class__.__base__.nothing}'.format(())\n"
        "except AttributeError as error:\n    got = str(error.obj.__subclasses__()) + SECRET",
    ),
    Escape(
        "CVE-2026-0863-traceback-frame",
        "n8n: a traceback leads to frames, and they to globals",
        "try:\n    1 / 0\nexcept Exception as error:\n"
        "    got = error.__traceback__.tb_frame.f_globals['SECRET']",
    ),
    Escape(
        "CVE-2026-49444-subclasses",
        "n8n: every loaded class hangs on `object`",
        f"found = [c for c in {CLASSES} if c.__name__ == '_wrap_close']\n"
        "got = found[0].__init__.__globals__['environ']['SECRET']",
    ),
    Escape(
        "CVE-2026-49444-mro",
        "n8n: the same by __mro__",
        "found = [c for c in ''.__class__.__mro__[-1].__subclasses__() "
        "if c.__name__ == '_wrap_close']\ngot = found[0].__init__.__globals__['environ']['SECRET']",
    ),
    # The same ideas as they broke expressions of n8n and Flowise in JavaScript, said in Python.
    Escape(
        "CVE-2025-68613-constructor-chain",
        "n8n: from any value to its constructor, and to code",
        "got = type(lambda: 0)(compile('SECRET', '', 'eval'), globals())()",
    ),
    Escape(
        "CVE-2026-1470-with-scope",
        "n8n: a scope object in place of the filtered name",
        "got = vars(__builtins__ if not isinstance(__builtins__, dict) else type('b', (), "
        "__builtins__))['__import__']('os').environ['SECRET']",
    ),
    Escape(
        "CVE-2026-25049-computed-name",
        "n8n: a name that is put together passes the filter",
        "got = getattr(getattr(getattr((), '__cl' + 'ass__'), '__ba' + 'se__'), "
        "'__subcl' + 'asses__')()\n"
        "got = [c for c in got if c.__name__ == '_wrap_close'][0].__init__.__globals__"
        "['environ']['SECRET']",
    ),
    Escape(
        "CVE-2026-27577-unfiltered-global",
        "n8n: a global that the filter forgot",
        "got = globals()['SECRET']",
    ),
    Escape(
        "CVE-2026-27495-runner-process",
        "n8n: out of the task runner into its process",
        "import sys\ngot = sys.modules['os'].environ['SECRET']",
    ),
    Escape(
        "CVE-2026-27498-write-file",
        "n8n: a file that something else runs later",
        "open('escaped', 'w').write(SECRET)\ngot = open('escaped').read()",
    ),
    Escape(
        "CVE-2026-21858-read-file",
        "n8n: any file of the server",
        "got = open('/etc/passwd').read()",
        "root:",
    ),
    Escape(
        "CVE-2025-59528-function-constructor",
        "Flowise: text that becomes code",
        "space = {}\nexec('import os; got = os.environ[\"SECRET\"]', space)\ngot = space['got']",
    ),
    Escape(
        "CVE-2025-3248-decorator-and-default",
        "LangFlow: what runs as a definition is validated",
        "def f(a=__import__('os').environ['SECRET']): return a\ngot = f()",
    ),
    Escape(
        "GHSA-2x8m-83vc-6wv4-import-in-exec",
        "Flowise: an import where nobody looks for one",
        'got = eval(\'__import__("os").environ["SECRET"]\')',
    ),
    # What every in-process jail has to think of, and one forgot.
    Escape("general-globals-of-a-function", "", "def f(): pass\ngot = f.__globals__['SECRET']"),
    Escape(
        "general-code-object",
        "",
        "def f(): return SECRET\ng = type(f)(f.__code__, f.__globals__)\ngot = g()",
    ),
    Escape(
        "general-generator-frame",
        "",
        "def g(): yield\nx = g()\ngot = x.gi_frame.f_globals['SECRET']",
    ),
    Escape(
        "general-generator-expression-frame",
        "",
        "x = (n for n in [1])\ngot = x.gi_frame.f_globals['SECRET']",
    ),
    Escape(
        "general-coroutine-frame",
        "",
        "async def c(): pass\nx = c()\ngot = x.cr_frame.f_globals['SECRET']\nx.close()",
    ),
    Escape("general-sys-frame", "", "import sys\ngot = sys._getframe().f_globals['SECRET']"),
    Escape(
        "general-builtin-self",
        "",
        "got = print.__self__.__import__('os').environ['SECRET']",
    ),
    Escape(
        "general-module-loader",
        "",
        "import json\ngot = json.__loader__.load_module.__globals__['sys'].modules['os']"
        ".environ['SECRET']",
    ),
    Escape(
        "general-module-of-a-module",
        "",
        "import json\ngot = json.codecs.sys.modules['os'].environ['SECRET']",
    ),
    Escape(
        "general-importlib",
        "",
        "import importlib\ngot = importlib.import_module('os').environ['SECRET']",
    ),
    Escape(
        "general-reduce",
        "",
        "import pickle\nclass A:\n    def __reduce__(self):\n"
        '        return eval, (\'__import__("os").environ["SECRET"]\',)\n'
        "got = pickle.loads(pickle.dumps(A()))",
    ),
    Escape(
        "general-fstring-format-spec",
        "",
        "class A:\n    def __format__(self, spec): return eval(spec)\ngot = f'{A():SECRET}'",
    ),
    Escape(
        "general-ctypes",
        "",
        "import ctypes\ngot = ctypes.CDLL(None).getenv\n"
        "got.restype = ctypes.c_char_p\ngot = got(b'SECRET').decode()",
    ),
    Escape(
        "general-proc-self-environ",
        "",
        "got = open('/proc/self/environ').read()",
    ),
    Escape(
        "general-proc-parent-environ",
        "",
        "import os\ngot = open(f'/proc/{os.getppid()}/environ').read() + SECRET",
    ),
    Escape(
        "general-pathlib",
        "",
        "from pathlib import Path\ngot = Path('/etc/passwd').read_text()",
        "root:",
    ),
    Escape(
        "general-socket",
        "",
        "import socket\na, b = socket.socketpair()\na.send(SECRET.encode())\ngot = b.recv(99).decode()",
    ),
    Escape(
        "general-signal",
        "",
        "import signal, os\nsignal.signal(signal.SIGTERM, lambda *a: None)\n"
        "os.kill(os.getpid(), signal.SIGTERM)\ngot = SECRET",
    ),
    Escape(
        "general-fork", "", "import os\nif os.fork() == 0: os._exit(0)\nos.wait()\ngot = SECRET"
    ),
    Escape(
        "general-threading", "", "import threading\ngot = SECRET + str(threading.main_thread())"
    ),
    Escape(
        "general-gc",
        "",
        "import gc\ngot = [x for x in gc.get_objects() if type(x) is dict and 'SECRET' in x]"
        "[0]['SECRET']",
    ),
    Escape(
        "general-inspect", "", "import inspect\ngot = inspect.currentframe().f_globals['SECRET']"
    ),
    Escape("general-atexit", "", "import atexit\natexit.register(print, SECRET)\ngot = SECRET"),
    Escape(
        "general-breakpoint-hook",
        "",
        "import sys\nsys.breakpointhook = lambda: SECRET\ngot = breakpoint()",
    ),
    Escape(
        "general-metaclass",
        "",
        "class M(type):\n    def __getitem__(c, x): return eval(x)\n"
        "class A(metaclass=M): pass\ngot = A['SECRET']",
    ),
    Escape(
        "general-init-subclass",
        "",
        "class A:\n    def __init_subclass__(c, x): c.got = eval(x)\n"
        "class B(A, x='SECRET'): pass\ngot = B.got",
    ),
]

IDS = [escape.id for escape in ESCAPES]


def got_out(escape: Escape, tmp_path: os.PathLike[str]) -> bool:
    """Return whether an escape succeeds in a plain interpreter."""
    code = "import os\nSECRET = os.environ['SECRET']\nspace = {'SECRET': SECRET}\n"
    code += f"exec({escape.code!r}, space)\nprint(space['got'])"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        env={**os.environ, "SECRET": SECRET},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    return escape.proof in done.stdout


@for_each("escape", ESCAPES, ids=IDS)
def test_control_a_plain_interpreter_lets_it_out(
    escape: Escape, tmp_path: os.PathLike[str]
) -> None:
    assert got_out(escape, tmp_path)


@pytest.fixture
async def guarded(monkeypatch: pytest.MonkeyPatch, runner: CodeRunner) -> CodeRunner:
    monkeypatch.setenv("SECRET", SECRET)
    return runner


@for_each("escape", ESCAPES, ids=IDS)
async def test_the_sandbox_does_not(guarded: CodeRunner, escape: Escape) -> None:
    with pytest.raises(CodeFailed) as caught:
        await guarded.run(unchecked(f"{escape.code}\nreturn got"), {}, no_calls)
    assert escape.proof not in f"{caught.value} {caught.value.trace}"
    assert caught.value.error in REFUSALS, caught.value


REFUSALS = {
    "AttributeError",
    "ImportError",
    "IndexError",
    "KeyError",
    "ModuleNotFoundError",
    "NameError",
    "NotImplementedError",
    "PermissionError",
    "RuntimeError",
    "SyntaxError",
    "TypeError",
}
"""The sandbox's answers: there is no such thing here. Never a limit, a lost worker or a result."""


@for_each("escape", ESCAPES, ids=IDS)
def test_and_lint_says_so_before_it_runs(escape: Escape) -> None:
    if escape.id in LATER:
        Code.parse(f"{escape.code}\nreturn got", (), (), PLACE)
        return
    with pytest.raises(CodeError):
        Code.parse(f"{escape.code}\nreturn got", (), (), PLACE)


LATER = {
    "CVE-2026-0863-format-attribute",
    "CVE-2026-0863-format-map",
    "general-coroutine-frame",
    "general-generator-expression-frame",
    "general-module-of-a-module",
}
"""Escapes that read like any text or field, so that only the sandbox can refuse them."""


async def test_a_component_shows_nothing_of_the_host(guarded: CodeRunner) -> None:
    for text in (
        "return '{0.__class__.__init__.__globals__}'.format(acme)",
        "return acme.__class__.__mro__",
        "return acme.__dict__",
        "return acme.find.__globals__",
        "return getattr(acme, 'find')",
        "return type(acme)()",
        "acme.find = 1\nreturn acme.find.__class__",
    ):
        with pytest.raises(CodeFailed):
            await guarded.run(unchecked(text, {}, "acme"), {}, no_calls)
    shown = await guarded.run(unchecked("return str(acme)", {}, "acme"), {}, no_calls)
    assert shown == "ComponentStub()"
