"""An S3 server with one bucket and one pair of credentials, started by the test itself."""

import contextlib
import json
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import boto3
import requests
from moto.moto_server.werkzeug_app import (
    DomainDispatcherApplication,
    MotoRequestHandler,
    create_backend_app,
)
from werkzeug.serving import make_server

BUCKET = "gan"
# What Ceph answers; Amazon's buckets have no end, and each other store has a code of its own.
_FULL = (
    b"<?xml version='1.0'?><Error><Code>QuotaExceeded</Code><Message>bucket full</Message></Error>"
)


@dataclass
class S3:
    """Where the server is and what it asks for; every other key is refused.

    `full`: whether what is to be put is refused, for want of room.
    """

    address: str
    key: str
    secret: str
    full: bool = False

    @property
    def environment(self) -> dict[str, str]:
        """The credentials as a user would export them."""
        return {"AWS_ACCESS_KEY_ID": self.key, "AWS_SECRET_ACCESS_KEY": self.secret}

    @property
    def client(self) -> Any:
        return boto3.client(
            "s3",
            endpoint_url=self.address,
            region_name="us-east-1",
            aws_access_key_id=self.key,
            aws_secret_access_key=self.secret,
        )

    def names(self, prefix: str = "") -> list[str]:
        """The keys of all that is in the bucket."""
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix)
        return [item["Key"] for page in pages for item in page.get("Contents", [])]


class _Quiet(MotoRequestHandler):
    def log(self, *_: object) -> None: ...


@contextlib.contextmanager
def s3(host: str = "127.0.0.1") -> Iterator[S3]:
    """The server, for as long as the block lasts."""
    made = S3("", "", "")
    moto = DomainDispatcherApplication(create_backend_app)

    def application(environment: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        if made.full and environment["REQUEST_METHOD"] == "PUT":
            environment["wsgi.input"].read(int(environment.get("CONTENT_LENGTH") or 0))
            start("403 Forbidden", [("Content-Type", "application/xml")])
            return [_FULL]
        answer: Iterable[bytes] = moto(environment, start)
        return answer

    server = make_server(host, 0, application, threaded=True, request_handler=_Quiet)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    made.address = f"http://{host}:{server.port}"
    before_there_are_users = {
        "endpoint_url": made.address,
        "region_name": "us-east-1",
        "aws_access_key_id": "nobody",
        "aws_secret_access_key": "nothing",
    }
    try:
        requests.post(f"{made.address}/moto-api/reset", timeout=10).raise_for_status()
        boto3.client("s3", **before_there_are_users).create_bucket(Bucket=BUCKET)
        iam = boto3.client("iam", **before_there_are_users)
        iam.create_user(UserName="gan")
        everything = {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}
        iam.put_user_policy(
            UserName="gan",
            PolicyName="all",
            PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [everything]}),
        )
        keys = iam.create_access_key(UserName="gan")["AccessKey"]
        _ask_for_signatures(made.address, after="0")
        made.secret, made.key = keys["SecretAccessKey"], keys["AccessKeyId"]
        yield made
    finally:
        _ask_for_signatures(made.address, after="inf")
        server.shutdown()


def _ask_for_signatures(address: str, after: str) -> None:
    """From the next request but so many on, moto checks who signed; as it starts, it never does."""
    requests.post(f"{address}/moto-api/reset-auth", data=after, timeout=10).raise_for_status()
