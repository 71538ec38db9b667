// Browsers and workers: fetches the module beside this file.
import init from "./mysa_protocol.js";

await init({ module_or_path: new URL("mysa_protocol_bg.wasm", import.meta.url) });
export * from "./mysa_protocol.js";
