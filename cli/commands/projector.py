"""`projector`: builds the read models from the log, until a signal."""

from cli.command import new_app, serve
from cli.options import Json
from cli.services import Role
from cli.serving import serve_role

app = new_app()


@app.command()
def projector(as_json: Json = False) -> None:
    """Run a projector: it builds the read models."""
    serve(serve_role(Role.PROJECTOR), as_json=as_json)
