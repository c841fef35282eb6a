"""What the tests of the metrics tell of: routes, a model, and a process that is scraped twice."""

ROUTES = ("/", "/readyz", "/v1/images", "/v1/images/<seed>.png", "/v1/grid.png")
MODEL = [("cars", "2")]

SCRAPES = """if True:
    import sys
    from server.api.context import CONTEXT, RequestMiddleware
    from server.observability.exposition import Exposition

    def refuse(environ, start_response):
        environ[CONTEXT].route = "/v1/images/<seed>.png"
        start_response("503 Service Unavailable", [])
        return []

    told = Exposition(["/v1/images/<seed>.png"])
    app = RequestMiddleware(refuse, 30.0)
    sys.stdout.buffer.write(told.text([])[0] + b"--\\n")
    for _ in range(300):
        app({"REQUEST_METHOD": "GET", "PATH_INFO": "/"}, lambda *_: None)
    sys.stdout.buffer.write(told.text([])[0])
"""
"""A process whose first 300 requests fail: what is scraped of it before them, and after."""
