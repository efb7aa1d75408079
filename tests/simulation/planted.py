"""A pytest plugin that plants a mutant before anything of the library is imported.

PLANTED='the name of a binding' python -m pytest -p tests.simulation.planted …
"""

from __future__ import annotations

import os

from tests.simulation.bindings import BINDINGS
from tests.simulation.mutation import plant

plant(next(each.mutant for each in BINDINGS if each.mutant.name == os.environ["PLANTED"]))
