"""The web app: server and built page."""
