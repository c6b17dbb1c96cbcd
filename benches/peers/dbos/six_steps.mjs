// The six-step order as a DBOS workflow in TypeScript's SDK, driven by clients in the same process.
//
// `six_steps.mjs CLIENTS WARMUP_SECONDS SECONDS POOL_SIZE` with DBOS_SYSTEM_DATABASE_URL set prints one line of JSON. It is
// run from a folder in which @dbos-inc/dbos-sdk is installed.

import { createRequire } from "node:module";

const { DBOS } = createRequire(`${process.cwd()}/`)("@dbos-inc/dbos-sdk");

const STEPS = ["one", "two", "three", "four", "five", "six"];

// About a hundred bytes, as much as a step of `paystate bench` brings.
async function step(name) {
  return { id: `01890a5d-ac96-774b-bcce-b302099a8057-${name}-1`, status: "approved", at: "2026-01-01T00:00:00Z" };
}

const sixSteps = DBOS.registerWorkflow(
  async (_order) => {
    for (const name of STEPS) {
      const answer = await DBOS.runStep(() => step(name), { name });
      if (answer.status !== "approved") throw new Error("a step was not approved");
    }
    return { status: "succeeded" };
  },
  { name: "six_steps" },
);

async function client(windowFrom, windowTo, latencies) {
  for (;;) {
    const sent = performance.now();
    if (sent >= windowTo) return;
    const ended = await sixSteps({ amount: 1000 });
    const now = performance.now();
    if (ended.status !== "succeeded") throw new Error(`an order ended as ${JSON.stringify(ended)}`);
    if (now >= windowFrom) latencies.push(now - sent);
  }
}

const [clients, warmup, seconds, systemDatabasePoolSize] = process.argv.slice(2).map(Number);
const systemDatabaseUrl = process.env.DBOS_SYSTEM_DATABASE_URL;
DBOS.setConfig({ name: "peers", systemDatabaseUrl, systemDatabasePoolSize, logLevel: "error" });
await DBOS.launch();
const windowFrom = performance.now() + warmup * 1000;
const latencies = [];
await Promise.all(Array.from({ length: clients }, () => client(windowFrom, windowFrom + seconds * 1000, latencies)));
// What was under way at the end of the window was waited for, and counts with the time that it took.
const elapsed = (performance.now() - windowFrom) / 1000;
latencies.sort((a, b) => a - b);
const percentile = (percent) => latencies[Math.min(Math.floor((latencies.length * percent) / 100), latencies.length - 1)] ?? null;
console.log(JSON.stringify({ orders: latencies.length, seconds: elapsed, p50_ms: percentile(50), p99_ms: percentile(99) }));
await DBOS.shutdown();
process.exit(0);
