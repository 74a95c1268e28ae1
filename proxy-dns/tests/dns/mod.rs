//! A small DNS server on loopback whose answers change.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex};
use std::thread;

use hickory_resolver::proto::op::{Message, MessageType, ResponseCode};
use hickory_resolver::proto::rr::rdata::SRV;
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use hickory_resolver::proto::serialize::binary::BinEncodable as _;

type Zone = HashMap<(String, RecordType), Vec<Record>>;

/// The server. It runs until the test ends.
pub struct DnsServer {
    pub address: SocketAddr,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    zone: Zone,
    fails: bool,
    questions: usize,
}

impl DnsServer {
    pub fn start() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        let state = Arc::<Mutex<State>>::default();
        let served = Arc::clone(&state);
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok((length, client)) = socket.recv_from(&mut buffer) {
                let Ok(query) = Message::from_vec(&buffer[..length]) else { continue };
                let reply = served.lock().unwrap().answer(&query);
                socket.send_to(&reply.to_bytes().unwrap(), client).unwrap();
            }
        });
        Self { address, state }
    }

    /// Replaces the addresses of a host.
    pub fn set_host(&self, name: &str, addresses: &[IpAddr], ttl: u32) {
        let owner = full(name);
        let mut zone = Zone::new();
        for ip in addresses {
            let data = RData::from(*ip);
            zone.entry((name.to_owned(), data.record_type())).or_default().push(Record::from_rdata(
                owner.clone(),
                ttl,
                data,
            ));
        }
        let mut state = self.state.lock().unwrap();
        state.zone.retain(|(known, _), _| known != name);
        state.zone.extend(zone);
    }

    /// Replaces the records of a service: priority, host and port.
    pub fn set_service(&self, name: &str, records: &[(u16, &str, u16)], ttl: u32) {
        let record = |(priority, host, port): &(u16, &str, u16)| {
            let data = RData::SRV(SRV::new(*priority, 1, *port, full(host)));
            Record::from_rdata(full(name), ttl, data)
        };
        let records = records.iter().map(record).collect();
        self.state.lock().unwrap().zone.insert((name.to_owned(), RecordType::SRV), records);
    }

    /// Makes the server fail, or answer again.
    pub fn fail(&self, fails: bool) {
        self.state.lock().unwrap().fails = fails;
    }

    /// Returns the number of questions so far.
    pub fn questions(&self) -> usize {
        self.state.lock().unwrap().questions
    }
}

impl State {
    fn answer(&mut self, query: &Message) -> Message {
        self.questions += 1;
        let mut reply = query.clone();
        reply.metadata.message_type = MessageType::Response;
        reply.metadata.recursion_available = true;
        reply.metadata.authoritative = true;
        let Some(question) = query.queries.first() else { return reply };
        let name = question.name().to_ascii().trim_end_matches('.').to_lowercase();
        let known = self.zone.keys().any(|(own, _)| *own == name);
        reply.metadata.response_code = match (self.fails, known) {
            (true, _) => ResponseCode::ServFail,
            (false, true) => ResponseCode::NoError,
            (false, false) => ResponseCode::NXDomain,
        };
        if !self.fails {
            reply.answers = self.zone.get(&(name, question.query_type())).cloned().unwrap_or_default();
        }
        reply
    }
}

fn full(name: &str) -> Name {
    Name::from_ascii(format!("{name}.")).unwrap()
}
