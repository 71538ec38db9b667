//! Every setting of `[bridge]`: as an option, as a variable and in the settings file, and its effect at the broker, which is
//! a judge that reads CONNECT and SUBSCRIBE by itself.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::process::Stdio;
use std::sync::Arc;

use mysa_config::BridgeConfig;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};

use crate::bench::Bench;
use crate::common::{HANG_LIMIT, Home};

/// What a bridge sent at the start of a connection.
#[derive(Debug, Eq, PartialEq)]
struct Seen {
    client_id: String,
    user: String,
    password: String,
    will_topic: String,
    filters: Vec<String>,
    /// Certificate of the client.
    certificate: Vec<u8>,
}

/// Place that a setting comes from.
const SOURCES: [&str; 3] = ["file", "variable", "option"];

/// Writes the certificates of one source: an authority, a broker for `localhost`, and a client.
fn write_certificates(home: &Home, source: &str) {
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority.distinguished_name.push(DnType::CommonName, source);
    let key = KeyPair::generate().unwrap();
    home.write(&format!("{source}-ca.pem"), authority.self_signed(&key).unwrap().pem());
    let issuer = Issuer::new(authority, key);
    for (name, host) in [("broker", "localhost"), ("client", "mysa-bridge")] {
        let key = KeyPair::generate().unwrap();
        let certificate =
            CertificateParams::new(vec![host.into()]).unwrap().signed_by(&key, &issuer).unwrap();
        home.write(&format!("{source}-{name}.pem"), certificate.pem());
        home.write(&format!("{source}-{name}.key"), key.serialize_pem());
    }
}

fn certificate(home: &Home, name: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_file(home.path(name)).unwrap()
}

/// A broker with the certificate of a source, which requires one of the same authority.
struct Judge {
    listener: TcpListener,
    tls: Arc<ServerConfig>,
}

impl Judge {
    fn new(home: &Home, source: &str) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(certificate(home, &format!("{source}-ca.pem"))).unwrap();
        let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
            .build()
            .unwrap();
        let key = PrivateKeyDer::from_pem_file(home.path(format!("{source}-broker.key"))).unwrap();
        let tls = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(verifier)
            .with_single_cert(vec![certificate(home, &format!("{source}-broker.pem"))], key)
            .unwrap();
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        Self { listener, tls: Arc::new(tls) }
    }

    fn url(&self) -> String {
        format!("mqtts://localhost:{}", self.listener.local_addr().unwrap().port())
    }

    /// Accepts connections until one has sent CONNECT and SUBSCRIBE.
    fn see(&self) -> Seen {
        loop {
            let (tcp, _) = self.listener.accept().unwrap();
            tcp.set_read_timeout(Some(HANG_LIMIT)).unwrap();
            let tls = ServerConnection::new(Arc::clone(&self.tls)).unwrap();
            let mut stream = StreamOwned::new(tls, tcp);
            // The listener may be dialled by name over two address families.
            let Ok(connect) = packet(&mut stream) else { continue };
            assert_eq!(connect.0, 0x10, "CONNECT is first");
            stream.write_all(&[0x20, 2, 0, 0]).unwrap();
            let (kind, subscribe) = packet(&mut stream).unwrap();
            assert_eq!(kind, 0x82, "SUBSCRIBE is next");
            let mut seen = connected(&connect.1);
            let mut rest = subscribe.get(2..).unwrap();
            while !rest.is_empty() {
                seen.filters.push(text(&mut rest));
                rest = rest.get(1..).unwrap();
            }
            seen.certificate = stream.conn.peer_certificates().unwrap()[0].to_vec();
            return seen;
        }
    }
}

/// First byte and body of the next packet [MQTT-2.2].
fn packet(stream: &mut impl Read) -> std::io::Result<(u8, Vec<u8>)> {
    let mut byte = [0];
    stream.read_exact(&mut byte)?;
    let kind = byte[0];
    let (mut len, mut shift) = (0, 0);
    loop {
        stream.read_exact(&mut byte)?;
        len |= usize::from(byte[0] & 0x7f) << shift;
        shift += 7;
        if byte[0] & 0x80 == 0 {
            break;
        }
    }
    let mut body = vec![0; len];
    stream.read_exact(&mut body)?;
    Ok((kind, body))
}

/// Text with its length before it [MQTT-1.5.3].
fn text(rest: &mut &[u8]) -> String {
    let len = usize::from(u16::from_be_bytes([rest[0], rest[1]]));
    let (text, after) = rest[2..].split_at(len);
    *rest = after;
    String::from_utf8(text.to_vec()).unwrap()
}

/// Fields of CONNECT [MQTT-3.1].
fn connected(body: &[u8]) -> Seen {
    assert_eq!(body[..7], [0, 4, b'M', b'Q', b'T', b'T', 4]);
    let flags = body[7];
    // User name, password, a retained will with QoS 1, and a clean session.
    assert_eq!(flags, 0b1110_1110, "{flags:08b}");
    let mut rest = &body[10..];
    let (client_id, will_topic, will) = (text(&mut rest), text(&mut rest), text(&mut rest));
    assert_eq!(will, "offline");
    let (user, password) = (text(&mut rest), text(&mut rest));
    assert!(rest.is_empty());
    Seen { client_id, user, password, will_topic, filters: Vec::new(), certificate: Vec::new() }
}

/// Values of all settings from one source.
fn values(source: &str, url: &str) -> BTreeMap<String, String> {
    let named = BridgeConfig::default().fields().map(|(name, _)| {
        let value = match name {
            "broker" => url.to_owned(),
            "password-file" => format!("{source}-password"),
            "broker-ca" => format!("{source}-ca.pem"),
            "client-certificate" => format!("{source}-client.pem"),
            "client-key" => format!("{source}-client.key"),
            "metrics" => "0".to_owned(),
            "log-format" => if source == "variable" { "text" } else { "json" }.to_owned(),
            "user" | "client-id" | "prefix" | "discovery-prefix" => format!("{source}-{name}"),
            other => panic!("a setting without a test of its effect: {other}"),
        };
        (name.to_owned(), value)
    });
    named.into_iter().collect()
}

#[test]
fn every_setting_reaches_the_broker_from_the_file_the_variable_and_the_option_in_this_order() {
    let bench = Bench::signed_in();
    let mut variables: BTreeMap<String, String> = BTreeMap::new();
    let mut options: Vec<String> = Vec::new();
    for source in SOURCES {
        write_certificates(&bench.home, source);
        bench.home.write(&format!("{source}-password"), format!("{source} secret\n"));
        let judge = Judge::new(&bench.home, source);
        for (name, value) in values(source, &judge.url()) {
            match source {
                "file" => drop(bench.run(&["config", "set", &format!("bridge.{name}"), &value]).ok()),
                "variable" => {
                    let variable = format!("MYSA_BRIDGE_{}", name.replace('-', "_").to_uppercase());
                    variables.insert(variable, value);
                }
                _ => options.extend([format!("--{name}"), value]),
            }
        }
        // The sources before stay set; the new one takes precedence.
        let arguments: Vec<&str> = ["bridge"].into_iter().chain(options.iter().map(String::as_str)).collect();
        let mut command = bench.command(&arguments);
        command.envs(&variables).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut bridge = command.spawn().unwrap();
        let seen = judge.see();
        bridge.kill().unwrap();
        let log = String::from_utf8(bridge.wait_with_output().unwrap().stderr).unwrap();
        assert!(log.contains("metrics at http://127.0.0.1:"), "{log}");
        assert_eq!(log.lines().all(|line| line.starts_with('{')), source != "variable", "{log}");
        let expected = Seen {
            client_id: format!("{source}-client-id"),
            user: format!("{source}-user"),
            password: format!("{source} secret"),
            will_topic: format!("{source}-prefix/bridge/availability"),
            filters: vec![
                format!("{source}-prefix/+/set/+"),
                format!("{source}-prefix/+/availability"),
                format!("{source}-prefix/bridge/instance"),
                format!("{source}-discovery-prefix/status"),
            ],
            certificate: certificate(&bench.home, &format!("{source}-client.pem")).to_vec(),
        };
        assert_eq!(seen, expected);
    }
}

#[test]
fn check_explains_every_setting_and_warns_of_secrets_that_others_can_read() {
    use std::os::unix::fs::PermissionsExt as _;

    let home = Home::new();
    let judge_url = "mqtts://localhost:1";
    write_certificates(&home, "option");
    home.write("option-password", "canary\n");
    let values = values("option", judge_url);
    let options = values.iter().flat_map(|(name, value)| [format!("--{name}"), value.clone()]);
    let options: Vec<String> =
        ["bridge", "check", "--json"].map(String::from).into_iter().chain(options).collect();
    let check = || {
        let ran = home.run(&options.iter().map(String::as_str).collect::<Vec<_>>());
        let settings = ran.json().remove(0)["settings"].as_array().unwrap().clone();
        let named = settings.into_iter().map(|line| {
            let text = |key: &str| line[key].as_str().unwrap().to_owned();
            (text("name"), text("value"))
        });
        assert!(!ran.out.contains("canary") && !ran.err.contains("canary"), "{ran:?}");
        (named.collect::<BTreeMap<_, _>>(), ran.err)
    };
    let secrets = ["option-password", "option-client.key"];
    let set_mode = |mode| {
        for name in secrets {
            std::fs::set_permissions(home.path(name), std::fs::Permissions::from_mode(mode)).unwrap();
        }
    };
    set_mode(0o640);
    let (shown, warnings) = check();
    assert_eq!(shown, values);
    assert!(!warnings.contains("chmod"), "{warnings}");
    set_mode(0o644);
    let (_, warnings) = check();
    for name in secrets {
        assert!(warnings.contains(&format!("{name} (mode 644); run: chmod 600 {name}")), "{warnings}");
    }
}
