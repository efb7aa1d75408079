from __future__ import annotations

from collections.abc import Callable
from http.client import HTTPException
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from tests.simulation.conformance import (
    OTHERS,
    ConditionalClient,
    Told,
    Trial,
    is_installed,
    our_trials,
    trials,
)
from tests.simulation.object_stores import PATIENCE, Misbehaviour

LOSSES = [each for each in Misbehaviour if each is not Misbehaviour.NONE]


class ByHand:
    """S3's conditional writes by hand; `tries` is how often a write is sent when it fails."""

    name = "by hand"

    def __init__(self, url: str, tries: int) -> None:
        self._url = url
        self._tries = tries

    def create(self, name: str, content: bytes) -> None:
        self._put(name, content, {"If-None-Match": "*"})

    def update(self, name: str, content: bytes) -> None:
        with urlopen(f"{self._url}/bucket/{name}") as found:
            etag = found.headers["ETag"]
        self._put(name, content, {"If-Match": etag})

    def is_conflict(self, error: Exception) -> bool:
        return isinstance(error, HTTPError) and error.code == 412

    def _put(self, name: str, content: bytes, headers: dict[str, str]) -> None:
        target = Request(f"{self._url}/bucket/{name}", content, headers, method="PUT")
        for left in reversed(range(self._tries)):
            try:
                urlopen(target, timeout=PATIENCE).close()
            except (OSError, HTTPException) as error:
                if not left or self.is_conflict(error):
                    raise
            else:
                break


def judgements(found: list[Trial], misbehaviour: Misbehaviour) -> set[str]:
    return {each.judgement for each in found if each.misbehaviour is misbehaviour}


def test_ours_knows_its_own_success() -> None:
    """Create and update, whatever becomes of the answer."""
    found = list(our_trials())
    assert len(found) == 2 * len(Misbehaviour)
    assert all(each.judgement == "right" and each.landed for each in found), found


def test_a_client_that_tries_again_takes_its_own_success_for_a_conflict() -> None:
    """The kit catches what it is there for."""
    found = list(trials(lambda url: ByHand(url, tries=2)))
    assert judgements(found, Misbehaviour.NONE) == {"right"}
    for each in (Misbehaviour.APPLY_THEN_DROP, Misbehaviour.APPLY_THEN_503):
        assert judgements(found, each) == {"its own success called a conflict"}
    assert all(each.landed for each in found)


def test_a_client_that_does_not_is_in_doubt_and_says_so() -> None:
    """An error that is no conflict is no lie."""
    found = list(trials(lambda url: ByHand(url, tries=1)))
    for each in LOSSES:
        assert judgements(found, each) == {"in doubt, and says so"}


@pytest.mark.exhaustive
@pytest.mark.parametrize(("module", "make"), OTHERS, ids=[module for module, _ in OTHERS])
def test_clients_from_the_package_index_are_put_through_it(
    module: str, make: Callable[[str], ConditionalClient]
) -> None:
    """They do what they should while nothing is lost; `--scoreboard` prints what they do else."""
    if not is_installed(module):
        pytest.skip(f"{module} is not installed")
    found = list(trials(make))
    assert judgements(found, Misbehaviour.NONE) == {"right"}
    assert {each.told for each in found} <= set(Told)
    assert not any(each.judgement == "done, and it is not" for each in found)
