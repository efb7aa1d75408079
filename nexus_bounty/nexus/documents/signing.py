"""Signing: what a holder of the zone's key has written, told from what anybody can write.

Every record in a document's history says what its write made of the fields that decide about
money (`state`, a hash), and carries a keyed MAC over itself and the document's path, hence over
zone and id, and its number. So a record cannot be made up, changed, or moved to another document
or place; one that was taken out leaves a gap, and what is older than the gap proves nothing. A
document whose fields are not what its last record says was changed by somebody without a key.

A MAC says who wrote a state, not that no newer one was written: whoever can write the zone can put
a state back that a holder of the key has written, see the threat model.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, Self

import msgspec
from pydantic import SecretStr

from nexus_bounty.idempotency import History, OperationRecord, stored_records
from nexus_bounty.nexus.client.settings import NexusSettings

_FIELDS: Final = {
    "bounties": (
        "bountyId",
        "status",
        "creator",
        "amount",
        "criteria",
        "deadline",
        "claimedBy",
        "claimId",
        "fulfilledByCid",
        "reservationId",
        "ledgerId",
    ),
    "rewards": (
        "rewardId",
        "rewardType",
        "recipient",
        "amount",
        "contributionCid",
        "bountyId",
        "transferId",
    ),
}
"""The fields that decide about money, by the directory of their documents."""
_AGENTS: Final = frozenset({"creator", "claimedBy", "recipient"})
"""Those that are agents: only their ids decide."""


class Signer:
    """Signs what is written to a zone, and tells what was signed.

    Args:
        keys: The first signs, and every one verifies: to change keys, put the new one in front of
            the old one. Without any, nothing is signed, and everything is believed.
    """

    def __init__(self, keys: Sequence[SecretStr] = ()) -> None:
        self._keys = tuple(keys)

    @classmethod
    def of(cls, settings: NexusSettings) -> Self:
        """The signer with the keys of `settings`."""
        return cls(settings.signing_keys)

    def __repr__(self) -> str:
        """How many keys it has; never which."""
        return f"Signer({len(self._keys)} keys)"

    def __bool__(self) -> bool:
        """Whether signing is on."""
        return bool(self._keys)

    def mac(self, *content: Any) -> str | None:
        """The MAC over plain values, in hexadecimal; `None` without a key."""
        return next(self._macs(content), None)

    def has_made(self, mac: str | None, *content: Any) -> bool:
        """Whether `mac` is one of these keys' over `content`; without a key, always."""
        if not self._keys:
            return True
        given = (mac or "").encode()
        return any(hmac.compare_digest(given, each.encode()) for each in self._macs(content))

    def signed(
        self, path: str, record: OperationRecord, value: Mapping[str, Any], *, tombstone: bool
    ) -> OperationRecord:
        """`record`, signed as that of the write which makes the document at `path` `value`."""
        if not self._keys:
            return record
        record = msgspec.structs.replace(record, state=_state(path, value, tombstone), mac=None)
        mac = self.mac("record", path, msgspec.to_builtins(record))
        return msgspec.structs.replace(record, mac=mac)

    def examined(
        self, path: str, value: Mapping[str, Any], history: History
    ) -> tuple[History, str | None]:
        """The part of a document's `history` that proves something, and why its fields do not.

        That part is the unbroken row of signed records that ends with the last write. The reason is
        `None` for fields that a holder of a key has written, and for documents without money.
        """
        if not self._keys:
            return history, None
        proven = msgspec.structs.replace(history, ops=self._proven(path, value, history))
        if _kind(path) not in _FIELDS:
            return proven, None
        if not proven.ops:
            return proven, "its last write is not signed with a key of this zone"
        last = proven.ops[-1]
        if last.state != _state(path, value, history.tombstone):
            return proven, f"it was changed without a key after write {last.seq}, the last signed"
        return proven, None

    def _proven(
        self, path: str, value: Mapping[str, Any], history: History
    ) -> Sequence[OperationRecord]:
        begins, seq = len(history.ops), history.seq
        for record, stored in zip(
            reversed(history.ops), reversed(stored_records(value)), strict=True
        ):
            if record.seq != seq or not self._has_signed(path, stored):
                break
            begins, seq = begins - 1, seq - 1
        return history.ops[begins:]

    def _has_signed(self, path: str, stored: Mapping[str, Any]) -> bool:
        # as it is stored, so that what later releases add is covered, too
        content = {key: item for key, item in stored.items() if key != "mac"}
        return self.has_made(stored.get("mac"), "record", path, content)

    def _macs(self, content: Sequence[Any]) -> Iterator[str]:
        text = _canonical(content)
        for key in self._keys:
            yield hmac.new(key.get_secret_value().encode(), text, hashlib.sha256).hexdigest()


def _kind(path: str) -> str:
    """The directory that the document at `path` lies in."""
    return path.rsplit("/", 2)[-2]


def _state(path: str, value: Mapping[str, Any], tombstone: bool) -> str:
    """A hash of the fields that decide about money."""
    decisive = {name: _decisive(name, value) for name in _FIELDS.get(_kind(path), ())}
    return hashlib.sha256(_canonical([decisive, tombstone])).hexdigest()


def _decisive(name: str, value: Mapping[str, Any]) -> Any:
    found = value.get(name)
    return found.get("agentId") if name in _AGENTS and isinstance(found, dict) else found


def _canonical(content: Any) -> bytes:
    """`content` as bytes that are the same whoever has written it as JSON meanwhile."""
    return msgspec.json.encode(_plain(content), order="deterministic")


def _plain(content: Any) -> Any:
    """`content` with whole numbers as integers, which JavaScript makes of them."""
    if isinstance(content, dict):
        return {key: _plain(item) for key, item in content.items()}
    if isinstance(content, list | tuple):
        return [_plain(item) for item in content]
    whole = isinstance(content, float) and content.is_integer()
    return int(content) if whole else content
