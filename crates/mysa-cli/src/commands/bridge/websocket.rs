//! MQTT over WebSocket: binary frames of the subprotocol `mqtt` in place of the bytes of a TCP connection.

use std::io;

use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt as _, StreamExt as _};
use mysa_bridge::client::LinkId;
use mysa_config::BrokerUrl;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use super::link::LinkEvent;

/// Maximum length of a frame and of a message of the broker. A longer one ends the connection: unlike the bytes of a TCP
/// connection, a message is held as a whole. No command is nearly as long.
const MAX_MESSAGE: usize = 1 << 20;
/// Maximum length of a frame to the broker.
const MAX_FRAME: usize = 16 * 1_024;
const READ_BUFFER: usize = 16 * 1_024;

fn limits() -> WebSocketConfig {
    WebSocketConfig::default()
        .max_message_size(Some(MAX_MESSAGE))
        .max_frame_size(Some(MAX_MESSAGE))
        .read_buffer_size(READ_BUFFER)
        // Frames are written at once. The room is for one of them and for the answers to pings.
        .write_buffer_size(0)
        .max_write_buffer_size(2 * MAX_FRAME)
}

/// Opens a WebSocket on a stream. Its deadline is that of the client, which then closes the connection.
pub(crate) async fn open<S: AsyncRead + AsyncWrite + Unpin>(
    url: &BrokerUrl,
    stream: S,
) -> io::Result<WebSocketStream<S>> {
    let mut request = url.to_string().into_client_request().map_err(describe)?;
    request.headers_mut().insert("Sec-WebSocket-Protocol", HeaderValue::from_static("mqtt"));
    let (socket, _) = client_async_with_config(request, stream, Some(limits())).await.map_err(describe)?;
    Ok(socket)
}

fn describe(error: tungstenite::Error) -> io::Error {
    match error {
        tungstenite::Error::Io(error) => error,
        tungstenite::Error::Http(answer) => io::Error::other(format!(
            "HTTP status {} in place of a WebSocket: check the port and the path of the URL",
            answer.status().as_u16()
        )),
        error => io::Error::other(format!("WebSocket: {error}")),
    }
}

/// Carries bytes both ways until the connection ends. A broker that does not read does not stop the reading.
pub(crate) async fn relay<S: AsyncRead + AsyncWrite + Unpin>(
    socket: WebSocketStream<S>,
    link: LinkId,
    to_write: mpsc::UnboundedReceiver<Vec<u8>>,
    events: &mpsc::Sender<(LinkId, LinkEvent)>,
) -> io::Result<()> {
    let (writer, reader) = socket.split();
    tokio::select! {
        ended = receive(reader, link, events) => ended,
        ended = send(writer, to_write, link, events) => ended,
    }
}

async fn receive<S: AsyncRead + AsyncWrite + Unpin>(
    mut reader: SplitStream<WebSocketStream<S>>,
    link: LinkId,
    events: &mpsc::Sender<(LinkId, LinkEvent)>,
) -> io::Result<()> {
    while let Some(message) = reader.next().await {
        match message.map_err(describe)? {
            Message::Binary(bytes) => {
                // A full queue stops the reading, and so slows the broker.
                if events.send((link, LinkEvent::Received(bytes.into()))).await.is_err() {
                    return Ok(());
                }
            }
            Message::Close(_) => return Ok(()),
            // [MQTT-6.0.0-1]
            Message::Text(_) => return Err(io::Error::other("the broker sent a text frame, expected MQTT")),
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
        }
    }
    Ok(())
}

async fn send<S: AsyncRead + AsyncWrite + Unpin>(
    mut writer: SplitSink<WebSocketStream<S>, Message>,
    mut to_write: mpsc::UnboundedReceiver<Vec<u8>>,
    link: LinkId,
    events: &mpsc::Sender<(LinkId, LinkEvent)>,
) -> io::Result<()> {
    while let Some(bytes) = to_write.recv().await {
        // An MQTT packet may be in several frames [MQTT-6.0.0-2].
        for frame in bytes.chunks(MAX_FRAME) {
            writer.send(Message::Binary(frame.to_vec().into())).await.map_err(describe)?;
        }
        if events.send((link, LinkEvent::Written)).await.is_err() {
            return Ok(());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use mysa_bridge::client::{Client, Output, Settings};
    use tokio::io::{AsyncReadExt as _, DuplexStream, duplex};
    use tokio_tungstenite::accept_hdr_async;
    use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};

    use super::*;

    type Events = mpsc::Receiver<(LinkId, LinkEvent)>;

    fn run<T>(test: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(test)
    }

    fn link() -> LinkId {
        let mut client = Client::new(Settings::new("test"), [7; 32], std::time::Duration::ZERO).unwrap();
        match client.poll_output(std::time::Duration::ZERO) {
            Some(Output::Dial(link)) => link,
            other => panic!("{other:?}"),
        }
    }

    fn url() -> BrokerUrl {
        "ws://broker.example.org:9001/mqtt".parse().unwrap()
    }

    #[expect(clippy::result_large_err, reason = "the type of the library")]
    fn accept(
        request: &Request,
        mut response: Response,
    ) -> Result<Response, tungstenite::http::Response<Option<String>>> {
        assert_eq!(request.uri().path(), "/mqtt");
        assert_eq!(request.headers()["host"], "broker.example.org:9001");
        assert_eq!(request.headers()["sec-websocket-protocol"], "mqtt");
        response.headers_mut().insert("sec-websocket-protocol", HeaderValue::from_static("mqtt"));
        Ok(response)
    }

    /// A WebSocket over a pipe of one kilobyte, and that of its broker.
    async fn pipe() -> (WebSocketStream<DuplexStream>, WebSocketStream<DuplexStream>) {
        let (ours, theirs) = duplex(1_024);
        let url = url();
        let (ours, theirs) = tokio::join!(open(&url, ours), accept_hdr_async(theirs, accept));
        (ours.unwrap(), theirs.unwrap())
    }

    /// Runs a connection to its end while its broker does this, with the events that it has reported.
    async fn exchange(
        batches: &[Vec<u8>],
        broker: impl AsyncFnOnce(WebSocketStream<DuplexStream>),
    ) -> (io::Result<()>, Events) {
        let (ours, theirs) = pipe().await;
        let (sender, events) = mpsc::channel(64);
        let (batch, to_write) = mpsc::unbounded_channel();
        for bytes in batches {
            batch.send(bytes.clone()).unwrap();
        }
        let (ended, ()) = tokio::join!(relay(ours, link(), to_write, &sender), broker(theirs));
        drop(batch);
        (ended, events)
    }

    #[test]
    fn batches_arrive_as_binary_frames_of_bounded_length_and_are_reported_as_written() {
        let batch: Vec<u8> = (0..40_000_u32).map(|number| number.to_le_bytes()[0]).collect();
        let expected = batch.clone();
        run(async {
            let broker = async |mut theirs: WebSocketStream<DuplexStream>| {
                let mut got = Vec::new();
                while got.len() < expected.len() {
                    let Message::Binary(frame) = theirs.next().await.unwrap().unwrap() else { panic!() };
                    assert!(frame.len() <= MAX_FRAME);
                    got.extend_from_slice(&frame);
                }
                assert_eq!(got, expected);
                theirs.send(Message::Ping(vec![1].into())).await.unwrap();
                theirs.send(Message::Binary(vec![0xd0, 0].into())).await.unwrap();
                assert_eq!(theirs.next().await.unwrap().unwrap(), Message::Pong(vec![1].into()));
                theirs.close(None).await.unwrap();
            };
            let (ended, mut events) = exchange(&[batch], broker).await;
            ended.unwrap();
            assert!(matches!(events.recv().await, Some((_, LinkEvent::Written))));
            assert!(
                matches!(events.recv().await, Some((_, LinkEvent::Received(bytes))) if bytes == [0xd0, 0])
            );
        });
    }

    #[test]
    fn what_a_broker_that_does_not_read_sends_still_arrives() {
        run(async {
            let (ours, theirs) = pipe().await;
            let (sender, mut events) = mpsc::channel(64);
            let (batch, to_write) = mpsc::unbounded_channel();
            // More than the pipe holds.
            batch.send(vec![0; 100_000]).unwrap();
            // The broker never reads, and keeps the connection open.
            let (mut sink, _source) = theirs.split();
            let broker = async {
                sink.send(Message::Binary(vec![0xd0, 0].into())).await.unwrap();
                events.recv().await
            };
            tokio::select! {
                ended = relay(ours, link(), to_write, &sender) => panic!("{ended:?}"),
                event = broker => assert!(matches!(event, Some((_, LinkEvent::Received(_)))), "{event:?}"),
            }
        });
    }

    #[test]
    fn text_and_messages_that_are_too_long_end_the_connection() {
        for (message, why) in [
            (Message::Text("CONNACK".into()), "text frame"),
            (Message::Binary(vec![0; MAX_MESSAGE + 1].into()), "WebSocket: "),
        ] {
            run(async {
                let broker = async |mut theirs: WebSocketStream<DuplexStream>| {
                    // The peer closes before it has read a long message.
                    let _ = theirs.send(message).await;
                };
                let error = exchange(&[], broker).await.0.unwrap_err().to_string();
                assert!(error.contains(why), "{error}");
            });
        }
    }

    #[test]
    fn an_answer_that_is_no_web_socket_of_mqtt_is_named() {
        let answer = |text: &'static str| {
            run(async {
                let url = url();
                let (ours, mut theirs) = duplex(4_096);
                let broker = async {
                    let mut request = [0; 1_024];
                    assert!(theirs.read(&mut request).await.unwrap() > 0);
                    tokio::io::AsyncWriteExt::write_all(&mut theirs, text.as_bytes()).await.unwrap();
                    drop(theirs);
                };
                tokio::join!(open(&url, ours), broker).0.unwrap_err().to_string()
            })
        };
        assert!(answer("HTTP/1.1 404 Not Found\r\n\r\n").contains("HTTP status 404"));
        assert!(answer("SSH-2.0-x\r\n\r\n").starts_with("WebSocket: "));
        assert!(answer("").starts_with("WebSocket: "));
    }

    #[test]
    fn a_broker_that_does_not_choose_the_subprotocol_is_refused() {
        run(async {
            let (ours, theirs) = duplex(4_096);
            let url = url();
            let (ours, _) = tokio::join!(open(&url, ours), tokio_tungstenite::accept_async(theirs));
            assert!(ours.unwrap_err().to_string().to_lowercase().contains("protocol"));
        });
    }
}
