"""`python -m tests.simulation`: see `cli`. Mutants are planted in processes that import this."""

if __name__ == "__main__":
    from tests.simulation.cli import main

    main()
