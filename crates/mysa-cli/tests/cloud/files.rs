//! Session files: locks of other processes, read-only file systems, and processes that were killed while writing.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Stdio};

use mysa_sim::{CloudSpec, Fault};

use crate::bench::{Bench, KITCHEN, LIVING, signal};
use crate::common::finish;

const SESSION: &str = ".local/state/mysa/user@example.com.json";
const WAITS: &str = "waiting for another process that holds the lock of the session";

/// Holds the lock of the session until it is dropped.
fn hold_lock(bench: &Bench) -> File {
    let lock = File::create(bench.home.path(SESSION).with_extension("lock")).unwrap();
    lock.lock().unwrap();
    lock
}

fn login(bench: &Bench) -> std::process::Command {
    bench.command(&["login", CloudSpec::DEMO_EMAIL, "--password-file", "password"])
}

#[test]
fn a_lock_that_is_never_released_is_waited_for_with_a_message_and_a_limit() {
    let bench = Bench::signed_in();
    let before = std::fs::read(bench.home.path(SESSION)).unwrap();
    let _held = hold_lock(&bench);
    let ran = finish(login(&bench), b"").fails(1);
    assert!(ran.err.contains(WAITS) && ran.err.contains("keeps") && ran.err.contains("locked"), "{ran:?}");
    assert_eq!(std::fs::read(bench.home.path(SESSION)).unwrap(), before);
    // Reading takes no lock. A slow run may learn something to store, which is then not stored.
    let ran = bench.run(&["devices"]).ok();
    assert!(ran.out.contains("Living room"), "{ran:?}");
    assert_eq!(std::fs::read(bench.home.path(SESSION)).unwrap(), before);

    // A command is carried out; what it has learnt is not stored.
    bench.fault(Fault::DenyPublish);
    let ran = bench.run(&["set", "bedroom", "--temp", "21"]).ok();
    assert!(ran.out.contains("confirmed by") && ran.err.contains(WAITS), "{ran:?}");
    assert!(ran.err.contains("cannot store the session: another process keeps"), "{ran:?}");
    assert_eq!(std::fs::read(bench.home.path(SESSION)).unwrap(), before);
}

/// Starts a sign-in while the lock is held, does something once it waits, and checks its exit code. A machine that is too
/// slow to do it within the limit for the lock tries again.
#[track_caller]
fn while_waiting(bench: &Bench, code: i32, act: impl Fn(&Child, &mut Option<File>)) {
    for _ in 0..20 {
        let mut held = Some(hold_lock(bench));
        let mut child = login(bench).stderr(Stdio::piped()).spawn().unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
        assert!(log.by_ref().any(|line| line.contains(WAITS)));
        act(&child, &mut held);
        let rest: Vec<String> = log.collect();
        let ended = child.wait().unwrap().code();
        if ended == Some(code) {
            return;
        }
        assert!(ended == Some(1) && rest.iter().any(|line| line.contains("locked")), "{ended:?}: {rest:?}");
    }
    panic!("it never ends with {code}");
}

#[test]
fn a_lock_that_is_released_is_taken() {
    let bench = Bench::signed_in();
    while_waiting(&bench, 0, |_, held| *held = None);
}

#[test]
fn waiting_for_a_lock_can_be_interrupted() {
    let bench = Bench::signed_in();
    for (name, code) in [("INT", 130), ("TERM", 143)] {
        while_waiting(&bench, code, |child, _| signal(child, name));
    }
}

/// Builds a library for `LD_PRELOAD`. Below the folder in `GUARDED`, it makes the file system read-only; with `KILL_AT`
/// it kills the process where it would rename a file.
#[cfg(target_os = "linux")]
fn preload(bench: &Bench) -> PathBuf {
    const SOURCE: &str = r#"
        #define _GNU_SOURCE
        #include <dlfcn.h>
        #include <errno.h>
        #include <fcntl.h>
        #include <signal.h>
        #include <stdarg.h>
        #include <stdlib.h>
        #include <string.h>
        #include <sys/types.h>
        #include <unistd.h>
        static int guarded(const char *path) {
            const char *folder = getenv("GUARDED");
            return folder && path && strncmp(path, folder, strlen(folder)) == 0;
        }
        static int read_only(const char *path) {
            if (!guarded(path) || getenv("KILL_AT")) return 0;
            errno = EROFS;
            return 1;
        }
        #define OPEN(name) \
            int name(const char *path, int flags, ...) { \
                va_list rest; va_start(rest, flags); mode_t mode = va_arg(rest, mode_t); va_end(rest); \
                if ((flags & (O_WRONLY | O_RDWR | O_CREAT)) && read_only(path)) return -1; \
                int (*real)(const char *, int, ...) = dlsym(RTLD_NEXT, #name); \
                return real(path, flags, mode); \
            }
        OPEN(open)
        OPEN(open64)
        int mkdir(const char *path, mode_t mode) {
            if (read_only(path)) return -1;
            int (*real)(const char *, mode_t) = dlsym(RTLD_NEXT, "mkdir");
            return real(path, mode);
        }
        int unlink(const char *path) {
            if (read_only(path)) return -1;
            int (*real)(const char *) = dlsym(RTLD_NEXT, "unlink");
            return real(path);
        }
        int rename(const char *from, const char *to) {
            if (guarded(to) && getenv("KILL_AT")) kill(getpid(), SIGKILL);
            if (read_only(to)) return -1;
            int (*real)(const char *, const char *) = dlsym(RTLD_NEXT, "rename");
            return real(from, to);
        }
    "#;
    let source = bench.home.write("guard.c", SOURCE);
    let library = bench.home.path("guard.so");
    let mut compiler = std::process::Command::new("cc");
    let built = compiler.args(["-shared", "-fPIC", "-o"]).arg(&library).arg(&source).arg("-ldl").status();
    assert!(built.unwrap().success());
    library
}

/// Every file in the folder of the sessions, with its content.
fn files(bench: &Bench) -> Vec<(PathBuf, Vec<u8>)> {
    let entries = std::fs::read_dir(bench.home.path(SESSION).parent().unwrap()).unwrap();
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.into_iter().map(|path| (path.clone(), std::fs::read(path).unwrap())).collect()
}

#[cfg(target_os = "linux")]
#[test]
fn a_session_on_a_read_only_file_system_works() {
    let bench = Bench::signed_in();
    let library = preload(&bench);
    let guarded = |args: &[&str]| {
        let mut command = bench.command(args);
        command.env("LD_PRELOAD", &library).env("GUARDED", bench.home.path(".local"));
        finish(command, b"")
    };
    let before = files(&bench);
    for args in [
        &["devices"][..],
        &["status"],
        &["set", "living", "--temp", "21.5"],
        &["hold", "kitchen", "on"],
        &["energy", "living"],
        &["watch", "--count", "1"],
    ] {
        guarded(args).ok();
    }
    assert_eq!(bench.setpoint(LIVING), 21.5);
    // What cannot be stored is reported, and does not fail the command.
    bench.fault(Fault::DenyPublish);
    let ran = guarded(&["set", KITCHEN, "--temp", "22"]).ok();
    assert!(ran.out.contains("confirmed by") && ran.err.contains("cannot store the session"), "{ran:?}");
    assert!(ran.err.to_lowercase().contains("read-only file system"), "{ran:?}");
    assert_eq!(bench.setpoint(KITCHEN), 22.0);

    // The revocation counts, and the file that stays is reported.
    let ran = guarded(&["logout"]).fails(1);
    assert!(ran.err.contains("was revoked, but its file cannot be removed"), "{ran:?}");
    assert_eq!(files(&bench), before, "nothing was written");

    let mut command = login(&bench);
    command.env("LD_PRELOAD", &library).env("GUARDED", bench.home.path(".local"));
    let ran = finish(command, b"").fails(1);
    assert!(ran.err.to_lowercase().contains("read-only file system"), "{ran:?}");
    assert!(ran.err.contains("; the session was revoked"), "nothing could end it later: {ran:?}");
}

#[cfg(target_os = "linux")]
#[test]
fn a_process_that_was_killed_while_writing_leaves_the_old_session_and_nothing_for_good() {
    let bench = Bench::signed_in();
    let library = preload(&bench);
    let before = std::fs::read(bench.home.path(SESSION)).unwrap();
    for _ in 0..3 {
        let mut command = login(&bench);
        command.env("LD_PRELOAD", &library).env("GUARDED", bench.home.path(SESSION)).env("KILL_AT", "rename");
        assert_eq!(finish(command, b"").code, -1, "it is killed");
    }
    assert_eq!(std::fs::read(bench.home.path(SESSION)).unwrap(), before);
    let temporary =
        |(path, _): &(PathBuf, Vec<u8>)| path.extension().is_some_and(|extension| extension == "tmp");
    let left = files(&bench);
    assert_eq!(left.iter().filter(|file| temporary(file)).count(), 1, "each write removes what it finds");
    for (path, _) in left.iter().filter(|file| temporary(file)) {
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(std::fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
    }
    bench.log_in().ok();
    assert_eq!(files(&bench).iter().filter(|file| temporary(file)).count(), 0);
    bench.run(&["devices"]).ok();
}
