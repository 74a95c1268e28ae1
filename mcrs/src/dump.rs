//! `mcrs dump`: reads the items of a running server into a snapshot.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, IsTerminal as _, Write};
use std::os::fd::AsFd as _;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use indicatif::ProgressBar;
use memcache_core::internal::base::stderr::write_line;
use memcache_core::internal::persist::{Entry, NewFile, SnapshotInfo, Summary};

use crate::client::{Connection, Server, ServerArguments};
use crate::failure::{FILE, Failure, USAGE};
use crate::snapshot::{Writer, now_micros};
use crate::{PROGRAM, meta, metadump, progress};

/// Requests and bytes of requests that are sent together. Two such batches are on their way. They
/// fit into the buffers of the sockets. So this program goes on to read, also if the server does
/// not read while its replies wait.
const BATCH: usize = 128;
const BATCH_BYTES: usize = 8 * 1024;

/// Reads all items of a running server into a snapshot
///
/// The server may be memcache-rs or memcached 1.6. It goes on serving. Its items are read without
/// counting as used. Items that change during the dump are in it as they were before or after.
#[derive(Args, Debug)]
pub struct DumpArguments {
    #[command(flatten)]
    server: ServerArguments,
    /// Write to this file instead of standard output. It gets its name when it is complete
    #[arg(short, long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Wait as long for another dump or crawl of the server to end
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    wait: u64,
}

/// Runs `mcrs dump`.
///
/// # Errors
/// The dump is not complete.
pub fn run(arguments: DumpArguments) -> Result<(), Failure> {
    let stdout = io::stdout();
    if arguments.out.is_none() && stdout.is_terminal() {
        let line = "a snapshot is binary and standard output is a terminal: use --out FILE or a pipe";
        return Err(Failure::new(USAGE, line));
    }
    let server = arguments.server.server()?;
    let wait = Duration::from_secs(arguments.wait);
    let (dump, summary) = match arguments.out {
        Some(path) => {
            let file = NewFile::create(&path)?;
            let mut dump = Dump::begin(&server, wait)?;
            let bar = progress::bar(dump.items);
            let (summary, file) =
                dump.write(file, &bar).map_err(|e| e.into_failure(&path.display().to_string()))?;
            file.commit(0)?;
            (dump, summary)
        }
        None => {
            let file = stdout.as_fd().try_clone_to_owned().map(File::from);
            let file = file.map_err(|e| Failure::file("write to", "standard output", &e))?;
            let mut dump = Dump::begin(&server, wait)?;
            // The other end of a pipe may draw a bar of its own.
            let is_file = file.metadata().is_ok_and(|metadata| metadata.is_file());
            let bar = if is_file { progress::bar(dump.items) } else { ProgressBar::hidden() };
            let (summary, _) = dump.write(file, &bar).map_err(|e| e.into_failure("standard output"))?;
            (dump, summary)
        }
    };
    // Writing to a String cannot fail.
    let mut line = format!("dumped {} items of {} bytes", summary.items, summary.bytes);
    if dump.vanished > 0 {
        let _ = write!(line, "; {} expired or vanished before they were read", dump.vanished);
    }
    if dump.unnamable > 0 {
        let _ = write!(line, "; left out {} whose keys the text protocol cannot name", dump.unnamable);
    }
    write_line(&line);
    Ok(())
}

/// The end of a dump that is not complete: a failure of the server, or of the output.
enum Broken {
    Server(Failure),
    Output(io::Error),
}

impl Broken {
    fn into_failure(self, output: &str) -> Failure {
        match self {
            Self::Server(failure) => failure,
            // The reader of a pipe wants no more. Its own message says why.
            Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => Failure::new(FILE, ""),
            Self::Output(error) => Failure::file("write to", output, &error),
        }
    }
}

impl From<Failure> for Broken {
    fn from(failure: Failure) -> Self {
        Self::Server(failure)
    }
}

impl From<io::Error> for Broken {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

/// A reply that is to come.
enum Expected {
    /// That of `mg` for this key.
    Item(Vec<u8>),
    /// That of `md`, which gives back the right to recache.
    GivenBack,
}

struct Dump {
    /// About how many items there are.
    items: u64,
    name: String,
    connection: Connection,
    keys: metadump::Keys,
    takes_cas: bool,
    expected: VecDeque<Expected>,
    /// Requests that are not sent yet.
    pending: usize,
    vanished: u64,
    unnamable: u64,
}

impl Dump {
    fn begin(server: &Server, patience: Duration) -> Result<Self, Failure> {
        let mut connection = server.connect()?;
        let items = metadump::statistics(&mut connection, &server.name())?.number("curr_items");
        let takes_cas = connection.takes_cas()?;
        let keys = metadump::list(server, patience)?;
        Ok(Self {
            items: items.unwrap_or_default(),
            name: server.name(),
            connection,
            keys,
            takes_cas,
            expected: VecDeque::new(),
            pending: 0,
            vanished: 0,
            unnamable: 0,
        })
    }

    fn write<W: Write>(&mut self, to: W, bar: &ProgressBar) -> Result<(Summary, W), Broken> {
        let info = SnapshotInfo {
            saved_at: now_micros(),
            items: self.items,
            program: PROGRAM.into(),
            note: format!("dump of {}", self.name),
            ..SnapshotInfo::default()
        };
        let mut writer = Writer::new(to, &info)?;
        let mut value = Vec::new();
        while let Ok(chunk) = self.keys.recv() {
            for key in chunk?.keys() {
                self.request(key);
                if self.pending >= BATCH || self.connection.output().len() >= BATCH_BYTES {
                    let sent = self.send()?;
                    while self.expected.len() > sent + self.pending {
                        self.receive(&mut writer, &mut value)?;
                    }
                    bar.inc(sent as u64);
                }
            }
        }
        while !self.expected.is_empty() {
            self.send()?;
            while self.expected.len() > self.pending {
                self.receive(&mut writer, &mut value)?;
            }
        }
        bar.finish_and_clear();
        Ok(writer.finish()?)
    }

    fn request(&mut self, key: &[u8]) {
        if !meta::push_get(self.connection.output(), key) {
            self.unnamable += 1;
            return;
        }
        self.expected.push_back(Expected::Item(key.to_vec()));
        self.pending += 1;
    }

    /// Sends the pending requests, and returns their number.
    fn send(&mut self) -> Result<usize, Failure> {
        self.connection.send()?;
        Ok(std::mem::take(&mut self.pending))
    }

    /// Reads one reply, and adds its item to the snapshot.
    fn receive(&mut self, writer: &mut Writer<impl Write>, value: &mut Vec<u8>) -> Result<(), Broken> {
        let Some(expected) = self.expected.pop_front() else { return Ok(()) };
        let line = self.connection.line()?;
        let Expected::Item(key) = expected else { return Ok(()) };
        if line.starts_with(b"EN") {
            self.vanished += 1;
            return Ok(());
        }
        let Some(header) = meta::Header::read(line, &key) else {
            return Err(self.connection.unexpected().into());
        };
        self.connection.value(header.length, value)?;
        let now = now_micros() / 1_000_000;
        writer.push(&Entry {
            flags: header.flags,
            expires_at: header.ttl.map(|ttl| now + i64::from(ttl)),
            cas: header.cas,
            idle: header.idle,
            // The server does not tell how often an item was used.
            uses: u8::from(header.fetched),
            fetched: header.fetched,
            won: header.won,
            stale: header.stale,
            key_binary: header.key_binary,
            ..Entry::new(&key, value)
        })?;
        // The first to read an item that was invalidated wins the right to recache it. Marking it
        // again gives that back to the clients. Without `E` it would get another CAS.
        if header.wins && self.takes_cas && header.cas != 0 {
            let out = self.connection.output();
            if meta::push_key(out, "md", &key, header.key_binary, "") {
                out.extend_from_slice(format!(" I C{0} E{0}\r\n", header.cas).as_bytes());
                self.expected.push_back(Expected::GivenBack);
                self.pending += 1;
            }
        }
        Ok(())
    }
}
