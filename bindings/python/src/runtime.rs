//! Running futures of the client for Python: as awaitables of asyncio, or blocking.

use std::future::Future;
use std::time::Duration;

use pyo3::prelude::*;
use pyo3_async_runtimes::tokio::{future_into_py, get_runtime};

/// Interval at which a blocking call looks for signals, so that Ctrl-C ends it.
const SIGNAL_INTERVAL: Duration = Duration::from_millis(50);

/// Chooses the size of the runtime. The client does little, so two threads are enough.
pub(crate) fn init() {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(2).thread_name("mysa").enable_all();
    pyo3_async_runtimes::tokio::init(builder);
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
        return future_into_py(py, future);
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
