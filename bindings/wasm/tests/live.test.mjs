// The whole path in node: sign-in, presigned URL, MQTT and a command, against the simulated cloud.
// PACKAGE: folder of the package. MYSA: the program `mysa`. NODE_MODULES: a folder with `ws`.
import assert from "node:assert/strict";
import { request as httpsRequest } from "node:https";
import { createRequire } from "node:module";
import { test } from "node:test";
import { pathToFileURL } from "node:url";
import { startCloud } from "./cloud.mjs";
import { visit } from "./live.mjs";

const mysa = await import(pathToFileURL(`${process.env.PACKAGE}/node.js`));
const { WebSocket } = createRequire(`${process.env.NODE_MODULES}/`)("ws");

test("a program in node signs in, connects and sends a command", { timeout: 120_000 }, async () => {
  const cloud = await startCloud();
  try {
    // Every name of the real cloud leads to the simulated one.
    const connection = { host: "127.0.0.1", port: cloud.port, ca: cloud.ca };
    const fetch = (url, { method, headers, body }) =>
      new Promise((resolve, reject) => {
        const { hostname, pathname } = new URL(url);
        const options = { ...connection, servername: hostname, path: pathname, method, headers: { ...headers, host: hostname } };
        const sent = httpsRequest(options, async (answer) => {
          const parts = [];
          for await (const part of answer) parts.push(part);
          resolve({ status: answer.statusCode, text: async () => Buffer.concat(parts).toString() });
        });
        sent.on("error", reject).end(body);
      });
    class Socket extends WebSocket {
      constructor(url, protocol) {
        // Only the Host header and the path are signed.
        const { hostname, pathname, search } = new URL(url);
        const options = { ca: cloud.ca, servername: hostname, headers: { host: hostname } };
        super(`wss://127.0.0.1:${cloud.port}${pathname}${search}`, protocol, options);
      }
    }
    const random = (bytes) => crypto.getRandomValues(bytes);
    const result = await visit(mysa, { ...cloud.home, fetch, WebSocket: Socket, random, setpoint: 21.5 });
    assert.equal(result.requests, 4);
    assert.deepEqual(result.log.slice(0, 2), ["connack", "suback"]);
    assert.equal(result.acknowledged.state.setpoint_c, 21.5, JSON.stringify(result.acknowledged));
  } finally {
    cloud.stop();
  }
});
