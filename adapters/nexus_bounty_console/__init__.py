"""A console for operators: bounties, their money and what is in doubt, in a browser.

    nexus-bounty console                            on http://127.0.0.1:2028, for this machine
    nexus-bounty console --tokens people.json …     for those who have a token

It shows what the command line shows, by the same functions, and changes nothing but by the
reconciler, by the fences that `explain --resolve` writes, and by `rescue`.

`nexus_bounty_console.app.make_app` makes it for programs that serve it themselves.
"""

from __future__ import annotations

__all__: list[str] = []
"""A command needs none of it imported with the package: what there is is in its modules."""
