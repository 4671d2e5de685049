"""An S3 server in a process of its own: prints its port, then serves until it is ended.

In a process of its own because the sample origin's S3 server empties all of moto's buckets when it starts.
"""

import sys

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import make_server


class Quiet(MotoRequestHandler):  # type: ignore[misc]
    def log(self, *_: object) -> None:
        pass


if __name__ == "__main__":
    server = make_server("127.0.0.1", 0, DomainDispatcherApplication(create_backend_app), True, request_handler=Quiet)
    print(server.server_address[1])  # noqa: T201 - read by the fixture
    sys.stdout.flush()
    server.serve_forever()
