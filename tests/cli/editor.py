"""An editor, as far as a language server meets one: a process, JSON-RPC over its pipes."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import threading
from itertools import count
from pathlib import Path
from typing import Any

from tests.polling import DEADLINE
from tests.zygote import PYTHON


class Editor:
    """Starts the server as an editor does, and speaks the protocol with it, byte by byte."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._ids = count(1)
        self._messages: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self._aside: list[dict[str, Any]] = []
        self.process = subprocess.Popen(
            [PYTHON, "-m", "halflap", "lsp", "--stdio"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=folder,
            env={**os.environ, "PYTHONWARNINGS": "ignore"},
        )
        self.errors: list[bytes] = []
        self._readers = [
            threading.Thread(target=self._read, daemon=True),
            threading.Thread(target=self._read_errors, daemon=True),
        ]
        for each in self._readers:
            each.start()

    def begin(self, **capabilities: Any) -> dict[str, Any]:
        """Shake hands."""
        answer = self.ask(
            "initialize",
            {
                "processId": os.getpid(),
                "rootUri": self.folder.as_uri(),
                "capabilities": {"general": {"positionEncodings": ["utf-16"]}, **capabilities},
            },
        )
        self.tell("initialized", {})
        return answer

    def end(self) -> int:
        """Say that the editor leaves; gives the server's exit code."""
        self.ask("shutdown", None)
        self.tell("exit", None)
        return self._ended()

    def gone(self) -> int:
        """Be gone without a word, as an editor that was killed."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        return self._ended()

    def _ended(self) -> int:
        code = self.process.wait(DEADLINE)
        for each in self._readers:
            each.join(DEADLINE)
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            assert stream is not None
            stream.close()
        return code

    # Messages -----------------------------------------------------------------------------------

    def send(self, *messages: dict[str, Any]) -> None:
        """Send messages, which come together."""
        bodies = [json.dumps({"jsonrpc": "2.0", **each}).encode() for each in messages]
        assert self.process.stdin is not None
        sent = (b"Content-Length: %d\r\n\r\n" % len(each) + each for each in bodies)
        self.process.stdin.write(b"".join(sent))
        self.process.stdin.flush()

    def tell(self, method: str, params: Any) -> None:
        """Send a notification."""
        self.send({"method": method, "params": params})

    def request(self, method: str, params: Any) -> int:
        """Send a request without waiting for the answer; gives its id."""
        id = next(self._ids)
        self.send({"id": id, "method": method, "params": params})
        return id

    def cancelled(self, method: str, params: Any) -> int:
        """Send a request that is cancelled, before it can be answered; gives its id."""
        id = next(self._ids)
        cancel = {"method": "$/cancelRequest", "params": {"id": id}}
        self.send({"id": id, "method": method, "params": params}, cancel)
        return id

    def answer(self, id: int) -> dict[str, Any]:
        """The whole answer to a request."""
        return self._until(lambda each: each.get("id") == id and "method" not in each)

    def ask(self, method: str, params: Any) -> Any:
        """Send a request; gives its result."""
        answer = self.answer(self.request(method, params))
        assert "error" not in answer, answer
        return answer["result"]

    def notified(self, method: str, **params: Any) -> dict[str, Any]:
        """The next notification of a method with these parameters among others."""
        found = self._until(
            lambda each: each.get("method") == method and params.items() <= each["params"].items()
        )
        return found["params"]

    def aside(self, method: str, uri: str) -> list[dict[str, Any]]:
        """The notifications of a document that nobody has asked for yet."""
        return [
            each
            for each in self._aside
            if each.get("method") == method and each["params"]["uri"] == uri
        ]

    def _until(self, fits: Any) -> dict[str, Any]:
        for each in self._aside:
            if fits(each):
                self._aside.remove(each)
                return each
        while True:
            message = self._messages.get(timeout=DEADLINE)
            assert message is not None, b"".join(self.errors).decode()
            if fits(message):
                return message
            self._aside.append(message)

    def _read(self) -> None:
        stream = self.process.stdout
        assert stream is not None
        while True:
            length = 0
            while (line := stream.readline()) not in (b"\r\n", b""):
                name, _, value = line.partition(b":")
                if name.lower() == b"content-length":
                    length = int(value)
            if not length:
                self._messages.put(None)
                return
            self._messages.put(json.loads(stream.read(length)))

    def _read_errors(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.errors.append(line)

    # Documents ----------------------------------------------------------------------------------

    def open(self, name: str, text: str) -> Page:
        """Open a document."""
        uri = (self.folder / name).as_uri()
        document = {"uri": uri, "languageId": "yaml", "version": 1, "text": text}
        self.tell("textDocument/didOpen", {"textDocument": document})
        return Page(self, uri, text)


class Page:
    """A document that is open; a place in it is where the text has a mark."""

    def __init__(self, editor: Editor, uri: str, text: str) -> None:
        self.editor = editor
        self.uri = uri
        self.text = text
        self.version = 1

    def change(self, text: str) -> None:
        """Type: the text is another now."""
        self.version += 1
        self.text = text
        self.editor.tell(
            "textDocument/didChange",
            {
                "textDocument": {"uri": self.uri, "version": self.version},
                "contentChanges": [{"text": text}],
            },
        )

    def close(self) -> None:
        """Close it."""
        self.editor.tell("textDocument/didClose", {"textDocument": {"uri": self.uri}})

    def findings(self) -> list[dict[str, Any]]:
        """Return the server's diagnostics of the present text."""
        told = self.editor.notified(
            "textDocument/publishDiagnostics", uri=self.uri, version=self.version
        )
        return told["diagnostics"]

    def at(self, text: str, *, before: bool = False) -> dict[str, Any]:
        """The parameters of a request at the end of a text, counted in UTF-16."""
        end = self.text.index(text) + (0 if before else len(text))
        line = self.text.count("\n", 0, end)
        start = self.text.rfind("\n", 0, end) + 1
        character = len(self.text[start:end].encode("utf-16-le")) // 2
        return {
            "textDocument": {"uri": self.uri},
            "position": {"line": line, "character": character},
        }

    def ask(self, method: str, text: str) -> Any:
        """Ask at the end of a text."""
        return self.editor.ask(f"textDocument/{method}", self.at(text))

    def completed(self, text: str) -> list[str]:
        """The labels that are offered at the end of a text, the likeliest first."""
        items = self.ask("completion", text)["items"]
        return [each["label"] for each in sorted(items, key=lambda each: each["sortText"])]

    def within(self, range: dict[str, Any]) -> str:
        """The text of a range of one line."""
        line = self.text.split("\n")[range["start"]["line"]].encode("utf-16-le")
        start, end = range["start"]["character"], range["end"]["character"]
        return line[2 * start : 2 * end].decode("utf-16-le")
