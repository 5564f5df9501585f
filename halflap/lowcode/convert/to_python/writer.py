"""What all writers of steps share: a flow's variables, its blocks, its assignments."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from dataclasses import dataclass, field

from halflap.lowcode.convert.to_python.context import Module
from halflap.lowcode.convert.to_python.kind import NEVER, Kind
from halflap.lowcode.convert.to_python.layout import WIDTH, Piece, flat, joined, lines
from halflap.lowcode.convert.to_python.scope import Frame, State, Variable
from halflap.lowcode.convert.to_python.speaker import Speaker
from halflap.lowcode.scoping import Scoping
from halflap.lowcode.source import Path


@dataclass(slots=True)
class Block:
    """Lines of Python, and whether what follows them is never reached."""

    lines: list[str] = field(default_factory=list[str])
    ends: bool = False


@dataclass(slots=True)
class Learned:
    """What one pass over a flow has found of its variables, for the next one."""

    kinds: dict[tuple[str, ...], Kind] = field(default_factory=dict[tuple[str, ...], Kind])
    read: set[tuple[str, ...]] | None = None
    late: set[tuple[str, ...]] | None = None
    returns: set[str] = field(default_factory=set[str])


@dataclass(frozen=True, slots=True)
class Recent:
    """The assignment that was written last: its variable, its value, its lines."""

    name: str
    piece: Piece
    lines: list[str]


class Writer(Speaker):
    """Writes the steps of one flow, in one pass."""

    def __init__(
        self,
        module: Module,
        flow: str,
        event: tuple[str, Kind] | None,
        scoping: Scoping,
        learned: Learned,
    ) -> None:
        super().__init__(module, event)
        self.scoping = scoping
        self.flow = flow
        self.learned = learned
        self.variables: list[Variable] = []
        self.returns: set[str] = set()
        self.functions: list[str] = []
        """Those of the flow's code steps."""
        self.tries = 0
        """How many `try` stand around, in this function."""
        self.recent: Recent | None = None
        self.loops = 0
        """How many loops of Python stand around."""

    # Variables --------------------------------------------------------------------------------

    def opened(
        self, path: Path, names: Iterable[str], copied: Iterable[str] = (), *, apart: bool = False
    ) -> Frame:
        """A frame with the names that its steps give something."""
        outer = self.frame
        frame = Frame("/".join(map(str, path)), outer if path[-1] != "steps" else None, apart)
        self.frame = frame
        for name in names:
            self.variable(frame, name)
        for name in copied:
            self.variable(frame, name, "outer")
        return frame

    def variable(self, frame: Frame, name: str, begins: str = "None") -> Variable:
        """A new variable of a frame."""
        key = (frame.path, name)
        kind = self.learned.kinds.get(key, NEVER)
        read = self.learned.read is None or key in self.learned.read
        outer = frame.parent.find(name) if frame.parent is not None else None
        called = self.names.free(name if read else f"_{name}", frame.taken())
        made = Variable(key, called, kind, begins)
        if begins == "outer":
            assert outer is not None
            made.begins, made.outer = outer.name, outer
        frame.variables[name] = made
        self.variables.append(made)
        return made

    def is_read(self, variable: Variable) -> bool:
        """Whether anything reads a variable, as far as is known."""
        return self.learned.read is None or variable.key in self.learned.read

    def beginnings(self, frame: Frame, indent: int) -> list[str]:
        """What the variables of a frame hold at first, where that is read."""
        made: list[str] = []
        for each in frame.variables.values():
            if each.needs and each.begins:
                made += lines(f"{each.name} = {each.begins}", indent)
                if each.begins == "None":
                    each.given = each.given.nullable()
        return made

    def assigned(
        self, name: str | None, piece: Piece, kind: Kind, indent: int, frame: Frame | None = None
    ) -> list[str]:
        """A statement whose value a variable holds afterwards, where anything reads it."""
        variable = None if name is None else (frame or self.frame).find(name)
        if variable is None:
            return lines(piece, indent)
        variable.give(kind)
        self.state.given.add(variable)
        self.state.sure.discard(variable)
        if not self.is_read(variable):
            whole = flat(piece)
            does = "await " in whole or self.names.use("expr") in whole
            return lines(piece, indent) if does else []
        made = lines(joined(f"{variable.name} = ", piece), indent)
        self.recent = Recent(variable.name, piece, made)
        return made

    # Blocks -----------------------------------------------------------------------------------

    def remark(self, said: Iterable[str], indent: int) -> list[str]:
        """Comments, on lines of their own."""
        head = " " * indent + "# "
        return [
            head.rstrip() if not line else head + line
            for each in said
            for line in textwrap.wrap(each, WIDTH - len(head)) or [""]
        ]

    def headed(
        self, opening: str, piece: Piece, title: str | None, indent: int, tail: str = ":"
    ) -> list[str]:
        """The first lines of a compound statement, with its title as a comment."""
        made = lines(joined(opening, piece), indent, tail)
        return titled(made, title, indent)


def titled(made: list[str], title: str | None, indent: int) -> list[str]:
    """Lines with a title: behind the first where there is room, else before it."""
    if not title:
        return made
    shown = " ".join(title.split())
    if len(made) == 1 and len(made[0]) + len(shown) + 4 <= WIDTH:
        return [f"{made[0]}  # {shown}"]
    return [f"{' ' * indent}# {shown}", *made]


def merged(state: State, ways: Iterable[tuple[Block, State]]) -> State:
    """What holds after ways that come together again; those that end do not."""
    open_ones = [each for block, each in ways if not block.ends]
    if not open_ones:
        return state
    found = open_ones[0]
    for each in open_ones[1:]:
        found = found.meets(each)
    return found
