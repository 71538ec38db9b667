// Takes a picture of a dashboard of Home Assistant in a real browser. Arguments: URL of the dashboard, tokens as JSON, path
// of the browser, file for the picture, and how many cards it waits for.
"use strict";

const puppeteer = require("puppeteer-core");

const [url, tokens, executablePath, file] = process.argv.slice(2);
const LIMIT_MS = 120_000;

async function main() {
  const browser = await puppeteer.launch({
    executablePath,
    // Chromium's own sandbox cannot be used by root.
    args: ["--no-sandbox", "--disable-dev-shm-usage"],
    protocolTimeout: LIMIT_MS,
  });
  try {
    const page = await browser.newPage();
    page.setDefaultTimeout(LIMIT_MS);
    await page.setViewport({ width: 860, height: 520, deviceScaleFactor: 1 });
    await page.evaluateOnNewDocument((text) => localStorage.setItem("hassTokens", text), tokens);
    await page.goto(url);
    // Cards are in shadow roots.
    const find = () => {
      const all = (root, name) => [...root.querySelectorAll("*")].flatMap((element) => [
        ...(element.localName === name ? [element] : []),
        ...(element.shadowRoot ? all(element.shadowRoot, name) : []),
      ]);
      const dials = all(document, "ha-state-control-climate-temperature");
      return dials.length > 0 && dials.every((dial) => dial.shadowRoot.textContent.includes("°"));
    };
    await page.waitForFunction(find);
    await page.waitForNetworkIdle();
    await page.screenshot({ path: file });
  } finally {
    await browser.close();
  }
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
