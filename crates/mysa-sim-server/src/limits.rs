use std::time::Duration;

/// Bounds of the listener. All times are real ones, however fast the cloud's clock runs.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Limits {
    /// Connections at once. The next few are answered with 503, any further one is dropped. Default 256.
    pub connections: usize,
    /// Time for a TLS handshake. Default 10 seconds.
    pub handshake: Duration,
    /// Time for the head of a request, and for the next request on a connection. Default 60 seconds.
    pub header: Duration,
    /// Time for the body of a request; it is answered with 408 afterwards. Default 30 seconds.
    pub body: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 256,
            handshake: Duration::from_secs(10),
            header: Duration::from_secs(60),
            body: Duration::from_secs(30),
        }
    }
}
