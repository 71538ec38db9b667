//! The recipes in the README are those that `.ci/recipes` runs.
#![allow(clippy::unwrap_used, reason = "a test stops where something is missing")]

use std::fs;
use std::path::{Path, PathBuf};

/// Files below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found
}

#[test]
fn the_readme_quotes_every_recipe_as_it_is() {
    let crate_folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let readme = fs::read_to_string(crate_folder.join("README.md")).unwrap();
    let recipes = files(&crate_folder.join("recipes"));
    assert_eq!(recipes.len(), 9, "{recipes:?}");
    for path in recipes {
        let text = fs::read_to_string(&path).unwrap();
        let language = match path.extension().unwrap().to_str().unwrap() {
            "py" => "python",
            "txt" => "text",
            "yml" => "yaml",
            other => other,
        };
        assert!(readme.contains(&format!("```{language}\n{text}```\n")), "{}", path.display());
        let name = path.file_name().unwrap().to_str().unwrap();
        assert!(name == "github-workflow.yml" || readme.contains(&format!("`{name}`")), "{name}");
    }
}
