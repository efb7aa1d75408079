"""`python -m tests.exploration`: see `cli`. Mutants are planted in processes that import this."""

if __name__ == "__main__":
    from tests.exploration.cli import main

    main()
