// graphile-worker: single `addJob`s, or life cycles of `addJobs` in batches beside its runner.
//
// The runner's settings are those under which its documentation (worker.graphile.org/docs/performance) reports
// its best figures. For single jobs it names none but one pool for the process (`makeWorkerUtils`, not
// `quickAddJob`, which opens a pool for each call); a connection for each that is in flight was fastest.
import { Logger, makeWorkerUtils, run } from "graphile-worker";
import { all, measure, oneByOne, wanted } from "./measured.mjs";

const TASK = "task";
const worker = {
  connectionString: wanted.url,
  concurrentJobs: 24,
  maxPoolSize: 25,
  localQueue: { size: 500 },
  completeJobBatchDelay: 0,
  failJobBatchDelay: 0,
  logger: new Logger(() => (level, message) => {
    if (level === "error") console.error(message);
  }),
};
const maxPoolSize = wanted.what === "accepts" ? wanted.width : worker.maxPoolSize;
const utils = await makeWorkerUtils({ preset: { worker: { ...worker, maxPoolSize } } });
await utils.migrate();

async function accepts(count) {
  await oneByOne(count, () => utils.addJob(TASK, wanted.request));
}

let ran = 0;
let lastRan = () => {};

// The runner takes jobs while more are added, as it does in use. It says that a job ended before it has
// deleted it, so that the last are waited for in the table.
async function cycles(count) {
  const last = ran + count;
  const ended = new Promise((resolve) => (lastRan = () => ran === last && resolve()));
  const jobs = Array.from({ length: wanted.width }, () => ({ identifier: TASK, payload: wanted.request }));
  for (let added = 0; added < count; added += wanted.width) await utils.addJobs(jobs);
  await ended;
  while ((await left()) > 0);
}

async function left() {
  const { rows } = await utils.withPgClient((client) =>
    client.query("SELECT count(*)::int AS left FROM graphile_worker.jobs"),
  );
  return rows[0].left;
}

if (wanted.what === "cycles") {
  const taskList = {
    [TASK]: () => {
      ran += 1;
      lastRan();
    },
  };
  const runner = await run({ preset: { worker }, taskList, noHandleSignals: true });
  await measure({ cycles }, 2 * wanted.width);
  await runner.stop();
} else {
  const before = await left();
  await measure({ accepts }, 2 * wanted.width);
  all((await left()) - before, wanted.count + 2 * wanted.width);
}
await utils.release();
