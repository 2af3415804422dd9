// Drives the two generations of nats.js for the test suites.
//
//     peer.mjs scenarios|serve|call|collect|publish '{"url": ..., ...}'
//
// Options (JSON): package ("@nats-io/transport-node" or "nats"), url, token, user, password, ca, cert, key,
// tls_first, prefix, denied, scenarios, count, subject, queue, seconds. Every result is one JSON line on stdout.
// The packages are looked up in $GATEHOUSE_PEERS/js.
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import { join } from "node:path";

const [mode, json] = process.argv.slice(2);
const opts = JSON.parse(json);
const require = createRequire(join(process.env.GATEHOUSE_PEERS, "js", "x.cjs"));
const lib = require(opts.package ?? "@nats-io/transport-node");
const makeHeaders = lib.headers ?? require("@nats-io/nats-core").headers;
const WAIT = 20_000;

const say = (fields) => process.stdout.write(JSON.stringify(fields) + "\n");
const bytes = (text) => new TextEncoder().encode(text);
const text = (data) => new TextDecoder().decode(data);

function connect(more = {}) {
  const args = { servers: opts.url, timeout: 5000, reconnect: false, ...more };
  if (opts.token) args.token = opts.token;
  if (opts.user) Object.assign(args, { user: opts.user, pass: opts.password });
  if (opts.ca || opts.cert) {
    args.tls = { handshakeFirst: Boolean(opts.tls_first) };
    if (opts.ca) args.tls.ca = readFileSync(opts.ca, "utf8");
    if (opts.cert) Object.assign(args.tls, { cert: readFileSync(opts.cert, "utf8"), key: readFileSync(opts.key, "utf8") });
  }
  return lib.connect(args);
}

const freshToken = () => readFileSync(opts.token_file, "utf8");

function within(promise, what) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no ${what} within ${WAIT} ms`)), WAIT);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** Takes `count` messages off a subscription, as texts. */
async function take(sub, count) {
  const got = [];
  const reading = (async () => {
    for await (const m of sub) {
      got.push(text(m.data));
      if (got.length === count) return got;
    }
    throw new Error(`the subscription ended after ${got.length} of ${count}`);
  })();
  return within(reading, `message ${count}`).catch((e) => {
    throw new Error(`${e.message}; got ${got.length}: ${got.slice(-3)}`);
  });
}

/** The first asynchronous error of the connection that has `words` in it, whichever generation reports it how. */
function errorWith(nc, words) {
  const reading = (async () => {
    for await (const s of nc.status()) {
      const said = [s.data, s.error?.message, s.permissionContext && JSON.stringify(s.permissionContext)].filter(Boolean).join(" ");
      if (said.toLowerCase().includes(words)) return said;
    }
    throw new Error("the connection closed without the error");
  })();
  return within(reading, `error with "${words}"`);
}

async function survives(nc, subject) {
  const sub = nc.subscribe(subject);
  nc.publish(subject, bytes("alive"));
  assert.deepEqual(await take(sub, 1), ["alive"]);
}

/** A handler's error must fail the scenario, not vanish. */
function onMessage(nc, subject, handle, more = {}) {
  nc.subscribe(subject, { ...more, callback: (error, m) => { if (error) throw error; handle(m); } });
}

const scenarios = {
  async connect() {
    const nc = await connect();
    await nc.flush();
    await nc.close();
  },

  async pubsub(subject) {
    const nc = await connect();
    const sub = nc.subscribe(subject);
    const wanted = Array.from({ length: 10 }, (_, i) => `m${i}`);
    wanted.forEach((m) => nc.publish(subject, bytes(m)));
    assert.deepEqual(await take(sub, 10), wanted);
    await nc.close();
  },

  async wildcard(subject) {
    const nc = await connect();
    const star = nc.subscribe(`${subject}.*.c`);
    const tail = nc.subscribe(`${subject}.>`);
    const names = ["a.c", "b.c", "a.b.c", "a"];
    names.forEach((n) => nc.publish(`${subject}.${n}`, bytes(n)));
    assert.deepEqual(await take(star, 2), ["a.c", "b.c"]);
    assert.deepEqual(await take(tail, 4), names);
    await nc.close();
  },

  async queue(subject) {
    const count = 300;
    const members = await Promise.all([connect(), connect(), connect()]);
    const got = members.map(() => []);
    let finished;
    const done = new Promise((resolve) => { finished = resolve; });
    for (const [i, nc] of members.entries()) {
      onMessage(nc, subject, (m) => {
        got[i].push(Number(text(m.data)));
        if (got.flat().length >= count) finished();
      }, { queue: "workers" });
      await nc.flush();
    }
    const publisher = await connect();
    for (let i = 0; i < count; i++) publisher.publish(subject, bytes(String(i)));
    await publisher.flush();
    await within(done, "end of the queue");
    await Promise.all(members.map((nc) => nc.flush()));
    assert.deepEqual(got.flat().sort((a, b) => a - b), Array.from({ length: count }, (_, i) => i));
    assert(got.every((g) => g.length > 0), `a member got nothing: ${got.map((g) => g.length)}`);
    await Promise.all([...members, publisher].map((nc) => nc.close()));
  },

  async request(subject) {
    const [server, client] = await Promise.all([connect(), connect()]);
    onMessage(server, subject, (m) => m.respond(bytes(`re:${text(m.data)}`)));
    await server.flush();
    for (let i = 0; i < 20; i++) {
      const reply = await client.request(subject, bytes(String(i)), { timeout: WAIT });
      assert.equal(text(reply.data), `re:${i}`);
    }
    await Promise.all([server.close(), client.close()]);
  },

  async headers(subject) {
    const [server, client] = await Promise.all([connect(), connect()]);
    const seen = [];
    onMessage(server, subject, (m) => {
      seen.push(m.headers.values("X-To"), m.headers.get("Traceparent"));
      const back = makeHeaders();
      back.set("X-Back", "yes");
      m.respond(bytes(""), { headers: back });
    });
    await server.flush();
    const there = makeHeaders();
    there.append("X-To", "one");
    there.append("X-To", "two");
    there.set("Traceparent", "00-ab-cd-01");
    const reply = await client.request(subject, bytes("body"), { timeout: WAIT, headers: there });
    assert.deepEqual(seen, [["one", "two"], "00-ab-cd-01"]);
    assert.equal(reply.headers.get("X-Back"), "yes");
    await Promise.all([server.close(), client.close()]);
  },

  async no_responders(subject) {
    const nc = await connect();
    const start = Date.now();
    await assert.rejects(nc.request(subject, bytes("anyone?"), { timeout: WAIT }), (e) => {
      const said = `${e.name} ${e.code ?? ""} ${e.message} ${e.cause?.message ?? ""}`;
      return /no.?responders|503/i.test(said);
    });
    assert(Date.now() - start < 2000, "the 503 came late");
    await nc.close();
  },

  async deny_publish(subject) {
    const nc = await connect();
    const error = errorWith(nc, "permissions");
    nc.publish(opts.denied, bytes("x"));
    await error;
    await survives(nc, subject);
    await nc.close();
  },

  async deny_subscribe(subject) {
    const nc = await connect();
    const sub = nc.subscribe(opts.denied);
    const ended = (async () => { for await (const _ of sub); })();
    await assert.rejects(within(ended, "end of the refused subscription"), /permissions violation|PERMISSIONS_VIOLATION/i);
    await survives(nc, subject);
    await nc.close();
  },

  async drain(subject) {
    const count = 200;
    const [nc, publisher] = await Promise.all([connect(), connect()]);
    let got = 0;
    onMessage(nc, subject, () => { got += 1; });
    await nc.flush();
    for (let i = 0; i < count; i++) publisher.publish(subject, bytes(String(i)));
    await publisher.flush();
    await nc.drain();
    assert.equal(got, count);
    assert(nc.isClosed());
    await publisher.close();
  },

  async flush() {
    const nc = await connect();
    const start = Date.now();
    for (let i = 0; i < 20; i++) await nc.flush();
    assert(Date.now() - start < 10_000, "20 round trips took 10 s");
    assert((await nc.rtt()) < 5000);
    await nc.close();
  },

  async payload(subject) {
    const nc = await connect();
    const limit = nc.info.max_payload;
    const sub = nc.subscribe(subject);
    nc.publish(subject, new Uint8Array(limit));
    assert.equal((await take(sub, 1))[0].length, limit);
    try {
      nc.publish(subject, new Uint8Array(limit + 1));
      assert.fail("one byte more was accepted");
    } catch (e) {
      assert.match(`${e.code ?? ""} ${e.message}`, /max.?payload/i);
    }
    await nc.close();
  },

  async reconnect(subject) {
    const nc = await connect({ reconnect: true, maxReconnectAttempts: -1, reconnectTimeWait: 100 });
    const sub = nc.subscribe(subject);
    await nc.flush();
    const again = (async () => { for await (const s of nc.status()) if (s.type === "reconnect") return; })();
    say({ waiting: "reconnect" });
    await within(again, "reconnection");
    nc.publish(subject, bytes("back"));
    assert.deepEqual(await take(sub, 1), ["back"]);
    await nc.close();
  },

  /** Rights end twice; each time the client comes back by itself with a fresh token. */
  async expiry(subject) {
    const authenticator = lib.tokenAuthenticator(freshToken);
    const nc = await connect({ token: undefined, authenticator, reconnect: true, maxReconnectAttempts: -1, reconnectTimeWait: 100 });
    const sub = nc.subscribe(subject);
    let left = 2;
    const again = (async () => {
      for await (const s of nc.status()) if (s.type === "reconnect" && --left === 0) return;
      throw new Error("the connection closed for good");
    })();
    await within(again, "second reconnection");
    nc.publish(subject, bytes("back"));
    assert.deepEqual(await take(sub, 1), ["back"]);
    await nc.close();
  },

  /** Told in time, the client shows a fresh token and goes on without a break. */
  async renew(subject) {
    const nc = await connect({ token: freshToken() });
    const [notice] = await take(nc.subscribe("$GATEHOUSE.AUTH.EXPIRING"), 1);
    const told = JSON.parse(notice);
    const sub = nc.subscribe(subject);
    const answer = JSON.parse(text((await nc.request(told.renew, bytes(freshToken()), { timeout: WAIT })).data));
    assert(answer.ok && answer.expires_at > told.expires_at, `not renewed: ${JSON.stringify(answer)}`);
    await new Promise((resolve) => setTimeout(resolve, Math.max(0, told.expires_at * 1000 - Date.now()) + 500));
    assert(!nc.isClosed(), "the connection broke");
    nc.publish(subject, bytes("still"));
    assert.deepEqual(await take(sub, 1), ["still"]);
    await nc.close();
  },

  async throughput(subject) {
    const count = 10_000;
    const [nc, publisher] = await Promise.all([connect(), connect()]);
    const sub = nc.subscribe(subject);
    await nc.flush();
    const start = Date.now();
    for (let i = 0; i < count; i++) publisher.publish(subject, bytes(String(i)));
    const got = await take(sub, count);
    assert(got.every((m, i) => m === String(i)), "order");
    await Promise.all([nc.close(), publisher.close()]);
    return { per_second: Math.round((count * 1000) / Math.max(1, Date.now() - start)) };
  },
};

function stdinClosed() {
  return new Promise((resolve) => process.stdin.on("end", resolve).on("close", resolve).resume());
}

const modes = {
  async scenarios() {
    for (const name of opts.scenarios) {
      const start = Date.now();
      try {
        const more = (await scenarios[name](`${opts.prefix ?? "peer.js"}.${name}`)) ?? {};
        say({ scenario: name, ok: true, ms: Date.now() - start, ...more });
      } catch (e) {
        say({ scenario: name, ok: false, error: `${e.name}: ${e.code ?? ""} ${e.message} ${e.cause?.message ?? ""}` });
      }
    }
  },

  /** Answers requests with what was asked, headers too, until stdin is closed. */
  async serve() {
    const nc = await connect();
    onMessage(nc, opts.subject, (m) => m.respond(bytes(`js:${text(m.data)}`), { headers: m.headers }), { queue: opts.queue });
    await nc.flush();
    say({ ready: true });
    await stdinClosed();
    await nc.drain();
  },

  async call() {
    const nc = await connect();
    const answers = [];
    for (let i = 0; i < (opts.count ?? 1); i++) {
      const headers = makeHeaders();
      headers.set("N", String(i));
      const reply = await nc.request(opts.subject, bytes(String(i)), { timeout: WAIT, headers });
      assert.equal(reply.headers?.get("N"), String(i));
      answers.push(text(reply.data));
    }
    say({ answers });
    await nc.close();
  },

  async publish() {
    const nc = await connect();
    for (let i = 0; i < opts.count; i++) nc.publish(opts.subject, bytes(String(i)));
    await nc.flush();
    say({ published: opts.count });
    await nc.close();
  },

  /** Prints what arrived, when `count` messages have or `seconds` are over. */
  async collect() {
    const nc = await connect();
    const sub = nc.subscribe(opts.subject, { queue: opts.queue });
    await nc.flush();
    say({ ready: true });
    const collected = [];
    const timer = setTimeout(() => sub.unsubscribe(), (opts.seconds ?? WAIT / 1000) * 1000);
    for await (const m of sub) {
      collected.push(text(m.data));
      if (collected.length === opts.count) break;
    }
    clearTimeout(timer);
    say({ collected });
    await nc.close();
  },
};

// A stray rejection (nats.js reports a refused subscription twice) must not end the run of scenarios.
process.on("unhandledRejection", (e) => process.stderr.write(`unhandled: ${e}\n`));
await modes[mode]();
process.exit(0);
