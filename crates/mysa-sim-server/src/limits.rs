use std::time::Duration;

/// Limits of the listener. All times are real time, independent of the cloud's clock.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Limits {
    /// Maximum number of connections. The next few are answered with 503, any further one is dropped. Default 256.
    pub connections: usize,
    /// Time limit for a TLS handshake. Default 10 seconds.
    pub handshake: Duration,
    /// Time limit for the head of a request, and for the next request on a connection. Default 60 seconds.
    pub header: Duration,
    /// Time limit for the body of a request, which is then answered with 408. Default 30 seconds.
    pub body: Duration,
    /// Maximum number of connections to the control endpoint. The next few are answered with 503, any further one is
    /// dropped. Default 64.
    pub control_connections: usize,
    /// Maximum number of clients of the control endpoint that follow the events; more are answered with 503. Default 16.
    pub subscribers: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 256,
            handshake: Duration::from_secs(10),
            header: Duration::from_secs(60),
            body: Duration::from_secs(30),
            control_connections: 64,
            subscribers: 16,
        }
    }
}
