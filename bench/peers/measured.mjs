// What the scripts beside this one share: their one argument, and how a measured part is reported.

/** `{url, what: "accepts" | "cycles", count, width, request, output}`, as bench/src/peers.rs writes it. */
export const wanted = JSON.parse(process.argv[2]);

// Nothing here takes so long; what never ends is to fail.
const MINUTES = 10;
setTimeout(() => {
  console.error(`not done within ${MINUTES} minutes`);
  process.exit(1);
}, MINUTES * 60_000).unref();

/** Runs the part that is asked for, untimed at first (`warm` tasks), then timed, and prints its seconds. */
export async function measure(parts, warm) {
  const part = parts[wanted.what];
  await part(warm);
  const began = process.hrtime.bigint();
  await part(wanted.count);
  console.log(Number(process.hrtime.bigint() - began) / 1e9);
}

/** `count` calls of `one`, `width` of them at any moment, each awaited before its caller's next. */
export async function oneByOne(count, one) {
  let left = count;
  const caller = async () => {
    while (left > 0) {
      left -= 1;
      await one();
    }
  };
  await Promise.all(Array.from({ length: wanted.width }, caller));
}

/** Fails unless all that was wanted was done: a rate of work that was left out is none. */
export function all(count, expected) {
  if (count !== expected) throw new Error(`${count} of ${expected} were done`);
}
