"""Texts that would do harm where they were taken for anything but texts."""

from __future__ import annotations

import pytest

BASES = (
    "<script>owned(1)</script>",
    "<img src=x onerror=owned(2)>",
    "<svg/onload=owned(3)>",
    "<iframe srcdoc='<script>parent.owned(4)</script>'></iframe>",
    "<a href=javascript:owned(5)>click</a>",
    "<body onload=owned(6)>",
    "<style>*{display:none!important}</style>",
    "<link rel=stylesheet href=//evil.example/x.css>",
    "<base href=//evil.example/>",
    "<meta http-equiv=refresh content='0;url=//evil.example'>",
    "<form action=//evil.example><button>ok</button></form>",
    "<input autofocus onfocus=owned(7)>",
    "<details open ontoggle=owned(8)>",
    "<math><mi//xlink:href='data:x,<script>owned(9)</script>'>",
    "<template><script>owned(10)</script></template>",
    "<object data='data:text/html,<script>owned(11)</script>'></object>",
    "javascript:owned(12)",
    "data:text/html,<script>owned(13)</script>",
    "{{constructor.constructor('owned(14)')()}}",
    "${owned(15)}",
    "#{owned(16)}",
    "<%= owned(17) %>",
    "{0} {name, plural, one {owned} other {#}}",
    "__proto__",
    "constructor",
    "toString",
    "null",
    "undefined",
    "\u202eRTL override\u202c",
    "zero\u200bwidth\ufeff",
    "e\u0301" + "\u0301" * 200,
    "\U0001f469\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466",
    "\x1b[31mred\x1b[0m",
    "line\nbreak\ttab\rreturn",
    "x" * 3_000,
    "W" * 200,
    "../../../../etc/passwd",
    "?next=//evil.example#link=abc",
    "%3Cscript%3Eowned(18)%3C/script%3E",
    "&lt;script&gt;owned(19)&lt;/script&gt;",
)
WRAPS = ("{}", '"{}', "'>{}", "-->{}<!--", "</textarea></title></script>{}")
TEXTS = tuple(wrap.replace("{}", base) for base in BASES for wrap in WRAPS)
assert len(TEXTS) == 200

FEW = (
    "<script>owned(1)</script>",
    "</textarea></title></script><script>owned(1)</script>",
    "\"'><img src=x onerror=owned(2)>",
    "--><base href=//evil.example/><!--",
    "javascript:owned(12)",
    "{{constructor.constructor('owned(14)')()}} ${owned(15)} <%= owned(17) %>",
    "{0} {name, plural, one {owned} other {#}}",
    "__proto__",
    "null",
    "\u202eRTL override\u202c zero\u200bwidth\ufeff e\u0301\u0301",
    "\x1b[31mred\x1b[0m line\nbreak\ttab\rreturn",
    "x" * 3_000,
    "../../../../?next=//evil.example#link=abc",
    "%3Cscript%3Eowned(18)%3C/script%3E &lt;script&gt;owned(19)&lt;/script&gt;",
)
"""One of each way in which a text could be taken for something else; the soak has all in all wraps."""
EACH_HOSTILE = pytest.mark.parametrize(
    "texts", [FEW, pytest.param(TEXTS, marks=pytest.mark.soak)], ids=["few", "all"]
)
