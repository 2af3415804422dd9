// Streams, consumers, key-value and objects with nats.js, for the test suites.
//
//     streams.mjs '{"url": ..., "scenarios": [...]}'
//
// One JSON line for each scenario: {"scenario": name, "ok": true} or {"scenario": name, "error": text}.
import { createRequire } from "node:module";
import { join } from "node:path";

const require = createRequire(join(process.env.GATEHOUSE_PEERS, "js", "index.js"));
const { AckPolicy, StorageType, StringCodec, connect } = require("nats");

const text = StringCodec();

function need(condition, message) {
  if (!condition) throw new Error(message);
}

const scenarios = {
  async publish_and_pull(nc) {
    const manager = await nc.jetstreamManager();
    await manager.streams.add({ name: "JSPULL", subjects: ["jspull.>"] });
    const js = nc.jetstream();
    for (let number = 0; number < 50; number++) {
      const ack = await js.publish(`jspull.${number % 5}`, text.encode(`${number}`), { msgID: `m${number}` });
      need(ack.seq === number + 1 && !ack.duplicate, JSON.stringify(ack));
    }
    const again = await js.publish("jspull.0", text.encode("0"), { msgID: "m0" });
    need(again.duplicate, "a duplicate was taken");
    await manager.consumers.add("JSPULL", { durable_name: "workers", ack_policy: AckPolicy.Explicit });
    const consumer = await js.consumers.get("JSPULL", "workers");
    const got = [];
    const messages = await consumer.consume({ max_messages: 10 });
    for await (const message of messages) {
      got.push(Number(text.decode(message.data)));
      need(await message.ackAck(), "an acknowledgement was not confirmed");
      if (got.length === 50) break;
    }
    need(got.every((value, at) => value === at), got.join());
    const info = await consumer.info();
    need(info.num_ack_pending === 0 && info.num_pending === 0, JSON.stringify(info));
  },

  async ordered(nc) {
    const manager = await nc.jetstreamManager();
    await manager.streams.add({ name: "JSORDER", subjects: ["jsorder.>"], storage: StorageType.Memory });
    const js = nc.jetstream();
    for (let number = 0; number < 300; number++) await js.publish("jsorder.x", text.encode(`${number}`));
    const consumer = await js.consumers.get("JSORDER");
    let next = 0;
    for await (const message of await consumer.consume()) {
      need(Number(text.decode(message.data)) === next++, `out of order at ${next}`);
      if (next === 300) break;
    }
    const last = await manager.streams.getMessage("JSORDER", { last_by_subj: "jsorder.x" });
    need(last.seq === 300, `${last.seq}`);
    const purged = await manager.streams.purge("JSORDER", { keep: 10 });
    need(purged.purged === 290, JSON.stringify(purged));
  },

  async registry(nc) {
    const js = nc.jetstream();
    const kv = await js.views.kv("js-service-registry", { storage: StorageType.Memory, ttl: 1500 });
    const seen = [];
    const watch = await kv.watch({ key: "users.*" });
    const watching = (async () => {
      for await (const entry of watch) {
        seen.push(`${entry.operation} ${entry.key}`);
        if (seen.length === 3) break;
      }
    })();
    await kv.put("users.a", text.encode("one"));
    await kv.put("orders.a", text.encode("other"));
    await kv.put("users.b", text.encode("two"));
    await kv.delete("users.a");
    await watching;
    need(seen.join() === "PUT users.a,PUT users.b,DEL users.a", seen.join());
    for (let turn = 0; turn < 4; turn++) {
      await new Promise((resolve) => setTimeout(resolve, 500));
      await kv.put("users.b", text.encode("two"));
    }
    const keys = [];
    for await (const key of await kv.keys()) keys.push(key);
    need(keys.join() === "users.b", keys.join());
  },

  async key_value(nc) {
    const kv = await nc.jetstream().views.kv("jsconfig", { history: 5 });
    const first = await kv.put("a", text.encode("1"));
    const second = await kv.update("a", text.encode("2"), first);
    let refused = false;
    await kv.update("a", text.encode("3"), first).catch(() => (refused = true));
    need(refused, "an update of an old revision was taken");
    const entry = await kv.get("a");
    need(text.decode(entry.value) === "2" && entry.revision === second, "the latest value");
    const history = [];
    for await (const old of await kv.history({ key: "a" })) history.push(text.decode(old.value));
    need(history.join() === "1,2", history.join());
    await kv.purge("a");
    need((await kv.get("a")).operation === "PURGE", "a purged key is there");
    need(await kv.destroy(), "destroy");
  },

  async objects(nc) {
    const store = await nc.jetstream().views.os("jsfiles");
    const data = new Uint8Array(500_000).map((_, at) => at % 251);
    const put = await store.putBlob({ name: "big" }, data);
    need(put.size === data.length && put.chunks > 1, JSON.stringify(put));
    const back = await store.getBlob("big");
    need(Buffer.compare(Buffer.from(back), Buffer.from(data)) === 0, "what comes back is what went in");
    const removed = await store.delete("big");
    need(removed.success, "delete");
  },
};

const options = JSON.parse(process.argv[2]);
for (const scenario of options.scenarios) {
  const result = { scenario };
  try {
    const nc = await connect({ servers: options.url, user: options.user, pass: options.password });
    const late = new Promise((_, reject) => setTimeout(() => reject(new Error("takes too long")), 60_000).unref());
    await Promise.race([scenarios[scenario](nc), late]);
    await nc.close();
    result.ok = true;
  } catch (error) {
    result.error = `${error.stack}`;
  }
  console.log(JSON.stringify(result));
}
