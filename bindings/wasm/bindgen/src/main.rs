//! Writes the JavaScript and the TypeScript types of a compiled module: mysa-wasm-bindgen MODULE.wasm TARGET FOLDER
//!
//! It takes the place of the program `wasm-bindgen`, whose version must equal that of the library: here one lock file
//! holds both.

use anyhow::{Context as _, bail};
use wasm_bindgen_cli_support::Bindgen;

fn main() -> anyhow::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [module, target, folder] = &args[..] else { bail!("expected MODULE.wasm web|nodejs FOLDER") };
    let mut bindgen = Bindgen::new();
    match target.as_str() {
        "web" => bindgen.web(true)?,
        "nodejs" => bindgen.nodejs(true)?,
        other => bail!("invalid target {other}: expected web or nodejs"),
    };
    bindgen
        .input_path(module)
        .out_name("mysa_protocol")
        .typescript(true)
        // Names of functions are for debuggers, and half of the file.
        .remove_name_section(true)
        .remove_producers_section(true)
        .generate(folder)
        .with_context(|| format!("cannot write the JavaScript of {module}"))
}
