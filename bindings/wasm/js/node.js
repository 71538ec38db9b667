// Node: reads the module beside this file.
import { readFileSync } from "node:fs";
import { initSync } from "./mysa_protocol.js";

initSync({ module: readFileSync(new URL("mysa_protocol_bg.wasm", import.meta.url)) });
export * from "./mysa_protocol.js";
