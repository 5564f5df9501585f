"""The page on which a user signs in and allows a connected app to act for them."""

from __future__ import annotations

from html import escape

from starlette.responses import Response

from halflap_sandbox.salesforce.model import Json

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; "
    "base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
_STYLE = """
body{font:16px/1.5 system-ui,sans-serif;background:#f4f6f9;color:#181818;margin:0}
main{max-width:22rem;margin:4rem auto;padding:2rem;background:#fff;border-radius:.5rem}
label{display:block;margin:1rem 0 .25rem}
input{box-sizing:border-box;width:100%;padding:.5rem;font:inherit}
button{margin:1.5rem .5rem 0 0;padding:.5rem 1rem;font:inherit}.error{color:#b00020}
"""


def page(asked: Json, client: str, *, error: str = "", username: str = "") -> Response:
    """Give the page, which hands `asked` on with the user's answer."""
    hidden = "".join(
        f'<input type="hidden" name="{escape(name)}" value="{escape(str(value))}">'
        for name, value in asked.items()
    )
    said = f'<p class="error" role="alert">{escape(error)}</p>' if error else ""
    body = f"""
<h1>Allow access?</h1>
<p><strong>{escape(client)}</strong> asks to read and change your data in this sandbox Salesforce.</p>
{said}<form method="post" action="/services/oauth2/authorize">{hidden}
<label for="username">Username</label>
<input id="username" name="username" autocomplete="username" value="{escape(username)}">
<label for="password">Password</label>
<input id="password" name="password" type="password" autocomplete="current-password">
<button name="answer" value="allow">Allow</button><button name="answer" value="deny">Deny</button>
</form>"""
    return _html(body, 200)


def problem(error: str, description: str) -> Response:
    """Show why there is nothing to allow; nobody is sent anywhere."""
    said = f"error={escape(error)}&amp;error_description={escape(description)}"
    return _html(f'<h1>OAuth error</h1><p class="error">{said}</p>', 400)


def _html(body: str, status: int) -> Response:
    head = '<!doctype html><html lang="en"><meta charset="utf-8"><title>Sign in</title>'
    html = f"{head}<style>{_STYLE}</style><main>{body}</main></html>"
    return Response(html, status, HEADERS, "text/html")
