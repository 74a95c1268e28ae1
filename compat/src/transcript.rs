//! Recorded exchanges in the format of `core/tests/data/*.transcript`. The README there describes
//! it.

use std::collections::HashMap;
use std::fmt::Write as _;

use crate::Outcome;
use crate::escape::{escape, unescape};
use crate::packet::{CAS_AT, Packet, REPLY};
use crate::reply::{CHOSEN_CAS, Kind, Role, line, near, number, value_length};

/// Number of equal bytes from which a recorded reply has a repeat.
const REPEAT: usize = 48;

/// A file, line by line, so that comments survive recording.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transcript {
    /// The entries in the order of the file.
    pub entries: Vec<Entry>,
}

/// An entry of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// A comment or an empty line.
    Remark(String),
    /// `case NAME`: a new server and a new connection from here on.
    Case(String),
    /// `flags …`: the flags that start the server of this case.
    Flags(Vec<String>),
    /// `advance N`: moves the server's clock by N seconds.
    Advance(u64),
    /// A `>` line and the `+` lines that continue it. Escapes and placeholders are kept.
    Request(Vec<String>),
    /// `<` lines. Escapes and placeholders are kept.
    Reply(Vec<String>),
    /// `closed`: the server closes the connection.
    Closed,
}

impl Transcript {
    /// Parses the text of a file.
    ///
    /// # Errors
    ///
    /// A line that is none of those above, with its number.
    pub fn parse(text: &str) -> Outcome<Self> {
        let mut entries: Vec<Entry> = Vec::new();
        for (at, line) in text.lines().enumerate() {
            let fault = |what: &str| format!("line {}: {what}", at + 1);
            let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
            match word {
                "" | "#" => entries.push(Entry::Remark(line.to_owned())),
                "case" => entries.push(Entry::Case(rest.to_owned())),
                "flags" => entries.push(Entry::Flags(rest.split(' ').map(str::to_owned).collect())),
                "advance" => {
                    entries.push(Entry::Advance(rest.parse().map_err(|_| fault("advance needs seconds"))?));
                }
                "closed" => entries.push(Entry::Closed),
                ">" => {
                    parts(rest).map_err(|what| fault(&what))?;
                    entries.push(Entry::Request(vec![rest.to_owned()]));
                }
                "+" => {
                    parts(rest).map_err(|what| fault(&what))?;
                    match entries.last_mut() {
                        Some(Entry::Request(lines)) => lines.push(rest.to_owned()),
                        _ => return Err(fault("a + goes on from a >")),
                    }
                }
                "<" => {
                    parts(rest).map_err(|what| fault(&what))?;
                    match entries.last_mut() {
                        Some(Entry::Reply(lines)) => lines.push(rest.to_owned()),
                        _ => entries.push(Entry::Reply(vec![rest.to_owned()])),
                    }
                }
                _ => return Err(fault("no case, flags, advance, closed, >, +, <, # or empty line")),
            }
        }
        Ok(Self { entries })
    }

    /// Returns the file's text.
    pub fn print(&self) -> String {
        let mut text = String::new();
        let mut put = |line: &str| {
            text.push_str(line);
            text.push('\n');
        };
        for entry in &self.entries {
            match entry {
                Entry::Remark(line) => put(line),
                Entry::Case(name) => put(&format!("case {name}")),
                Entry::Flags(flags) => put(&format!("flags {}", flags.join(" "))),
                Entry::Advance(seconds) => put(&format!("advance {seconds}")),
                Entry::Closed => put("closed"),
                Entry::Request(lines) => {
                    let marks = std::iter::once('>').chain(std::iter::repeat('+'));
                    marks.zip(lines).for_each(|(mark, line)| put(&format!("{mark} {line}")));
                }
                Entry::Reply(lines) => lines.iter().for_each(|line| put(&format!("< {line}"))),
            }
        }
        text
    }
}

/// The CAS numbers of the placeholders `<cas N>` and `<cas8 N>` in a case.
#[derive(Clone, Debug, Default)]
pub struct Bindings {
    number_of: HashMap<u64, u64>,
    name_of: HashMap<u64, u64>,
}

impl Bindings {
    fn bind(&mut self, name: u64, number: u64) -> bool {
        *self.number_of.entry(name).or_insert(number) == number
            && *self.name_of.entry(number).or_insert(name) == name
    }

    fn name(&mut self, number: u64) -> u64 {
        let next = self.name_of.len() as u64 + 1;
        let name = *self.name_of.entry(number).or_insert(next);
        self.number_of.insert(name, number);
        name
    }

    /// Returns the bytes to send for `>` lines.
    ///
    /// # Errors
    ///
    /// A placeholder other than a CAS number seen before.
    pub fn request(&self, lines: &[String]) -> Outcome<Vec<u8>> {
        let mut bytes = Vec::new();
        for line in lines {
            for part in parts(line)? {
                match part {
                    Part::Bytes(literal) => bytes.extend(literal),
                    Part::Cas(name) => {
                        let number =
                            self.number_of.get(&name).ok_or(format!("<cas {name}> was not seen before"))?;
                        bytes.extend(number.to_string().bytes());
                    }
                    Part::PackedCas(name) => {
                        let number =
                            self.number_of.get(&name).ok_or(format!("<cas8 {name}> was not seen before"))?;
                        bytes.extend(number.to_be_bytes());
                    }
                    _ => return Err("only <cas N> and <cas8 N> can stand in a request".to_owned()),
                }
            }
        }
        Ok(bytes)
    }

    /// Returns the `<` lines for a reply. Numbers that differ between servers become placeholders.
    pub fn record(&mut self, reply: &[u8]) -> Vec<String> {
        let mut lines = Vec::new();
        let mut rest = reply;
        if reply.first() == Some(&REPLY) {
            let (packets, left_over) = Packet::split(reply);
            lines.extend(packets.iter().map(|packet| self.record_packet(packet)));
            rest = left_over;
        }
        while !rest.is_empty() {
            let head = line(rest);
            rest = &rest[head.len()..];
            lines.push(self.record_line(head));
            let mut value = &rest[..rest.len().min(value_length(head).unwrap_or(0))];
            rest = &rest[value.len()..];
            while !value.is_empty() {
                let part = line(value);
                value = &value[part.len()..];
                lines.push(literal(part));
            }
        }
        lines
    }

    /// Writes a packet of the binary protocol on one line.
    fn record_packet(&mut self, packet: &Packet<'_>) -> String {
        let header = packet.header.bytes();
        let (head, cas) = header.split_at(CAS_AT);
        let cas = match packet.header.cas {
            chosen if chosen == 0 || chosen >= CHOSEN_CAS => with_zeros(cas),
            number => format!("<cas8 {}>", self.name(number)),
        };
        format!("{}{cas}{}", with_zeros(head), with_zeros(packet.body))
    }

    fn record_line(&mut self, head: &[u8]) -> String {
        let kind = Kind::of(head);
        if kind == Kind::Plain {
            return literal(head);
        }
        let words = head.split(|&byte| byte == b' ').enumerate().map(|(at, word)| {
            let (skip, placeholder) = match kind.role(at, word) {
                Role::Exact => return literal(word),
                Role::Cas(skip) => match number(word, skip) {
                    Some(chosen) if chosen == 0 || chosen >= CHOSEN_CAS => return literal(word),
                    Some(number) => (skip, format!("<cas {}>", self.name(number))),
                    None => return literal(word),
                },
                Role::Seconds(skip) | Role::Access(skip) => match number(word, skip) {
                    Some(seconds) => (skip, format!("<about {seconds}>")),
                    None => return literal(word),
                },
                Role::Layout(skip) => (skip, "<number>".to_owned()),
            };
            let digits = word[skip..].iter().take_while(|byte| byte.is_ascii_digit()).count();
            format!("{}{placeholder}{}", literal(&word[..skip]), literal(&word[skip + digits..]))
        });
        words.collect::<Vec<_>>().join(" ")
    }

    /// Checks that a reply is as `<` lines expect.
    ///
    /// # Errors
    ///
    /// The place and kind of the difference.
    pub fn check(&mut self, lines: &[String], reply: &[u8]) -> Outcome<()> {
        let mut rest = reply;
        for line in lines {
            for part in parts(line)? {
                let fault = || format!("expected {line}, got {}", crate::escape::shorten(rest, 200));
                if let Part::Bytes(literal) = &part {
                    rest = rest.strip_prefix(literal.as_slice()).ok_or_else(fault)?;
                    continue;
                }
                if let Part::PackedCas(name) = part {
                    let (number, more) = rest.split_first_chunk().ok_or_else(fault)?;
                    if !self.bind(name, u64::from_be_bytes(*number)) {
                        return Err(fault());
                    }
                    rest = more;
                    continue;
                }
                let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
                let number = number(&rest[..digits], 0).ok_or_else(fault)?;
                let good = match part {
                    Part::Cas(name) => self.bind(name, number),
                    Part::About(wanted) => near(wanted, number),
                    Part::Number | Part::PackedCas(_) | Part::Bytes(_) => true,
                };
                if !good {
                    return Err(fault());
                }
                rest = &rest[digits..];
            }
        }
        if rest.is_empty() {
            Ok(())
        } else {
            Err(format!("more than expected: {}", crate::escape::shorten(rest, 200)))
        }
    }
}

/// Returns the smallest length of a reply to these lines. The caller stops reading after it.
pub fn shortest(lines: &[String]) -> usize {
    let parts = lines.iter().filter_map(|line| parts(line).ok()).flatten();
    parts
        .map(|part| match part {
            Part::Bytes(bytes) => bytes.len(),
            Part::PackedCas(_) => 8,
            _ => 1,
        })
        .sum()
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Bytes(Vec<u8>),
    Cas(u64),
    PackedCas(u64),
    About(u64),
    Number,
}

/// Splits a line into literal bytes and placeholders.
fn parts(line: &str) -> Outcome<Vec<Part>> {
    let mut parts = Vec::new();
    let mut rest = line;
    while let Some(open) = rest.find('<') {
        if open > 0 {
            parts.push(Part::Bytes(unescape(&rest[..open])?));
        }
        let close = rest[open..].find('>').ok_or("a < without its >")? + open;
        let inner = &rest[open + 1..close];
        let (word, argument) = inner.split_once(' ').unwrap_or((inner, ""));
        let argument = || argument.parse::<u64>().map_err(|_| format!("<{inner}> needs a number"));
        parts.push(match word {
            "cas" => Part::Cas(argument()?),
            "cas8" => Part::PackedCas(argument()?),
            "about" => Part::About(argument()?),
            "number" => Part::Number,
            _ => return Err(format!("no placeholder <{inner}>; a literal < is written \\x3c")),
        });
        rest = &rest[close + 1..];
    }
    if !rest.is_empty() {
        parts.push(Part::Bytes(unescape(rest)?));
    }
    Ok(parts)
}

/// Writes bytes with escapes. Long runs of one byte become repeats, and `<` is escaped.
fn literal(bytes: &[u8]) -> String {
    let mut text = String::new();
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let run = bytes[at..].iter().take_while(|&&other| other == byte).count();
        let one = if byte == b'<' { "\\x3c".to_owned() } else { escape(&[byte]) };
        if run >= REPEAT {
            let _ = write!(text, "\\*{run}{{{one}}}");
            at += run;
        } else {
            text.push_str(&one);
            at += 1;
        }
    }
    text
}

/// Like [`literal`], with zeros as `\0`, because packets have many.
fn with_zeros(bytes: &[u8]) -> String {
    bytes.split(|&byte| byte == 0).map(literal).collect::<Vec<_>>().join("\\0")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::{Header, opcode};

    #[test]
    fn a_file_survives_reading_and_writing() {
        let text = "# about\n\ncase one\nflags -C\n> set a 0 0 1\\r\\n\n+ x\\r\\n\n> get a\\r\\n\n< END\\r\\n\nadvance 5\n> quit\\r\\n\nclosed\n";
        assert_eq!(Transcript::parse(text).map(|transcript| transcript.print()), Ok(text.to_owned()));
        assert!(Transcript::parse("get a").is_err());
        assert!(Transcript::parse("> <what>").is_err());
    }

    #[test]
    fn packets_are_recorded_one_a_line() {
        let packet = |cas: u64| {
            let header = Header { magic: REPLY, body: 2, cas, ..Header::request(opcode::GET) };
            [&header.bytes()[..], b"ok"].concat()
        };
        let mut bindings = Bindings::default();
        let lines = bindings.record(&[packet(7), packet(0)].concat());
        assert_eq!(lines[0], "\\x81\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\x02\\0\\0\\0\\0<cas8 1>ok");
        assert_eq!(lines.len(), 2);
        assert_eq!(bindings.request(&["<cas8 1>".to_owned()]), Ok(7u64.to_be_bytes().to_vec()));
        let mut other = Bindings::default();
        assert_eq!(other.check(&lines, &[packet(9), packet(0)].concat()), Ok(()));
        assert!(other.check(&lines, &[packet(8), packet(0)].concat()).is_err());
        assert_eq!(shortest(&lines), 52);
    }

    #[test]
    fn what_is_recorded_is_found_again() {
        let reply = b"VALUE a 0 4 7\r\nHD c\r\nEND\r\nHD c8 t100 c7\r\nME a exp=-1 la=0 cas=8 fetch=no cls=1 size=63\r\n";
        let lines = Bindings::default().record(reply);
        assert_eq!(lines[0], "VALUE a 0 4 <cas 1>\\r\\n");
        assert_eq!(lines[1], "HD c\\r\\n");
        assert_eq!(lines[3], "HD c<cas 2> t<about 100> c<cas 1>\\r\\n");
        assert_eq!(
            lines[4],
            "ME a exp=-1 la=<about 0> cas=<cas 2> fetch=no cls=<number> size=<number>\\r\\n"
        );
        assert_eq!(Bindings::default().check(&lines, reply), Ok(()));
        let other = b"VALUE a 0 4 70\r\nHD c\r\nEND\r\nHD c9 t99 c71\r\nME a exp=-1 la=0 cas=9 fetch=no cls=1 size=63\r\n";
        assert!(Bindings::default().check(&lines, other).is_err());
    }
}
