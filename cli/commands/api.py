"""`api`: the HTTP side, until a signal."""

import asyncio
import json
from functools import partial

from cli.command import new_app, serve
from cli.options import Json
from cli.serving_api import serving_api
from cli.settings import Settings
from cli.waiting import until_stopped

app = new_app()


@app.command()
def api(as_json: Json = False) -> None:
    """Run the HTTP side: queries, requests, the live feed, the page."""
    serve(partial(_work, as_json=as_json), as_json=as_json)


async def _work(settings: Settings, *, as_json: bool) -> int:
    async def work() -> None:
        async with serving_api(settings) as served:
            ready = {"ready": True, "http": served.url}
            print(json.dumps(ready) if as_json else f"ready http={served.url}", flush=True)
            await asyncio.shield(served.background)

    await until_stopped(work())
    return 0
