"""Entry point of `imgpipe`: hands `pack` to the packer at once, everything else to the commands."""

from __future__ import annotations

import sys


def main() -> None:
    """The console script."""
    # Before the commands are imported: packing a thousand files takes about as long as that.
    if sys.argv[1:2] == ["pack"]:
        from imgpipe.packer import run_packer

        run_packer(sys.argv[2:])
    from imgpipe.cli import main as run_command

    run_command()


if __name__ == "__main__":
    main()
