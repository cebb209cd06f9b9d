// A script that a test drives: a line {"step", "argument"} comes in, a line {"ok"} or {"error"} goes out. It ends
// with its input.

import { createInterface } from "node:readline";

// No step may take longer, so a test never waits for a script that waits for ever.
const STEP_MS_MAX = 60_000;
const LOOK_MS = 10;

export async function run(steps) {
  for await (const line of createInterface({ input: process.stdin })) {
    const { step, argument } = JSON.parse(line);
    let answer;
    try {
      answer = { ok: (await within(STEP_MS_MAX, `step ${step}`, steps[step](argument))) ?? null };
    } catch (error) {
      answer = { error: error.stack };
    }
    process.stdout.write(`${JSON.stringify(answer)}\n`);
  }
  process.exit(0);
}

// Waits until `condition` gives something.
export async function until(what, condition, ms = 30_000) {
  const deadline = Date.now() + ms;
  for (;;) {
    const found = condition();
    if (found) return found;
    if (Date.now() > deadline) throw new Error(`never happened: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  }
}

function within(ms, what, promise) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what} took more than ${ms} ms`)), ms);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}
