//! Token file: reading, writing, damage and locks.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use mysa_tokio::{RefreshToken, Saved, Secret, StoredSession, TokenFile, TokenFileError};

const ACCOUNT: &str = "Ann@Example.org";

/// Folder of one test, removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        Self(std::env::temp_dir().join(format!("mysa-token-file-{}-{number}", std::process::id())))
    }

    fn file(&self) -> TokenFile {
        TokenFile::new(&self.0, ACCOUNT)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn session(token: &str) -> StoredSession {
    let mut session = StoredSession::new(ACCOUNT, "client");
    session.refresh_token = Some(RefreshToken::new(Secret::from(token)));
    session
}

fn numbered(token: &str, generation: u64) -> StoredSession {
    let mut session = session(token);
    session.generation = generation;
    session
}

/// Returns every file of the folder with its content.
fn content(folder: &Folder) -> Vec<(PathBuf, Vec<u8>)> {
    let entries = fs::read_dir(&folder.0).into_iter().flatten().flatten();
    let mut all: Vec<_> =
        entries.map(|entry| (entry.path(), fs::read(entry.path()).expect("a file"))).collect();
    all.sort();
    all
}

fn loaded(file: &TokenFile) -> StoredSession {
    file.load().expect("a readable file").expect("a session")
}

#[test]
fn a_saved_session_is_loaded_and_removed() {
    let folder = Folder::new();
    let file = folder.file();
    assert!(matches!(file.load(), Ok(None)));
    assert!(!folder.0.exists(), "reading must not create the folder");
    assert!(matches!(file.save(&numbered("one", 1)), Ok(Saved::Written)));
    assert!(matches!(file.save(&numbered("two", 2)), Ok(Saved::Written)));
    assert_eq!(loaded(&file), numbered("two", 2));
    file.remove().expect("a removable file");
    file.remove().expect("removing a missing file is not an error");
    assert!(matches!(file.load(), Ok(None)));
}

#[test]
fn an_older_session_never_overwrites_a_newer_one() {
    let folder = Folder::new();
    let file = folder.file();
    file.save(&numbered("two", 2)).expect("a writable folder");
    for older in [numbered("one", 1), session("of an earlier program"), numbered("another", 2)] {
        let saved = file.save(&older);
        assert!(matches!(&saved, Ok(Saved::NewerKept(kept)) if **kept == numbered("two", 2)), "{saved:?}");
        assert_eq!(loaded(&file), numbered("two", 2));
    }
    // A new sign-in becomes the newest session.
    file.replace(&numbered("signed in", 1)).expect("a writable folder");
    assert_eq!(loaded(&file), numbered("signed in", 3));
}

#[test]
fn a_damaged_file_is_left_alone_by_readers_and_kept_by_writers() {
    let folder = Folder::new();
    let file = folder.file();
    file.save(&session("one")).expect("a writable folder");
    let whole = fs::read(file.path()).expect("a file");
    for (number, cut) in [0, 1, whole.len() / 2, whole.len() - 1].into_iter().enumerate() {
        fs::write(file.path(), &whole[..cut]).expect("a writable file");
        let before = content(&folder);
        for _ in 0..2 {
            assert!(matches!(file.load(), Err(TokenFileError::Damaged { .. })), "cut at {cut}");
        }
        assert_eq!(content(&folder), before, "reading must change nothing");
        file.save(&session("one")).expect("a writable folder");
        let aside = if number == 0 { "corrupt".into() } else { format!("corrupt-{number}") };
        assert_eq!(
            fs::read(file.path().with_extension(aside)).expect("a file"),
            &whole[..cut],
            "the damaged file must be kept"
        );
        assert_eq!(loaded(&file), session("one"));
    }
}

#[test]
fn a_file_of_another_account_or_a_later_version_is_refused_and_left_alone() {
    let folder = Folder::new();
    let file = folder.file();
    let mut other = session("one");
    other.account = "bob@example.org".into();
    assert!(matches!(file.save(&other), Err(TokenFileError::OtherAccount { .. })));
    file.save(&session("one")).expect("a writable folder");
    let later = session("one").to_json().replace("\"version\":1", "\"version\":7");
    for (text, version) in [(other.to_json().as_str(), None), (later.as_str(), Some(7))] {
        fs::write(file.path(), text).expect("a writable file");
        let before = content(&folder);
        let results = [
            file.load().expect_err("not ours"),
            file.save(&numbered("new", 9)).expect_err("not ours"),
            file.replace(&numbered("new", 9)).expect_err("not ours"),
        ];
        for error in results {
            match error {
                TokenFileError::OtherAccount { .. } => assert_eq!(version, None),
                TokenFileError::LaterVersion { version: stated, .. } => assert_eq!(version, Some(stated)),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(content(&folder), before);
    }
}

#[test]
fn blanks_and_case_of_the_account_are_ignored() {
    let folder = Folder::new();
    folder.file().save(&session("one")).expect("a writable folder");
    for account in ["ann@example.org", " Ann@Example.org\r\n", "ANN@EXAMPLE.ORG\t"] {
        assert_eq!(loaded(&TokenFile::new(&folder.0, account)), session("one"), "{account:?}");
    }
}

#[test]
fn a_lock_that_is_never_released_is_reported_and_does_not_stop_readers() {
    let folder = Folder::new();
    let file = folder.file();
    file.save(&session("one")).expect("a writable folder");
    let held = fs::File::open(file.path().with_extension("lock")).expect("a lock file");
    held.lock().expect("a free lock");
    assert_eq!(loaded(&file), session("one"));
    assert!(matches!(file.save(&numbered("two", 2)), Err(TokenFileError::Locked { .. })));
    drop(held);
    assert!(matches!(file.save(&numbered("two", 2)), Ok(Saved::Written)));
}

#[cfg(unix)]
#[test]
fn only_the_owner_can_read_it_and_a_file_that_others_can_read_is_refused() {
    use std::os::unix::fs::PermissionsExt;

    let folder = Folder::new();
    let file = folder.file();
    file.save(&session("canary")).expect("a writable folder");
    let mode = |path: &std::path::Path| fs::metadata(path).expect("metadata").permissions().mode() & 0o777;
    assert_eq!((mode(file.path()), mode(&folder.0)), (0o600, 0o700));
    assert_eq!(
        mode(&file.path().with_extension("lock")),
        0o600,
        "other users must not be able to lock the file"
    );

    // A lock file of an earlier version.
    let lock = file.path().with_extension("lock");
    fs::set_permissions(&lock, fs::Permissions::from_mode(0o666)).expect("an own file");
    file.save(&numbered("canary", 1)).expect("a writable folder");
    assert_eq!(mode(&lock), 0o600);

    fs::set_permissions(file.path(), fs::Permissions::from_mode(0o644)).expect("an own file");
    let error = file.load().expect_err("exposed");
    assert!(matches!(error, TokenFileError::Exposed { mode: 0o644, .. }), "{error:?}");
    assert!(error.to_string().contains("chmod 600"), "{error}");
    assert!(!format!("{error:?}{error}").contains("canary"));
}

#[test]
fn a_crash_before_the_rename_leaves_the_old_content() {
    let folder = Folder::new();
    let file = folder.file();
    file.save(&session("old")).expect("a writable folder");
    // A crash in the middle of a write leaves this file behind.
    let leftover = file.path().with_extension("99999.tmp");
    fs::write(&leftover, b"{\"version\":1,\"acc").expect("a writable folder");
    let foreign = folder.0.join("bob@example.org.99999.tmp");
    fs::write(&foreign, b"of another account").expect("a writable folder");
    assert_eq!(loaded(&file), session("old"));
    file.save(&numbered("new", 1)).expect("a leftover does not prevent a save");
    assert_eq!(loaded(&file), numbered("new", 1));
    assert!(!leftover.exists() && foreign.exists(), "only this account's leftover may be removed");
}

#[test]
fn concurrent_writers_leave_one_complete_session() {
    let folder = Folder::new();
    let file = folder.file();
    std::thread::scope(|scope| {
        for writer in 0..4 {
            let file = file.clone();
            scope.spawn(move || {
                for round in 0..25 {
                    file.replace(&session(&format!("{writer}-{round}"))).expect("a writable folder");
                    loaded(&file);
                }
            });
        }
    });
    let last = loaded(&file);
    assert!(last.refresh_token.is_some_and(|token| token.expose().ends_with("-24")));
    assert_eq!(last.generation, 99, "each write must build on the previous one");
}

#[test]
fn similar_account_names_have_separate_files() {
    let names: Vec<_> = ["a@b.c", "a/b@c", "../a@b.c", ".a@b.c", "a b@c", "A@B.C ", "ä@b.c", ""]
        .iter()
        .map(|account| TokenFile::new("dir", account).path().to_owned())
        .collect();
    for name in &names {
        assert_eq!(name.parent(), Some(std::path::Path::new("dir")), "{}", name.display());
    }
    assert_eq!(names[0], names[5], "case and blanks must not make another account");
    let mut others = names;
    others.remove(5);
    others.sort();
    others.dedup();
    assert_eq!(others.len(), 7);
}
