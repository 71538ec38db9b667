//! The example `blocking` on a session that checks it. It fails with the list of broken rules.

extern crate mysa_examples_checked as mysa_examples;

#[path = "../../../../examples/src/bin/blocking.rs"]
mod example;

fn main() -> Result<(), mysa_examples::Error> {
    example::main()
}
