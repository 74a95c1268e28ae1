//! Auto discovery, as clients of hosted clusters use it, over real sockets.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use memcache_rs::internal::state::cluster::TEXT_MAX;
use memcache_rs::{BoundAddress, ClusterNode, Listen, Server, ServerConfig};

fn nodes(list: &[&str]) -> Vec<ClusterNode> {
    list.iter().map(|text| text.parse().unwrap()).collect()
}

fn start(list: &[&str]) -> Server {
    let tcp = Listen::tcp("127.0.0.1:0".parse().unwrap());
    let config = ServerConfig { listen: vec![tcp], cluster: nodes(list), ..ServerConfig::default() };
    Server::start(config).unwrap()
}

fn connect(server: &Server) -> TcpStream {
    let [BoundAddress::Tcp(address)] = server.addresses() else { panic!("{server:?}") };
    let client = TcpStream::connect(address).unwrap();
    client.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    client.set_nodelay(true).unwrap();
    client
}

#[track_caller]
fn exchange(mut client: &TcpStream, request: &[u8], reply: &str) {
    client.write_all(request).unwrap();
    let mut got = vec![0; reply.len()];
    client.read_exact(&mut got).unwrap();
    assert_eq!(String::from_utf8_lossy(&got), reply);
}

#[test]
fn without_a_list_the_command_does_not_exist() {
    let server = start(&[]);
    let client = connect(&server);
    exchange(&client, b"config get cluster\r\n", "ERROR\r\n");
    exchange(&client, b"config set cluster 0 2\r\nxy\r\n", "ERROR\r\nERROR\r\n");
    exchange(&client, b"config delete cluster\r\nmn\r\n", "ERROR\r\nMN\r\n");
}

#[test]
fn clients_are_told_the_nodes() {
    let server = start(&["a.example|10.0.0.1|11211", "b.example|10.0.0.2|11212"]);
    let client = connect(&server);
    let list = "1\na.example|10.0.0.1|11211 b.example|10.0.0.2|11212\n";
    exchange(
        &client,
        b"config get cluster\r\n",
        &format!("CONFIG cluster 0 {}\r\n{list}\r\nEND\r\n", list.len()),
    );
    exchange(&client, b"config get other\r\n", "END\r\n");
    for wrong in
        [&b"config\r\n"[..], b"config get\r\n", b"config get cluster x\r\n", b"config list cluster\r\n"]
    {
        exchange(&client, wrong, "ERROR\r\n");
    }
    assert_eq!(server.set_cluster_nodes(&nodes(&["127.0.0.1:7"])), 2);
    exchange(
        &client,
        b"config get cluster\r\n",
        "CONFIG cluster 0 24\r\n2\n127.0.0.1|127.0.0.1|7\n\r\nEND\r\n",
    );
    server.set_cluster_nodes(&[]);
    exchange(&client, b"config get cluster\r\n", "ERROR\r\n");
    assert_eq!(server.set_cluster_nodes(&nodes(&["a:1"])), 4);
    exchange(&client, b"config get cluster\r\n", "CONFIG cluster 0 7\r\n4\na||1\n\r\nEND\r\n");
}

#[test]
fn clients_may_replace_and_delete_the_list() {
    let server = start(&["a:1"]);
    let client = connect(&server);
    exchange(&client, b"config set cluster 5 12\r\n9\r\nb|1.2.3.4\r\n", "STORED\r\n");
    exchange(&client, b"config get cluster\r\n", "CONFIG cluster 5 12\r\n9\r\nb|1.2.3.4\r\nEND\r\n");
    exchange(&client, b"config delete cluster\r\n", "DELETED\r\n");
    exchange(&client, b"config delete cluster\r\nconfig get cluster\r\n", "NOT_FOUND\r\nEND\r\n");
    exchange(&client, b"config delete other\r\n", "NOT_FOUND\r\n");
    exchange(
        &client,
        b"config set cluster 0 0\r\n\r\nconfig get cluster\r\n",
        "STORED\r\nCONFIG cluster 0 0\r\n\r\nEND\r\n",
    );
    assert_eq!(server.set_cluster_nodes(&nodes(&["a:1"])), 10);

    exchange(&client, b"config set cluster 0 3\r\nabcde", "CLIENT_ERROR bad data chunk\r\n");
    exchange(
        &client,
        b"config set other 0 3\r\nabc\r\nmn\r\n",
        "CLIENT_ERROR unknown configuration\r\nMN\r\n",
    );
    for line in
        ["config set cluster x 3\r\n", "config set cluster 0 -3\r\n", "config set cluster 0 4294967296\r\n"]
    {
        exchange(&client, line.as_bytes(), "CLIENT_ERROR bad command line format\r\n");
    }
    exchange(&client, b"config set cluster 0\r\n", "ERROR\r\n");
    // None of these requests has changed anything.
    exchange(&client, b"config get cluster\r\n", "CONFIG cluster 0 8\r\n10\na||1\n\r\nEND\r\n");
}

#[test]
fn a_text_comes_in_any_pieces_and_is_bounded() {
    let server = start(&["a:1"]);
    let mut client = connect(&server);
    let text = "x".repeat(TEXT_MAX);
    let mut request = format!("config set cluster 0 {TEXT_MAX}\r\n{text}\r\n").into_bytes();
    // At both ends, where the states change, it arrives byte by byte.
    let end = request.split_off(request.len() - 4);
    let middle = request.split_off(30);
    for byte in request {
        client.write_all(&[byte]).unwrap();
    }
    client.write_all(&middle).unwrap();
    for byte in end {
        client.write_all(&[byte]).unwrap();
    }
    exchange(&client, b"", "STORED\r\n");
    let stored = format!("CONFIG cluster 0 {TEXT_MAX}\r\n{text}\r\nEND\r\n");
    exchange(&client, b"config get cluster\r\n", &stored);

    let more = TEXT_MAX + 1;
    let request = format!("config set cluster 0 {more}\r\n{text}y\r\nversion\r\n");
    exchange(&client, request.as_bytes(), "SERVER_ERROR object too large for cache\r\nVERSION 1.6.45\r\n");
    exchange(&client, b"config get cluster\r\n", &stored);
    // A client that closes in the middle of an upload changes nothing.
    connect(&server).write_all(b"config set cluster 0 9\r\nabc").unwrap();
    exchange(&client, b"config get cluster\r\n", &stored);
}
