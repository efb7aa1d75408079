"""What a holder of the key has written is told from what anybody can write."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Final

import msgspec
import pytest
from pydantic import SecretStr, ValidationError

from nexus_bounty import NexusBountyStore, NexusClient, NexusSettings
from nexus_bounty.mock import MockNexus
from nexus_bounty.nexus import documents
from nexus_bounty.nexus.documents.paths import ZonePaths
from nexus_bounty.nexus.documents.signing import Signer
from nexus_bounty.testing.virtual_time import wall_clock
from tests.support.virtual import virtual
from tests.support.world import BOB, BOUNTY_ID, CID, a_bounty

KEY, OTHER = SecretStr("k" * 32), SecretStr("o" * 32)
PATH: Final = ZonePaths("default").bounty(BOUNTY_ID)
Value = dict[str, Any]
Forgery = Callable[[Value], None]


def decoded(value: Value, *keys: SecretStr, path: str = PATH) -> documents.Document:
    content = msgspec.json.encode(value)
    return documents.decode(documents.BelievedFile(path, content, "e"), Signer(keys or (KEY,)))


async def written(*keys: SecretStr) -> Value:
    """A bounty that was created, claimed and is being settled by a holder of `keys`."""
    mock = MockNexus("0.10-hypothetical", clock=wall_clock)
    settings = NexusSettings(signing_keys=keys)
    async with NexusClient(settings=settings, transport=mock.transport()) as client:
        store = NexusBountyStore(client, commit="conditional", clock=wall_clock)
        await store.create_bounty(a_bounty(), idempotency_key="create")
        await store.claim_bounty(BOUNTY_ID, BOB, "c-1", idempotency_key="claim")
        await store.begin_settlement(BOUNTY_ID, CID, idempotency_key="begin")
    return dict(msgspec.json.decode(mock.read_file(PATH) or b""))


def keys_of(document: documents.Document) -> list[str]:
    return [each.key for each in document.history.ops]


@virtual
async def test_what_was_signed_is_trusted_and_proves_what_was_done() -> None:
    """With its whole history; so is what a fence leaves."""
    document = decoded(await written(KEY))
    assert document.untrusted is None
    assert keys_of(document) == ["create", "claim", "begin"]


@virtual
async def test_without_a_key_nothing_is_signed_and_everything_is_believed() -> None:
    """And the bytes are those of earlier releases."""
    value = await written()
    assert not any({"mac", "state"} & set(each) for each in value["nexusBounty"]["ops"])
    content = documents.BelievedFile(PATH, msgspec.json.encode(value), "e")
    document = documents.decode(content, Signer())
    assert document.untrusted is None
    assert keys_of(document) == ["create", "claim", "begin"]


DECIDING: Final[dict[str, Any]] = {
    "status": "cancelled",
    "amount": 1,
    "creator": {"agentId": "mallory"},
    "claimedBy": {"agentId": "mallory"},
    "claimId": "c-mallory",
    "fulfilledByCid": "cid-mallory",
    "reservationId": "r-mallory",
    "ledgerId": "another",
    "deadline": "2099-01-01T00:00:00Z",
    "criteria": {"description": "anything"},
}


@pytest.mark.parametrize("name", DECIDING)
@virtual
async def test_a_change_of_what_decides_about_money_is_not_trusted(name: str) -> None:
    """Our operations stay proven: each of their records is signed."""
    document = decoded(await written(KEY) | {name: DECIDING[name]})
    assert "changed without a key after write 3" in (document.untrusted or "")
    assert keys_of(document) == ["create", "claim", "begin"]


@virtual
async def test_what_decides_nothing_may_be_changed_by_everybody() -> None:
    """Titles, what another program adds, and whole numbers as JavaScript writes them."""
    value = await written(KEY)
    value |= {"title": "Sort it!", "contentHash": "blake3:1", "amount": float(value["amount"])}
    value["creator"] |= {"agentName": "Alice"}
    value["criteria"]["metricThreshold"] = 1
    assert decoded(value).untrusted is None


def _own(value: Value) -> list[Value]:
    records: list[Value] = value["nexusBounty"]["ops"]
    return records


def _add(value: Value) -> None:
    forged = {"key": "mine", "kind": "claim", "fingerprint": "f", "seq": 4, "mac": "0" * 64}
    _own(value).append(forged)
    value["nexusBounty"]["seq"] = 4


def _repeat(value: Value) -> None:
    _own(value).append(dict(_own(value)[-1], seq=4))
    value["nexusBounty"]["seq"] = 4


def _change(value: Value) -> None:
    _own(value)[-1]["key"] = "mine"


def _abort(value: Value) -> None:
    _own(value)[-1]["aborted"] = True


def _count_on(value: Value) -> None:
    value["nexusBounty"]["seq"] = 4


def _strip(value: Value) -> None:
    del value["nexusBounty"]


def _bury(value: Value) -> None:
    value["nexusBounty"]["tombstone"] = True


FORGERIES: Final[dict[str, Forgery]] = {
    "a record is made up": _add,
    "a record is written again under another number": _repeat,
    "another key is written into a record": _change,
    "a commit is made a fence": _abort,
    "the count is raised": _count_on,
    "the history is removed": _strip,
    "it is made a tombstone": _bury,
}


@pytest.mark.parametrize("name", FORGERIES)
@virtual
async def test_a_forged_history_is_not_trusted(name: str) -> None:
    """Nor taken for proof of what it says."""
    value = await written(KEY)
    FORGERIES[name](value)
    document = decoded(value)
    assert document.untrusted is not None
    assert "mine" not in keys_of(document)
    assert not any(each.aborted for each in document.history.ops)
    assert not documents.is_tombstone(document)


@virtual
async def test_what_is_older_than_a_gap_proves_nothing() -> None:
    """Somebody has taken a record out, or put one in that is not signed."""
    value = await written(KEY)
    without = value | {
        "nexusBounty": value["nexusBounty"] | {"ops": _own(value)[:1] + _own(value)[2:]}
    }
    assert keys_of(decoded(without)) == ["begin"]
    assert not decoded(without).history.covers(2)
    _own(value)[1].pop("mac")
    assert keys_of(decoded(value)) == ["begin"]


@pytest.mark.parametrize(
    "path", ["/zones/other/bounties/b-1.json", "/zones/default/bounties/b-2.json"]
)
@virtual
async def test_a_signature_is_bound_to_zone_and_bounty(path: str) -> None:
    """A copy is not trusted, even one that says the right id of itself."""
    value = await written(KEY) | {"bountyId": documents.paths.document_id(path)}
    document = decoded(value, path=path)
    assert document.untrusted is not None
    assert keys_of(document) == []


@virtual
async def test_a_state_is_bound_to_its_write() -> None:
    """Fields that an earlier write has made are no fields of the last one."""
    value = await written(KEY)
    earlier = {name: item for name, item in value.items() if name != "fulfilledByCid"}
    assert decoded(earlier | {"status": "claimed"}).untrusted is not None


@virtual
async def test_keys_are_changed_by_a_list() -> None:
    """The first signs, all verify; what is signed with one that is gone is not trusted."""
    old, both = await written(OTHER), await written(KEY, OTHER)
    assert decoded(old, KEY, OTHER).untrusted is None
    assert decoded(both, KEY).untrusted is None
    assert decoded(both, OTHER).untrusted is not None
    assert decoded(old, KEY).untrusted is not None


def test_what_later_releases_add_to_a_record_is_signed_too() -> None:
    """It cannot be changed either."""
    signer = Signer((KEY,))
    content = {"key": "k", "kind": "claim", "fingerprint": "f", "seq": 1, "new": 1}
    mac = signer.mac("record", PATH, content)
    value = {"bountyId": BOUNTY_ID, "nexusBounty": {"seq": 1, "ops": [content | {"mac": mac}]}}
    assert keys_of(decoded(value)) == ["k"]
    value["nexusBounty"] = {"seq": 1, "ops": [content | {"mac": mac, "new": 2}]}
    assert keys_of(decoded(value)) == []


def test_keys_are_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Separated by commas, the newest first; an empty variable is none."""
    monkeypatch.setenv(
        "NEXUS_SIGNING_KEYS", f"{KEY.get_secret_value()}, {OTHER.get_secret_value()}"
    )
    assert NexusSettings().signing_keys == (KEY, OTHER)
    monkeypatch.setenv("NEXUS_SIGNING_KEYS", "")
    assert NexusSettings().signing_keys == ()


def test_a_key_that_is_named_twice_is_refused() -> None:
    """Whoever changes keys has copied the old one where the new one should be."""
    with pytest.raises(ValueError, match="same key twice") as refused:
        NexusSettings(signing_keys=(KEY, KEY))
    assert KEY.get_secret_value() not in str(refused.value)


@virtual
async def test_a_key_is_shown_nowhere(caplog: pytest.LogCaptureFixture) -> None:
    """Neither in a repr, nor in what is logged or sent, nor in the error about a bad one."""
    caplog.set_level(logging.DEBUG)
    secret = "not-to-be-seen-" + "x" * 32
    settings = NexusSettings(signing_keys=(SecretStr(secret),))
    value = await written(SecretStr(secret))
    assert "mac" in _own(value)[0]
    shown = [settings, vars(settings), Signer.of(settings), vars(Signer.of(settings)), value]
    assert not any(secret in f"{each!r}{each}" for each in shown)
    assert secret not in caplog.text
    with pytest.raises(ValidationError, match="at least 32 characters") as caught:
        NexusSettings(signing_keys=f"{secret[:20]},{secret}")
    assert secret[:20] not in f"{caught.value!r} {caught.value}"
