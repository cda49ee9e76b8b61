"""`dlkd` and `python -m dlkd`."""

import sys


def main() -> None:
    """Entry point of the command line; one message and exit code 2 where a package that it needs is not installed."""
    try:
        from dlkd.cli import main as run
    except ModuleNotFoundError as error:
        if not error.name or error.name.split(".")[0] == "dlkd":
            raise
        needed = f"dlkd: the command line needs the package {error.name.split('.')[0]}, which is not installed here."
        print(needed, "`pip install dlkd`, without --no-deps, installs all that it needs.", file=sys.stderr)
        print("In Python, dlkd.runtime.Detector needs numpy, Pillow and onnxruntime alone.", file=sys.stderr)
        raise SystemExit(2) from None
    run()


if __name__ == "__main__":
    main()
