"""A data set in an object store: moto's server speaks S3 over loopback."""

import json
import sys

import boto3
import pytest

from carfront.commands.generate import MOST_MB
from carfront.datasets.index import INDEX, read_index
from carfront.datasets.s3_store import ONE_REQUEST
from carfront.datasets.seeds import BLOCK
from carfront.datasets.store import opened, store_at
from carfront.datasets.verify import verify
from carfront.datasets.write import new_index, resumed, write
from carfront.errors import DataSetError, Different
from tests.carfront.fakes import FakeSource

moto = pytest.importorskip("moto.server")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
SEEDS = range(6 * BLOCK + 1)
PLACE = "s3://cars/sets/small"


@pytest.fixture(scope="module")
def endpoint():
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def bucket(endpoint, monkeypatch):
    """An empty bucket, which the environment leads to."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    client = boto3.client("s3")
    client.create_bucket(Bucket="cars")
    yield client
    for each in client.list_objects_v2(Bucket="cars").get("Contents", ()):
        client.delete_object(Bucket="cars", Key=each["Key"])
    client.delete_bucket(Bucket="cars")


def generate(source, place=PLACE):
    store = store_at(place)
    index = new_index(source, SEEDS, "tar", 2)
    index.images_per_shard = BLOCK
    with opened(store):
        write(resumed(index, store), source, store, lambda images: None)
    return index


def objects(bucket):
    found = bucket.list_objects_v2(Bucket="cars").get("Contents", ())
    return {each["Key"]: each["LastModified"] for each in found}


def test_shards_and_index_are_objects(bucket):
    index = generate(FakeSource())
    assert {*objects(bucket)} == {f"sets/small/{name}" for name in [INDEX, *index.shards]}
    facts = json.loads(bucket.get_object(Bucket="cars", Key=f"sets/small/{INDEX}")["Body"].read())
    assert facts["complete"] is True


def test_a_large_shard_is_sent_in_one_request_so_that_a_kill_leaves_no_parts(bucket):
    store = store_at(PLACE)
    draft = store.draft("shard-000000.tar")
    with draft.open("wb") as file:
        file.truncate(20_000_000)
    with opened(store):
        store.publish(draft, draft.name)
    found = bucket.head_object(Bucket="cars", Key="sets/small/shard-000000.tar")
    assert found["ContentLength"] == 20_000_000
    assert "-" not in found["ETag"]  # that of parts has their number


def test_the_largest_shard_fits_into_one_request():
    assert MOST_MB * 1_000_000 < ONE_REQUEST.multipart_threshold <= 5_000_000_000


def test_an_interrupted_run_goes_on(bucket):
    def stop(block):
        if block.start == 4 * BLOCK:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        generate(FakeSource(stop))
    before = objects(bucket)
    source = FakeSource()
    index = generate(source)
    assert index.is_complete
    whole = len(before) - 1  # the index is an object too
    assert sorted(source.drawn) == [*SEEDS[whole * BLOCK :]]
    after = objects(bucket)
    assert all(after[key] == before[key] for key in before if not key.endswith(INDEX))


def test_what_lies_there_is_verified(bucket):
    index = generate(FakeSource())
    store = store_at(PLACE)
    known = read_index(store.read(INDEX), PLACE)
    assert verify(known, store, FakeSource(), None, 0, lambda n: None).images_drawn == len(SEEDS)
    name = sorted(index.shards)[2]
    bucket.put_object(Bucket="cars", Key=f"sets/small/{name}", Body=b"other")
    with pytest.raises(Different, match=name):
        verify(known, store, None, 1, 0, lambda images: None)
    store.close()


def test_a_bucket_that_is_not_there_is_a_sentence(bucket):
    with pytest.raises(DataSetError, match=r"^s3://lorries/x cannot be listed: .*NoSuchBucket"):
        generate(FakeSource(), "s3://lorries/x")
    with pytest.raises(DataSetError, match="wanted s3://BUCKET/PREFIX"):
        store_at("s3://")


def test_a_store_without_its_library_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "carfront.datasets.s3_store", None)
    with pytest.raises(DataSetError, match=r"pip install 'carfront\[s3\]'"):
        store_at(PLACE)
