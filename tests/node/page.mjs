// The chat page in a headless Chromium, driven by tests/page.rs: node page.mjs URL

import assert from "node:assert/strict";
import { chromium } from "playwright-core";
import { run } from "./steps.mjs";

const [url] = process.argv.slice(2);
const WITHIN_MS = 30_000;
const ARGUMENTS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

const browser = await chromium.launch({ executablePath: "/usr/bin/chromium", args: ARGUMENTS });
const context = await browser.newContext({ viewport: { width: 1000, height: 720 } });
context.setDefaultTimeout(WITHIN_MS);
const tabs = [];

// Everything that a developer would see in red. All that the page loads must come from the box.
async function openTab() {
  const page = await context.newPage();
  const wrong = [];
  page.on("console", (message) => ["error", "warning"].includes(message.type()) && wrong.push(message.text()));
  page.on("pageerror", (error) => wrong.push(error.stack));
  page.on("requestfailed", (request) => wrong.push(`${request.url()}: ${request.failure().errorText}`));
  page.on("response", (response) => response.status() >= 400 && wrong.push(`${response.url()}: ${response.status()}`));
  page.on("request", (request) => request.url().startsWith(url) || wrong.push(`foreign: ${request.url()}`));
  await page.addInitScript(() => {
    window.violations = [];
    document.addEventListener("securitypolicyviolation", ({ violatedDirective }) => violations.push(violatedDirective));
    window.states = []; // every state that the page has shown
    document.addEventListener("DOMContentLoaded", () => {
      const status = document.getElementById("status");
      new MutationObserver(() => states.push(status.dataset.state)).observe(status, { attributes: true });
    });
  });
  const response = await page.goto(url);
  assert.match(response.headers()["content-security-policy"], /default-src 'none'/);
  tabs.push({ page, wrong });
  return page;
}

const connected = (page) => page.locator("#status[data-state=connected]").waitFor();

const shown = async (page) => ({
  status: await page.locator("#status").textContent(),
  host: await page.locator("#host").textContent(),
  worker: await page.locator("#worker").textContent(),
  generation: await page.locator("#generation").textContent(),
});

// How often a tab shows a text as a message, once it shows it at all.
async function copies(page, text) {
  const messages = page.locator("#log li:not(.note) p");
  await messages.getByText(text, { exact: true }).first().waitFor();
  return (await messages.allTextContents()).filter((content) => content === text).length;
}

await run({
  // A new tab: what its head shows.
  async open() {
    const page = await openTab();
    await connected(page);
    return shown(page);
  },

  // Types a room's name into the field for it, and is in that room then.
  async join({ tab, room }) {
    const { page } = tabs[tab];
    await page.getByLabel("Room to join").fill(room);
    await page.keyboard.press("Enter");
    await page.locator("#rooms li.current").getByText(room, { exact: true }).waitFor();
    await page.locator("#log .note").getByText(`you joined ${room}`).waitFor();
  },

  // Types a message: how often each tab shows it.
  async say({ tab, text }) {
    const { page } = tabs[tab];
    await page.getByLabel("Message", { exact: true }).click();
    await page.keyboard.type(text);
    await page.keyboard.press("Enter");
    await page.locator("#log li.mine p").getByText(text, { exact: true }).first().waitFor();
    const found = [];
    for (const { page } of tabs) found.push(await copies(page, text));
    assert.equal(await page.locator("#log img").count(), 0, "text stays text");
    return found;
  },

  async closeTab() {
    await tabs.pop().page.close();
  },

  // Waits until every tab has lost its connection and found another one: all that each has shown of it.
  async reconnected() {
    for (const { page } of tabs) {
      await page.waitForFunction(() => states.slice(states.indexOf("waiting") >>> 0).includes("connected"));
    }
    return Promise.all(tabs.map(async ({ page }) => ({
      ...(await shown(page)),
      states: await page.evaluate(() => window.states),
      notes: await page.locator("#log .note").allTextContents(),
    })));
  },

  // What was wrong so far.
  async wrong() {
    const violations = await Promise.all(tabs.map(({ page }) => page.evaluate(() => window.violations)));
    return [...tabs.flatMap(({ wrong }) => wrong), ...violations.flat()];
  },

  async screenshot({ tab, path, width, height, dark }) {
    const { page } = tabs[tab];
    await page.setViewportSize({ width, height });
    await page.emulateMedia({ colorScheme: dark ? "dark" : "light" });
    await page.screenshot({ path });
  },

  close: () => browser.close(),
});
