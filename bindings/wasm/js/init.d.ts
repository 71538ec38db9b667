/// <reference lib="esnext.disposable" />
export * from "./mysa_protocol.js";
export { default } from "./mysa_protocol.js";
