"""Nobody gets in, or changes anything, who may not; nor does another site in their name."""

from __future__ import annotations

import logging
import re
from datetime import timedelta
from urllib.parse import quote

import pytest
from starlette.datastructures import URL
from starlette.requests import Request

from nexus_bounty import InvalidInputError
from nexus_bounty.cli.service import health
from nexus_bounty_console.access import LASTS, Access, Person, Role
from nexus_bounty_console.guard import COOKIE
from tests.adapters.console.stage import HERE, Browser, Clock, Stage

READER, OPERATOR = "reader-0123456789abcdef", "operator-0123456789abcdef"
ELSEWHERE = [
    {"origin": "https://evil.example"},
    {"origin": "null"},
    {"sec-fetch-site": "cross-site"},
    {"sec-fetch-site": "same-site", "origin": HERE},
]


def people(clock: Clock | None = None) -> Access:
    return Access(
        {
            "rita": Person(token=READER),
            "otto": Person(token=OPERATOR, role=Role.OPERATE),
        },
        clock=clock or Clock(),
    )


async def log_in(browser: Browser, token: str) -> None:
    await browser.send("/login", {"token": token}, on="/login")


async def test_without_a_token_nothing_is_shown(stage: Stage) -> None:
    async with stage.browser(people()) as browser:
        for path in ("/", "/money", "/bounties/b-1", "/nowhere"):
            answer = await browser.client.get(path)
            assert answer.status_code == 303, path
            assert answer.headers["location"] == f"/login?next={quote(path, safe='')}"
        for path in ("/api/bounties", "/api/bounties/b-1", "/live"):
            assert (await browser.client.get(path)).status_code == 401, path
        for path in ("/reconcile/repair", "/doctor", "/doubt", "/money/audit"):
            assert (await browser.client.post(path)).status_code in (401, 403), path
        assert "may operate" not in await browser.see("/login")
        assert await browser.source("/static/console.css")
        assert (await browser.client.get("/healthz")).json() == {"alive": True}


async def test_a_token_lets_in_by_its_role_and_a_session_ends(stage: Stage) -> None:
    async with stage.browser(people(stage.clock)) as browser:
        await browser.send("/login", {"token": "nobody-0123456789"}, on="/login", status=401)
        await log_in(browser, READER)
        assert "rita, may look" in await browser.see("/")
        await browser.send("/reconcile/repair", on="/reconcile", status=403)
        kept = {"cookie": f"{COOKIE}={browser.client.cookies[COOKIE]}"}
        await browser.send("/logout", on="/")
        assert (await browser.client.get("/", headers=kept)).status_code == 303
        await log_in(browser, OPERATOR)
        assert "otto, may operate" in await browser.see("/")
        await browser.send("/reconcile/repair", on="/reconcile")
        stage.clock.forward(seconds=(LASTS + timedelta(seconds=1)).total_seconds())
        assert (await browser.client.get("/")).status_code == 303


async def test_a_log_in_that_is_refused_is_in_the_log_without_its_token(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever guesses is noticed, and whoever mistypes a token does not find it in the log."""
    async with stage.browser(people()) as browser:
        token = {"token": OPERATOR[:-1]}
        with caplog.at_level(logging.WARNING):
            await browser.send("/login", token, on="/login", status=401)
    assert "a log-in from 127.0.0.1 was refused" in caplog.text
    assert OPERATOR[:-1] not in caplog.text


async def test_a_session_is_kept_from_scripts_and_other_sites(stage: Stage) -> None:
    async with stage.browser(people(), base="https://localhost") as browser:
        answer = await browser.send("/login", {"token": READER}, on="/login")
        cookie = answer.headers["set-cookie"].lower()
        assert all(each in cookie for each in ("httponly", "samesite=strict", "secure"))
        assert READER not in cookie


async def test_after_logging_in_one_stays_on_this_site(stage: Stage) -> None:
    async with stage.browser(people()) as browser:
        for outside in ("https://evil.example/", "//evil.example", "/\\evil.example"):
            answer = await browser.send("/login", {"token": READER, "next": outside}, on="/login")
            assert answer.headers["location"] == "/"
            await browser.send("/logout", on="/")
        answer = await browser.send(
            "/login", {"token": READER, "next": "/money?page=2"}, on="/login"
        )
        assert answer.headers["location"] == "/money?page=2"


async def test_programs_send_their_token_with_each_request(stage: Stage) -> None:
    await stage.posted("b-1")
    async with stage.browser(people()) as browser:
        for token, status in ((READER, 200), ("nobody-0123456789", 401)):
            headers = {"authorization": f"Bearer {token}"}
            answer = await browser.client.get("/api/bounties", headers=headers)
            assert answer.status_code == status


async def test_a_form_without_its_token_or_from_another_site_changes_nothing(
    stage: Stage, browser: Browser
) -> None:
    for csrf in ("", "0" * 64):
        answer = await browser.client.post("/reconcile/repair", data={"csrf": csrf})
        assert (answer.status_code, "Nothing was changed." in answer.text) == (403, True)
    token = (await browser.source("/reconcile")).split('name="csrf" value="')[1].split('"')[0]
    for headers in ELSEWHERE:
        form = {"csrf": token}
        answer = await browser.client.post("/reconcile/repair", data=form, headers=headers)
        assert answer.status_code == 403, headers
    plain = await browser.client.post(
        "/reconcile/repair", content=f"csrf={token}", headers={"content-type": "text/plain"}
    )
    assert plain.status_code == 403
    too_long = {"csrf": token, "x": "y" * 70_000}
    assert (await browser.client.post("/reconcile/repair", data=too_long)).status_code == 403
    assert stage.desk.jobs.last == {}


async def test_a_form_token_is_of_one_session(stage: Stage) -> None:
    access = people()
    async with stage.browser(access) as browser:
        await log_in(browser, OPERATOR)
        other = access.log_in(OPERATOR)
        answer = await browser.client.post("/reconcile/repair", data={"csrf": access.csrf(other)})
        assert answer.status_code == 403
        assert browser.client.cookies[COOKIE] != other


OTHERS = ["evil.example", "127.0.0.1.evil.example", "", "[", "localhost@x", "x@localhost"]
TRICKS = [
    *("localhost/login", "localhost/login?", "localhost/static/", "localhost#", "localhost?/login"),
    *("localhost:80/login", "localhost:", "localhost:x", "[::1]/login", "localhost localhost"),
]


@pytest.mark.parametrize("host", [*OTHERS, *TRICKS])
async def test_other_names_than_ours_are_refused_as_rebinding_sends_them(
    browser: Browser, host: str
) -> None:
    answer = await browser.client.get("/", headers={"host": host})
    assert answer.status_code == 421


@pytest.mark.parametrize(
    "host", ["127.0.0.1:2028", "[::1]:2028", "LOCALHOST", "Console.example:443"]
)
async def test_loopback_and_names_that_were_given_are_ours(stage: Stage, host: str) -> None:
    for name in ("console.example", "Console.example:8443"):
        async with stage.browser(None, name) as browser:
            answer = await browser.client.get("/healthz", headers={"host": host})
            assert answer.status_code == 200
    with pytest.raises(InvalidInputError, match="name of a host"):
        stage.app(None, "https://console.example/")


@pytest.mark.parametrize("path", ["/", "/nowhere", "/api/bounties", "/static/console.js", "/login"])
async def test_every_answer_keeps_browsers_from_doing_more_with_it(
    browser: Browser, path: str
) -> None:
    headers = (await browser.client.get(path)).headers
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] in ("no-store", "no-cache")


async def test_no_page_has_anything_that_its_own_policy_forbids(
    stage: Stage, browser: Browser
) -> None:
    await stage.stuck_settlement("b-1")
    await stage.stranded()
    of_nobody = "/reservation?id=stray"
    for path in ("/", "/bounties/b-1", "/doubts", "/money", of_nobody, "/reconcile", "/doctor"):
        source = await browser.source(path)
        assert " style=" not in source
        assert "<style" not in source
        assert "javascript:" not in source


@pytest.mark.parametrize("token", ["short", "with a space in it", "ümlaute-0123456789", "a\nb" * 9])
def test_tokens_that_can_be_guessed_or_not_be_sent_are_refused(token: str) -> None:
    with pytest.raises(InvalidInputError, match="printable ASCII"):
        Access({"rita": Person(token=token)})


def test_a_token_is_of_one_person_and_in_no_repr() -> None:
    with pytest.raises(InvalidInputError, match="two people"):
        Access({"rita": Person(token=READER), "otto": Person(token=READER)})


async def test_a_service_that_cannot_read_is_not_ready(
    stage: Stage, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "READY_LASTS", 0)
    assert (await browser.client.get("/readyz")).json() == {"ready": True}
    stage.fail("read", "connection refused", times=None)
    answer = await browser.client.get("/readyz")
    assert (answer.status_code, answer.json()["ready"]) == (503, False)


@pytest.mark.parametrize("pretended", ["/login", "/static/console.css", "/healthz"])
async def test_who_may_come_in_is_decided_by_the_path_that_finds_the_page(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, pretended: str
) -> None:
    """An older Starlette takes the path of `request.url` from the header `Host`."""
    await stage.stuck_settlement("b-1")
    access = Access({"rita": Person(token=READER)})
    async with stage.browser(access) as browser:
        found = re.search(r'name="csrf" value="(\w+)"', await browser.source("/login"))
        assert found is not None
        monkeypatch.setattr(Request, "url", URL(f"http://localhost{pretended}"))
        for path in ("/", "/money", "/bounties/b-1", "/reconcile"):
            assert (await browser.client.get(path)).status_code == 303
        for path in ("/api/bounties", "/live"):
            assert (await browser.client.get(path)).status_code == 401
        for path in ("/reconcile/repair", "/reconcile/dry-run", "/reservation", "/doubt"):
            answer = await browser.client.post(path, data={"csrf": found[1]})
            assert answer.status_code == 401, path
    assert await stage.has("bob") == (0, 0)
