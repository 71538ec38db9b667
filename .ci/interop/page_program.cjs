// Opens the page of the control endpoint in a real browser, presses its buttons, and compares what it shows with the
// endpoint. Arguments: URL of the endpoint, path of the browser, file for a screenshot.
"use strict";

const assert = require("node:assert/strict");
const { onPage } = require("./browser.cjs");

const [url, executablePath, screenshot] = process.argv.slice(2);

onPage(executablePath, { width: 1280, height: 1400 }, async (page) => {
  const errors = [];
  page.on("pageerror", (error) => errors.push(String(error)));
  page.on("console", (message) => message.type() === "error" && errors.push(message.text()));
  await page.goto(url);
  const get = async (path) => (await fetch(new URL(path, url))).json();
  const until = (code, ...rest) => page.waitForFunction(code, {}, ...rest);

  const devices = await get("/devices");
  await until((count) => document.querySelectorAll("#devices tr").length === count, devices.length);
  const names = await page.$$eval("#devices td:first-child", (cells) => cells.map((cell) => cell.textContent));
  assert.deepEqual(names, devices.map((device) => device.name), "names are text");
  assert.equal(await page.$("#devices img"), null, "a name is not markup");
  await until((count) => document.querySelectorAll("#plot polyline[data-room]").length === count, devices.length);

  await page.click('[data-fault="drop-acks"]');
  await until(() => document.getElementById("faults").textContent.includes("drop-acks"));
  assert.equal((await get("/faults"))[0].name, "drop-acks");
  await page.click("#end-all");
  await until(() => document.getElementById("faults").textContent === "none");
  assert.deepEqual(await get("/faults"), []);

  await page.click("#freeze");
  await until(() => document.getElementById("freeze").textContent === "Release");
  assert.equal((await get("/clock")).frozen, true);
  const before = await get("/clock");
  for (let step = 0; step < 30; step += 1) {
    const { elapsed_s: elapsed } = await get("/clock");
    await page.click('[data-advance="600"]');
    // The sum of two decimal fractions may be above the one that is shown.
    while ((await get("/clock")).elapsed_s < elapsed + 599.9);
  }
  assert.ok((await get("/clock")).unix_ms - before.unix_ms >= 30 * 600_000);

  const first = devices[0];
  await page.evaluate((id) => document.querySelector(`[data-device="${id}"] td:nth-child(9) button`).click(), first.id);
  await until((id, text) => document.querySelector(`[data-device="${id}"]`).children[5].textContent === text,
    first.id, `${(first.setpoint_c - 0.5).toFixed(1)} °C`);
  await until(() => [...document.querySelectorAll("#events b")].some((kind) => kind.textContent === "command"));
  await page.screenshot({ path: screenshot });
  assert.deepEqual(errors, []);
  console.log("the page of the control endpoint: passed");
});
