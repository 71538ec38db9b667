//! The protocol crates for JavaScript, by wasm-bindgen: the npm package `mysa-protocol`.
//!
//! As in the crates below, nothing here opens a connection, reads a clock or draws a random number: the caller fetches,
//! opens the WebSocket, and passes the time and the entropy. The doc comments of the exported items become the comments of
//! the TypeScript types, so they are written for JavaScript.

mod error;
mod message;
mod mqtt;
mod presign;
mod sign_in;
mod value;

use wasm_bindgen::prelude::wasm_bindgen;

/// Version of this package.
#[wasm_bindgen]
#[must_use]
pub fn version() -> String {
    env!("CARGO_PKG_VERSION").to_owned()
}

#[wasm_bindgen(typescript_custom_section)]
const TYPES: &str = include_str!("types.d.ts");
