"""Let `python -m greenroom` be the `greenroom` command."""

from greenroom.cli import main

main(prog_name="greenroom")
