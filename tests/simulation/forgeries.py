"""What a stranger does who can write every file of the zone, and has neither ledger nor key."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec

from nexus_bounty.mock import MockNexus
from nexus_bounty.models import RewardType, reward_id
from nexus_bounty.nexus.documents import paths
from tests.simulation.oracles import CLAIMS, DOCUMENT, MARKERS, PIN, REWARDS
from tests.simulation.starts import OTHER_CID, POOR_CID
from tests.support import committed
from tests.support.world import BOUNTY_ID, CID, a_bounty

Value = dict[str, Any]
MALLORY: Final = {"agentId": "mallory"}
LOCK: Final = f"/zones/default/indexes/claims/target-lock/bounty:{BOUNTY_ID}"
_PAST: Final = "2020-01-01T00:00:00Z"


def _status(status: str, **changes: Any) -> Callable[[Value], Value]:
    return lambda value: value | {"status": status, **changes}


def _with(**changes: Any) -> Callable[[Value], Value]:
    return lambda value: value | changes


def _records(change: Callable[[list[Value]], list[Value]]) -> Callable[[Value], Value]:
    def forged(value: Value) -> Value:
        history = value.get("nexusBounty", {"schema": 1, "seq": 0, "ops": []})
        records = change([dict(each) for each in history["ops"]])
        seq = records[-1]["seq"] if records else history["seq"]
        return value | {"nexusBounty": history | {"ops": records, "seq": seq}}

    return forged


def _all_aborted(records: list[Value]) -> list[Value]:
    return [each | {"aborted": True} for each in records]


def _none_aborted(records: list[Value]) -> list[Value]:
    return [{name: each[name] for name in each if name != "aborted"} for each in records]


def _newest_hidden(records: list[Value]) -> list[Value]:
    """Without the newest, whose number the one before has now."""
    rest = records[:-1]
    return [*rest[:-1], rest[-1] | {"seq": records[-1]["seq"]}] if rest else rest


def _newest_taken_back(records: list[Value]) -> list[Value]:
    return records[:-1]


def _buried(value: Value) -> Value:
    return value | {"nexusBounty": value.get("nexusBounty", {}) | {"tombstone": True}}


def _bare(value: Value) -> Value:
    return {name: item for name, item in value.items() if name != "nexusBounty"}


PAID: Final = {"claimedBy": MALLORY, "claimId": "c-mallory", "fulfilledByCid": CID}
OF_DOCUMENTS: Final[dict[str, Callable[[Value], Value]]] = {
    **{
        name: _status(name)
        for name in ("draft", "open", "claimed", "pending_settlement", "cancelled", "expired")
    },
    "claimed by mallory": _status("claimed", claimedBy=MALLORY, claimId="c-mallory"),
    "being paid to mallory": _status("pending_settlement", **PAID),
    "completed by mallory": _status("completed", **PAID),
    "settled by mallory": _status("settled", **PAID),
    "bob's for other work": _with(fulfilledByCid=OTHER_CID),
    "bob's for poor work": _with(fulfilledByCid=POOR_CID),
    "of another claim": _with(claimId="c-other"),
    "created by mallory": _with(creator=MALLORY),
    "created by bob": _with(creator={"agentId": "bob"}),
    "cheap": _with(amount=1),
    "dear": _with(amount=500),
    "with other credits": _with(reservationId="r-mallory"),
    "of another ledger": _with(ledgerId="another"),
    "of no ledger": lambda value: {name: value[name] for name in value if name != "ledgerId"},
    "overdue": _with(deadline=_PAST),
    "easy": _with(criteria={"description": "anything"}),
    "all fenced": _records(_all_aborted),
    "all committed": _records(_none_aborted),
    "newest hidden": _records(_newest_hidden),
    "newest taken back": _records(_newest_taken_back),
    "a tombstone": _buried,
    "without history": _bare,
}
"""Forgeries of a bounty, by what they make of it."""
OTHERS: Final = (
    "reward",
    "lease ended",
    "lease taken",
    "lock",
    "no markers",
    "every marker",
    "pin",
)
MADE_UP: Final = "made up: "
"""Followed by a key: the history says that a step with it was committed."""


def forge(mock: MockNexus, what: str) -> None:
    """Do one of these things."""
    if what in OF_DOCUMENTS or what.startswith(MADE_UP):
        _rewrite(mock, what)
    elif what == "reward":
        _pay_mallory(mock)
    elif what.startswith("lease"):
        _change_leases(mock, what)
    elif what == "lock":
        mock.core.table.write(LOCK, b"c-mallory")
    elif what == "pin":
        mock.core.table.write(PIN, b'{"strategy":"conditional"}')
    else:
        _change_markers(mock, what)


def _rewrite(mock: MockNexus, what: str) -> None:
    content = committed.content_of(mock, DOCUMENT)
    value = msgspec.json.decode(content) if content else msgspec.to_builtins(a_bounty()) | PAID
    value = OF_DOCUMENTS[what](value) if what in OF_DOCUMENTS else _made_up(value, what)
    forged = msgspec.json.encode(value)
    for path in (DOCUMENT, *_newest_slot(mock)):
        mock.core.table.write(path, forged)
    mock.core.table.write(f"{MARKERS}/{value['status']}/{BOUNTY_ID}", b"")


def _made_up(value: Value, what: str) -> Value:
    key = what.removeprefix(MADE_UP)
    record = {"key": key, "kind": "claim", "fingerprint": "f", "at": _PAST}

    def change(records: list[Value]) -> list[Value]:
        last = records[-1] if records else {"seq": 0}
        return [*records, {**last, **record, "seq": last["seq"] + 1}]

    return _records(change)(value)


def _newest_slot(mock: MockNexus) -> list[str]:
    slots = f"{paths.commit_slots(DOCUMENT)}/"
    won = [int(path.removeprefix(slots)) for path in mock.files if path.startswith(slots)]
    return [f"{slots}{max(won)}"] if won else []


def _pay_mallory(mock: MockNexus) -> None:
    name = reward_id(RewardType.BOUNTY_PAYOUT, BOUNTY_ID, CID)
    reward = {
        "rewardId": name,
        "rewardType": "bounty_payout",
        "recipient": MALLORY,
        "amount": 500,
        "contributionCid": CID,
        "createdAt": _PAST,
    }
    mock.core.table.write(f"{REWARDS}/{name}.json", msgspec.json.encode(reward))


def _change_leases(mock: MockNexus, what: str) -> None:
    for path, content in committed.contents_in(mock, CLAIMS).items():
        lease = msgspec.json.decode(content)
        ended = {"status": "released"} if what == "lease ended" else {"agent": MALLORY}
        mock.core.table.write(path, msgspec.json.encode(lease | ended))


def _change_markers(mock: MockNexus, what: str) -> None:
    table = mock.core.table
    for path in [each for each in mock.files if each.startswith(f"{MARKERS}/")]:
        if what == "no markers":
            table.remove(path)
        else:
            status = path.removeprefix(f"{MARKERS}/").partition("/")[0]
            for other in ("cancelled", "settled", "draft", "pending_settlement"):
                table.write(path.replace(f"/{status}/", f"/{other}/"), b"")
