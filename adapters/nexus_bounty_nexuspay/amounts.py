"""Credits as NexusPay writes them, and as the ledger counts them: in hundredths."""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from nexus_bounty.outcomes import PaymentError

UNITS_PER_CREDIT: Final = 100
"""One unit of the ledger is a hundredth of a credit: the least that 0.9.18 keeps."""


def units_in(text: str) -> int:
    """The whole units in an amount that the server wrote, such as `"10.50"`.

    Raises:
        ArithmeticError, ValueError: It is no amount.
    """
    return int(Decimal(text) * UNITS_PER_CREDIT)


def exact(units: int) -> str:
    """The amount as it is, such as `"10.50"`."""
    return f"{units // UNITS_PER_CREDIT}.{units % UNITS_PER_CREDIT:02}"


def cut_in_floats(units: int) -> str:
    """An amount of which 0.9.18 stores exactly `units`: it computes `int(float(amount) * 100)`.

    Of 0.29 that is 28, so that half a unit is added where it is needed and is cut off again.

    Raises:
        PaymentError: No text makes the server store this many (pre-commit).
    """
    for text in (exact(units), f"{exact(units)}5"):
        if int(float(text) * UNITS_PER_CREDIT) == units:
            return text
    raise PaymentError(f"NexusPay cannot store {units} hundredths of a credit exactly")
