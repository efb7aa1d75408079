"""What is odd about servers, found by observation and never by their version."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RenameQuirks:
    """What is odd about a server's rename; found by the probe.

    Attributes:
        blocks_in_directories: Renaming a file that lies in a directory blocks the server for half
            a minute, as it updates the file's inherited permissions and waits for its own lock
            (0.5.6). A file at the root has none, so files are staged there.
        loses_content: A renamed file keeps its etag, and its content cannot be read any more
            (0.9.9 to 0.9.18). So a copy is kept under a name that is that etag.
    """

    blocks_in_directories: bool = False
    loses_content: bool = False
