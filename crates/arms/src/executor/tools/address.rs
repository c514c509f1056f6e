//! Which addresses are public: reachable by anyone, so that connecting to one gives nothing
//! away that this machine's place in its network opens (server-side request forgery).
//!
//! After the IANA special-purpose registries (RFC 6890); an IPv6 address that embeds an IPv4
//! address is judged by that one, too.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

pub(super) fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => public_v4(v4),
        IpAddr::V6(v6) => public_v6(v6),
    }
}

fn public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let special = a == 0                                // this network
        || a == 10                                      // private, RFC 1918
        || (a == 100 && b & 0xc0 == 64)                 // carrier-grade NAT, RFC 6598
        || a == 127                                     // loopback
        || (a == 169 && b == 254)                       // link-local; cloud metadata
        || (a == 172 && b & 0xf0 == 16)                 // private
        || (a == 192 && b == 0 && c == 0)               // protocol assignments
        || (a == 192 && b == 0 && c == 2)               // documentation
        || (a == 192 && b == 88 && c == 99)             // 6to4 relays
        || (a == 192 && b == 168)                       // private
        || (a == 198 && b & 0xfe == 18)                 // benchmarks
        || (a == 198 && b == 51 && c == 100)            // documentation
        || (a == 203 && b == 0 && c == 113)             // documentation
        || a >= 224; // multicast, reserved, broadcast
    !special
}

fn public_v6(address: Ipv6Addr) -> bool {
    let s = address.segments();
    let v4 = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        public_v4(Ipv4Addr::new(a, b, c, d))
    };
    match s {
        // NAT64, RFC 6052; its local-use prefix of RFC 8215 is never public.
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => v4(high, low),
        // 6to4, RFC 3056.
        [0x2002, high, low, ..] => v4(high, low),
        // Teredo, ORCHID, benchmarks and the other protocol assignments of 2001::/23.
        [0x2001, second, ..] if second & 0xfe00 == 0 => false,
        // Documentation.
        [0x2001, 0xdb8, ..] => false,
        [0x3fff, second, ..] if second & 0xf000 == 0 => false,
        // What is global is given out of 2000::/3; the rest is loopback, unspecified,
        // IPv4-mapped and -compatible, unique local, link-local, site-local, multicast.
        [first, ..] => first & 0xe000 == 0x2000,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// P6: no spelling of an address of this machine or its network passes for a public one.
    #[test]
    fn only_what_anyone_can_reach_is_public() {
        let check = |text: &str| is_public(text.parse().unwrap());
        for public in [
            "1.1.1.1",
            "8.8.8.8",
            "93.184.216.34",
            "100.63.255.255",
            "100.128.0.0",
            "172.15.0.1",
            "172.32.0.1",
            "192.0.1.1",
            "223.255.255.255",
            "2606:4700::1111",
            "2001:4860:4860::8888",
            "64:ff9b::808:808",
            "2002:808:808::1",
        ] {
            assert!(check(public), "{public}");
        }
        for own in [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "100.64.0.1",
            "100.127.255.255",
            "127.0.0.1",
            "127.255.255.254",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.8",
            "192.0.2.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.1",
            "203.0.113.9",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:8.8.8.8",
            "::127.0.0.1",
            "64:ff9b::7f00:1",
            "64:ff9b::a00:1",
            "64:ff9b:1::808:808",
            "2002:7f00:1::",
            "2002:a00:1::1",
            "2001:0:808:808::1",
            "2001:db8::1",
            "fc00::1",
            "fd12:3456::1",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "100::1",
            "5f00::1",
        ] {
            assert!(!check(own), "{own}");
        }
    }
}
