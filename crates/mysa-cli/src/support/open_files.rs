//! Limit of open files.

/// Raises the limit of open files as far as the system lets this process. Many systems start programs with 1,024, which is
/// less than the sockets of some hundred accounts; a failure shows later, with its reason, where a file cannot be opened.
#[cfg(unix)]
pub(crate) fn raise_open_files() {
    use rustix::process::{Resource, getrlimit, setrlimit};

    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    let _ = setrlimit(Resource::Nofile, limit);
}

/// Such a limit exists on Unix alone.
#[cfg(not(unix))]
pub(crate) const fn raise_open_files() {}
