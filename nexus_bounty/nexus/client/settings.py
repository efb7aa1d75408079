"""Everything about talking to Nexus that can be set, from `NEXUS_*` variables or by name."""

from __future__ import annotations

import os
from datetime import timedelta
from typing import Any, Final, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_core import InitErrorDetails

from nexus_bounty.outcomes import PlainError

VARIABLES: Final = "NEXUS_"
SHORTEST_SIGNING_KEY: Final = 32
SHORTEST_RETENTION: Final = timedelta(hours=1)
"""Whoever is on the way between a client and a server gives a request up long before."""
LONGEST_RETENTION: Final = timedelta(days=3650)
"""Subtracted from any date, it is still one."""
OPERATIONS_IT_OUTLIVES: Final = 4
"""One may last three times its timeout, while the server asks to be left alone."""

StorageEncoding = Literal["raw", "base64"]
ClaimShape = Literal["flat", "split"]


class ConfigurationError(PlainError, ValueError):
    """Something outside the program, such as a proxy variable, is set to what cannot be used."""


class NexusSettings(BaseModel):
    """Settings of a `NexusClient` and of the stores on it; times are in seconds.

    Every field `name` is also read from the environment variable `NEXUS_NAME`, unless it is empty.
    """

    # pydantic-settings does the same, and takes as long to import as httpx does
    model_config = ConfigDict(
        frozen=True, extra="forbid", hide_input_in_errors=True, validate_default=True
    )

    url: str = "http://127.0.0.1:2026"
    api_key: SecretStr | None = None
    signing_keys: tuple[SecretStr, ...] = ()
    """The keys of the zone's signatures, at least 32 characters each; in the variable, separated by
    commas or spaces. The first signs, and every one verifies. Without any, nothing is signed, and
    whoever can write the zone is believed."""
    zone_id: str = "default"

    connect_timeout: float = Field(default=5.0, gt=0)
    request_timeout: float = Field(default=10.0, gt=0)
    """How long one request may take once it is connected, its whole answer included."""
    operation_timeout: float = Field(default=60.0, gt=0)
    """The deadline of one whole operation, every retry, read-back and fence included.

    It runs from the operation's first request on: waiting for a connection that is free, while
    many operations are under way, does not count. Nor does, up to twice as long, what the server
    asks to be left alone for (`Retry-After`): a limit of requests a minute asks for a minute.
    """

    queue_timeout: float = Field(default=300.0, gt=0)
    """How long an operation may wait for a connection that is free."""
    listing_timeout: float = Field(default=600.0, gt=0)
    """How long the server may take, in all, for the pages of one listing or walk."""

    max_answer_bytes: int = Field(default=64_000_000, ge=1)
    """How large an answer may be, packed and unpacked."""
    max_connections: int = Field(default=32, ge=1)
    max_requests_per_second: float | None = Field(default=None, gt=0)
    """How many requests this client sends in a second at most; they wait for their turn."""
    transport: Literal["auto", "httpx", "aiohttp"] = "auto"
    """What carries requests; "auto" is aiohttp, the faster one, where it is installed."""
    bulk_size: int = Field(default=500, ge=1)
    """How many documents one bulk read asks for."""
    page_size: int = Field(default=1000, ge=1)
    """How many names one page of a listing holds, on servers whose pages cannot lose one."""

    cleanup_delay: float = Field(default=0.5, ge=0)
    """How long the operations leave what nothing needs any more, to remove it in batches.

    Where commits win names, a document's own file follows as much later, see `follow_at_once`.
    Where answers are slow these are some round trips, at most 20 times as long, see
    `nexus_bounty.nexus.client.round_trips`.
    """
    follow_at_once: bool = False
    """Whether programs that know no slots write the zone, too, such as Grove: the operations then
    look at a file before each commit by name, and bring it up to date before they return."""

    layout: Literal["auto", "flat", "dated"] = "auto"
    """How a *new* zone lays out its markers, see `nexus_bounty.nexus.documents.marker_layout`.

    It is pinned in the zone, and every process follows the pin. "auto" is dated, and flat where
    `storage_encoding` or `follow_at_once` say that Grove shares the zone: it finds flat ones only.
    """

    retry_attempts: int = Field(default=8, ge=1)
    """How often one request is sent at most, where a repeat is harmless."""
    retry_base: float = Field(default=0.05, ge=0)
    retry_cap: float = Field(default=2.0, ge=0)
    """Back-off is uniform between 0 and `retry_base * 2**n`, at most `retry_cap` (full jitter)."""

    storage_encoding: StorageEncoding = "raw"
    """How new documents are stored: JSON text, or base64 of it as Grove's clients do."""
    claim_shape: ClaimShape = "flat"
    """How new claims are written: flat, which every Grove reads, or split into `{spec, status}`.

    Newer Groves write claims split, and drop our evidence from a flat one when they renew it.
    """
    max_document_bytes: int = Field(default=1_000_000, ge=1)
    tombstone_retention: timedelta = Field(
        default=timedelta(hours=24), ge=SHORTEST_RETENTION, le=LONGEST_RETENTION
    )
    """How long a tombstone stays; it must outlive every request that may still be under way.

    So it is an hour at least, and four times `operation_timeout`.
    """
    remembered_documents: int = Field(default=1024, ge=0)
    """How many documents a store remembers to spare reads; a stale memory costs one round."""
    remembered_dates: int = Field(default=100_000, ge=0)
    """Of how many bounties listings remember the dates, which never change; some 300 bytes each."""

    def __init__(self, **given: Any) -> None:
        """Check everything.

        Raises:
            pydantic.ValidationError: Something is wrong; it names the setting, and repeats
                nothing of what was given, which may be a secret.
        """
        try:
            super().__init__(**given)
        except ValidationError as error:
            raise _without_input(error) from None

    @model_validator(mode="before")
    @classmethod
    def _from_environment(cls, given: Any) -> Any:
        """What is not given by name, as its variable says it; their case does not matter.

        A variable that is empty counts as one that is not set, as everywhere on the command line.
        """
        if not isinstance(given, dict):
            return given
        found = {name.upper(): value for name, value in os.environ.items()}
        variables = {name: f"{VARIABLES}{name.upper()}" for name in cls.model_fields}
        named = {name: found[each] for name, each in variables.items() if found.get(each)}
        return {**named, **given}

    @field_validator("url")
    @classmethod
    def _without_credentials(cls, url: str) -> str:
        """Refuse a URL that holds credentials: it is shown in logs and reprs."""
        _, found, rest = url.partition("://")
        authority = rest.partition("/")[0] if found else url  # a malformed one has it anywhere
        if ("@" in authority or "%40" in authority) and not url.startswith("mailto:"):
            raise ValueError("must not hold credentials; give them as api_key")
        if "?" in url or "#" in url:
            raise ValueError("must have no query and no fragment")
        if found and not authority:
            raise ValueError("must name a host")
        return url

    @field_validator("signing_keys", mode="before")
    @classmethod
    def _separated(cls, keys: Any) -> Any:
        """Take several keys apart that a variable holds."""
        return keys.replace(",", " ").split() if isinstance(keys, str) else keys

    @field_validator("signing_keys")
    @classmethod
    def _hard_to_guess(cls, keys: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        """Refuse keys that are no secret, or name one twice."""
        texts = [key.get_secret_value() for key in keys]
        if any(len(text) < SHORTEST_SIGNING_KEY for text in texts):
            raise ValueError(
                f"must each have at least {SHORTEST_SIGNING_KEY} characters, as of "
                "`openssl rand -hex 32`"
            )
        if len(set(texts)) < len(texts):
            raise ValueError("must not name the same key twice")
        return keys

    @model_validator(mode="after")
    def _outliving_requests(self) -> Self:
        """Refuse to remove a fence while what it is to keep out may still arrive."""
        longest = OPERATIONS_IT_OUTLIVES * self.operation_timeout
        if self.tombstone_retention.total_seconds() < longest:
            raise ValueError(
                f"tombstone_retention must be at least {OPERATIONS_IT_OUTLIVES} times "
                "operation_timeout: it must outlive every request that may still be under way"
            )
        return self

    @field_validator("api_key")
    @classmethod
    def _usable_as_header(cls, key: SecretStr | None) -> SecretStr | None:
        """Refuse a key that no HTTP header can carry; an empty one is none."""
        text = key.get_secret_value().strip() if key else ""
        if not (text.isascii() and text.isprintable()):
            raise ValueError("must be printable ASCII")
        return SecretStr(text) if text else None


def _without_input(error: ValidationError) -> ValidationError:
    """The same error, without what was given."""
    details = [
        InitErrorDetails(
            type="value_error",  # one of pydantic's own: errors of other types cannot be pickled
            loc=each["loc"],
            input="(not shown)",
            ctx={"error": each["msg"].removeprefix("Value error, ")},
        )
        for each in error.errors(include_input=False, include_url=False)
    ]
    return ValidationError.from_exception_data(error.title, details, hide_input=True)
