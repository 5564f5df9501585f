"""Write the OpenAPI document of the API, which the console's types are made of: `openapi.py FILE`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from halflap.api.app import create_app


def main(path: Path) -> None:
    """Write the document, unless the file has it already: what is made of it is then up to date."""
    nothing = cast(Any, SimpleNamespace(people=None))  # the routes are described, not called
    app = create_app(nothing, "-", lambda challenge: challenge, nothing)
    document = json.dumps(app.openapi(), indent=1, sort_keys=True)
    if not path.exists() or path.read_text("utf-8") != document:
        path.write_text(document, "utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
