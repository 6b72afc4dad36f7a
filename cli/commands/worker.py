"""`worker`: takes sync requests and publishes the log, until a signal."""

from cli.command import new_app, serve
from cli.options import Json
from cli.services import Role
from cli.serving import serve_role

app = new_app()


@app.command()
def worker(as_json: Json = False) -> None:
    """Run a worker: it takes sync requests and publishes the log."""
    serve(serve_role(Role.WORKER), as_json=as_json)
