"""Streams, consumers, key-value and objects with nats-py, for the test suites.

    streams.py '{"url": ..., "user": ..., "password": ..., "scenarios": [...]}'

One JSON line for each scenario: {"scenario": name, "ok": true} or {"scenario": name, "error": text}.
"""
import asyncio
import json
import sys
import traceback

import nats
from nats.js.api import ConsumerConfig, KeyValueConfig, StorageType, StreamConfig
from nats.js.errors import KeyNotFoundError, KeyWrongLastSequenceError, NotFoundError
from nats.js.kv import KV_DEL


def need(condition, message):
    if not condition:
        raise AssertionError(message)


async def publish_and_pull(nc):
    js = nc.jetstream()
    await js.add_stream(StreamConfig(name="PULL", subjects=["pull.>"]))
    for number in range(50):
        ack = await js.publish(f"pull.{number % 5}", str(number).encode(), headers={"Nats-Msg-Id": f"m{number}"})
        need(ack.seq == number + 1 and not ack.duplicate, f"{ack}")
    again = await js.publish("pull.0", b"0", headers={"Nats-Msg-Id": "m0"})
    need(again.duplicate and again.seq == 1, f"a duplicate was taken: {again}")
    sub = await js.pull_subscribe("pull.*", durable="workers")
    got = []
    while len(got) < 50:
        for message in await sub.fetch(20, timeout=5):
            got.append(int(message.data))
            await message.ack_sync(timeout=5)
    need(got == list(range(50)), f"{got}")
    info = await sub.consumer_info()
    need(info.num_ack_pending == 0 and info.ack_floor.stream_seq == 50, f"{info}")


async def redelivery(nc):
    js = nc.jetstream()
    await js.add_stream(StreamConfig(name="AGAIN", subjects=["again"], storage=StorageType.MEMORY))
    await js.publish("again", b"x")
    config = ConsumerConfig(durable_name="c", ack_wait=0.5, max_deliver=3)
    sub = await js.pull_subscribe("again", durable="c", config=config)
    first = (await sub.fetch(1, timeout=5))[0]
    need(first.metadata.num_delivered == 1, "first delivery")
    await first.nak()
    second = (await sub.fetch(1, timeout=5))[0]
    need(second.metadata.num_delivered == 2, "after -NAK")
    third = (await sub.fetch(1, timeout=5))[0]
    need(third.metadata.num_delivered == 3, "after the wait for its acknowledgement")
    await third.term()


async def push_and_ordered(nc):
    js = nc.jetstream()
    await js.add_stream(StreamConfig(name="PUSH", subjects=["push.>"]))
    for number in range(200):
        await js.publish("push.x", str(number).encode())
    got = []
    sub = await js.subscribe("push.>", ordered_consumer=True)
    for _ in range(200):
        got.append(int((await sub.next_msg(timeout=5)).data))
    need(got == list(range(200)), "an ordered consumer keeps the order")
    queue = await js.subscribe("push.x", queue="members", durable="members", manual_ack=True)
    message = await queue.next_msg(timeout=5)
    await message.ack()


async def registry(nc):
    """As go-micro keeps services: a bucket in memory, keys that go when nobody renews them, watched by prefix."""
    js = nc.jetstream()
    kv = await js.create_key_value(KeyValueConfig(bucket="service-registry", storage=StorageType.MEMORY, ttl=1.5))
    watcher = await kv.watch("users.*")
    need(await watcher.updates(timeout=5) is None, "nothing at first")
    await kv.put("users.a", b"one")
    await kv.put("orders.a", b"other")
    await kv.put("users.b", b"two")
    seen = [await watcher.updates(timeout=5) for _ in range(2)]
    need([entry.key for entry in seen] == ["users.a", "users.b"], f"{seen}")
    need(sorted(await kv.keys()) == ["orders.a", "users.a", "users.b"], "all keys")
    await kv.delete("users.a")
    gone = await watcher.updates(timeout=5)
    need(gone.key == "users.a" and gone.operation == KV_DEL, f"{gone}")
    # Renewed, users.b outlives the bucket's time; the rest is gone.
    for _ in range(4):
        await asyncio.sleep(0.5)
        await kv.put("users.b", b"two")
    need(await kv.keys() == ["users.b"], f"{await kv.keys()}")


async def key_value(nc):
    js = nc.jetstream()
    kv = await js.create_key_value(KeyValueConfig(bucket="config", history=5))
    first = await kv.put("a", b"1")
    second = await kv.update("a", b"2", last=first)
    try:
        await kv.update("a", b"3", last=first)
        need(False, "an update of an old revision was taken")
    except KeyWrongLastSequenceError:
        pass
    entry = await kv.get("a")
    need(entry.value == b"2" and entry.revision == second, f"{entry}")
    need([e.value for e in await kv.history("a")] == [b"1", b"2"], "history")
    await kv.purge("a")
    try:
        await kv.get("a")
        need(False, "a purged key is there")
    except KeyNotFoundError:
        pass
    status = await kv.status()
    need(status.values == 1, f"{status}")
    await js.delete_key_value("config")


async def objects(nc):
    js = nc.jetstream()
    store = await js.create_object_store("files")
    data = bytes(range(256)) * 2000
    info = await store.put("big", data)
    need(info.size == len(data) and info.chunks > 1, f"{info}")
    need((await store.get("big")).data == data, "what comes back is what went in")
    need([entry.name for entry in await store.list()] == ["big"], "list")
    await store.delete("big")
    try:
        await store.get("big")
        need(False, "a deleted object is there")
    except NotFoundError:
        pass


async def main(opts):
    for scenario in opts["scenarios"]:
        result = {"scenario": scenario}
        try:
            nc = await nats.connect(opts["url"], user=opts.get("user"), password=opts.get("password"))
            await asyncio.wait_for(globals()[scenario](nc), 60)
            await nc.close()
            result["ok"] = True
        except Exception:
            result["error"] = traceback.format_exc()
        print(json.dumps(result), flush=True)


asyncio.run(main(json.loads(sys.argv[1])))
