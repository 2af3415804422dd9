// Streams and key-value from outside with the present nats.js, with the rights' shorthands alone, for the test suites.
//
//     outside3.mjs '{"url": ..., "ca": ..., "token": ..., "scenarios": [...]}'
//
// One JSON line for each scenario: {"scenario": name, "ok": true} or {"scenario": name, "error": text}.
import { createRequire } from "node:module";
import { join } from "node:path";

const require = createRequire(join(process.env.GATEHOUSE_PEERS, "js", "index.js"));
const { connect } = require("@nats-io/transport-node");
const { AckPolicy, DeliverPolicy, jetstream, jetstreamManager } = require("@nats-io/jetstream");
const { Kvm } = require("@nats-io/kv");

// A refused request is one nobody answers: this is how long it costs.
const TIMEOUT = 1000;

function need(condition, message) {
  if (!condition) throw new Error(message);
}

async function refused(what, work) {
  const outcome = await work().then((value) => value, () => undefined);
  need(outcome === undefined, `${what} is allowed: ${JSON.stringify(outcome)}`);
}

async function all(entries, count) {
  const list = [];
  for await (const entry of entries) {
    if (list.push(entry) === count) break;
  }
  return list;
}

const scenarios = {
  async consume(nc) {
    const js = jetstream(nc);
    const consumer = await js.consumers.get("ORDERS", "partner");
    const got = [];
    for await (const message of await consumer.fetch({ max_messages: 5, expires: 5000 })) {
      got.push(Number(message.string()));
      need(await message.ackAck(), "an acknowledgement was not confirmed");
    }
    const one = await consumer.next({ expires: 5000 });
    got.push(Number(one.string()));
    need(await one.ackAck(), "an acknowledgement was not confirmed");
    for await (const message of await consumer.consume({ max_messages: 4 })) {
      got.push(Number(message.string()));
      need(await message.ackAck(), "an acknowledgement was not confirmed");
      if (got.length === 20) break;
    }
    need(got.every((value, at) => value === at), got.join());
    const info = await consumer.info();
    need(info.num_ack_pending === 0 && info.num_pending === 0, JSON.stringify(info));
    const stream = await js.streams.get("ORDERS");
    need((await stream.info()).state.messages === 20, "info of the stream");
    const manager = await jetstreamManager(nc);
    const names = (await all(manager.streams.names())).sort().join();
    need(names === "AUDIT,KV_config,KV_state,ORDERS", `streams that may be known: ${names}`);
    need((await manager.streams.find("orders.in")) === "ORDERS", "the stream of a subject");
    need((await manager.consumers.info("ORDERS", "partner")).name === "partner", "info of the consumer");
  },

  async ordered(nc) {
    const consumer = await jetstream(nc).consumers.get("AUDIT");
    let next = 0;
    for await (const message of await consumer.consume()) {
      need(Number(message.string()) === next, `${message.string()} in place of ${next}`);
      if (++next === 20) break;
    }
    const last = await (await jetstreamManager(nc)).streams.getMessage("AUDIT", { last_by_subj: "audit.in" });
    need(last.seq === 20 && last.string() === "19", `${last.seq}`);
  },

  async reading(nc) {
    const config = await new Kvm(nc).open("config");
    need((await config.get("limits.max")).string() === "10", "get");
    need((await config.get("limits.max", { revision: 1 })).string() === "9", "an old revision");
    const keys = await all(await config.keys());
    need(keys.sort().join() === "limits.max,limits.min", `keys: ${keys}`);
    const history = await all(await config.history({ key: "limits.max" }));
    need(history.map((entry) => `${entry.key}=${entry.string()}`).join() === "limits.max=9,limits.max=10", "history");
    need((await config.status()).values === 3, "status");
    const watch = await config.watch({ key: "limits.*" });
    need((await all(watch, 2)).map((entry) => entry.string()).join() === "0,10", "watch");
  },

  async writing(nc) {
    const state = await new Kvm(nc).open("state");
    const watch = await state.watch({ key: "seen.*", initializedFn: () => {} });
    const first = await state.create("seen.a", "1");
    await state.update("seen.a", "2", first);
    await refused("an update of an old revision", () => state.update("seen.a", "3", first));
    await state.put("other", "x");
    await state.delete("seen.a");
    const seen = (await all(watch, 3)).map((entry) => `${entry.operation} ${entry.key} ${entry.string()}`);
    need(seen.join() === "PUT seen.a 1,PUT seen.a 2,DEL seen.a ", `watch: ${seen}`);
    await state.purge("other");
    need((await all(await state.keys())).length === 0, "deleted keys are listed");
  },

  async refusals(nc) {
    const manager = await jetstreamManager(nc, { timeout: TIMEOUT, checkAPI: false });
    const js = jetstream(nc, { timeout: TIMEOUT });
    const kv = new Kvm(js);
    const config = await new Kvm(nc).open("config");
    const attempts = {
      "making a stream": () => manager.streams.add({ name: "MINE", subjects: ["peer.mine"] }),
      "changing a stream": () => manager.streams.update("ORDERS", { max_msgs: 1 }),
      "deleting a stream": () => manager.streams.delete("ORDERS"),
      "purging a stream": () => manager.streams.purge("ORDERS"),
      "deleting a message": () => manager.streams.deleteMessage("ORDERS", 1),
      "reading a message": () => manager.streams.getMessage("ORDERS", { seq: 1 }),
      "reading a message of another stream": () => manager.streams.getMessage("SECRET", { seq: 1 }),
      "another stream": () => manager.streams.info("SECRET"),
      "finding another stream": () => manager.streams.find("secret.in"),
      "a consumer of another stream": () => manager.consumers.info("SECRET", "partner"),
      "fetching from another stream": async () => (await js.consumers.get("SECRET", "partner")).next({ expires: 1000 }),
      "making a consumer": () => manager.consumers.add("ORDERS", { durable_name: "mine", ack_policy: AckPolicy.Explicit }),
      "changing a consumer": () => manager.consumers.update("ORDERS", "partner", { max_ack_pending: 1 }),
      "deleting a consumer": () => manager.consumers.delete("ORDERS", "partner"),
      "pausing a consumer": () => manager.consumers.pause("ORDERS", "partner", new Date(Date.now() + 60_000)),
      "an ordered consumer of a stream of a group": async () =>
        (await js.consumers.get("ORDERS", { deliver_policy: DeliverPolicy.All })).next({ expires: 1000 }),
      "writing where one may read": () => config.put("limits.max", "99"),
      "deleting where one may read": () => config.delete("limits.max"),
      "purging where one may read": () => config.purge("limits.max"),
      "purging a stream one may read": () => manager.streams.purge("AUDIT"),
      "publishing to a stream one may read": () => js.publish("audit.in", "forged"),
      "destroying a bucket": () => config.destroy(),
      "another bucket": () => kv.open("secret").then((bucket) => bucket.get("a")),
      "making a bucket": () => kv.create("mine"),
      "a key of another bucket": () => js.publish("$KV.secret.a", "x"),
    };
    // At once: each of them costs the whole time.
    await Promise.all(Object.entries(attempts).map(([what, attempt]) => refused(what, attempt)));
  },
};

const opts = JSON.parse(process.argv[2]);
for (const scenario of opts.scenarios) {
  const result = { scenario };
  try {
    const nc = await connect({
      servers: opts.url.replace("tls://", ""),
      token: opts.token,
      tls: { caFile: opts.ca, servername: "localhost" },
    });
    const late = new Promise((_, reject) => setTimeout(() => reject(new Error("takes too long")), 60_000).unref());
    await Promise.race([scenarios[scenario](nc), late]);
    await nc.close();
    result.ok = true;
  } catch (error) {
    result.error = `${error.stack} ${error.cause?.stack ?? ""}`;
  }
  console.log(JSON.stringify(result));
}
process.exit(0);
