"""Starts Python programs as forks of a process that has imported Halflap already: a zygote.

A server takes over a second of CPU to import, and a tenth of that to fork. What is started by `PYTHON`
in place of `sys.executable`, by `subprocess` or `asyncio`, is forked; so is what such a program starts
itself: a supervisor its server, a server the children that run its suspects. Each is a real child of
the process that started it, which waits for it and may kill it.

A zygote has one thread and opens nothing. Each program has one of its own, forked while the program
itself has one thread only, and ended with it.
"""

from __future__ import annotations

import asyncio
import atexit
import ctypes
import fcntl
import gc
import inspect
import os
import pickle
import resource
import runpy
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from types import FrameType, ModuleType
from typing import Any, NoReturn

ROOT = Path(__file__).parents[1]
MODULES = (
    *(
        "halflap.server.host",
        "halflap.server.process",
        "halflap.cli.serve",
        "halflap.engine.child",
        "halflap.cli.output",
    ),
    *("halflap.store.postgres.opening", "halflap.components.http", "halflap.components.webhook"),
    *("halflap.components.schedule", "aiohttp", "anyio._backends._asyncio", "email.policy"),
    *("halflap.components.salesforce", "halflap.api.app", "halflap.cli.dev", "halflap.cli.client"),
    *("uvicorn.lifespan.off", "uvloop", "encodings.idna"),
    *(
        "sqlalchemy.dialects.sqlite",
        "sqlalchemy.dialects.postgresql.psycopg",
        "halflap.export.outbox",
    ),
    *("halflap.testing.worker", "halflap.lowcode.assist.queries"),
    *(
        f"halflap.components.{each.name}"
        for each in iter_modules([str(ROOT / "halflap/components")])
    ),
)
"""The modules that a server imports, and what lints and describes, and the flows of the tests.

All components are among them: what lints a document loads them first, for 0.4 s in each process.
"""
BEGIN = """
import sys
path = sys.path[1:]
sys.path.insert(0, sys.argv[1])
from tests import zygote
zygote.main(int(sys.argv[2]), path)
"""
MOST = 1 << 18
"""The bytes of a request at most."""
HIGH = 200
"""Above all numbers that a program's descriptors are to have."""
LIMITS = [getattr(resource, each) for each in dir(resource) if each.startswith("RLIMIT_")]
_PR_SET_CHILD_SUBREAPER = 36


_module_of = inspect.getmodule


def module_of(of: Any, file: str | None = None) -> ModuleType | None:
    """Return the module of a frame by its name, and of all else as `inspect.getmodule` does.

    Pydantic (before Python 3.13) asks for that of each frame above a class whose fields have docstrings.
    By its file it is looked for in all modules: 5 ms a frame in a worker, which has five thousand.
    """
    if isinstance(of, FrameType):
        return sys.modules.get(of.f_globals.get("__name__", ""))
    return _module_of(of, file)


class Forked(str):
    """The path of an interpreter; what it is to run is a fork of the zygote instead."""

    __slots__ = ()


EXECUTABLE = sys.executable
PYTHON = Forked(sys.executable) if sys.platform == "linux" else sys.executable


@dataclass(frozen=True, slots=True)
class Program:
    """A program to run, and the state of the process that runs it."""

    words: Sequence[str]
    environment: Mapping[str, str]
    folder: str
    session: bool
    group: int
    prepare: Callable[[], object] | None
    descriptors: Sequence[int]
    limits: Mapping[int, tuple[int, int]]

    def lead(self) -> None:
        """Lead a session or a process group, before the process that asked for it knows of it."""
        if self.session:
            os.setsid()
        elif self.group >= 0:
            os.setpgid(0, self.group)

    def become(self, given: Sequence[int]) -> None:
        """Have the process of the program: its descriptors, its environment, its folder."""
        moved = [moved_up(each) for each in given]
        for each, number in zip(moved, self.descriptors, strict=True):
            os.dup2(each, number)
            os.close(each)
        os.environ.clear()
        os.environ.update(self.environment)
        sys.dont_write_bytecode = bool(os.environ.get("PYTHONDONTWRITEBYTECODE"))
        os.chdir(self.folder)
        for which, limit in self.limits.items():
            resource.setrlimit(which, limit)
        if self.prepare is not None:
            self.prepare()

    def run(self, path: Sequence[str]) -> None:
        """Run it as the interpreter would, on its own module path and this one."""
        safe = self.words[0] == "-P"
        option, *rest = self.words[safe:]
        first = {"-c": "", "-m": os.getcwd()}.get(option, str(Path(option).parent))
        named = [each for each in os.environ.get("PYTHONPATH", "").split(os.pathsep) if each]
        sys.path[:] = [*([] if safe else [first]), *dict.fromkeys([*named, *path])]
        if option == "-c":
            sys.argv = ["-c", *rest[1:]]
            main = sys.modules["__main__"] = ModuleType("__main__")
            exec(compile(rest[0], "<string>", "exec"), vars(main))
        elif option == "-m":
            sys.argv = rest
            if not hasattr(sys.modules.get(rest[0]), "__path__"):
                sys.modules.pop(
                    rest[0], None
                )  # else it is said to have been imported before it runs
            runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
        else:
            sys.argv = [option, *rest]
            runpy.run_path(option, run_name="__main__")


class Zygote:
    """The way to this process' own zygote, which is started with the first program."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.way: socket.socket | None = None

    def fork(self, program: Program, descriptors: Sequence[int]) -> int:
        """Start a program; returns its id."""
        request = pickle.dumps(program)
        with self._lock:
            way = self.way = self.way or started()
            adopt(True)
            try:
                socket.send_fds(way, [request], descriptors)
                return int(way.recv(16))
            finally:
                adopt(False)


_zygote = Zygote()
_exec: Any = subprocess.Popen._execute_child  # type: ignore[attr-defined]


def started() -> socket.socket:
    """Start a zygote that ends with the way to it, which is returned."""
    mine, its = pair()
    environment = dict(os.environ)
    environment.pop("PYTHONPATH", None)
    with its:
        process = subprocess.Popen(
            [EXECUTABLE, "-c", BEGIN, str(ROOT), str(its.fileno())],
            stdin=subprocess.DEVNULL,
            pass_fds=[its.fileno()],
            env=environment,
        )
    process.returncode = 0  # nothing waits for it
    atexit.register(mine.close)
    return mine


def pair() -> tuple[socket.socket, socket.socket]:
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


def moved_up(descriptor: int) -> int:
    """Move a descriptor above all numbers that a program may want."""
    moved = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, HIGH)
    os.close(descriptor)
    return moved


def adopt(on: bool) -> None:
    """Become the parent of processes below this one whose parents end; or no longer."""
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, int(on), 0, 0, 0)


def is_forked(args: Any) -> bool:
    """Return whether a command is `PYTHON` with nothing that only an interpreter can do at its start."""
    if isinstance(args, str | bytes) or not isinstance(args[0], Forked):
        return False
    first = os.fspath(args[1])
    return first in ("-c", "-m", "-P") or not first.startswith("-")


def fork_or_exec(self: Any, args: Any, executable: Any, prepare: Any, *more: Any) -> None:
    """Fork what is to be run by `PYTHON`, and execute everything else."""
    if not is_forked(args):
        return _exec(self, args, executable, prepare, *more)
    _, pass_fds, folder, environment, _, _, _, *rest = more
    pipes, session, group = rest[:6], rest[11], rest[12]
    standard = [pipes[0], pipes[3], pipes[5]]
    program = Program(
        words=[os.fspath(each) for each in args[1:]],
        environment=dict(os.environ if environment is None else environment),
        folder=os.fspath(folder or Path.cwd()),
        session=session,
        group=group,
        prepare=prepare,
        descriptors=[0, 1, 2, *pass_fds],
        limits={each: resource.getrlimit(each) for each in LIMITS},
    )
    own = [number if each == -1 else each for number, each in enumerate(standard)]
    self.pid = _zygote.fork(program, [*own, *pass_fds])
    self._child_created = True
    return self._close_pipe_fds(*pipes)


subprocess.Popen._execute_child = fork_or_exec  # type: ignore[attr-defined]


class Waited:
    """A process that was forked, for a loop that executes processes by itself, as uvloop does."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self.pid = process.pid
        self.kill, self.terminate = process.kill, process.terminate
        self.send_signal = process.send_signal

    @property
    def returncode(self) -> int | None:
        return self._process.poll()

    async def wait(self) -> int:
        """Wait until it has ended; returns its exit code."""
        loop, ended = asyncio.get_running_loop(), asyncio.Event()
        descriptor = os.pidfd_open(self.pid) if self.returncode is None else None
        if descriptor is not None:
            loop.add_reader(descriptor, ended.set)
            try:
                await ended.wait()
            finally:
                loop.remove_reader(descriptor)
                os.close(descriptor)
        return self._process.wait()


_create: Any = asyncio.create_subprocess_exec


async def create(program: str, *words: str, **more: Any) -> Any:
    """Do as `asyncio.create_subprocess_exec` on every loop, where nothing is piped."""
    if is_forked((program, *words)) and subprocess.PIPE not in more.values():
        return Waited(subprocess.Popen([program, *words], **more))  # noqa: ASYNC220
    return await _create(program, *words, **more)


def main(number: int, path: Sequence[str]) -> None:
    """Be the zygote of the process at the other end of a socket, or a program that it starts."""
    gc.disable()
    inspect.getmodule = module_of
    for each in MODULES:
        import_module(each)
    gc.collect()
    gc.freeze()
    gc.enable()
    program, given, _zygote.way = serve(socket.socket(fileno=number))
    program.become(given)
    sys.executable = PYTHON
    asyncio.create_subprocess_exec = create
    try:
        program.run(path)
    except SystemExit as error:
        end(error.code)
    end()


def end(code: object = None) -> NoReturn:
    """End as an interpreter does, and leave the memory as it is: to clear it would copy all of it.

    What the program made is collected, for what its garbage has to say (a task whose error nothing has
    looked at). What it still holds is not cleared: it has to close the files that it writes.
    """
    if code is not None and not isinstance(code, int):
        print(code, file=sys.stderr)
        code = 1
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    gc.collect()
    for each in (sys.stdout, sys.stderr):
        with suppress(AttributeError, ValueError, OSError):  # closed, or nothing reads it any more
            each.flush()
    os._exit(code or 0)


def serve(way: socket.socket) -> tuple[Program, list[int], socket.socket]:
    """Fork the programs that are asked for; returns in each of them only."""
    while True:
        request, given, _, _ = socket.recv_fds(way, MOST, 32)
        if not request:
            os._exit(0)
        middle = os.fork()
        if middle:
            os.waitpid(middle, 0)
            close(given)
            continue
        middle = os.getpid()
        if os.fork():
            os._exit(0)  # the program's parent is the process that asked for it, now
        while os.getppid() == middle:
            time.sleep(0.0002)
        mine, its = pair()
        if not os.fork():  # the program's own zygote
            mine.close()
            way.close()
            close(given)
            way = its
            continue
        its.close()
        program: Program = pickle.loads(request)
        program.lead()
        way.send(b"%d" % os.getpid())
        way.close()
        return program, given, socket.socket(fileno=moved_up(mine.detach()))


def close(descriptors: Sequence[int]) -> None:
    for each in descriptors:
        os.close(each)
