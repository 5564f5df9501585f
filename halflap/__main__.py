"""`python -m halflap` is `halflap`."""

from halflap.cli import main

if __name__ == "__main__":
    main(prog_name="halflap")
