"""The demo program: what plays, and what it shows."""
