//! Control socket of a running fleet.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, FileTypeExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{sleep, timeout};

use super::ask::{self, Ask};
use super::fleet::Fleet;
use crate::support::exit::{Exit, Failure, Result};

/// Listening socket, which is removed with this value.
pub(super) struct Control {
    path: PathBuf,
    closing: watch::Sender<bool>,
    task: Option<JoinHandle<()>>,
}

/// Maximum number of connections; more wait in the queue of the system.
const MAX_CONNECTIONS: usize = 64;
/// Maximum number of requests of one connection that have no answer yet; more wait.
const MAX_REQUESTS: usize = 256;
/// Maximum length of a request, in bytes.
const MAX_LINE: u64 = 64 << 10;
/// Time limit for a client to take an answer.
const WRITE_LIMIT: Duration = Duration::from_secs(10);
/// Pause after a failed accept, such as one without a free file descriptor.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

impl Control {
    /// Opens the socket. Only the user of this process can connect.
    ///
    /// # Errors
    /// Another fleet listens there, or the system fails.
    pub(super) async fn open(path: &Path, fleet: Fleet) -> Result<Self> {
        let listener = bind(path).await?;
        let closing = watch::Sender::new(false);
        let task = tokio::spawn(accept(listener, fleet, closing.subscribe()));
        Ok(Self { path: path.to_owned(), closing, task: Some(task) })
    }

    /// Takes no more requests.
    pub(super) fn close(&self) {
        let _ = fs::remove_file(&self.path);
        self.closing.send_replace(true);
    }

    /// Waits until every request has its answer.
    pub(super) async fn finish(mut self) {
        self.close();
        if let Some(task) = self.task.take() {
            let _ = task.await;
        }
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            let _ = fs::remove_file(&self.path);
            task.abort();
        }
    }
}

async fn bind(path: &Path) -> Result<UnixListener> {
    let failed = |error: io::Error| {
        Failure::new(Exit::Failed, format!("cannot listen on --control {}: {error}", path.display()))
    };
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed)?;
    }
    match fs::symlink_metadata(path) {
        Ok(metadata) if !metadata.file_type().is_socket() => {
            return Err(failed(io::Error::other("the path is in use by something that is not a socket")));
        }
        Ok(_) if UnixStream::connect(path).await.is_ok() => {
            return Err(failed(io::Error::other(
                "another fleet listens there; end it, or choose another path",
            )));
        }
        _ => {}
    }
    // Its name appears once it has its permissions, in place of the socket of a fleet that was killed.
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}", std::process::id()));
    let temporary = PathBuf::from(name);
    let _ = fs::remove_file(&temporary);
    let listener = UnixListener::bind(&temporary).map_err(failed)?;
    let placed = fs::set_permissions(&temporary, fs::Permissions::from_mode(0o600))
        .and_then(|()| fs::rename(&temporary, path));
    if let Err(error) = placed {
        let _ = fs::remove_file(&temporary);
        return Err(failed(error));
    }
    Ok(listener)
}

async fn accept(listener: UnixListener, fleet: Fleet, closing: watch::Receiver<bool>) {
    let mut closed = closing.clone();
    let free = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        let accepted = async {
            // The semaphore is never closed.
            let permit = Arc::clone(&free).acquire_owned().await.ok();
            (permit, listener.accept().await)
        };
        tokio::select! {
            () = is_closed(&mut closed) => break,
            Some(_) = connections.join_next() => {}
            (permit, accepted) = accepted => match accepted {
                Ok((stream, _)) => {
                    let (fleet, closing) = (fleet.clone(), closing.clone());
                    connections.spawn(async move {
                        connection(stream, fleet, closing).await;
                        drop(permit);
                    });
                }
                Err(_) => sleep(ACCEPT_PAUSE).await,
            },
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

async fn is_closed(closing: &mut watch::Receiver<bool>) {
    let _ = closing.wait_for(|closing| *closing).await;
}

/// Serves a client until it has closed its side and every request is answered.
async fn connection(stream: UnixStream, fleet: Fleet, mut closing: watch::Receiver<bool>) {
    let (read, mut write) = stream.into_split();
    let (answers, mut to_write) = mpsc::channel::<String>(1);
    let reader = async move {
        let free = Arc::new(Semaphore::new(MAX_REQUESTS));
        let mut input = BufReader::new(read);
        loop {
            let next = async {
                let permit = Arc::clone(&free).acquire_owned().await.ok();
                (permit, next_line(&mut input).await)
            };
            let (permit, line) = tokio::select! {
                biased;
                () = is_closed(&mut closing) => return,
                next = next => next,
            };
            let answer = match line {
                Ok(None) | Err(ReadError::Io) => return,
                Err(ReadError::TooLong) => {
                    let failure = Failure::usage(format!("invalid request: longer than {MAX_LINE} bytes"));
                    let _ = answers.send(ask::failed(None, &failure).to_json()).await;
                    return;
                }
                Ok(Some(line)) => Ask::parse(&line),
            };
            let (fleet, answers) = (fleet.clone(), answers.clone());
            // A task of its own, so that a command goes on after its client is gone.
            tokio::spawn(async move {
                let answer = match answer {
                    Ok(ask) => fleet.answer(ask).await,
                    Err(failure) => ask::failed(None, &failure),
                };
                let _ = answers.send(answer.to_json()).await;
                drop(permit);
            });
        }
    };
    let writer = async move {
        while let Some(answer) = to_write.recv().await {
            let line = format!("{answer}\n");
            if !matches!(timeout(WRITE_LIMIT, write.write_all(line.as_bytes())).await, Ok(Ok(()))) {
                return;
            }
        }
    };
    tokio::join!(reader, writer);
}

enum ReadError {
    TooLong,
    Io,
}

/// Reads a line. `None` at the end; a last line without an end counts.
async fn next_line(
    input: &mut BufReader<impl AsyncRead + Unpin>,
) -> std::result::Result<Option<Vec<u8>>, ReadError> {
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = (&mut *input).take(MAX_LINE + 1).read_until(b'\n', &mut line).await;
        match read.map_err(|_| ReadError::Io)? {
            0 => return Ok(None),
            _ if line.len() as u64 > MAX_LINE => return Err(ReadError::TooLong),
            _ if line.trim_ascii().is_empty() => {}
            _ => return Ok(Some(line)),
        }
    }
}

/// Sends a request to a running fleet and returns the line of its answer.
pub(super) async fn request(path: &Path, ask: &Ask, limit: Duration) -> Result<String> {
    let shown = path.display();
    let mut stream = UnixStream::connect(path).await.map_err(|error| {
        let hint = match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
                "no fleet runs there; start `mysa fleet`, or name its socket with --control"
            }
            io::ErrorKind::PermissionDenied => "it belongs to another user",
            _ => "it cannot be used",
        };
        Failure::new(Exit::Unreachable, format!("cannot connect to the fleet at {shown}: {hint} ({error})"))
    })?;
    let ended = |error: io::Error| {
        Failure::new(Exit::Unconfirmed, format!("the fleet has ended without an answer: {error}"))
    };
    let mut line = serde_json::to_string(ask).map_err(|error| Failure::from((Exit::Failed, error)))?;
    line.push('\n');
    stream.write_all(line.as_bytes()).await.map_err(ended)?;
    let mut input = BufReader::new(stream);
    let mut answer = Vec::new();
    let read = timeout(limit, input.read_until(b'\n', &mut answer)).await;
    let read = read.map_err(|_| {
        Failure::new(
            Exit::TimedOut,
            "time-out: the fleet did not answer, and the command may still take effect",
        )
    })?;
    if read.map_err(ended)? == 0 {
        return Err(ended(io::ErrorKind::UnexpectedEof.into()));
    }
    String::from_utf8(answer)
        .map_err(|error| Failure::new(Exit::Failed, format!("the fleet gave no valid answer: {error}")))
}
