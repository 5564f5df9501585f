"""The formulas that start automation in a sandbox Salesforce."""

from __future__ import annotations

import pytest

from halflap_sandbox.salesforce.formula import WrongFormula, parse
from halflap_sandbox.salesforce.model import Values
from tests.cases import for_each

OLD: Values = {"Amount": 1, "Name": "Oak"}


@for_each(
    ("text", "new", "amount", "name"),
    [
        ("ISNEW()", True, False, False),
        ("ISCHANGED({!$Record.Amount})", False, True, False),
        ("ischanged( {! $Record.Amount } )", False, True, False),
        ("ISCHANGED(Amount)", False, True, False),
        ("ISCHANGED(Amount) || ISCHANGED(Name)", False, True, True),
        ("OR(ISNEW(), ISCHANGED(Name), FALSE)", True, False, True),
        ("ISNEW() || ISCHANGED(Amount) && ISCHANGED(Name)", True, False, False),
        ("(ISNEW() || ISCHANGED(Amount)) && TRUE", True, True, False),
        ("NOT(ISNEW())", False, True, True),
        ("!ISCHANGED(Amount)", True, False, True),
        ("AND(true, !false)", True, True, True),
    ],
)
def test_a_formula_holds_for_what_it_asks(text: str, new: bool, amount: bool, name: bool) -> None:
    formula = parse(text)
    assert formula(None, OLD) is new
    assert formula(OLD, {**OLD, "Amount": 2}) is amount
    assert formula(OLD, {**OLD, "Name": "Beech"}) is name


@for_each(
    "text",
    [
        "",
        "ISCHANGED(Amount",
        "ISCHANGED()",
        "ISCHANGED(&&)",
        "ISCHANGED(Amount) ISNEW()",
        "Amount > 3",
        "TODAY()",
        "NOT(TRUE, FALSE)",
        "OR()",
        "&& TRUE",
        "(" * 5000,
        "!" * 5000 + "TRUE",
    ],
)
def test_what_is_no_formula_is_refused(text: str) -> None:
    with pytest.raises(WrongFormula):
        parse(text)
