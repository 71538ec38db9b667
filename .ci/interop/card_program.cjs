// Takes a picture of a dashboard of Home Assistant in a real browser. Arguments: URL of the dashboard, tokens as JSON, path
// of the browser, and file for the picture.
"use strict";

const { onPage } = require("./browser.cjs");

const [url, tokens, executablePath, file] = process.argv.slice(2);

onPage(executablePath, { width: 860, height: 520, deviceScaleFactor: 1 }, async (page) => {
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
});
