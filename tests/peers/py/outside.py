"""Streams and key-value through the gateway with nats-py, with the rights' shorthands alone, for the test suites.

    outside.py '{"url": ..., "ca": ..., "token": ..., "scenarios": [...]}'

One JSON line for each scenario: {"scenario": name, "ok": true} or {"scenario": name, "error": text}.
"""
import asyncio
import json
import ssl
import sys
import traceback

import nats
from nats.js.api import ConsumerConfig, StreamConfig
from nats.js.errors import KeyNotFoundError, KeyWrongLastSequenceError
from nats.js.kv import KV_DEL


def need(condition, message):
    if not condition:
        raise AssertionError(message)


async def refused(attempt, what):
    try:
        await attempt
    except Exception:
        return
    raise AssertionError(f"{what} is allowed")


async def consume(nc):
    js = nc.jetstream(timeout=1)
    sub = await js.pull_subscribe_bind("partner", stream="ORDERS")
    got = []
    while len(got) < 20:
        for message in await sub.fetch(10, timeout=5):
            got.append(int(message.data))
            await message.ack_sync(timeout=5)
    need(got == list(range(20)), f"{got}")
    info = await sub.consumer_info()
    need(info.num_ack_pending == 0, f"{info}")
    await refused(js.stream_info("SECRET"), "another stream")
    await refused(js.purge_stream("ORDERS"), "purging")
    await refused(js.delete_consumer("ORDERS", "partner"), "deleting the consumer")
    await refused(js.add_consumer("ORDERS", ConsumerConfig(durable_name="mine")), "making a consumer")
    await refused(js.add_stream(StreamConfig(name="MINE", subjects=["peer.mine"])), "making a stream")


async def key_value(nc):
    js = nc.jetstream(timeout=1)
    config = await js.key_value("config")
    need((await config.get("limits.max")).value == b"10", "get")
    await refused(config.put("limits.max", b"99"), "writing where one may read")
    state = await js.key_value("state")
    await state.create("py", b"1")
    revision = await state.put("py", b"2")
    await state.update("py", b"3", last=revision)
    need((await state.get("py")).value == b"3", "what was written")
    await state.delete("py")
    await state.purge("py")
    try:
        await state.get("py")
        need(False, "a deleted key is there")
    except KeyNotFoundError:
        pass
    await refused(js.key_value("secret"), "another bucket")
    await refused(js.delete_key_value("state"), "deleting a bucket")


async def reading(nc):
    js = nc.jetstream(timeout=2)
    config = await js.key_value("config")
    need(sorted(await config.keys()) == ["limits.max", "limits.min"], "keys")
    history = [(entry.key, entry.value) for entry in await config.history("limits.max")]
    need(history == [("limits.max", b"9"), ("limits.max", b"10")], f"history: {history}")


async def writing(nc):
    js = nc.jetstream(timeout=2)
    state = await js.key_value("state")
    watcher = await state.watch("seen.*")
    need(await watcher.updates(timeout=5) is None, "nothing at first")
    first = await state.create("seen.a", b"1")
    second = await state.update("seen.a", b"2", last=first)
    try:
        await state.update("seen.a", b"3", last=first)
        need(False, "an update of an old revision was taken")
    except KeyWrongLastSequenceError:
        pass
    await state.put("other", b"x")
    await state.delete("seen.a")
    seen = [await watcher.updates(timeout=5) for _ in range(3)]
    need([(entry.key, entry.value) for entry in seen[:2]] == [("seen.a", b"1"), ("seen.a", b"2")], f"watch: {seen}")
    need(seen[1].revision == second and seen[2].operation == KV_DEL, f"watch: {seen}")
    await watcher.stop()
    need(await state.keys() == ["other"], "a deleted key is listed")


async def main(opts):
    for scenario in opts["scenarios"]:
        result = {"scenario": scenario}
        try:
            tls = ssl.create_default_context(cafile=opts["ca"])
            nc = await nats.connect(opts["url"], tls=tls, token=opts["token"])
            await asyncio.wait_for(globals()[scenario](nc), 35)
            await nc.close()
            result["ok"] = True
        except Exception:
            result["error"] = traceback.format_exc()
        print(json.dumps(result), flush=True)


asyncio.run(main(json.loads(sys.argv[1])))
