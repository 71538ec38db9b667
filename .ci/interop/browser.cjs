// Runs a program on a page of a headless browser. A failure of the program ends the process with status 1.
"use strict";

const puppeteer = require("puppeteer-core");

const LIMIT_MS = 120_000;

async function onPage(executablePath, viewport, program) {
  const browser = await puppeteer.launch({
    executablePath,
    // Chromium's own sandbox cannot be used by root.
    args: ["--no-sandbox", "--disable-dev-shm-usage"],
    protocolTimeout: LIMIT_MS,
  });
  try {
    const page = await browser.newPage();
    page.setDefaultTimeout(LIMIT_MS);
    await page.setViewport(viewport);
    await program(page);
  } finally {
    await browser.close();
  }
}

exports.onPage = (...args) => onPage(...args).catch((error) => {
  console.error(error);
  process.exit(1);
});
