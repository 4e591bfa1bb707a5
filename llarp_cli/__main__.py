"""`python -m llarp_cli`, the same as `llarp`."""

from llarp_cli.cli import main

if __name__ == "__main__":
    main()
