use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error, Message};

use super::Outgoing;
use super::link::LinkEnd;
use crate::resources::{Gauge, Held};

/// Payload of a binary frame. While it exists, it counts as received and unprocessed.
#[derive(Debug)]
pub(crate) struct Received {
    pub(crate) bytes: Bytes,
    _held: Held,
    _permit: Option<OwnedSemaphorePermit>,
}

/// Reason why the exchange on a connection ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum CloseReason {
    /// The driver closes the connection after sending what is queued.
    ClosedHere,
    /// The driver aborts the connection.
    Aborted,
    /// The peer sent a closing frame.
    ClosedByPeer,
    /// The connection broke, the peer does not read, or it sent something that is not MQTT.
    Broken,
}

type Sink<S> = SplitSink<WebSocketStream<S>, Message>;
type Source<S> = SplitStream<WebSocketStream<S>>;

/// Maximum number of received and unprocessed bytes of one connection; beyond it, nothing more is read from it.
const RECEIVE_LIMIT: u32 = 1 << 20;
/// Time limit for closing a connection, even if its peer does not respond.
pub(crate) const CLOSE_LIMIT: Duration = Duration::from_secs(1);

/// Carries bytes both ways until either side ends the connection, and returns the parts needed to [`close`] it.
///
/// Writing and reading alternate in one task and never wait for one another: data from a peer that does not read is
/// still received, and the driver can end the connection while a write is stuck.
pub(crate) async fn relay<S: AsyncRead + AsyncWrite + Unpin, T>(
    socket: WebSocketStream<S>,
    outgoing: &Outgoing,
    received: &Gauge,
    inbound: &mpsc::Sender<T>,
    wrap: impl Fn(Received) -> T,
) -> (CloseReason, Sink<S>, Source<S>) {
    let (mut sink, mut source) = socket.split();
    let ending = tokio::select! {
        // The driver's request to end comes first, before any further byte is written.
        biased;
        end = outgoing.ended() => match end {
            LinkEnd::Close => CloseReason::ClosedHere,
            LinkEnd::Abort => CloseReason::Aborted,
        },
        _ = write(&mut sink, outgoing) => CloseReason::Broken,
        ending = read(&mut source, received, inbound, wrap) => ending,
    };
    (ending, sink, source)
}

/// Writes the queued bytes. Returns only with an error: of the socket, or because the peer accepts nothing.
async fn write<S: AsyncRead + AsyncWrite + Unpin>(
    sink: &mut Sink<S>,
    outgoing: &Outgoing,
) -> Result<(), Error> {
    loop {
        // Flushes the buffers of WebSocket and TLS, pongs included, before more is added to them.
        sink.flush().await?;
        outgoing.written();
        let chunk = outgoing.next().await;
        sink.feed(Message::Binary(chunk.into())).await?;
    }
}

/// Reads binary frames until the connection ends.
async fn read<S: AsyncRead + AsyncWrite + Unpin, T>(
    source: &mut Source<S>,
    received: &Gauge,
    inbound: &mpsc::Sender<T>,
    wrap: impl Fn(Received) -> T,
) -> CloseReason {
    let room = Arc::new(Semaphore::new(RECEIVE_LIMIT as usize));
    while let Some(message) = source.next().await {
        match message {
            Ok(Message::Binary(bytes)) => {
                let held = received.hold(bytes.len());
                let len = u32::try_from(bytes.len()).unwrap_or(u32::MAX).min(RECEIVE_LIMIT);
                // Waits for room: a peer that sends faster than the driver reads is slowed down by TCP.
                let permit = Arc::clone(&room).acquire_many_owned(len).await.ok();
                let received = Received { bytes, _held: held, _permit: permit };
                if inbound.send(wrap(received)).await.is_err() {
                    return CloseReason::Aborted;
                }
            }
            Ok(Message::Close(_)) => return CloseReason::ClosedByPeer,
            // MQTT uses binary frames only [MQTT-6.0.0-1], so a text frame makes the connection useless.
            Ok(Message::Text(_)) | Err(_) => return CloseReason::Broken,
            Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_)) => {}
        }
    }
    CloseReason::Broken
}

/// Closes a connection within [`CLOSE_LIMIT`]: writes what is queued and a closing frame, and waits for the peer to
/// close. A peer that has closed has read everything; otherwise dropping the socket discards what it did not read.
pub(crate) async fn close<S: AsyncRead + AsyncWrite + Unpin>(
    ending: CloseReason,
    mut sink: Sink<S>,
    mut source: Source<S>,
    outgoing: &Outgoing,
) {
    let final_writes = async {
        if ending == CloseReason::ClosedHere {
            sink.flush().await?;
            while let Some(chunk) = outgoing.take() {
                sink.send(Message::Binary(chunk.into())).await?;
            }
            let frame = CloseFrame { code: CloseCode::Normal, reason: "".into() };
            sink.feed(Message::Close(Some(frame))).await?;
        }
        // The answer to the peer's closing frame is already in the buffer.
        sink.flush().await
    };
    let answer = async { while let Some(Ok(_)) = source.next().await {} };
    // After an abort or an error, dropping the socket resets the connection.
    if matches!(ending, CloseReason::ClosedHere | CloseReason::ClosedByPeer) {
        let both = async { tokio::join!(final_writes, answer) };
        let _ = tokio::time::timeout(CLOSE_LIMIT, both).await;
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
    use tokio_tungstenite::tungstenite::protocol::Role;

    use super::super::Guarded;
    use super::super::link::link;
    use super::super::websocket::limits;
    use super::*;
    use crate::resources::Gauges;

    type Socket = WebSocketStream<Guarded<DuplexStream>>;

    /// Returns a client's WebSocket over a pipe of one kilobyte, and its peer.
    async fn pipe(gauges: &Gauges) -> (Socket, DuplexStream) {
        let (ours, theirs) = tokio::io::duplex(1_024);
        let ours = Guarded::new(ours, gauges.sockets.hold(1));
        (WebSocketStream::from_raw_socket(ours, Role::Client, Some(limits())).await, theirs)
    }

    fn paused() -> tokio::runtime::Runtime {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        runtime.enable_time().start_paused(true).build().expect("a runtime")
    }

    #[test]
    fn pings_of_a_peer_that_never_reads_take_no_memory_and_end_the_connection() {
        let runtime = paused();
        let memory = allocation_counter::measure(|| {
            runtime.block_on(async {
                let gauges = Gauges::default();
                let (_link, outgoing) = link(&gauges.to_send, &Arc::default());
                let (socket, mut peer) = pipe(&gauges).await;
                let (inbound, _events) = mpsc::channel(1);
                let flood = async {
                    let ping = [&[0x89, 125][..], &[b'x'; 125]].concat();
                    for _ in 0..100_000 {
                        peer.write_all(&ping).await.expect("the client must read every ping");
                    }
                    std::future::pending::<()>().await;
                };
                tokio::select! {
                    () = flood => {}
                    (ending, ..) = relay(socket, &outgoing, &gauges.received, &inbound, |bytes| bytes) => {
                        assert_eq!(ending, CloseReason::Broken, "the peer does not read");
                    }
                }
            });
        });
        assert!(memory.bytes_max < 512 * 1_024, "{memory:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_is_closed_within_a_second_though_its_peer_never_reads() {
        let gauges = Gauges::default();
        let (link, outgoing) = link(&gauges.to_send, &Arc::default());
        let (socket, _peer) = pipe(&gauges).await;
        let (inbound, _events) = mpsc::channel(1);
        link.send(vec![7; 100_000]).expect("there is room");
        let relaying = relay(socket, &outgoing, &gauges.received, &inbound, |bytes| bytes);
        tokio::pin!(relaying);
        assert!(relaying.as_mut().now_or_never().is_none());
        assert!(link.is_blocked());
        drop(link);
        let began = tokio::time::Instant::now();
        let (ending, sink, source) = relaying.await;
        assert_eq!(ending, CloseReason::ClosedHere);
        close(ending, sink, source, &outgoing).await;
        assert!(began.elapsed() <= Duration::from_secs(1), "{:?}", began.elapsed());
        assert_eq!(gauges.read().sockets, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_write_that_makes_no_progress_ends_the_connection_and_a_slow_one_does_not() {
        let gauges = Gauges::default();
        let (link, outgoing) = link(&gauges.to_send, &Arc::default());
        let (socket, mut peer) = pipe(&gauges).await;
        let (inbound, _events) = mpsc::channel(1);
        link.send(vec![7; 4_000]).expect("there is room");
        let relaying = relay(socket, &outgoing, &gauges.received, &inbound, |bytes| bytes);
        tokio::pin!(relaying);
        // A few bytes every nine seconds are progress.
        let slow = async {
            for _ in 0..100 {
                tokio::time::sleep(Duration::from_secs(9)).await;
                peer.read_exact(&mut [0; 20]).await.expect("bytes");
            }
        };
        tokio::select! {
            (ending, ..) = &mut relaying => panic!("{ending:?}"),
            () = slow => {}
        }
        let began = tokio::time::Instant::now();
        let (ending, ..) = relaying.await;
        assert_eq!((ending, began.elapsed().as_secs()), (CloseReason::Broken, 10));
    }

    #[tokio::test(start_paused = true)]
    async fn reading_from_a_peer_is_bounded_while_the_driver_is_busy() {
        let gauges = Gauges::default();
        let (_link, outgoing) = link(&gauges.to_send, &Arc::default());
        let (socket, mut peer) = pipe(&gauges).await;
        // Nobody reads this channel, as if the driver were busy.
        let (inbound, _events) = mpsc::channel(64);
        let frame = [&[0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0][..], &[7; 65_536]].concat();
        let flood = async {
            for _ in 0..64 {
                peer.write_all(&frame).await.expect("a pipe");
            }
        };
        tokio::select! {
            () = flood => panic!("four megabytes were taken"),
            _ = relay(socket, &outgoing, &gauges.received, &inbound, |bytes| bytes) => panic!("it goes on"),
            () = tokio::time::sleep(Duration::from_secs(60)) => {}
        }
        let received = gauges.read().bytes_received;
        assert!((900_000..=1_200_000).contains(&received), "{received}");
    }
}
