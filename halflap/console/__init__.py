"""The console's files, as `make console` built them, over HTTP: hashed assets, and one page.

What runs in the browser is in `console/` (TypeScript). A wheel has the built files; in a checkout they
are made by `make console`, and until then the console says so.
"""

from halflap.console.app import PREFIX, Console

__all__ = ["PREFIX", "Console"]
