//! P6: no network, and no socket that leads out of the room.

use crate::lab::{Lab, err, out, perl_outside};
use std::{
    net::TcpListener,
    os::{
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr, UnixListener},
    },
};

#[tokio::test]
async fn a_listener_on_this_machine_is_not_reached() {
    let Some(lab) = Lab::new() else { return };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let script = format!(
        "use Socket; socket(my $s, PF_INET, SOCK_STREAM, 0) or die $!;
         connect($s, sockaddr_in({}, INADDR_LOOPBACK)) or die $!; print 'connected'",
        listener.local_addr().unwrap().port()
    );
    assert_eq!(perl_outside(&script), "connected");
    listener.accept().expect("the script does connect outside a room");

    let ended = lab.perl(&script).await;
    assert_eq!(out(&ended), "");
    assert!(err(&ended).contains("not permitted"), "{}", err(&ended));
    assert_eq!(listener.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
}

#[tokio::test]
async fn unix_sockets_are_not_reached_by_file_nor_by_abstract_name() {
    let Some(lab) = Lab::new() else { return };
    let file = lab.workspace().join("socket");
    let name = format!("octollm-room-{}", std::process::id());
    let by_file = UnixListener::bind(&file).unwrap();
    let by_name = UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
    for (listener, address) in
        [(by_file, format!("'{}'", file.display())), (by_name, format!("\"\\0{name}\""))]
    {
        listener.set_nonblocking(true).unwrap();
        let script = format!(
            "use Socket; socket(my $s, PF_UNIX, SOCK_STREAM, 0) or die $!;
             connect($s, pack('S a*', AF_UNIX, {address})) or die $!; print 'connected'"
        );
        assert_eq!(perl_outside(&script), "connected");
        listener.accept().expect("the script does connect outside a room");
        assert_eq!(out(&lab.perl(&script).await), "");
        assert_eq!(listener.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    }
}

#[tokio::test]
async fn a_connected_pair_may_be_made_but_not_of_datagrams() {
    let Some(lab) = Lab::new() else { return };
    let script = |kind: &str| {
        format!("use Socket; socketpair(my $a, my $b, AF_UNIX, {kind}, 0) or die $!; print 'pair'")
    };
    assert_eq!(out(&lab.perl(&script("SOCK_STREAM")).await), "pair");
    assert_eq!(perl_outside(&script("SOCK_DGRAM")), "pair");
    assert_eq!(out(&lab.perl(&script("SOCK_DGRAM")).await), "");
}
