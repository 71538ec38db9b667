//! What happens to the file that holds a session.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use mysa_tokio::{Loaded, RefreshToken, Secret, StoredSession, TokenFile, TokenFileError};

const ACCOUNT: &str = "Ann@Example.org";

/// A folder of its own for each test, removed at the end.
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

fn loaded(file: &TokenFile) -> StoredSession {
    match file.load().expect("a readable file") {
        Loaded::Session(session) => *session,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_is_saved_is_loaded_and_removed() {
    let folder = Folder::new();
    let file = folder.file();
    assert!(matches!(file.load(), Ok(Loaded::Nothing)));
    file.save(&session("one")).expect("a writable folder");
    file.save(&session("two")).expect("a writable folder");
    assert_eq!(loaded(&file), session("two"));
    file.remove().expect("a removable file");
    file.remove().expect("nothing is as good as removed");
    assert!(matches!(file.load(), Ok(Loaded::Nothing)));
}

#[test]
fn a_damaged_file_is_set_aside_whole() {
    let folder = Folder::new();
    let file = folder.file();
    file.save(&session("one")).expect("a writable folder");
    let whole = fs::read(file.path()).expect("a file");
    for cut in [0, 1, whole.len() / 2, whole.len() - 1] {
        file.save(&session("one")).expect("a writable folder");
        fs::write(file.path(), &whole[..cut]).expect("a writable file");
        let Ok(Loaded::SetAside(path)) = file.load() else { panic!("cut at {cut}") };
        assert_eq!(fs::read(path).expect("a file"), &whole[..cut], "nothing is lost");
        assert!(matches!(file.load(), Ok(Loaded::Nothing)));
    }
}

#[test]
fn a_file_of_another_account_is_not_used() {
    let folder = Folder::new();
    let file = folder.file();
    let mut other = session("one");
    other.account = "bob@example.org".into();
    file.save(&other).expect("a writable folder");
    assert!(matches!(file.load(), Ok(Loaded::SetAside(_))));
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
    // What a crash in the middle of a later write leaves behind.
    fs::write(file.path().with_extension("99999.tmp"), b"{\"version\":1,\"acc").expect("a writable folder");
    assert_eq!(loaded(&file), session("old"));
    file.save(&session("new")).expect("a leftover is no obstacle");
    assert_eq!(loaded(&file), session("new"));
}

#[test]
fn writers_at_once_leave_one_whole_session() {
    let folder = Folder::new();
    let file = folder.file();
    std::thread::scope(|scope| {
        for writer in 0..4 {
            let file = file.clone();
            scope.spawn(move || {
                for round in 0..25 {
                    file.save(&session(&format!("{writer}-{round}"))).expect("a writable folder");
                    loaded(&file);
                }
            });
        }
    });
    let token = loaded(&file).refresh_token.map(|token| token.expose().to_owned());
    assert!(token.is_some_and(|token| token.ends_with("-24")));
}

#[test]
fn accounts_that_look_alike_have_files_of_their_own() {
    let names: Vec<_> = ["a@b.c", "a/b@c", "../a@b.c", ".a@b.c", "a b@c", "A@B.C ", "ä@b.c", ""]
        .iter()
        .map(|account| TokenFile::new("dir", account).path().to_owned())
        .collect();
    for name in &names {
        assert_eq!(name.parent(), Some(std::path::Path::new("dir")), "{}", name.display());
    }
    assert_eq!(names[0], names[5], "case and blanks do not make another account");
    let mut others = names;
    others.remove(5);
    others.sort();
    others.dedup();
    assert_eq!(others.len(), 7);
}
