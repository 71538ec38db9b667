//! Every file of the corpora and every past crash, without a fuzzer.

use std::fs;
use std::path::{Path, PathBuf};

use mysa_fuzz::TARGETS;

fn fuzz() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz")
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    let mut files: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    files.sort();
    files
}

#[test]
fn every_file_of_the_corpora_and_every_past_crash_holds() {
    for (name, target) in TARGETS {
        for kind in ["corpus", "crashes"] {
            for file in files(&fuzz().join(kind).join(name)) {
                let data = fs::read(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
                if let Err(panic) = std::panic::catch_unwind(|| target(&data)) {
                    eprintln!("{} breaks {name}", file.display());
                    std::panic::resume_unwind(panic);
                }
            }
        }
    }
}

#[test]
fn every_target_has_a_fuzz_target_a_corpus_and_a_dictionary() {
    let manifest = fs::read_to_string(fuzz().join("Cargo.toml")).unwrap();
    for (name, _) in TARGETS {
        let dir = fuzz().join("corpus").join(name);
        assert!(files(&dir).len() >= 3, "{}: run the example `seed`", dir.display());
        let dictionary = fs::read_to_string(fuzz().join(format!("dict/{name}.dict"))).unwrap();
        assert!(dictionary.lines().filter(|line| line.contains("=\"")).count() >= 3, "{name}");
        assert!(fuzz().join(format!("fuzz_targets/{name}.rs")).exists(), "{name}");
        assert!(manifest.contains(&format!("name = \"{name}\"")), "{name}");
    }
    let known = |dir: &Path| TARGETS.iter().any(|(name, _)| dir.ends_with(name));
    for kind in ["corpus", "crashes"] {
        for dir in files(&fuzz().join(kind)) {
            assert!(known(&dir), "{} belongs to no target, so nothing replays it", dir.display());
        }
    }
}

#[test]
fn the_corpora_are_small_enough_to_keep() {
    let size = |dir: &Path| -> u64 {
        files(dir).iter().flat_map(|dir| files(dir)).map(|file| fs::metadata(file).unwrap().len()).sum()
    };
    let (corpus, crashes) = (size(&fuzz().join("corpus")), size(&fuzz().join("crashes")));
    assert!(corpus + crashes < 2 << 20, "{corpus} + {crashes} bytes: run fuzz/minimise");
}
