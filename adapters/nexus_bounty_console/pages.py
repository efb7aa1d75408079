"""What people see: one method a page, and one for each form on it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, TypeVar
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from nexus_bounty.events.log import logger_of
from nexus_bounty.operations.steps import OperationKind
from nexus_bounty.outcomes import InvalidInputError
from nexus_bounty_console.access import Access, Viewer
from nexus_bounty_console.board import Search, cut
from nexus_bounty_console.changes import BOUNTIES, WORK, about
from nexus_bounty_console.desk import ConsoleDesk
from nexus_bounty_console.guard import COOKIE
from nexus_bounty_console.jobs import JobKind
from nexus_bounty_console.picture import draw
from nexus_bounty_console.render import Renderer

logger = logger_of("nexus_bounty.console")

T = TypeVar("T")

_LATER: Final = 303


@dataclass
class Pages:
    """The pages of one console.

    Attributes:
        desk: What they show, and what their forms do.
        renderer: Makes them.
        access: Who may see them.
    """

    desk: ConsoleDesk
    renderer: Renderer
    access: Access

    def routes(self) -> list[Route]:
        """Where each page is, and each form."""
        shown = {
            "/": self.bounties,
            "/bounties/{bounty_id}": self.bounty,
            "/doubts": self.doubts,
            "/doubt": self.doubt,
            "/money": self.money,
            "/reservation": self.reservation,
            "/reconcile": self.reconcile,
            "/doctor": self.doctor,
            "/login": self.login,
        }
        forms = {
            "/doubt": self.find_out,
            "/money/audit": self.audit,
            "/reservation": self.rescue,
            "/reconcile/dry-run": self.dry_run,
            "/reconcile/repair": self.repair,
            "/doctor": self.ask_the_doctor,
            "/login": self.log_in,
            "/logout": self.log_out,
        }
        return [
            *(Route(path, page, methods=["GET"]) for path, page in shown.items()),
            *(Route(path, form, methods=["POST"]) for path, form in forms.items()),
        ]

    # Pages

    async def bounties(self, request: Request) -> Response:
        """Bounties by status, with a search, a page at a time."""
        search, number = search_of(request), number_of(request)
        board, escrow, doubts = await asyncio.gather(
            self.desk.board.current(),
            _or_none(self.desk.escrow.current()),
            _or_none(self.desk.doubts.current()),
        )
        page = cut(board.found(search), number)
        return self.renderer.page(
            request,
            "bounties",
            topics=[BOUNTIES, WORK],
            board=board,
            search=search,
            page=page,
            escrow=escrow,
            doubts=doubts,
            address=partial(address_of, search),
        )

    async def bounty(self, request: Request) -> Response:
        """One bounty's life, as a picture and in words."""
        bounty_id = request.path_params["bounty_id"]
        life = await self.desk.life(bounty_id)
        return self.renderer.page(
            request,
            "bounty",
            topics=[about(bounty_id), WORK],
            status=200 if life.exists else 404,
            life=life,
            picture=draw(life, self.desk.now),
        )

    async def doubts(self, request: Request) -> Response:
        """What is in doubt."""
        doubts = await self.desk.doubts.current()
        return self.renderer.page(request, "doubts", topics=[BOUNTIES, WORK], doubts=doubts)

    async def doubt(self, request: Request) -> Response:
        """One operation, and the evidence for what became of it."""
        key = request.query_params.get("key", "")
        services = self.desk.operations.services
        explanation = await self.desk.explanation(key)
        entry = await services.journal.find_operation(services.store.zone_id, explanation.key)
        topics = [about(explanation.bounty_id or ""), WORK]
        return self.renderer.page(
            request, "doubt", topics=topics, explanation=explanation, entry=entry
        )

    async def money(self, request: Request) -> Response:
        """What is in escrow by account, and the audit."""
        escrow = await self.desk.escrow.current()
        account, number = request.query_params.get("account"), number_of(request)
        held = next((each for each in escrow.accounts if each.account == account), None)
        accounts = cut(escrow.accounts if account is None else [], number)
        names = [each.account for each in accounts.items] if account is None else [account]
        credit = self.desk.operations.services.credits
        return self.renderer.page(
            request,
            "money",
            topics=[BOUNTIES, WORK],
            escrow=escrow,
            account=account,
            held=held,
            page=accounts if account is None else cut(held.reservations if held else (), number),
            balances={name: await credit.balance(name) for name in names},
            audit=self.desk.jobs.last.get(JobKind.AUDIT),
            address=partial(_money_address, account),
        )

    async def reservation(self, request: Request) -> Response:
        """The credits that are, or were, held for one bounty, and how to free what is stranded."""
        reservation_id = request.query_params.get("id", "")
        found = await self.desk.stranded(reservation_id)
        return self.renderer.page(
            request,
            "reservation",
            topics=[BOUNTIES, WORK],
            status=200 if found else 404,
            reservation_id=reservation_id,
            found=found,
        )

    async def reconcile(self, request: Request) -> Response:
        """What the reconciler has found, and what it has repaired."""
        last = self.desk.jobs.last
        return self.renderer.page(
            request,
            "reconcile",
            topics=[WORK],
            dry_run=last.get(JobKind.DRY_RUN),
            repair=last.get(JobKind.REPAIR),
        )

    async def doctor(self, request: Request) -> Response:
        """How commits are safe on the server."""
        job = self.desk.jobs.last.get(JobKind.DOCTOR)
        return self.renderer.page(request, "doctor", topics=[WORK], job=job)

    async def login(self, request: Request, *, refused: bool = False) -> Response:
        """Where a token is given."""
        return self.renderer.page(
            request,
            "login",
            status=401 if refused else 200,
            refused=refused,
            following=request.query_params.get("next", "/"),
            form_token=self.access.csrf(
                request.cookies.get(COOKIE) if self._viewer(request) else None
            ),
        )

    # Forms

    async def dry_run(self, request: Request) -> Response:
        """Begin a dry run."""
        self.desk.dry_run(self._who(request))
        return RedirectResponse("/reconcile", _LATER)

    async def repair(self, request: Request) -> Response:
        """Begin a repair, of one thing or of all."""
        form = request.state.form
        self.desk.repair(self._who(request), form.get("sweep"), form.get("subject"))
        return RedirectResponse("/reconcile", _LATER)

    async def rescue(self, request: Request) -> Response:
        """Free credits that no rule can, once whoever asks has said which, where to and why."""
        form = request.state.form
        reservation_id = form.get("id", "")
        await self._check_amount(reservation_id, form.get("amount", ""))
        because, payee = form.get("because", ""), _payee(form)
        await self.desk.rescue(self._who(request), reservation_id, payee, because)
        return RedirectResponse(f"/reservation?{urlencode({'id': reservation_id})}", _LATER)

    async def _check_amount(self, reservation_id: str, given: str) -> None:
        """See that somebody has looked at what is to be freed."""
        found = await self.desk.stranded(reservation_id)
        if found is not None and given.replace(",", "").strip() != str(found.reservation.amount):
            raise InvalidInputError("amount", given, "must be that of the reservation")

    async def audit(self, request: Request) -> Response:
        """Begin an audit."""
        self.desk.audit(self._who(request))
        return RedirectResponse("/money", _LATER)

    async def ask_the_doctor(self, request: Request) -> Response:
        """Begin to find out what is safe on the server."""
        self.desk.doctor(self._who(request))
        return RedirectResponse("/doctor", _LATER)

    async def find_out(self, request: Request) -> Response:
        """Make it definite what became of an operation."""
        form = request.state.form
        key = form.get("key", "")
        await self.desk.find_out(self._who(request), key, form.get("bounty_id", ""), _kind(form))
        return RedirectResponse(f"/doubt?{urlencode({'key': key})}", _LATER)

    async def log_in(self, request: Request) -> Response:
        """Let somebody in who has a token."""
        form = request.state.form
        session = self.access.log_in(form.get("token", ""))
        if session is None:
            address = request.client.host if request.client else "an unknown address"
            logger.warning("a log-in from %s was refused: nobody has that token", address)
            return await self.login(request, refused=True)
        response = RedirectResponse(_inside(form.get("next", "/")), _LATER)
        response.set_cookie(
            COOKIE,
            session,
            httponly=True,
            samesite="strict",
            secure=request.scope["scheme"] == "https",
        )
        return response

    async def log_out(self, request: Request) -> Response:
        """Forget who it was."""
        self.access.log_out(request.cookies.get(COOKIE, ""))
        response = RedirectResponse("/login", _LATER)
        response.delete_cookie(COOKIE)
        return response

    def _viewer(self, request: Request) -> Viewer | None:
        viewer: Viewer | None = request.state.viewer
        return viewer

    def _who(self, request: Request) -> str:
        viewer = self._viewer(request)
        return viewer.name if viewer else ""


def search_of(request: Request) -> Search:
    """What the query of an address asks for."""
    asked = request.query_params
    return Search(
        words=asked.get("q", "").strip(),
        status=tuple(each for each in asked.getlist("status") if each),
        creator=asked.get("creator") or None,
    )


def number_of(request: Request) -> int:
    """Which page an address asks for; the first if that is no number."""
    given = request.query_params.get("page", "")
    return int(given) if given.isascii() and given.isdigit() and len(given) < 9 else 1


def address_of(search: Search, **changed: Any) -> str:
    """The address of the first page of the same search, or of another, but for what is changed."""
    query = {"q": search.words, "status": list(search.status), "creator": search.creator or ""}
    kept = {name: value for name, value in (query | changed).items() if value}
    return f"/?{urlencode(kept, doseq=True)}" if kept else "/"


def _money_address(account: str | None, page: int) -> str:
    return "/money?" + urlencode(({"account": account} if account else {}) | {"page": page})


def _kind(form: dict[str, str]) -> OperationKind:
    given = form.get("operation", "")
    try:
        return OperationKind(given)
    except ValueError as error:
        raise InvalidInputError("operation", given, "must be an operation") from error


def _payee(form: dict[str, str]) -> str | None:
    """Whom credits are to be paid to; `None` to give them back."""
    to, payee = form.get("to", ""), form.get("payee", "").strip()
    if to not in ("back", "pay") or (to == "pay") != bool(payee):
        raise InvalidInputError("to", to, "must be whose they are, or another agent by name")
    return payee or None


def _inside(address: str) -> str:
    """An address of this console; its first page instead of one of another site."""
    is_one = address.startswith("/") and not address.startswith(("//", "/\\"))
    return address if is_one and address.isprintable() else "/"


async def _or_none(reading: Awaitable[T]) -> T | None:
    """What is read; `None` if it cannot be, which its place on the page says."""
    try:
        return await reading
    except Exception as error:  # noqa: BLE001 - the rest of the page can be shown
        logger.warning("%s: %s", type(error).__name__, error)
        return None
