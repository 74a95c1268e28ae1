//! Writes the seeds of the fuzz targets: the requests of the recorded exchanges, a packet of each
//! opcode, and pseudo-random bytes.
//!
//! ```text
//! seeds core/tests/data DIRECTORY        one directory a target in DIRECTORY, one file a seed
//! ```
//!
//! The heads of the targets, in `fuzz/fuzz_targets/`, describe the forms of their inputs.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a tool of developers, which prints its results"
)]

use std::collections::BTreeSet;
use std::path::Path;
use std::process::ExitCode;
use std::{env, fs};

use memcache_compat::Outcome;
use memcache_compat::transcript::{Bindings, Entry, Transcript};

/// Longest request that becomes a seed. Longer ones only repeat a part many times.
const LONGEST: usize = 1000;

/// The first bytes of a session's seed: any protocol, authentication by SASL and by text; no cuts,
/// or two.
const COURSES: [&[u8]; 4] = [&[2, 0], &[0x32, 2, 0, 4], &[0x0a, 0], &[0x0e, 0]];

/// The login that the session target accepts, in both forms.
const LOGIN: &[u8] = b"set x 0 0 10\r\nann secret\r\n";

/// Lines that no transcript has, because memcached would wait for the value.
const EDGES: [&str; 4] = [
    "set k 4294967295 -2147483648 2147483645\r\n",
    "set k 0 0 2147483646\r\n",
    "ms k 2147483645\r\n",
    "ms k 2147483646\r\n",
];

/// The document whose examples are configurations of a proxy.
const PROXY: &str = include_str!("../../../docs/proxy.md");

/// Replies of a backend.
const REPLIES: [&str; 4] = [
    "END\r\nVALUE a 0 3\r\nabc\r\nEND\r\nSTORED\r\nNOT_FOUND\r\n17\r\nTOUCHED\r\n",
    "VA 3 f1 t-1\r\nabc\r\nHD\r\nEN\r\nNF\r\nMN\r\nSERVER_ERROR out of memory\r\n",
    "VALUE a 1 0 9\r\n\r\nEND\r\nERROR\r\n",
    "DELETED\r\nVERSION 1.6.45\r\n",
];

/// The requests of a case of a transcript.
type Case = Vec<Vec<u8>>;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [data, to] = arguments.as_slice() else {
        eprintln!("usage: seeds DATA DIRECTORY");
        return ExitCode::from(64);
    };
    match run(Path::new(data), Path::new(to)) {
        Ok(count) => {
            println!("{count} seeds");
            ExitCode::SUCCESS
        }
        Err(fault) => {
            eprintln!("seeds: {fault}");
            ExitCode::FAILURE
        }
    }
}

fn run(data: &Path, to: &Path) -> Outcome<usize> {
    let cases = cases(data)?;
    let packets = packets();
    let mut requests: BTreeSet<&[u8]> = cases.iter().flatten().map(Vec::as_slice).collect();
    requests.extend(EDGES.map(str::as_bytes));
    let mut count = 0;
    let mut put = |target: &str, seeds: &mut dyn Iterator<Item = Vec<u8>>| -> Outcome<()> {
        let directory = to.join(target);
        fs::create_dir_all(&directory).map_err(|e| format!("{}: {e}", directory.display()))?;
        for (number, seed) in seeds.collect::<BTreeSet<_>>().iter().enumerate() {
            let file = directory.join(format!("seed-{number:04}"));
            fs::write(&file, seed).map_err(|e| format!("{}: {e}", file.display()))?;
            count += 1;
        }
        Ok(())
    };
    let line = |request: &&[u8]| {
        let end = request.iter().position(|&byte| byte == b'\n').map_or(request.len(), |at| at + 1);
        request[..end].to_vec()
    };
    let is_meta = |line: &Vec<u8>| line.first() == Some(&b'm');
    put("scan", &mut requests.iter().map(line))?;
    put("classic", &mut requests.iter().map(line).filter(|line| !is_meta(line)))?;
    put("meta", &mut requests.iter().map(line).filter(is_meta))?;
    put("binary", &mut packets.iter().cloned())?;
    // Without requests that end the connection, or whose replies differ from run to run.
    let steady: Vec<_> =
        packets.iter().filter(|packet| !matches!(packet[1], 0x07 | 0x10 | 0x17)).cloned().collect();
    let pipelines = cases.iter().chain([&packets, &steady]).map(|case| case.concat());
    put("ahead", &mut pipelines.clone())?;
    put(
        "session",
        &mut pipelines.flat_map(|said| {
            COURSES.map(|course| match course[0] {
                0x0a => [course, &packets[LOGIN_PACKET], &said].concat(),
                0x0e => [course, LOGIN, &said].concat(),
                _ => [course, &said].concat(),
            })
        }),
    )?;
    let framed = requests.iter().copied().chain(packets.iter().map(Vec::as_slice));
    put("datagram", &mut framed.map(|request| [b"\0\x01\0\0\0\x01\0\0", request].concat()))?;
    let files = [
        "\x03\x06annsecretann:secret\n",
        "\x03\x06annsecretann:secret\r\nbob:x:more\n",
        "\x03\x06annsecretann@host:secret",
        "\x03\x00annann:\nnone\n",
        "\x03\x01a:bca:b:c\n",
        "\x00\x00:\0:\n",
        "\x00\x00",
    ];
    let methods = |file: &&str| ["0", "1"].map(|method| [method, file].concat().into_bytes());
    put("passwords", &mut files.iter().flat_map(methods))?;
    let nodes = ["a.example|10.0.0.1|11211", "a||7", "127.0.0.1:7", "[::1]:7", "a|::1|7"];
    let said = [
        "config get cluster\r\n",
        "config set cluster 5 12\r\n9\r\nb|1.2.3.4\r\nconfig get cluster\r\n",
        "config set cluster 0 3\r\nabcde\r\nconfig delete cluster\r\nconfig get cluster\r\n",
        "config set other 0 3\r\nabc\r\nmn\r\n",
    ];
    put("cluster", &mut nodes.iter().chain(&said).map(|seed| [&[2, 0, 4], seed.as_bytes()].concat()))?;
    let lists = ["12\na.0001|10.0.0.1|11211 a.0002||7\n", "1\n\n", "2\n[::1]:7\n", "3\na|::1|1 a|::1|1\n"];
    let lists = lists.map(|list| format!("CONFIG cluster 0 {}\r\n{list}\r\nEND\r\n", list.len()));
    put("elasticache", &mut lists.map(String::into_bytes).into_iter())?;
    let examples = PROXY.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next());
    let pools = "[pools]\nmain.backends = ['a']\neast.backends = ['b:1']\nwest.backends = ['unix:/c']\n";
    put("proxy_config", &mut examples.map(|example| format!("{example}{pools}").into_bytes()))?;
    put("proxy_reply", &mut REPLIES.iter().map(|replies| [b"\x05", replies.as_bytes()].concat()))?;
    // Any bytes are a valid list of steps.
    for (number, target) in ["joins", "sessions"].into_iter().enumerate() {
        put(target, &mut (0..RANDOM_SEEDS).map(|seed| noise(seed * 2 + number as u64)))?;
    }
    Ok(count)
}

/// Number of seeds of a target whose input is a list of steps, and the length of each.
const RANDOM_SEEDS: u64 = 24;
const RANDOM_LENGTH: usize = 1200;

/// Returns bytes without a pattern, the same for the same seed (xorshift).
fn noise(seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    (0..RANDOM_LENGTH).map(|_| next()).collect()
}

/// Returns the cases of all transcripts, without long requests and without those that need an
/// earlier reply.
fn cases(data: &Path) -> Outcome<Vec<Case>> {
    let fault = |e: std::io::Error| format!("{}: {e}", data.display());
    let mut cases = Vec::new();
    for file in fs::read_dir(data).map_err(fault)? {
        let path = file.map_err(fault)?.path();
        if path.extension().is_none_or(|extension| extension != "transcript") {
            continue;
        }
        let text = fs::read_to_string(&path).map_err(fault)?;
        for entry in Transcript::parse(&text)?.entries {
            match entry {
                Entry::Case(_) => cases.push(Case::new()),
                Entry::Request(lines) => {
                    let request = Bindings::default().request(&lines).ok().filter(|r| r.len() <= LONGEST);
                    if let (Some(case), Some(request)) = (cases.last_mut(), request) {
                        case.push(request);
                    }
                }
                _ => {}
            }
        }
    }
    Ok(cases)
}

/// Opcode of the packet that is a login.
const LOGIN_PACKET: usize = 0x21;

/// Returns a packet of each opcode, in their order, and one with an unknown opcode.
fn packets() -> Vec<Vec<u8>> {
    let packet = |opcode: u8| {
        let (extras, key, value): (&[u8], &[u8], &[u8]) = match opcode {
            0x01..=0x03 | 0x11..=0x13 => (&[0; 8], b"key", b"10"),
            0x05 | 0x06 | 0x15 | 0x16 => (b"\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x07\0\0\0\0", b"key", b""),
            0x07 | 0x0a | 0x0b | 0x17 | 0x20 => (b"", b"", b""),
            0x08 | 0x18 => (&[0; 4], b"", b""),
            0x0e | 0x0f | 0x19 | 0x1a => (b"", b"key", b"5"),
            0x10 => (b"", b"settings", b""),
            0x1c | 0x1d | 0x1e | 0x23 | 0x24 => (&[0; 4], b"key", b""),
            0x21 | 0x22 => (b"", b"PLAIN", b"\0ann\0secret"),
            _ => (b"", b"key", b""),
        };
        let body = [extras, key, value].concat();
        let mut packet =
            vec![0x80, opcode, 0, key.len() as u8, extras.len() as u8, 0, 0, 0, 0, 0, 0, body.len() as u8];
        packet.extend([0; 12]);
        packet.extend(body);
        packet
    };
    (0..=0x25).map(packet).collect()
}
