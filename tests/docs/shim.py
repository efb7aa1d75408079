"""Runs a program in the warm process as if it were run here, and ends as it ends.

Its first argument is the warm process's socket, its second the name that it was called by. It
imports next to nothing, as it is started for every command of the documentation.
"""

import json
import os
import signal
import socket
import struct
import sys


def ask(path: str, arguments: list[str]) -> socket.socket:
    """Start the program; a connection on which its number is followed by its exit code."""
    here = os.getcwd()  # noqa: PTH109 - pathlib takes longer to import than all the rest
    asked = {"arguments": arguments, "directory": here, "environment": dict(os.environ)}
    said = json.dumps(asked).encode()
    warm = socket.socket(socket.AF_UNIX)
    warm.connect(path)
    socket.send_fds(warm, [struct.pack("!I", len(said))], (0, 1, 2))
    warm.sendall(said)
    return warm


def _number(warm: socket.socket, form: str) -> int:
    number: int = struct.unpack(form, warm.recv(4, socket.MSG_WAITALL))[0]
    return number


def main() -> int:
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where tests run with &
    warm = ask(sys.argv[1], sys.argv[2:])
    process = _number(warm, "!I")
    while True:
        try:
            code = _number(warm, "!i")
        except KeyboardInterrupt:
            os.kill(process, 2)
        else:
            return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main())
