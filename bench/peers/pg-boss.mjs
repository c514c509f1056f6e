// pg-boss: single `send`s, or life cycles of `insert`, `fetch` and `complete` in batches.
//
// As its documentation has it: one instance for the process, a queue of the `standard` policy. Schedules and
// maintenance are off, so that neither falls into the measurement. It names no size for the pool but the
// default, 10; a connection for each send that is in flight was fastest.
import { PgBoss } from "pg-boss";
import { all, measure, oneByOne, wanted } from "./measured.mjs";

const QUEUE = "tasks";
const boss = new PgBoss({
  connectionString: wanted.url,
  max: wanted.what === "accepts" ? wanted.width : 10,
  schedule: false,
  supervise: false,
});
boss.on("error", (error) => {
  console.error(error);
  process.exit(1);
});
await boss.start();
await boss.createQueue(QUEUE);

async function accepts(count) {
  await oneByOne(count, async () => {
    if (!(await boss.send(QUEUE, wanted.request))) throw new Error("a job was not taken");
  });
}

async function cycles(count) {
  const jobs = Array.from({ length: wanted.width }, () => ({ data: wanted.request }));
  for (let done = 0; done < count; done += wanted.width) {
    await boss.insert(QUEUE, jobs);
    const claimed = await boss.fetch(QUEUE, { batchSize: wanted.width });
    const ids = claimed.map((job) => job.id);
    const { affected } = await boss.complete(QUEUE, ids, wanted.output);
    all(affected, wanted.width);
  }
}

await measure({ accepts, cycles }, 2 * wanted.width);
await boss.stop({ graceful: false });
