"""The `greenroom` command; a file per room."""
