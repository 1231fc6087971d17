"""An S3 server with one bucket and one pair of credentials, started by the test itself."""

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass

import boto3
import requests
from moto.server import ThreadedMotoServer

BUCKET = "gan"


@dataclass(frozen=True)
class S3:
    """Where the server is and what it asks for; every other key is refused."""

    address: str
    key: str
    secret: str

    @property
    def environment(self) -> dict[str, str]:
        """The credentials as a user would export them."""
        return {"AWS_ACCESS_KEY_ID": self.key, "AWS_SECRET_ACCESS_KEY": self.secret}


@contextlib.contextmanager
def s3() -> Iterator[S3]:
    """The server, for as long as the block lasts."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    address = f"http://{host}:{port}"
    before_there_are_users = {
        "endpoint_url": address,
        "region_name": "us-east-1",
        "aws_access_key_id": "nobody",
        "aws_secret_access_key": "nothing",
    }
    try:
        boto3.client("s3", **before_there_are_users).create_bucket(Bucket=BUCKET)
        iam = boto3.client("iam", **before_there_are_users)
        iam.create_user(UserName="gan")
        everything = {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}
        iam.put_user_policy(
            UserName="gan",
            PolicyName="all",
            PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [everything]}),
        )
        made = iam.create_access_key(UserName="gan")["AccessKey"]
        _ask_for_signatures(address, after="0")
        yield S3(address, made["AccessKeyId"], made["SecretAccessKey"])
    finally:
        _ask_for_signatures(address, after="inf")
        server.stop()


def _ask_for_signatures(address: str, after: str) -> None:
    """From the next request but so many on, moto checks who signed; as it starts, it never does."""
    requests.post(f"{address}/moto-api/reset-auth", data=after, timeout=10).raise_for_status()
