"""Which parameters a method takes, and how a release complains about others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nexus_bounty.mock.personality import Paging, Personality
from nexus_bounty.mock.problems import Problem, Refusal, bad_params

_WRITE = (("path", "content"), ("if_match", "if_none_match", "force"))
_PATH = (("path",), ())

_PARAMETERS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "read": (("path",), ("return_metadata", "parsed", "return_url", "expires_in")),
    "write": _WRITE,
    "delete": (("path",), ()),
    "rename": (("old_path", "new_path"), ()),
    "list": ((), ("path", "recursive", "details", "prefix", "show_parsed", "limit", "cursor")),
    "mkdir": (("path",), ("parents", "exist_ok")),
    "rmdir": (("path",), ("recursive",)),
    "get_version": (("path", "version"), ()),
    "read_bulk": (("paths",), ("return_metadata", "skip_errors")),
    "read_batch": (("paths",), ("partial",)),
    "stat_bulk": (("paths",), ("skip_errors",)),
    "write_batch": (("files",), ()),
    "exists_batch": (("paths",), ()),
    "metadata_batch": (("paths",), ()),
    "delete_batch": (("paths",), ("recursive",)),
    "delete_bulk": (("paths",), ("recursive",)),
    "rename_batch": (("renames",), ()),
}
_NEEDED = {
    "write": ("path",),
    "sys_write": ("path",),
    "list": (),
    "sys_readdir": (),
}
"""What a lenient release cannot do without, where it differs from the strict ones."""


def check_parameters(personality: Personality, method: str, params: Mapping[str, Any]) -> None:
    """Refuse what the release's own method would refuse.

    Raises:
        Refusal: BAD_PARAMS, or INTERNAL where the release does not validate.
    """
    required, optional = _PARAMETERS.get(method, _PATH)
    owner = personality.strict.get(method)
    if owner is None:
        _check_leniently(_NEEDED.get(method, required), params)
        return
    if personality.paging is Paging.NONE:
        optional = tuple(name for name in optional if name not in {"limit", "cursor"})
    _check_strictly(
        f"Invalid parameters for {method}: {owner}.__init__()", required, optional, params
    )


def _check_leniently(required: tuple[str, ...], params: Mapping[str, Any]) -> None:
    for name in required:
        if name not in params:
            raise Refusal(Problem.INTERNAL, f"missing {name!r}")


def _check_strictly(
    complaint: str,
    required: tuple[str, ...],
    optional: tuple[str, ...],
    params: Mapping[str, Any],
) -> None:
    for name in params:
        if name not in required and name not in optional:
            raise bad_params(f"{complaint} got an unexpected keyword argument {name!r}")
    missing = [name for name in required if name not in params]
    if missing:
        raise bad_params(f"{complaint} {_missing(missing)}")


def _missing(names: list[str]) -> str:
    count = len(names)
    listed = " and ".join(repr(name) for name in names)
    return f"missing {count} required positional argument{'s' if count > 1 else ''}: {listed}"
