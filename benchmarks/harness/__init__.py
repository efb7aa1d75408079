"""What the benchmarks share: a server in another process, peers, rounds, tables, charts."""
