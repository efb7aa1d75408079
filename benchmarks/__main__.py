"""Run all benchmarks: `make bench`, or `python -m benchmarks [--full] [--json] [--rounds N]`.

Each can be run alone, too: `python benchmarks/listings.py --help`. Tables, figures and charts go
to `benchmarks/results`, and `python -m benchmarks.harness.page` rewrites the documentation's tables
from them. With --json the last line is every figure as JSON. With --live 0.7.0 (or 0.9.18, 0.5.6)
a real server is measured instead, 0, 5 and 50 ms away, beside the obvious client and raw httpx.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from benchmarks import (
    cold_start,
    concurrency,
    durable_steps,
    fault_cost,
    kinds,
    ledger_throughput,
    life_cycles,
    listings,
    mock_ceiling,
    overhead,
    postgres_throughput,
    reconciler,
    request_counts,
    transition_cpu,
    transports,
)
from benchmarks.harness import live
from benchmarks.harness.circumstances import Circumstances
from benchmarks.harness.options import Options
from benchmarks.harness.running import Benchmark, merged, run

EVERY: Sequence[Benchmark] = [
    request_counts.measure,
    life_cycles.measure,
    kinds.measure,
    listings.measure,
    overhead.measure,
    transition_cpu.measure,
    transports.measure,
    fault_cost.measure,
    concurrency.measure,
    reconciler.measure,
    ledger_throughput.measure,
    postgres_throughput.measure,
    durable_steps.measure,
    mock_ceiling.measure,
    cold_start.measure,
]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run them one after another."""
    options = Options.parse(__doc__ or "", arguments)
    chosen = EVERY if options.live is None else [live.measure]
    circumstances = Circumstances.now(options)
    reports = [run(benchmark, options, circumstances) for benchmark in chosen]
    if options.json:
        print(json.dumps(merged(reports)))


if __name__ == "__main__":
    main()
