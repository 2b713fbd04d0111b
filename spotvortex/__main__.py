"""`python -m spotvortex`."""

from spotvortex.cli.main import main

if __name__ == "__main__":
    main()
