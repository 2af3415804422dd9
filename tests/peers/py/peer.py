"""Drives nats-py for the test suites.

    peer.py scenarios|serve|call|collect|publish '{"url": ..., ...}'

Options (JSON): url, token, user, password, ca, cert, key, server_name, tls_first, prefix, denied,
scenarios, count, subject, queue, seconds. Every result is one JSON line on stdout.
"""
import asyncio
import itertools
import json
import os
import ssl
import sys
import time

import nats
from nats.errors import Error as NatsError
from nats.errors import MaxPayloadError, NoRespondersError

WAIT = 20.0


def say(**fields):
    print(json.dumps(fields), flush=True)


def tls_context(opts):
    if not (opts.get("ca") or opts.get("cert")):
        return None
    context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=opts.get("ca"))
    if opts.get("cert"):
        context.load_cert_chain(opts["cert"], opts["key"])
    if opts.get("tls_versions") == "1.2":
        context.maximum_version = ssl.TLSVersion.TLSv1_2
    return context


class Errors:
    """Collects what the server said through -ERR on one connection."""

    def __init__(self):
        self.seen = []
        self.more = asyncio.Event()

    async def note(self, error):
        self.seen.append(str(error))
        self.more.set()

    async def wait_for(self, words):
        end = time.monotonic() + WAIT
        while True:
            found = [e for e in self.seen if words in e.lower()]
            if found:
                return found[0]
            self.more.clear()
            await asyncio.wait_for(self.more.wait(), max(0.01, end - time.monotonic()))


async def connect(opts, **more):
    args = {"servers": opts["url"], "connect_timeout": 5, "allow_reconnect": False, "max_reconnect_attempts": 1}
    if "error_cb" not in more:
        args["error_cb"] = Errors().note
    for key in ("token", "user", "password"):
        if opts.get(key):
            args[key] = opts[key]
    context = tls_context(opts)
    if context:
        args["tls"] = context
        args["tls_handshake_first"] = bool(opts.get("tls_first"))
        if opts.get("server_name"):
            args["tls_hostname"] = opts["server_name"]
    if opts.get("inbox_prefix"):
        args["inbox_prefix"] = opts["inbox_prefix"].encode()
    args.update(more)
    return await nats.connect(**args)


fences = itertools.count()


async def settle(nc, opts):
    """The server has worked on everything sent before. `flush` does not tell: in nats-py its PING may overtake
    operations that are still buffered."""
    subject = f"{opts.get('prefix', 'peer.py')}.fence.{os.getpid()}.{next(fences)}"
    sub = await nc.subscribe(subject)
    await nc.publish(subject, b"")
    await sub.next_msg(WAIT)
    await sub.unsubscribe()


def need(condition, message):
    if not condition:
        raise AssertionError(message)


async def s_connect(opts, subject):
    nc = await connect(opts)
    await nc.flush(WAIT)
    await nc.close()


async def s_pubsub(opts, subject):
    nc = await connect(opts)
    sub = await nc.subscribe(subject)
    await settle(nc, opts)
    for i in range(10):
        await nc.publish(subject, b"m%d" % i)
    got = [(await sub.next_msg(WAIT)).data for _ in range(10)]
    need(got == [b"m%d" % i for i in range(10)], f"order or content: {got}")
    await nc.close()


async def s_wildcard(opts, subject):
    nc = await connect(opts)
    star = await nc.subscribe(f"{subject}.*.c")
    tail = await nc.subscribe(f"{subject}.>")
    await settle(nc, opts)
    for name in ("a.c", "b.c", "a.b.c", "a"):
        await nc.publish(f"{subject}.{name}", name.encode())
    await settle(nc, opts)
    starred = [(await star.next_msg(WAIT)).data for _ in range(2)]
    tailed = [(await tail.next_msg(WAIT)).data for _ in range(4)]
    need(starred == [b"a.c", b"b.c"], f"*: {starred}")
    need(tailed == [b"a.c", b"b.c", b"a.b.c", b"a"], f">: {tailed}")
    await nc.close()


async def s_queue(opts, subject):
    count = 300
    members = [await connect(opts) for _ in range(3)]
    got, done = [[] for _ in members], asyncio.Event()

    def receiver(i):
        async def receive(msg):
            got[i].append(int(msg.data))
            if sum(map(len, got)) >= count:
                done.set()

        return receive

    for i, nc in enumerate(members):
        await nc.subscribe(subject, queue="workers", cb=receiver(i))
        await settle(nc, opts)
    publisher = await connect(opts)
    for i in range(count):
        await publisher.publish(subject, b"%d" % i)
    await settle(publisher, opts)
    await asyncio.wait_for(done.wait(), WAIT)
    for nc in members:
        await settle(nc, opts)
    need(sorted(sum(got, [])) == list(range(count)), "each message exactly once")
    need(all(got), f"a member got nothing: {list(map(len, got))}")
    for nc in [*members, publisher]:
        await nc.close()


async def s_request(opts, subject):
    server, client = await connect(opts), await connect(opts)

    async def answer(msg):
        await msg.respond(b"re:" + msg.data)

    await server.subscribe(subject, cb=answer)
    await settle(server, opts)
    for i in range(20):
        reply = await client.request(subject, b"%d" % i, timeout=WAIT)
        need(reply.data == b"re:%d" % i, f"reply {reply.data}")
    await server.close()
    await client.close()


async def s_headers(opts, subject):
    server, client = await connect(opts), await connect(opts)
    seen = {}

    async def answer(msg):
        seen.update(msg.headers or {})
        await server.publish(msg.reply, b"", headers={"X-Back": "yes", "X-Empty": ""})

    await server.subscribe(subject, cb=answer)
    await settle(server, opts)
    reply = await client.request(subject, b"body", timeout=WAIT, headers={"X-To": "there", "Traceparent": "00-ab-cd-01"})
    need(seen == {"X-To": "there", "Traceparent": "00-ab-cd-01"}, f"there: {seen}")
    need(reply.headers.get("X-Back") == "yes", f"back: {reply.headers}")
    await server.close()
    await client.close()


async def s_no_responders(opts, subject):
    nc = await connect(opts)
    start = time.monotonic()
    try:
        await nc.request(subject, b"anyone?", timeout=WAIT)
        raise AssertionError("somebody answered")
    except NoRespondersError:
        pass
    need(time.monotonic() - start < 2.0, "the 503 came late")
    await nc.close()


async def survives(nc, subject):
    """The connection still works after an error."""
    sub = await nc.subscribe(subject)
    await nc.publish(subject, b"alive")
    need((await sub.next_msg(WAIT)).data == b"alive", "the connection did not survive")


async def s_deny_publish(opts, subject):
    errors = Errors()
    nc = await connect(opts, error_cb=errors.note)
    await nc.publish(opts["denied"], b"x")
    await errors.wait_for("permissions violation for publish")
    await survives(nc, subject)
    await nc.close()


async def s_deny_subscribe(opts, subject):
    errors = Errors()
    nc = await connect(opts, error_cb=errors.note)
    await nc.subscribe(opts["denied"])
    await errors.wait_for("permissions violation for subscription")
    await survives(nc, subject)
    await nc.close()


async def s_drain(opts, subject):
    count = 200
    nc, publisher = await connect(opts), await connect(opts)
    got = []

    async def receive(msg):
        got.append(msg.data)
        await asyncio.sleep(0)

    await nc.subscribe(subject, cb=receive)
    await settle(nc, opts)
    for i in range(count):
        await publisher.publish(subject, b"%d" % i)
    await settle(publisher, opts)
    await settle(nc, opts)
    await nc.drain()
    need(len(got) == count, f"{len(got)} of {count} handled before the drain ended")
    need(nc.is_closed, "drained but open")
    await publisher.close()


async def s_flush(opts, subject):
    nc = await connect(opts)
    start = time.monotonic()
    for _ in range(20):
        await nc.flush(WAIT)
    need(time.monotonic() - start < 10.0, "20 round trips took 10 s")
    await nc.close()


async def s_payload(opts, subject):
    nc = await connect(opts)
    limit = nc.max_payload
    sub = await nc.subscribe(subject)
    await nc.publish(subject, b"x" * limit)
    need(len((await sub.next_msg(WAIT)).data) == limit, "the largest payload changed its size")
    try:
        await nc.publish(subject, b"x" * (limit + 1))
        raise AssertionError("one byte more was accepted")
    except MaxPayloadError:
        pass
    await nc.close()


async def s_reconnect(opts, subject):
    again = asyncio.Event()

    async def reconnected():
        again.set()

    nc = await connect(opts, allow_reconnect=True, max_reconnect_attempts=100, reconnect_time_wait=0.1, reconnected_cb=reconnected)
    sub = await nc.subscribe(subject)
    await settle(nc, opts)
    say(waiting="reconnect")
    await asyncio.wait_for(again.wait(), WAIT)
    await settle(nc, opts)
    await nc.publish(subject, b"back")
    need((await sub.next_msg(WAIT)).data == b"back", "the subscription did not come back")
    await nc.close()


def fresh_token(opts):
    with open(opts["token_file"]) as file:
        return file.read()


async def s_expiry(opts, subject):
    """Rights end twice; each time the client comes back by itself with a fresh token."""
    again = asyncio.Queue()

    async def reconnected():
        again.put_nowait(None)

    nc = await connect(opts, token=lambda: fresh_token(opts), allow_reconnect=True, max_reconnect_attempts=100,
                       reconnect_time_wait=0.1, reconnected_cb=reconnected)
    sub = await nc.subscribe(subject)
    await settle(nc, opts)
    for _ in range(2):
        await asyncio.wait_for(again.get(), WAIT)
    await nc.publish(subject, b"back")
    need((await sub.next_msg(WAIT)).data == b"back", "the subscription did not come back")
    await nc.close()


async def s_renew(opts, subject):
    """Told in time, the client shows a fresh token and goes on without a break."""
    broken = []

    async def disconnected():
        broken.append(True)

    nc = await connect(opts, token=fresh_token(opts), disconnected_cb=disconnected)
    notice = await nc.subscribe("$GATEHOUSE.AUTH.EXPIRING")
    sub = await nc.subscribe(subject)
    told = json.loads((await notice.next_msg(WAIT)).data)
    answer = await nc.request(told["renew"], fresh_token(opts).encode(), timeout=WAIT)
    answer = json.loads(answer.data)
    need(answer["ok"] and answer["expires_at"] > told["expires_at"], f"not renewed: {answer}")
    await asyncio.sleep(max(0, told["expires_at"] - time.time()) + 0.5)
    need(not broken, "the connection broke")
    await nc.publish(subject, b"still")
    need((await sub.next_msg(WAIT)).data == b"still", "the subscription did not live on")
    await nc.close()


async def s_throughput(opts, subject):
    count = 10_000
    nc, publisher = await connect(opts), await connect(opts)
    sub = await nc.subscribe(subject, pending_msgs_limit=-1, pending_bytes_limit=-1)
    await settle(nc, opts)
    start = time.monotonic()
    for i in range(count):
        await publisher.publish(subject, b"%d" % i)
    await settle(publisher, opts)
    for i in range(count):
        got = (await sub.next_msg(WAIT)).data
        need(got == b"%d" % i, f"expected {i}, got {got}")
    await nc.close()
    await publisher.close()
    return {"per_second": round(count / (time.monotonic() - start))}


async def scenarios(opts):
    for name in opts["scenarios"]:
        start = time.monotonic()
        try:
            work = globals()[f"s_{name}"](opts, f"{opts.get('prefix', 'peer.py')}.{name}")
            more = await asyncio.wait_for(work, 60) or {}
            say(scenario=name, ok=True, ms=round((time.monotonic() - start) * 1000), **more)
        except (AssertionError, NatsError, OSError, asyncio.TimeoutError, ssl.SSLError) as error:
            say(scenario=name, ok=False, error=f"{type(error).__name__}: {error}")


async def stdin_closed():
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    await reader.read()


async def serve(opts):
    """Answers requests with what was asked, headers too, until stdin is closed."""
    nc = await connect(opts)

    async def answer(msg):
        if msg.reply:
            await nc.publish(msg.reply, b"py:" + msg.data, headers=dict(msg.headers) if msg.headers else None)

    await nc.subscribe(opts["subject"], queue=opts.get("queue", ""), cb=answer)
    await settle(nc, opts)
    say(ready=True)
    await stdin_closed()
    await nc.drain()


async def call(opts):
    nc = await connect(opts)
    answers = []
    for i in range(opts.get("count", 1)):
        reply = await nc.request(opts["subject"], b"%d" % i, timeout=WAIT, headers={"N": str(i)})
        need((reply.headers or {}).get("N") == str(i), f"header of answer {i}: {reply.headers}")
        answers.append(reply.data.decode())
    say(answers=answers)
    await nc.close()


async def publish(opts):
    nc = await connect(opts)
    for i in range(opts["count"]):
        await nc.publish(opts["subject"], b"%d" % i)
    await settle(nc, opts)
    say(published=opts["count"])
    await nc.close()


async def collect(opts):
    """Prints what arrived, when `count` messages have or `seconds` are over."""
    nc = await connect(opts)
    sub = await nc.subscribe(opts["subject"], queue=opts.get("queue", ""), pending_msgs_limit=-1)
    await settle(nc, opts)
    say(ready=True)
    got, end = [], time.monotonic() + opts.get("seconds", WAIT)
    while len(got) < opts["count"] and time.monotonic() < end:
        try:
            got.append((await sub.next_msg(end - time.monotonic())).data.decode())
        except nats.errors.TimeoutError:
            break
    say(collected=got)
    await nc.close()


def main():
    mode, opts = sys.argv[1], json.loads(sys.argv[2])
    asyncio.run({"scenarios": scenarios, "serve": serve, "call": call, "collect": collect, "publish": publish}[mode](opts))


main()
