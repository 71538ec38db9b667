/// <reference lib="esnext.disposable" />
export * from "./mysa_protocol.js";
