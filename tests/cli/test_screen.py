import io

from rich.console import Console

from halflap.cli.output import duration, size
from halflap.cli.screen import Screen, cut
from halflap.model import MISSING, Event, Failure, LogLine, Outcome, Record
from tests.cases import for_each


def drawn(draw, encoding: str = "utf-8") -> str:
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding=encoding)
    draw(Screen(Console(highlight=False, file=file, width=40)))
    file.flush()
    return raw.getvalue().decode(encoding)


def record(**more) -> Record:
    made = {"seq": 0, "path": "p", "kind": "action", "name": "acme.add", "title": "Add it"}
    made |= {"status": "succeeded", "started_at": 0, "ended_at": 1_500}
    return Record(**(made | more))


def test_a_line_is_never_wrapped_so_that_it_can_be_pasted():
    url = "http://127.0.0.1:8400/hooks/" + "x" * 80
    assert f"curl -i {url}\n" in drawn(
        lambda s: s.flow("stock", "w.py:3", url, f"curl -i {url}", "")
    )


def test_what_came_from_outside_cannot_steer_the_terminal():
    bad = "\x1b[2J\x1b]0;gotcha\x07a\rb\u202ec\nfaked line"
    event = Event("POST", f"/{bad}", bad, (), b"", 0, url="http://x")

    def draw(screen: Screen) -> None:
        screen.event("stock", event, "exe_1", bad, 0)
        screen.log("stock", LogLine(0, "info", bad, b'{"a": "\\u001b[31m"}'))
        screen.step("stock", record(result=b'"\\u001b[2J"', title=bad))
        screen.failure(Failure("ValueError", bad, where=bad, trace=bad))

    shown = drawn(draw)
    assert not {"\x1b", "\x07", "\r", "\u202e"} & set(shown)
    assert not any(line.startswith("faked") for line in shown.splitlines())


def test_marks_are_plain_where_the_terminal_has_no_others():
    outcome = Outcome("succeeded")
    ends = lambda screen: screen.outcome("stock", outcome, "exe_1", 0, 12_000, 1)  # noqa: E731
    assert "✓ succeeded in 12 ms" in drawn(ends)
    assert "+ succeeded in 12 ms" in drawn(ends, "ascii")


def test_a_secret_result_is_not_shown():
    shown = drawn(lambda s: s.step("stock", record(result=b'{"$secret": "sealed-text"}')))
    assert "sealed-text" not in shown
    assert "(sealed)" in shown


def test_what_a_two_way_flow_compares_and_looks_up_is_one_line_each():
    check = record(
        kind="check", inputs=b'{"record":"r"}', result=b'{"how":"echo","writer":"exe_9"}'
    )
    look = {"kind": "pair", "inputs": b'{"pairs":"p","crm":"001","acme":null}'}
    found, none = record(**look, result=b'"acc_1"'), record(**look, result=MISSING)
    for each, said in ((check, "echo of exe_9"), (found, "→ acme acc_1"), (none, "→ (none)")):
        assert drawn(lambda s, each=each: s.step("stock", each)).endswith(f"ms  {said}\n")
    assert "-> acme acc_1" in drawn(lambda s: s.step("stock", found), "ascii")


@for_each("folder", ["", f"/srv/my store/bundles/{'a' * 64}/"])
def test_a_failure_names_the_place_in_the_project_and_its_line(folder):
    trace = (
        f'  File "{folder}orders.py", line 2, in f\n    boom()\n'
        '  File "/site/pydantic.py", line 1, in x\n    validate()\n'
    )
    failure = Failure("ValueError", "no", where="/site/x.py:9", trace=trace)
    shown = drawn(lambda s: s.failure(failure)).splitlines()
    assert [each.strip() for each in shown] == ["ValueError: no", "orders.py:2 in f", "boom()"]


@for_each(
    ("micros", "text"),
    [
        *((300, "0.3 ms"), (12_000, "12 ms"), (4_200_000, "4.2 s")),
        *((180_000_000, "3 min"), (-5, "0.0 ms")),
    ],
)
def test_durations_are_short(micros, text):
    assert duration(micros) == text


def test_sizes_and_cuts_are_short():
    assert [size(each) for each in (0, 12, 1_500, 2_000_000)] == ["", "12 B", "1.5 kB", "2.0 MB"]
    assert cut("a  b\n" + "x" * 100, 8) == "a b xxx…"
