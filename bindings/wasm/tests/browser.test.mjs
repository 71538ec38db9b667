// The package and the example page in a headless Chromium.
// PACKAGE: folder of the package. PAGE: folder of the page. MYSA, NODE_MODULES: as for live.test.mjs. CHROMIUM: the browser.
// SCREENSHOT: file for a picture of the page.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { after, before, test } from "node:test";
import { extname, join, normalize } from "node:path";
import { startCloud } from "./cloud.mjs";

const puppeteer = createRequire(`${process.env.NODE_MODULES}/`)("puppeteer-core");
const LIMIT_MS = 120_000;
const TYPES = { ".html": "text/html", ".js": "text/javascript", ".mjs": "text/javascript", ".wasm": "application/wasm", ".css": "text/css" };

let cloud, browser, files, origin;
const requested = [];

before(async () => {
  cloud = await startCloud();
  const roots = { package: process.env.PACKAGE, page: process.env.PAGE, tests: new URL(".", import.meta.url).pathname };
  files = createServer((request, response) => {
    requested.push(request.url);
    const [, root, ...rest] = normalize(new URL(request.url, "http://x").pathname).split("/");
    try {
      const path = join(roots[root], ...rest);
      const body = readFileSync(path.endsWith("/") || rest.join("") === "" ? join(path, "index.html") : path);
      response.setHeader("content-type", TYPES[extname(path)] ?? "text/html").end(body);
    } catch {
      // An empty page, for tests that load the package themselves.
      response.setHeader("content-type", "text/html").end();
    }
  });
  await new Promise((resolve) => files.listen(0, "127.0.0.1", resolve));
  origin = `http://127.0.0.1:${files.address().port}`;
  browser = await puppeteer.launch({
    executablePath: process.env.CHROMIUM,
    args: [
      // Chromium's own sandbox cannot be used by root.
      "--no-sandbox",
      "--disable-dev-shm-usage",
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
      // The names of the real cloud lead to the simulated one, whose certificate the browser does not know and which
      // does not allow pages of other origins.
      `--host-resolver-rules=MAP *.amazonaws.com:443 127.0.0.1:${cloud.port}`,
      "--ignore-certificate-errors",
      "--disable-web-security",
    ],
    protocolTimeout: LIMIT_MS,
  });
});

after(async () => {
  await browser?.close();
  files?.close();
  cloud?.stop();
});

async function open(url) {
  const page = await browser.newPage();
  page.setDefaultTimeout(LIMIT_MS);
  const complaints = [];
  page.on("pageerror", (error) => complaints.push(String(error)));
  page.on("console", (message) => message.type() === "error" && complaints.push(message.text()));
  await page.goto(url);
  return { page, complaints };
}

test("a page signs in, connects and sends a command, by its own fetch and WebSocket", { timeout: LIMIT_MS }, async () => {
  const { page } = await open(origin);
  const result = await page.evaluate(async (home) => {
    const [mysa, { visit }] = await Promise.all([import("/package/index.js"), import("/tests/live.mjs")]);
    const random = (bytes) => crypto.getRandomValues(bytes);
    return visit(mysa, { ...home, fetch: fetch.bind(globalThis), WebSocket, random, setpoint: 22.5 });
  }, cloud.home);
  assert.equal(result.requests, 4);
  assert.equal(result.acknowledged.state.setpoint_c, 22.5, JSON.stringify(result.acknowledged));
  await page.close();
});

test("a worker decodes a message", { timeout: LIMIT_MS }, async () => {
  const { page } = await open(origin);
  const message = await page.evaluate(
    () =>
      new Promise((resolve, reject) => {
        const source = `import("${location.origin}/package/index.js").then(
          (mysa) => postMessage(mysa.explain("20020000")), (error) => postMessage(String(error)));`;
        const worker = new Worker(URL.createObjectURL(new Blob([source], { type: "text/javascript" })), { type: "module" });
        worker.onmessage = ({ data }) => resolve(data);
        worker.onerror = (error) => reject(new Error(error.message));
      }),
  );
  assert.equal(message[0].packet, "CONNACK");
  await page.close();
});

test("the example page explains what is pasted, and sends nothing", { timeout: LIMIT_MS }, async () => {
  const { page, complaints } = await open(`${origin}/page/`);
  await page.setViewport({ width: 1100, height: 1010 });
  await page.waitForFunction(() => document.body.dataset.ready === "true");
  requested.length = 0;
  const outside = [];
  page.on("request", (request) => outside.push(request.url()));

  const paste = async (text) => {
    await page.$eval("#input", (area, text) => {
      area.value = text;
      area.dispatchEvent(new Event("input"));
    }, text);
    return page.$eval("#output", (output) => output.innerText);
  };
  assert.match(await paste("20 02 00 00"), /CONNACK/);
  assert.match(await paste('{"ver":"1.0","msg":40,"bo'), /unreadable/);
  assert.match(await paste("   "), /Paste/);
  // Text of a message is text, not markup.
  await paste('{"MsgType":4,"Device":"a0b1c2d3e4f6","Level":"INFO","Message":"<img src=x onerror=alert(1)>"}');
  assert.equal(await page.$("#output img"), null);

  await page.select("#examples", "2");
  assert.match(await page.$eval("#output", (output) => output.innerText), /Setpoint/);
  await page.select("#examples", "1");
  if (process.env.SCREENSHOT) await page.screenshot({ path: process.env.SCREENSHOT });
  assert.deepEqual(complaints, []);
  assert.deepEqual([requested, outside], [[], []], "nothing leaves the page");
  await page.close();
});
