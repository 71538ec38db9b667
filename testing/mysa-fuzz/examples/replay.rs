//! Runs inputs through a target, without a fuzzer: `cargo run -p mysa-fuzz --example replay TARGET FILE...`
//!
//! A file is an input, or an archive of inputs if its name ends with `.ar`; of a folder, all files are inputs. An input that breaks
//! the target ends the program with the message of the assertion, behind the name of the input.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use mysa_fuzz::{TARGETS, Target, corpus};

fn main() -> ExitCode {
    match run(std::env::args().skip(1).collect()) {
        Ok(count) => {
            println!("{count} inputs passed");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("replay: {error}");
            ExitCode::from(2)
        }
    }
}

fn run(arguments: Vec<String>) -> Result<usize, Box<dyn Error>> {
    let names = || TARGETS.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(" ");
    let Some((wanted, paths)) = arguments.split_first().filter(|(_, paths)| !paths.is_empty()) else {
        return Err(format!("expected a target and files; the targets are: {}", names()).into());
    };
    let Some((_, target)) = TARGETS.iter().find(|(name, _)| name == wanted) else {
        return Err(format!("no target {wanted}; there are: {}", names()).into());
    };
    let mut count = 0;
    for path in paths {
        count += replay(*target, Path::new(path)).map_err(|error| format!("{path}: {error}"))?;
    }
    Ok(count)
}

fn replay(target: Target, path: &Path) -> Result<usize, Box<dyn Error>> {
    if path.is_dir() {
        let entries = fs::read_dir(path)?.collect::<Result<Vec<_>, _>>()?;
        let mut files: Vec<PathBuf> =
            entries.iter().map(fs::DirEntry::path).filter(|path| path.is_file()).collect();
        files.sort();
        for file in &files {
            input(target, &file.display().to_string(), &fs::read(file)?);
        }
        return Ok(files.len());
    }
    let bytes = fs::read(path)?;
    if path.extension().is_none_or(|extension| extension != "ar") {
        input(target, &path.display().to_string(), &bytes);
        return Ok(1);
    }
    let inputs = corpus::inputs(&bytes)?;
    for (name, data) in &inputs {
        input(target, name, data);
    }
    Ok(inputs.len())
}

fn input(target: Target, name: &str, data: &[u8]) {
    let broken = std::panic::catch_unwind(|| target(data));
    if broken.is_err() {
        eprintln!("{name} breaks the target");
        std::process::exit(1);
    }
}
