"""The rules for the code between steps: what it must not read, do or call."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping

from halflap.sdk.budget import spend
from halflap.sdk.survey import Function, Module, Survey, awaits, local_names, parents

Found = tuple[Module, ast.AST, str, str]

CLOCKS = {
    *(f"datetime.datetime.{each}" for each in ("now", "utcnow", "today")),
    "datetime.date.today",
    *(f"time.{each}" for each in ("time", "time_ns", "monotonic", "monotonic_ns")),
    *(f"time.{each}" for each in ("perf_counter", "perf_counter_ns", "process_time")),
}
CLOCKS_WITHOUT_A_TIME = {"time.localtime", "time.gmtime", "time.ctime"}
CHANCE = {"uuid.uuid1", "uuid.uuid4", "uuid.uuid7", "os.urandom", "os.getrandom", "hash", "id"}
CHANCE_MODULES = ("random.", "secrets.", "numpy.random.")
NO_CHANCE = {"secrets.compare_digest"}
OF_OS = ("getenv", "system", "popen", "listdir", "scandir", "walk", "stat", "remove", "unlink")
OF_OS_TOO = ("rename", "replace", "mkdir", "makedirs", "getpid")
READS = {"open", "io.open", "input", *(f"os.{each}" for each in (*OF_OS, *OF_OS_TOO))}
NETWORK = (
    *("requests.", "httpx.", "aiohttp.", "urllib.request.", "urllib3.", "http.client."),
    *("socket.", "subprocess.", "smtplib.", "ftplib.", "imaplib.", "paramiko.", "boto3."),
    *("sqlite3.", "psycopg.", "psycopg2.", "asyncpg.", "pymysql.", "redis.", "pymongo."),
    *("shutil.", "tempfile.", "glob."),
)
FILE_METHODS = {"read_text", "write_text", "read_bytes", "write_bytes"}
WAITS = {"asyncio.sleep", "anyio.sleep", "time.sleep", "trio.sleep"}
DEADLINES = {
    *("asyncio.wait_for", "asyncio.timeout", "asyncio.timeout_at"),
    *("anyio.fail_after", "anyio.move_on_after"),
}
SIDE_BY_SIDE = {
    *(f"asyncio.{each}" for each in ("gather", "create_task", "ensure_future", "wait")),
    *(f"asyncio.{each}" for each in ("as_completed", "TaskGroup", "to_thread", "run", "shield")),
    "anyio.create_task_group",
    "anyio.to_thread.run_sync",
}
SIDE_MODULES = ("threading.", "concurrent.futures.", "multiprocessing.")
HANDING_OVER = {
    *("create_task", "ensure_future", "to_thread", "run_in_executor", "run_sync"),
    *("start_soon", "submit", "Thread", "run_coroutine_threadsafe", "Process"),
}
MUTATORS = {
    *("append", "extend", "insert", "add", "update", "pop", "popitem", "remove", "discard"),
    *("clear", "setdefault", "sort", "reverse", "appendleft", "popleft", "extendleft"),
}
CALLS_AN_APP = {"request", "get", "post", "put", "patch", "delete", "pages", "file"}
AWAITED_OF_CONTEXT = {
    *("sleep", "wait_for", "start", "call", "gather", "paired", "pair", "unpair"),
    "continue_with",
}
AWAITED_OF_STATE = {"get", "put", "delete", "update"}


def check(survey: Survey) -> Iterator[Found]:
    """Everything that is wrong in the flows of these sources, and in what the flows call."""
    for module in survey.modules.values():
        for flow in module.flows:
            seen = {(module.name, flow.name)}
            waiting: list[tuple[Module, Function, str]] = [(module, flow, "")]
            while waiting:
                where, function, via = waiting.pop()
                body = Body(survey, where, function, via)
                yield from body.check()
                for name, (owner, called) in body.called.items():
                    if (owner.name, called.name) not in seen:
                        seen.add((owner.name, called.name))
                        waiting.append((owner, called, f" (the flow {flow.name} calls {name})"))


class Body:
    """One function whose body is code between steps: a flow, or what a flow calls."""

    def __init__(self, survey: Survey, module: Module, function: Function, via: str) -> None:
        self.survey = survey
        self.module = module
        self.function = function
        self.via = via
        self.shadowed = local_names(function)
        arguments = [*function.args.posonlyargs, *function.args.args]
        self.contexts = {each.arg for each in arguments if _is_context(each)}
        if not via and arguments:
            self.contexts.add(arguments[0].arg)
        self.parents: Mapping[ast.AST, ast.AST] = parents(function)
        self.called: dict[str, tuple[Module, Function]] = {}

    def check(self) -> Iterator[Found]:
        """Yield what is wrong in this body."""
        for statement in self.function.body:
            for node in ast.walk(statement):
                spend()
                for code, said in self._node(node):
                    yield self.module, node, code, said + self.via

    def _node(self, node: ast.AST) -> Iterator[tuple[str, str]]:
        match node:
            case ast.Call():
                yield from self._call(node)
            case ast.Name(ctx=ast.Load()) | ast.Attribute(ctx=ast.Load()):
                yield from self._mention(node)
            case ast.Global(names=names):
                for name in names:
                    yield "HF005", shared(name)
            case ast.Subscript(value=value, ctx=ast.Store() | ast.Del()):
                yield from self._change(value)
            case ast.Attribute(value=value, ctx=ast.Store() | ast.Del()):
                yield from self._change(value)
            case ast.ExceptHandler():
                yield from self._handler(node)
            case ast.For(iter=iterable, body=body) if self._is_set(iterable) and awaits(*body):
                yield "HF012", "a set has another order in every process; write sorted(…) or a list"
            case _:
                pass

    def _call(self, call: ast.Call) -> Iterator[tuple[str, str]]:
        name = self._meaning(call.func)
        yield from self._forbidden(call, name)
        if isinstance(call.func, ast.Attribute):
            if call.func.attr in MUTATORS:
                yield from self._change(call.func.value)
            if call.func.attr in FILE_METHODS:
                yield "HF003", io(f".{call.func.attr}()")
        if self._is_awaitable(call) and not self._is_consumed(call):
            shown = ast.unparse(call.func)
            yield "HF007", f"{shown} is called without await, so nothing happens; await it"
        if self._is_of_context(call, "continue_with") and self._is_followed(call):
            yield (
                "HF017",
                "ctx.continue_with ends the flow, so what follows it is never done; do that before, or "
                "in the execution that it continues with",
            )
        if self._hands_over(call):
            yield (
                "HF008",
                "ctx is handed to another task or thread, where its journal is not safe; use "
                "ctx.gather, or pass on plain values",
            )
        if self._calls_app(call):
            yield (
                "HF003",
                f"{ast.unparse(call.func)} calls the app outside a step: it is repeated on every "
                "attempt; move it into an action of the app's component, or under @step",
            )
        if self._is_of_context(call, "gather") and call.args and self._is_set(call.args[0]):
            yield "HF012", "a set has another order in every process; write sorted(…) or a list"

    def _forbidden(self, call: ast.Call, name: str | None) -> Iterator[tuple[str, str]]:
        if name is None:
            return
        shown = ast.unparse(call.func)
        given = bool(call.args or call.keywords)
        if name in CLOCKS or (name in CLOCKS_WITHOUT_A_TIME and not given):
            yield "HF001", f"{shown}() reads another time on every attempt; write ctx.now()"
        elif name in CHANCE or (name.startswith(CHANCE_MODULES) and name not in NO_CHANCE):
            if name != "random.Random" or not given:
                yield (
                    "HF002",
                    f"{shown}() gives something else on every attempt; write ctx.uuid(), or put it "
                    "in a function under @step",
                )
        elif name == "print":
            yield "HF003", "print is repeated on every attempt; write ctx.log.info(…)"
        elif name in READS or name.startswith(NETWORK):
            yield "HF003", io(f"{shown}()")
        elif name in WAITS:
            yield (
                "HF004",
                f"{shown} holds the execution in memory and forgets it in a crash; write "
                "await ctx.sleep(…)",
            )
        elif name in DEADLINES:
            yield (
                "HF004",
                f"{shown} cuts steps off at another place on every attempt; give the action or the "
                "flow a timeout=",
            )
        elif name in SIDE_BY_SIDE or name.startswith(SIDE_MODULES):
            yield (
                "HF004",
                f"{shown} runs steps in no order that can be replayed; write "
                "await ctx.gather(items, do)",
            )

    def _mention(self, node: ast.Name | ast.Attribute) -> Iterator[tuple[str, str]]:
        name = self._meaning(node)
        if name in ("os.environ", "sys.argv"):
            yield (
                "HF003",
                f"{name} differs between processes and customers; make it a field of the config and "
                "read ctx.config",
            )
        found = self.survey.function(name)
        if found is not None and name is not None:
            self.called[ast.unparse(node)] = found

    def _change(self, target: ast.expr) -> Iterator[tuple[str, str]]:
        while isinstance(target, ast.Subscript):
            target = target.value
        module, rest = self.survey.split(self._meaning(target))
        first = rest.partition(".")[0]
        if module is not None and first in module.variables:
            yield "HF005", shared(ast.unparse(target))

    def _handler(self, handler: ast.ExceptHandler) -> Iterator[tuple[str, str]]:
        around = self.parents.get(handler)
        if not isinstance(around, ast.Try | ast.TryStar) or not awaits(*around.body):
            return
        caught = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
        wide = any(each is None or self._meaning(each) == "BaseException" for each in caught)
        if wide and not any(isinstance(each, ast.Raise) for each in ast.walk(handler)):
            yield (
                "HF006",
                "this catches everything around steps, what suspends an execution too; name the "
                "error that is meant, such as except UpstreamError",
            )

    def _is_awaitable(self, call: ast.Call) -> bool:
        """Return whether what is called is an action (titled, retried), or a method of ctx that is
        awaited.
        """
        function = call.func
        match function:
            case ast.Call(func=ast.Attribute(value=inner, attr="titled" | "retried")):
                while isinstance(inner, ast.Call) and isinstance(inner.func, ast.Attribute):
                    inner = inner.func.value
                return self._meaning(inner) in self.survey.actions
            case ast.Attribute(value=value, attr=method):
                if _root(value) in self.contexts:
                    chain = ast.unparse(value).split(".")[1:]
                    return (not chain and method in AWAITED_OF_CONTEXT) or (
                        chain[:1] == ["state"] and method in AWAITED_OF_STATE
                    )
            case _:
                pass
        return self._meaning(function) in self.survey.actions

    def _is_consumed(self, call: ast.Call) -> bool:
        """Return whether somebody may still await it: it is awaited, returned, or handed on."""
        parent = self.parents.get(call)
        while isinstance(parent, ast.IfExp | ast.NamedExpr | ast.Starred):
            parent = self.parents.get(parent)
        return isinstance(
            parent,
            ast.Await | ast.Return | ast.Lambda | ast.Call | ast.keyword | ast.ListComp
            | ast.GeneratorExp | ast.List | ast.Tuple | ast.Dict | ast.DictComp,
        )  # fmt: skip

    def _hands_over(self, call: ast.Call) -> bool:
        name = call.func.attr if isinstance(call.func, ast.Attribute) else _root(call.func)
        if name not in HANDING_OVER:
            return False
        given = [*call.args, *(each.value for each in call.keywords)]
        return any(
            isinstance(node, ast.Name) and node.id in self.contexts
            for each in given
            for node in ast.walk(each)
        )

    def _calls_app(self, call: ast.Call) -> bool:
        match call.func:
            case ast.Attribute(value=ast.Attribute(value=ast.Attribute(value=root, attr="config"))):
                wanted = _root(root) in self.contexts and call.func.attr in CALLS_AN_APP
                parent = self.parents.get(call)
                looped = isinstance(parent, ast.AsyncFor) or (
                    isinstance(parent, ast.comprehension) and bool(parent.is_async)
                )
                return wanted and (isinstance(parent, ast.Await) or looped)
            case _:
                return False

    def _is_of_context(self, call: ast.Call, method: str) -> bool:
        match call.func:
            case ast.Attribute(value=ast.Name(id=owner), attr=name):
                return name == method and owner in self.contexts
            case _:
                return False

    def _is_followed(self, call: ast.Call) -> bool:
        """Return whether a statement follows the one of a call, in the same block."""
        statement: ast.AST | None = call
        while statement is not None and not isinstance(statement, ast.stmt):
            statement = self.parents.get(statement)
        block = None if statement is None else self.parents.get(statement)
        blocks: list[list[ast.stmt]] = [
            getattr(block, name, []) for name in ("body", "orelse", "finalbody")
        ]
        return any(statement in each[:-1] for each in blocks)

    def _is_set(self, node: ast.expr) -> bool:
        match node:
            case ast.Set() | ast.SetComp():
                return True
            case ast.Call(func=function):
                return self._meaning(function) in ("set", "frozenset")
            case _:
                return False

    def _meaning(self, node: ast.expr) -> str | None:
        return self.survey.canonical(self.module.meaning(node, self.shadowed))


def io(what: str) -> str:
    """Says that something is I/O."""
    return (
        f"{what} is I/O: it happens again on every attempt; make it an action, or a function under "
        "@step, whose result is recorded"
    )


def shared(name: str) -> str:
    """Says that a module's variable is changed."""
    return (
        f"{name} is shared by all customers of this process and lost with it; keep it in ctx.state"
    )


def _is_context(argument: ast.arg) -> bool:
    return argument.annotation is not None and "Context" in ast.unparse(argument.annotation)


def _root(node: ast.expr) -> str | None:
    while isinstance(node, ast.Attribute | ast.Subscript):
        node = node.value
    return node.id if isinstance(node, ast.Name) else None
