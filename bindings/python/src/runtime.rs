//! Running futures of the client for Python: as awaitables of asyncio, or blocking.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use pyo3::prelude::*;
use pyo3_async_runtimes::TaskLocals;
use pyo3_async_runtimes::generic::{ContextExt, Runtime, future_into_py};
use pyo3_async_runtimes::tokio::get_runtime;
use tokio::task::{JoinError, JoinHandle};

use crate::errors::Class;

/// Interval at which a blocking call looks for signals, so that Ctrl-C ends it.
const SIGNAL_INTERVAL: Duration = Duration::from_millis(50);

/// Chooses the size of the runtime, since the client does little: two threads are enough. Closes the gate at the exit.
pub(crate) fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(2).thread_name("mysa").enable_all();
    pyo3_async_runtimes::tokio::init(builder);
    PROCESS.store(std::process::id(), Ordering::Relaxed);
    let close = wrap_pyfunction!(close_gate, module)?;
    module.py().import("atexit")?.call_method1("register", (close,))?;
    Ok(())
}

/// Runs a future: as an awaitable, or to its end while Python's other threads continue.
///
/// An awaitable that is cancelled drops the future.
pub(crate) fn run<'py, T>(
    py: Python<'py>,
    blocking: bool,
    future: impl Future<Output = PyResult<T>> + Send + 'static,
) -> PyResult<Bound<'py, PyAny>>
where
    T: for<'any> IntoPyObject<'any> + Send + 'static,
{
    if !blocking {
        if py.detach(|| GATE.lock().closed) {
            return Err(
                Class::Closed.error(py, "the interpreter is about to exit: nothing can be awaited any more")
            );
        }
        return future_into_py::<GatedRuntime, _, _>(py, future);
    }
    let value = py.detach(|| {
        get_runtime().block_on(async {
            tokio::pin!(future);
            loop {
                tokio::select! {
                    value = &mut future => return value,
                    () = tokio::time::sleep(SIGNAL_INTERVAL) => Python::attach(|py| py.check_signals())?,
                }
            }
        })
    })?;
    pyo3::IntoPyObjectExt::into_bound_py_any(value, py)
}

/// Threads of Rust that are in Python, or about to be.
///
/// Before version 3.14, CPython ends a thread that needs the interpreter lock during the exit by unwinding its stack. It
/// unwinds through the frames of Rust as well, and the process crashes. So no thread may be in Python then.
struct Gate {
    state: Mutex<GateState>,
    left: Condvar,
}

struct GateState {
    inside: usize,
    closed: bool,
}

static GATE: Gate = Gate { state: Mutex::new(GateState { inside: 0, closed: false }), left: Condvar::new() };

/// Process whose threads the gate counts: one that is forked from it has none of them.
static PROCESS: AtomicU32 = AtomicU32::new(0);

impl Gate {
    fn lock(&self) -> std::sync::MutexGuard<'_, GateState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets a thread in. `None` once the gate is closed.
    fn enter(&'static self) -> Option<Inside> {
        let mut state = self.lock();
        if state.closed {
            return None;
        }
        state.inside += 1;
        Some(Inside(self))
    }
}

/// Leaves when dropped.
struct Inside(&'static Gate);

impl Drop for Inside {
    fn drop(&mut self) {
        self.0.lock().inside -= 1;
        self.0.left.notify_all();
    }
}

/// Closes the gate and waits until no thread is inside. Called at the exit, before the interpreter ends.
#[pyfunction]
fn close_gate(py: Python<'_>) {
    if PROCESS.load(Ordering::Relaxed) != std::process::id() {
        return;
    }
    py.detach(|| {
        let mut state = GATE.lock();
        state.closed = true;
        while state.inside > 0 {
            state = GATE.left.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    });
}

/// The runtime of tokio, whose tasks and blocking calls for Python pass the gate.
struct GatedRuntime;

impl Runtime for GatedRuntime {
    type JoinError = JoinError;
    type JoinHandle = JoinHandle<()>;

    fn spawn<F>(future: F) -> Self::JoinHandle
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let mut future = Box::pin(future);
        // Each poll may convert values. After the exit has begun, nobody waits for them.
        get_runtime().spawn(poll_fn(move |context| match GATE.enter() {
            Some(_inside) => future.as_mut().poll(context),
            None => Poll::Pending,
        }))
    }

    fn spawn_blocking<F>(call: F) -> Self::JoinHandle
    where
        F: FnOnce() + Send + 'static,
    {
        get_runtime().spawn_blocking(move || {
            if let Some(_inside) = GATE.enter() {
                call();
            }
        })
    }
}

/// No future here awaits a coroutine of Python, so none needs the loop and the context of its caller.
impl ContextExt for GatedRuntime {
    fn scope<F, R>(_: TaskLocals, future: F) -> Pin<Box<dyn Future<Output = R> + Send>>
    where
        F: Future<Output = R> + Send + 'static,
    {
        Box::pin(future)
    }

    fn get_task_locals() -> Option<TaskLocals> {
        None
    }
}
