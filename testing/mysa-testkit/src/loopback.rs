use std::net::Ipv4Addr;

/// Loopback address that only one process uses, from the id of the process.
///
/// A broker that starts again must have its port back. On 127.0.0.1 any other program may get that port meanwhile.
///
/// ```
/// assert_eq!(mysa_testkit::own_loopback(4_242).to_string(), "127.64.16.146");
/// ```
#[must_use]
pub const fn own_loopback(process: u32) -> Ipv4Addr {
    let [_, high, middle, low] = process.to_be_bytes();
    Ipv4Addr::new(127, high | 0x40, middle, low)
}
