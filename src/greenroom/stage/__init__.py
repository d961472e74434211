"""The web app: server and built page."""

from greenroom.observers.hub import Hub as Hub
from greenroom.stage.server import ServerHandle as ServerHandle
from greenroom.stage.server import create_app as create_app
from greenroom.stage.server import serve_in_thread as serve_in_thread
