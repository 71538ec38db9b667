//! MQTT 3.1.1, the client's side: encoders, and a streaming decoder.

use mysa_mqtt_codec::{
    ClientId, ConnAck, Connect, Delivery, Filter, Inbound, Login, Outbound, PacketId, Publish, QoS, Stream,
    Text, Topic, puback,
};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList, PyString};

use crate::convert::Payload;
use crate::errors::{Class, invalid};
use crate::secret::SecretText;

/// Packet that a server sends.
#[pyclass(frozen, module = "mysa.mqtt", name = "Packet")]
pub(crate) struct Packet {
    #[pyo3(get)]
    kind: &'static str,
    #[pyo3(get)]
    topic: Option<Py<PyString>>,
    #[pyo3(get)]
    payload: Option<Py<PyBytes>>,
    #[pyo3(get)]
    qos: u8,
    #[pyo3(get)]
    packet_id: Option<u16>,
    #[pyo3(get)]
    dup: bool,
    #[pyo3(get)]
    retain: bool,
    #[pyo3(get)]
    session_present: bool,
    /// Of a CONNACK one, of a SUBACK one for each filter.
    #[pyo3(get)]
    return_codes: Vec<u8>,
}

impl Packet {
    const fn new(kind: &'static str) -> Self {
        Self {
            kind,
            topic: None,
            payload: None,
            qos: 0,
            packet_id: None,
            dup: false,
            retain: false,
            session_present: false,
            return_codes: Vec::new(),
        }
    }

    fn with_id(kind: &'static str, id: PacketId) -> Self {
        Self { packet_id: Some(id.get()), ..Self::new(kind) }
    }

    fn of(py: Python<'_>, packet: &Inbound<'_>) -> Self {
        match packet {
            Inbound::ConnAck(ConnAck::Accepted { session_present }) => {
                Self { session_present: *session_present, return_codes: vec![0], ..Self::new("connack") }
            }
            Inbound::ConnAck(ConnAck::Refused(refusal)) => {
                Self { return_codes: vec![refusal.to_byte()], ..Self::new("connack") }
            }
            Inbound::Publish(publish) => Self {
                topic: Some(PyString::new(py, publish.topic.as_str()).unbind()),
                payload: Some(PyBytes::new(py, publish.payload).unbind()),
                qos: publish.delivery.qos().to_byte(),
                packet_id: publish.delivery.id().map(PacketId::get),
                dup: publish.dup,
                retain: publish.retain,
                ..Self::new("publish")
            },
            Inbound::PubAck(id) => Self::with_id("puback", *id),
            Inbound::PubRec(id) => Self::with_id("pubrec", *id),
            Inbound::PubRel(id) => Self::with_id("pubrel", *id),
            Inbound::PubComp(id) => Self::with_id("pubcomp", *id),
            Inbound::SubAck(suback) => {
                Self { return_codes: suback.codes.as_bytes().to_vec(), ..Self::with_id("suback", suback.id) }
            }
            Inbound::UnsubAck(id) => Self::with_id("unsuback", *id),
            Inbound::PingResp => Self::new("pingresp"),
        }
    }
}

#[pymethods]
impl Packet {
    fn __repr__(&self, py: Python<'_>) -> String {
        let topic =
            self.topic.as_ref().map_or(String::new(), |topic| format!(", topic='{}'", topic.bind(py)));
        let id = self.packet_id.map_or(String::new(), |id| format!(", packet_id={id}"));
        format!("Packet('{}'{topic}{id})", self.kind)
    }
}

/// Decoder of the bytes of a connection, in pieces of any size.
#[pyclass(module = "mysa.mqtt", name = "Decoder")]
pub(crate) struct Decoder(Stream);

#[pymethods]
impl Decoder {
    #[new]
    #[pyo3(signature = (max_packet=160_000))]
    fn new(max_packet: u32) -> Self {
        Self(Stream::new(max_packet))
    }

    /// Takes bytes, and returns the packets that they complete.
    fn feed<'py>(&mut self, py: Python<'py>, data: Payload<'_>) -> PyResult<Bound<'py, PyList>> {
        let packets = PyList::empty(py);
        let mut rest = data.as_bytes();
        loop {
            match self.0.next(&mut rest) {
                Ok(Some(packet)) => packets.append(Packet::of(py, &packet))?,
                Ok(None) => return Ok(packets),
                // The packets before the error are delivered first: the error is permanent, and the next call reports it.
                Err(_) if !packets.is_empty() => return Ok(packets),
                Err(error) => return Err(Class::Decode.error(py, format!("{error}: close the connection"))),
            }
        }
    }

    fn __repr__(&self) -> &'static str {
        "Decoder(..)"
    }
}

fn packet_id(py: Python<'_>, id: u16) -> PyResult<PacketId> {
    PacketId::new(id).ok_or_else(|| invalid(py, "invalid packet id 0: expected 1 to 65535"))
}

fn encoded<'py>(py: Python<'py>, packet: &Outbound<'_>) -> PyResult<Bound<'py, PyBytes>> {
    let mut wire = Vec::new();
    packet.encode(&mut wire).map_err(|error| invalid(py, error))?;
    Ok(PyBytes::new(py, &wire))
}

#[pyfunction]
#[pyo3(signature = (client_id, *, keep_alive_s=60, clean_session=true, username=None, password=None))]
pub(crate) fn encode_connect<'py>(
    py: Python<'py>,
    client_id: &str,
    keep_alive_s: u16,
    clean_session: bool,
    username: Option<&str>,
    password: Option<SecretText>,
) -> PyResult<Bound<'py, PyBytes>> {
    let mut connect =
        Connect::new(ClientId::new(client_id).map_err(|error| invalid(py, error))?, keep_alive_s);
    connect.clean_session = clean_session;
    match (username, &password) {
        (Some(name), password) => {
            let user_name = Text::new(name).map_err(|error| invalid(py, error))?;
            connect.login =
                Some(Login { user_name, password: password.as_ref().map(|text| text.0.expose().as_bytes()) });
        }
        (None, Some(_)) => return Err(invalid(py, "a password requires a username [MQTT-3.1.2-22]")),
        (None, None) => {}
    }
    encoded(py, &Outbound::Connect(connect))
}

#[pyfunction]
#[pyo3(signature = (packet_id, filters, *, qos=1))]
pub(crate) fn encode_subscribe<'py>(
    py: Python<'py>,
    packet_id: u16,
    filters: Vec<String>,
    qos: u8,
) -> PyResult<Bound<'py, PyBytes>> {
    let qos = self::qos(py, qos)?;
    let filters = filters.iter().map(|filter| Filter::new(filter).map(|filter| (filter, qos)));
    let filters = filters.collect::<Result<Vec<_>, _>>().map_err(|error| invalid(py, error))?;
    encoded(py, &Outbound::Subscribe { id: self::packet_id(py, packet_id)?, filters: &filters })
}

#[pyfunction]
pub(crate) fn encode_unsubscribe<'py>(
    py: Python<'py>,
    packet_id: u16,
    filters: Vec<String>,
) -> PyResult<Bound<'py, PyBytes>> {
    let filters = filters.iter().map(|filter| Filter::new(filter));
    let filters = filters.collect::<Result<Vec<_>, _>>().map_err(|error| invalid(py, error))?;
    encoded(py, &Outbound::Unsubscribe { id: self::packet_id(py, packet_id)?, filters: &filters })
}

#[pyfunction]
#[pyo3(signature = (topic, payload, *, qos=1, packet_id=None, dup=false, retain=false))]
pub(crate) fn encode_publish<'py>(
    py: Python<'py>,
    topic: &str,
    payload: Payload<'_>,
    qos: u8,
    packet_id: Option<u16>,
    dup: bool,
    retain: bool,
) -> PyResult<Bound<'py, PyBytes>> {
    let id = packet_id.map(|id| self::packet_id(py, id)).transpose()?;
    let delivery = match (self::qos(py, qos)?, id) {
        (QoS::AtMostOnce, None) => Delivery::AtMostOnce,
        (QoS::AtLeastOnce, Some(id)) => Delivery::AtLeastOnce(id),
        (QoS::ExactlyOnce, Some(id)) => Delivery::ExactlyOnce(id),
        (QoS::AtMostOnce, Some(_)) => return Err(invalid(py, "a message with QoS 0 has no packet id")),
        (_, None) => return Err(invalid(py, "a message with QoS 1 or 2 needs a packet_id, 1 to 65535")),
    };
    let topic = Topic::new(topic).map_err(|error| invalid(py, error))?;
    let mut publish = Publish::new(topic, payload.as_bytes(), delivery);
    (publish.dup, publish.retain) = (dup, retain);
    encoded(py, &Outbound::Publish(publish))
}

#[pyfunction]
pub(crate) fn encode_puback(py: Python<'_>, packet_id: u16) -> PyResult<Bound<'_, PyBytes>> {
    Ok(PyBytes::new(py, &puback(self::packet_id(py, packet_id)?)))
}

#[pyfunction]
pub(crate) fn encode_pingreq(py: Python<'_>) -> PyResult<Bound<'_, PyBytes>> {
    encoded(py, &Outbound::PingReq)
}

#[pyfunction]
pub(crate) fn encode_disconnect(py: Python<'_>) -> PyResult<Bound<'_, PyBytes>> {
    encoded(py, &Outbound::Disconnect)
}

fn qos(py: Python<'_>, qos: u8) -> PyResult<QoS> {
    QoS::from_byte(qos).ok_or_else(|| invalid(py, format!("invalid QoS {qos}: expected 0, 1 or 2")))
}
