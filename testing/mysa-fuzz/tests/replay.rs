//! Runs every committed input of the corpora and every past crash through its target, without a fuzzer.

use std::fs;
use std::panic::{catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};

use mysa_fuzz::{TARGETS, Target, corpus};

#[test]
fn every_input_of_the_corpora_passes() {
    for (name, target) in TARGETS {
        let path = archive(name);
        let bytes = read(&path);
        let inputs = corpus::inputs(&bytes).unwrap_or_else(|problem| panic!("{}: {problem}", path.display()));
        assert!(inputs.len() >= 3, "{}: run the example `seed`", path.display());
        for (input, data) in inputs {
            replay(*target, data, &format!("{input} of {}", path.display()));
        }
    }
}

#[test]
fn every_past_crash_passes() {
    for (name, target) in TARGETS {
        for path in files(&fuzz().join("crashes").join(name)) {
            replay(*target, &read(&path), &path.display().to_string());
        }
    }
}

#[test]
fn every_target_has_a_fuzz_target_a_corpus_and_a_dictionary() {
    let manifest = fs::read_to_string(fuzz().join("Cargo.toml")).unwrap();
    for (name, _) in TARGETS {
        assert!(archive(name).exists(), "{name}");
        let dictionary = fs::read_to_string(fuzz().join(format!("dict/{name}.dict"))).unwrap();
        assert!(dictionary.lines().filter(|line| line.contains("=\"")).count() >= 3, "{name}");
        assert!(fuzz().join(format!("fuzz_targets/{name}.rs")).exists(), "{name}");
        assert!(manifest.contains(&format!("name = \"{name}\"")), "{name}");
    }
    for path in archives().into_iter().chain(files(&fuzz().join("crashes"))) {
        let known = TARGETS.iter().any(|(name, _)| path.file_stem().is_some_and(|stem| stem == *name));
        assert!(known, "{} belongs to no target, so nothing replays it", path.display());
    }
}

#[test]
fn the_corpora_are_small_enough_to_keep() {
    let crashes = files(&fuzz().join("crashes")).into_iter().flat_map(|dir| files(&dir));
    let size: u64 = archives().into_iter().chain(crashes).map(|path| fs::metadata(path).unwrap().len()).sum();
    assert!(size < 2 << 20, "{size} bytes: run fuzz/minimise");
}

fn replay(target: Target, data: &[u8], what: &str) {
    if let Err(panic) = catch_unwind(|| target(data)) {
        eprintln!("{what} breaks its target");
        resume_unwind(panic);
    }
}

fn fuzz() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz")
}

fn archive(target: &str) -> PathBuf {
    fuzz().join("corpus").join(target).with_extension("ar")
}

/// The committed archives, without the folders that `fuzz/unpack` makes beside them.
fn archives() -> Vec<PathBuf> {
    files(&fuzz().join("corpus")).into_iter().filter(|path| path.is_file()).collect()
}

fn read(path: &Path) -> Vec<u8> {
    fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    let mut files: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    files.sort();
    files
}
