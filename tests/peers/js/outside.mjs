// Key-value from outside with nats.js, for the test suites: `config` may be read, `state` read and written.
//
//     outside.mjs '{"url": ..., "ca": ..., "token": ..., "scenarios": [...]}'
//
// One JSON line for each scenario: {"scenario": name, "ok": true} or {"scenario": name, "error": text}.
import { createRequire } from "node:module";
import { join } from "node:path";

const require = createRequire(join(process.env.GATEHOUSE_PEERS, "js", "index.js"));
const { StringCodec, connect } = require("nats");

const text = StringCodec();

function need(condition, message) {
  if (!condition) throw new Error(message);
}

async function refused(work) {
  const error = await work.then(() => null, (error) => error);
  need(error, "it was not refused");
}

async function all(entries, count) {
  const list = [];
  for await (const entry of entries) {
    if (list.push(entry) === count) break;
  }
  return list;
}

async function reading(kv) {
  const config = await kv("config", { bindOnly: true });
  need((await config.get("limits.max")).string() === "10", "get");
  const keys = await all(await config.keys());
  need(keys.sort().join() === "limits.max,limits.min", `keys: ${keys}`);
  const history = await all(await config.history({ key: "limits.max" }));
  need(history.map((entry) => `${entry.key}=${entry.string()}`).join() === "limits.max=9,limits.max=10", "history");
  await refused(config.put("limits.max", text.encode("99")));
}

async function writing(kv) {
  const state = await kv("state", { bindOnly: true });
  need((await all(await state.keys())).length === 0, "keys of an empty bucket");
  const watch = await state.watch({ key: "seen.*" });
  const first = await state.create("seen.a", text.encode("1"));
  await state.update("seen.a", text.encode("2"), first);
  await refused(state.update("seen.a", text.encode("3"), first));
  await state.put("other", text.encode("x"));
  await state.delete("seen.a");
  const seen = (await all(watch, 3)).map((entry) => `${entry.operation} ${entry.key} ${entry.string()}`);
  need(seen.join() === "PUT seen.a 1,PUT seen.a 2,DEL seen.a ", `watch: ${seen}`);
  need((await all(await state.keys())).join() === "other", "a deleted key is listed");
}

const opts = JSON.parse(process.argv[2]);
const nc = await connect({
  servers: opts.url.replace("tls://", ""),
  token: opts.token,
  tls: { caFile: opts.ca, servername: "localhost" },
});
const js = nc.jetstream();
const kv = (name, options) => js.views.kv(name, options);
const scenarios = { reading, writing };
for (const scenario of opts.scenarios) {
  try {
    await scenarios[scenario](kv);
    console.log(JSON.stringify({ scenario, ok: true }));
  } catch (error) {
    console.log(JSON.stringify({ scenario, error: error.stack }));
  }
}
await nc.close();
