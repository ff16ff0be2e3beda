"""`python -m imgpipe` is the same as the console script `imgpipe`."""

from imgpipe.cli import main

if __name__ == "__main__":
    main()
