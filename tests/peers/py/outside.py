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
    js = nc.jetstream()
    # As its documentation has it: the stream is found by the subject, and the consumer there is used.
    sub = await js.pull_subscribe("orders.in", durable="partner")
    got = []
    while len(got) < 20:
        for message in await sub.fetch(10, timeout=5):
            got.append(int(message.data))
            await message.ack_sync(timeout=5)
    need(got == list(range(20)), f"{got}")
    info = await sub.consumer_info()
    need(info.num_ack_pending == 0, f"{info}")
    need((await js.consumer_info("ORDERS", "partner")).name == "partner", "info of the consumer")
    need((await js.stream_info("ORDERS")).state.messages == 20, "info of the stream")
    account = await js.account_info()
    need(account.streams == 4, f"figures of others: {account}")
    names = sorted(info.config.name for info in await js.streams_info())
    need(names == ["AUDIT", "KV_config", "KV_state", "ORDERS"], f"{names}")


async def ordered(nc):
    js = nc.jetstream()
    sub = await js.subscribe("audit.in", ordered_consumer=True)
    got = [int((await sub.next_msg(timeout=5)).data) for _ in range(20)]
    need(got == list(range(20)), f"{got}")
    need((await js.get_last_msg("AUDIT", "audit.in")).seq == 20, "the last message")


async def refusals(nc):
    state, config = [await nc.jetstream().key_value(bucket) for bucket in ("state", "config")]
    js = nc.jetstream(timeout=1)
    attempts = {
        "making a stream": js.add_stream(StreamConfig(name="MINE", subjects=["peer.mine"])),
        "changing a stream": js.update_stream(StreamConfig(name="ORDERS", max_msgs=1)),
        "deleting a stream": js.delete_stream("ORDERS"),
        "purging a stream": js.purge_stream("ORDERS"),
        "purging a stream one may read": js.purge_stream("AUDIT"),
        "deleting a message": js.delete_msg("ORDERS", 1),
        "reading a message": js.get_msg("ORDERS", 1),
        "another stream": js.stream_info("SECRET"),
        "finding another stream": js.find_stream_name_by_subject("secret.in"),
        "another consumer": js.consumer_info("SECRET", "partner"),
        "making a consumer": js.add_consumer("ORDERS", ConsumerConfig(durable_name="mine")),
        "changing a consumer": js.add_consumer("ORDERS", ConsumerConfig(durable_name="partner", max_ack_pending=1)),
        "deleting a consumer": js.delete_consumer("ORDERS", "partner"),
        "an ordered consumer of a stream of a group": js.subscribe("orders.in", ordered_consumer=True),
        "writing where one may read": config.put("limits.max", b"99"),
        "deleting where one may read": config.delete("limits.max"),
        "purging where one may read": config.purge("limits.max"),
        "another bucket": js.key_value("secret"),
        "a key of another bucket": js.publish("$KV.secret.a", b"x"),
        "publishing to a stream one may read": js.publish("audit.in", b"x"),
        "deleting a bucket": js.delete_key_value("state"),
        "making a bucket": js.create_key_value(bucket="mine"),
    }
    # At once: each of them costs the whole time.
    await asyncio.gather(*(refused(attempt, what) for what, attempt in attempts.items()))
    await state.put("after", b"1")


async def key_value(nc):
    js = nc.jetstream()
    config = await js.key_value("config")
    need((await config.get("limits.max")).value == b"10", "get")
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


async def reading(nc):
    js = nc.jetstream()
    config = await js.key_value("config")
    need(sorted(await config.keys()) == ["limits.max", "limits.min"], "keys")
    history = [(entry.key, entry.value) for entry in await config.history("limits.max")]
    need(history == [("limits.max", b"9"), ("limits.max", b"10")], f"history: {history}")


async def writing(nc):
    js = nc.jetstream()
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
