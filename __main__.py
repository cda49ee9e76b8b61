"""`python -m dlkd`."""

from dlkd.cli import main

if __name__ == "__main__":
    main()
