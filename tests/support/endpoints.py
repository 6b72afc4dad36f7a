"""The endpoints of the HTTP side, without servers behind them."""

from typing import Any

from audit.http.erasures import erasure_endpoints
from audit.http.requests import request_endpoints
from audit.http.routes import audit_endpoints
from projections.http.endpoint import Endpoint
from projections.http.feed.routes import feed_endpoint
from projections.http.query_endpoints import query_endpoints


class _Handlers:
    """Stands for the handlers: their endpoints are described, and never called."""

    def __getattr__(self, _: str) -> Any:
        return self.__getattr__


def all_endpoints() -> tuple[Endpoint, ...]:
    """Every endpoint."""
    handlers: Any = _Handlers()
    return (
        *query_endpoints(handlers),
        *audit_endpoints(handlers),
        *request_endpoints(handlers),
        *erasure_endpoints(handlers),
        feed_endpoint(handlers),
    )
