use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// Network between a client and the cloud: it carries bytes unchanged, and cuts connections on request.
pub(crate) struct Wire {
    address: SocketAddr,
    plan: Arc<Mutex<Plan>>,
    _tasks: JoinSet<()>,
}

/// Connections to cut, always in the middle of data from the cloud.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Cut {
    Nothing,
    /// Every connection, during its TLS handshake.
    Handshakes,
    /// One connection, the next on which the cloud sends a record.
    NextRecord,
}

struct Plan {
    cut: Cut,
    done: bool,
}

/// Bytes after which a handshake is cut. The cloud's first flight, with two certificates, is longer.
const WITHIN_THE_HANDSHAKE: usize = 400;

impl Wire {
    pub(crate) async fn to(cloud: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let plan = Arc::new(Mutex::new(Plan { cut: Cut::Nothing, done: false }));
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, cloud, Arc::clone(&plan)));
        Self { address, plan, _tasks: tasks }
    }

    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn cut(&self, cut: Cut) {
        *self.plan.lock().expect("no panic") = Plan { cut, done: false };
    }

    /// Returns `true` if anything was cut since [`Wire::cut`].
    pub(crate) fn has_cut(&self) -> bool {
        self.plan.lock().expect("no panic").done
    }
}

async fn accept(listener: TcpListener, cloud: SocketAddr, plan: Arc<Mutex<Plan>>) {
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        let plan = Arc::clone(&plan);
        connections.spawn(async move {
            let Ok(cloud) = TcpStream::connect(cloud).await else { return };
            carry(client, cloud, &plan).await;
        });
    }
}

/// Carries bytes both ways until either end closes, or the plan cuts the connection.
async fn carry(mut client: TcpStream, mut cloud: TcpStream, plan: &Mutex<Plan>) {
    let (mut up, mut down) = ([0; 4_096], [0; 4_096]);
    let mut carried = 0;
    loop {
        tokio::select! {
            read = client.read(&mut up) => match read {
                Ok(len @ 1..) if cloud.write_all(&up[..len]).await.is_ok() => {}
                _ => return,
            },
            read = cloud.read(&mut down) => {
                let Ok(len @ 1..) = read else { return };
                let keeps = kept(plan, carried, len);
                carried += len;
                if client.write_all(&down[..keeps.unwrap_or(len)]).await.is_err() || keeps.is_some() {
                    return;
                }
            }
        }
    }
}

/// Returns the number of the `len` bytes after the first `carried` to let through before the connection is cut, or
/// `None` to let all through.
fn kept(plan: &Mutex<Plan>, carried: usize, len: usize) -> Option<usize> {
    let mut plan = plan.lock().expect("no panic");
    let keeps = match plan.cut {
        Cut::Nothing => return None,
        Cut::Handshakes => WITHIN_THE_HANDSHAKE.checked_sub(carried).filter(|keeps| *keeps < len)?,
        Cut::NextRecord if plan.done => return None,
        Cut::NextRecord => len / 2,
    };
    plan.done = true;
    Some(keeps)
}
