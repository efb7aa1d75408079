"""How each release words its results: from a file entry to the JSON that clients see."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from nexus_bounty.mock.files import FileEntry
from nexus_bounty.mock.wire import pack_bytes, pack_time

Json = dict[str, Any]


def _etag(entry: FileEntry) -> Json:
    return {
        "etag": entry.etag,
        "version": entry.version,
        "modified_at": pack_time(entry.modified_at),
        "size": len(entry.content),
    }


def _content_id(entry: FileEntry) -> Json:
    return {"content_id": entry.etag, "version": entry.version, "gen": entry.version}


def _undated(document: Json) -> Json:
    return document | dict.fromkeys({"created_at", "modified_at"} & document.keys())


# Results of a write; the flag says whether the request carried a precondition.


def write_flat(entry: FileEntry, conditional: bool) -> Json:  # noqa: ARG001
    """0.5.6: the metadata itself."""
    return _etag(entry)


def write_nested(entry: FileEntry, conditional: bool) -> Json:  # noqa: ARG001
    """0.7.0: the metadata under the name of the byte count."""
    return {"bytes_written": _etag(entry)}


def write_counted(entry: FileEntry, conditional: bool) -> Json:
    """0.9: count and metadata, but nothing except the count when there was a precondition."""
    count = {"bytes_written": len(entry.content)}
    return count if conditional else count | _etag(entry)


def write_content_id(entry: FileEntry, conditional: bool) -> Json:  # noqa: ARG001
    """0.10: count and metadata, with a content id for an etag, always version 1, and no date."""
    size, told = len(entry.content), _content_id(entry) | {"version": 1}
    return {"bytes_written": size, **told, "modified_at": None, "size": size}


# Results of one file in a write_batch.


def batch_write_content_id(entry: FileEntry) -> Json:
    """0.10: like a write, but with a date."""
    return _content_id(entry) | {
        "modified_at": pack_time(entry.modified_at),
        "size": len(entry.content),
    }


def batch_write_etag(entry: FileEntry) -> Json:
    """0.7.0 and 0.9."""
    return _etag(entry)


# Results of a read with metadata. Content and entry are separate because a read may be torn.


def read_naive(content: bytes, entry: FileEntry) -> Json:
    """0.5.6: dates without a time zone."""
    naive = entry.modified_at.replace(tzinfo=None)
    return {"content": pack_bytes(content), **_etag(entry), "modified_at": pack_time(naive)}


def read_aware(content: bytes, entry: FileEntry) -> Json:
    """0.7.0: typed dates."""
    return {"content": pack_bytes(content), **_etag(entry), "size": len(content)}


def read_plain_date(content: bytes, entry: FileEntry) -> Json:
    """0.9: dates as plain strings."""
    document = read_aware(content, entry)
    document["modified_at"] = entry.modified_at.isoformat()
    return document


def read_undated(content: bytes, entry: FileEntry) -> Json:
    """0.9.26: no date."""
    return _undated(read_aware(content, entry))


def read_content_id(content: bytes, entry: FileEntry) -> Json:
    """0.10: a content id for an etag."""
    return {
        "content": pack_bytes(content),
        **_content_id(entry),
        "modified_at": entry.modified_at.isoformat(),
        "size": len(content),
    }


# Results of get_metadata and sys_stat. A path without an entry is a directory.


def stat_full(path: str, entry: FileEntry | None) -> Json | None:
    """0.5.6: everything; directories have no metadata."""
    if entry is None:
        return None
    return _record(path, entry, naive=True) | {"tenant_id": None, "is_directory": False}


def stat_posix(path: str, entry: FileEntry | None) -> Json:
    """0.7.0: what `ls -l` shows, so no etag and no version."""
    return {
        "path": path,
        "size": len(entry.content) if entry else 4096,
        "mime_type": "application/octet-stream" if entry else "inode/directory",
        "created_at": entry and entry.created_at.isoformat(),
        "modified_at": entry and entry.modified_at.isoformat(),
        "is_directory": entry is None,
        "owner": "anonymous",
        "group": "anonymous",
        "mode": 0o644 if entry else 0o755,
    }


def stat_kernel(path: str, entry: FileEntry | None) -> Json:
    """0.9: everything, and files that pass for directories, but for those that were renamed."""
    stat = stat_posix(path, entry) | {"owner": "admin", "group": "admin"}
    stat |= {
        "backend_name": "path_local" if entry else "",
        "physical_path": entry.etag if entry else "",
    }
    if entry is None or entry.readable:
        kind = {"mime_type": "inode/directory", "is_directory": True, "mode": 0o755}
        stat |= kind | {"entry_type": 0 if entry else 1}
    if entry:
        stat |= {"etag": entry.etag, "version": entry.version, "zone_id": "root"}
    return stat


def stat_undated(path: str, entry: FileEntry | None) -> Json:
    """0.9.26: everything but dates."""
    if entry is None:
        return _undated(stat_kernel(path, entry))
    stat = stat_posix(path, entry) | {"owner": "admin", "group": "admin"}
    stat |= {"backend_name": "path_local", "physical_path": entry.etag, "etag": entry.etag}
    stat |= {"version": entry.version, "zone_id": "root"}
    return _undated(stat | ({"entry_type": 0} if entry.readable else {}))


def stat_content_id(path: str, entry: FileEntry | None) -> Json:
    """0.10: everything, with a content id for an etag."""
    stat = stat_posix(path, entry)
    for name in ("created_at", "modified_at"):
        del stat[name]
    stat |= _content_id(entry) if entry else {"content_id": None, "version": 0, "gen": 0}
    stat |= {"entry_type": 0 if entry else 1, "zone_id": "root"}
    stat |= {"created_at_ms": entry and _milliseconds(entry.created_at)}
    stat |= {"modified_at_ms": entry and _milliseconds(entry.modified_at)}
    unknown: Json = dict.fromkeys(("last_writer_address", "link_target", "owner_id"))
    return stat | unknown | {"owner": "admin", "group": "admin"}


def _milliseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


# Results of stat. What has no entry is a directory.


def brief_etag(entry: FileEntry | None) -> Json:
    """0.7.0 and 0.9."""
    return {
        "size": len(entry.content) if entry else 0,
        "etag": entry and entry.etag,
        "version": entry and entry.version,
        "modified_at": entry and entry.modified_at.isoformat(),
        "is_directory": entry is None,
    }


def brief_undated(entry: FileEntry | None) -> Json:
    """0.9.26: no date."""
    return _undated(brief_etag(entry))


def brief_content_id(entry: FileEntry | None) -> Json:
    """0.10: a content id for an etag."""
    brief = brief_etag(entry)
    content_id = brief.pop("etag")
    return brief | {"content_id": content_id, "gen": entry.version if entry else 0}


# Results of metadata_batch.


def metadata_local(path: str, entry: FileEntry) -> Json:
    """0.7.0."""
    return _record(path, entry) | {"tenant_id": None, "is_directory": False}


def metadata_path_local(path: str, entry: FileEntry) -> Json:
    """0.9: files pass for directories here too."""
    record = _record(path, entry) | {"backend_name": "path_local"}
    return record | {"zone_id": "root", "is_directory": True}


def metadata_undated(path: str, entry: FileEntry) -> Json:
    """0.9.26: files are files."""
    record = _undated(_record(path, entry)) | {"backend_name": ""}
    return record | {"zone_id": "root", "is_directory": False}


def metadata_content_id(path: str, entry: FileEntry) -> Json:
    """0.10."""
    return {
        "path": path,
        "size": len(entry.content),
        "mime_type": "application/octet-stream",
        "created_at": entry.created_at.isoformat(),
        "modified_at": entry.modified_at.isoformat(),
        **_content_id(entry),
        "zone_id": "root",
        "is_directory": False,
    }


def _record(path: str, entry: FileEntry, *, naive: bool = False) -> Json:
    zone = None if naive else entry.created_at.tzinfo
    return {
        "path": path,
        "backend_name": "local",
        "physical_path": entry.etag,
        "size": len(entry.content),
        "etag": entry.etag,
        "mime_type": None,
        "created_at": pack_time(entry.created_at.replace(tzinfo=zone)),
        "modified_at": pack_time(entry.modified_at.replace(tzinfo=zone)),
        "version": entry.version,
    }


# Entries of a listing with details. A path without an entry is a directory.


def listed_naive(path: str, entry: FileEntry | None) -> Json:
    """0.5.6: dates without a time zone."""
    return _listed(path, entry, naive=True)


def listed_aware(path: str, entry: FileEntry | None) -> Json:
    """0.7.0 and 0.9."""
    return _listed(path, entry, naive=False)


def listed_undated(path: str, entry: FileEntry | None) -> Json:
    """0.9.26: no dates."""
    return _undated(_listed(path, entry, naive=False))


def _listed(path: str, entry: FileEntry | None, *, naive: bool) -> Json:
    zone = None if naive or entry is None else entry.created_at.tzinfo
    return {
        "path": path,
        "size": len(entry.content) if entry else 0,
        "modified_at": pack_time(entry.modified_at.replace(tzinfo=zone) if entry else None),
        "created_at": pack_time(entry.created_at.replace(tzinfo=zone) if entry else None),
        "etag": entry.etag if entry else None,
        "mime_type": None,
        "is_directory": entry is None,
    }


def listed_content_id(path: str, entry: FileEntry | None) -> Json:
    """0.10: every field of its metadata record."""
    return {
        "path": path,
        "size": len(entry.content) if entry else 4096,
        "content_id": entry and entry.etag,
        "mime_type": "application/octet-stream" if entry else "inode/directory",
        "created_at": entry and entry.created_at.isoformat(),
        "modified_at": entry and entry.modified_at.isoformat(),
        "version": entry.version if entry else 0,
        "zone_id": "root",
        "owner_id": None,
        "entry_type": 0 if entry else 1,
        "target_zone_id": None,
        "ttl_seconds": 0.0,
        "last_writer_address": None,
        "link_target": None,
        "gen": entry.version if entry else 0,
    }


# What is wrong with a path, in JSON-RPC errors.


def bad_path_in_rust(message: str) -> str:
    """0.9.26: the same words, and another spelling of NUL."""
    return message.replace("'\\x00'", "'\\0'")


def bad_path_with_dot(message: str) -> str:
    """0.10, where it looks at many paths at once: one segment more is forbidden."""
    return message.replace("'..' segments", "'.' or '..' segments")
