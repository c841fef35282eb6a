"""A data set in an object store that speaks S3. An object is there whole, or not at all.

This module alone imports boto3, which is the extra ``s3``: it finds keys, roles and endpoints where
AWS's own tools do (``AWS_PROFILE``, ``AWS_ENDPOINT_URL``, a pod's role, ...).
"""

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import boto3
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from carfront.errors import BadArgument, DataSetError

PARALLEL = 4
"""The shards that are sent at the same time: an object store is slow to answer."""
TRIES = 10
"""The attempts of each request to the store."""
ONE_REQUEST = TransferConfig(multipart_threshold=5_000_000_000)
"""A shard is sent in one request, as stores take up to 5 GB: parts of one that a kill has cut short
would stay in the bucket, unseen, and cost money. Source: Amazon S3 quotas."""


class S3Store:
    """The data set below ``place``, ``s3://BUCKET/PREFIX``; shards wait in a temporary folder."""

    parallel = PARALLEL

    def __init__(self, place: str) -> None:
        bucket, _, prefix = place.removeprefix("s3://").strip("/").partition("/")
        if not bucket:
            raise BadArgument(f"output is {place!r}; wanted s3://BUCKET/PREFIX")
        self.place = f"s3://{bucket}/{prefix}".rstrip("/")
        self._bucket = bucket
        self._prefix = f"{prefix}/" if prefix else ""
        retries: Any = {"max_attempts": TRIES, "mode": "standard"}
        self._client: Any = boto3.client("s3", config=Config(retries=retries))
        self._folder: Path | None = None

    def open(self) -> None:
        """Check that the bucket is there.

        Raises:
            DataSetError: it is not, or may not be read.
        """
        ask = self._client.list_objects_v2
        self._said("cannot be listed", ask, Prefix=self._prefix, MaxKeys=1)

    def close(self) -> None:
        """Remove the drafts that wait here."""
        if self._folder:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    def names(self) -> set[str]:
        """Return the names of the objects that are there."""
        pages = self._client.get_paginator("list_objects_v2")
        found = pages.paginate(Bucket=self._bucket, Prefix=self._prefix)
        keys = [each["Key"] for page in found for each in page.get("Contents", ())]
        return {key[len(self._prefix) :] for key in keys}

    def read(self, name: str) -> bytes | None:
        """Return the content of a small object, None if it is not there."""
        try:
            answer = self._client.get_object(Bucket=self._bucket, Key=self._prefix + name)
        except self._client.exceptions.NoSuchKey:
            return None
        except (BotoCoreError, ClientError) as error:
            raise DataSetError(f"{self.place}/{name} cannot be read: {error}") from error
        return bytes(answer["Body"].read())

    def write(self, name: str, data: bytes) -> None:
        """Put a small object there, in place of the one before."""
        key = self._prefix + name
        self._said("cannot be written", self._client.put_object, Key=key, Body=data)

    def draft(self, name: str) -> Path:
        """Return the path of the draft of the object ``name``, in the temporary folder."""
        return self._temporary() / name

    def publish(self, draft: Path, name: str) -> None:
        """Send the whole draft, and remove it here."""
        key = self._prefix + name
        try:
            self._client.upload_file(str(draft), self._bucket, key, Config=ONE_REQUEST)
        except (BotoCoreError, ClientError, boto3.exceptions.S3UploadFailedError) as error:
            raise DataSetError(f"{self.place}/{name} cannot be written: {error}") from error
        draft.unlink()

    def fetch(self, name: str) -> Path:
        """Return the path of a copy of the object ``name``.

        Raises:
            DataSetError: it is not there, or cannot be read.
        """
        path = self._temporary() / name
        try:
            self._client.download_file(self._bucket, self._prefix + name, str(path))
        except (BotoCoreError, ClientError) as error:
            raise DataSetError(f"{self.place}/{name} cannot be read: {error}") from error
        return path

    def forget(self, path: Path) -> None:
        """Remove the copy at ``path``."""
        path.unlink()

    def _temporary(self) -> Path:
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix=f"carfront-{os.getpid()}-"))
        return self._folder

    def _said(self, why: str, call: Any, **arguments: Any) -> None:
        """Call the store.

        Raises:
            DataSetError: it refused; the message is its own.
        """
        try:
            call(Bucket=self._bucket, **arguments)
        except (BotoCoreError, ClientError) as error:
            raise DataSetError(f"{self.place} {why}: {error}") from error
