//! The flags of the meta commands: one table, which parsing, the encoder and the differential
//! tester read.

/// A meta command with flags, as a bit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum MetaCommand {
    /// `mg`
    Get = 1,
    /// `ms`
    Set = 2,
    /// `md`
    Delete = 4,
    /// `ma`
    Delta = 8,
    /// `me`
    Inspect = 16,
}

/// The bytes behind the letter of a flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Argument {
    /// None. Bytes that follow are ignored.
    None,
    /// Any bytes.
    Token,
    /// An exptime.
    Seconds,
    /// A number of 32 bits.
    U32,
    /// A number of 64 bits.
    U64,
    /// A letter.
    Letter,
}

/// The part of a reply for a flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Returned {
    /// The flag itself.
    Opaque,
    /// The key, and `b` behind it if it is shown in base64.
    Key,
    /// The length of the value.
    Size,
    /// The remaining seconds.
    Ttl,
    /// The CAS.
    Cas,
    /// The client flags.
    ClientFlags,
    /// Seconds since the last access.
    Idle,
    /// Whether the item was fetched before.
    Fetched,
    /// Nothing. A `Ttl` behind it shows the exptime of this flag.
    NewTtl,
    /// Like `NewTtl`, if the request created the item.
    CreatedTtl,
}

/// A flag.
#[derive(Clone, Copy, Debug)]
pub struct Flag {
    /// Its letter.
    pub letter: u8,
    /// The commands for which it makes a difference. All commands accept it.
    commands: u8,
    /// The bytes behind its letter.
    pub argument: Argument,
    /// Its part of a reply.
    pub returned: Option<Returned>,
    /// Whether the replies for missing items have that part, too.
    pub echoed: bool,
}

impl Flag {
    /// Returns whether the flag makes a difference for `command`.
    #[inline]
    pub fn matters(&self, command: MetaCommand) -> bool {
        self.commands & command as u8 != 0
    }
}

const G: u8 = MetaCommand::Get as u8;
const S: u8 = MetaCommand::Set as u8;
const D: u8 = MetaCommand::Delete as u8;
const A: u8 = MetaCommand::Delta as u8;

const fn flag(letter: u8, commands: u8, argument: Argument, returned: Option<Returned>) -> Flag {
    let echoed = matches!(returned, Some(Returned::Opaque | Returned::Key));
    Flag { letter, commands, argument, returned, echoed }
}

/// The known flags.
pub const FLAGS: &[Flag] = &[
    // letter, commands, argument, part of the reply
    flag(b'b', G | S | D | A, Argument::None, None),
    flag(b'c', G | S | A, Argument::None, Some(Returned::Cas)),
    flag(b'f', G, Argument::None, Some(Returned::ClientFlags)),
    flag(b'h', G, Argument::None, Some(Returned::Fetched)),
    flag(b'k', G | S | D | A, Argument::None, Some(Returned::Key)),
    flag(b'l', G, Argument::None, Some(Returned::Idle)),
    flag(b'q', G | S | D | A, Argument::None, None),
    flag(b's', G | S, Argument::None, Some(Returned::Size)),
    flag(b't', G | A, Argument::None, Some(Returned::Ttl)),
    flag(b'u', G, Argument::None, None),
    flag(b'v', G | A, Argument::None, None),
    flag(b'x', D, Argument::None, None),
    flag(b'C', G | S | D | A, Argument::U64, None),
    flag(b'D', A, Argument::U64, None),
    flag(b'E', G | S | D | A, Argument::U64, None),
    flag(b'F', S | D, Argument::U32, None),
    flag(b'I', S | D, Argument::None, None),
    flag(b'J', A, Argument::U64, None),
    // For a proxy.
    flag(b'L', 0, Argument::None, None),
    flag(b'M', S | A, Argument::Letter, None),
    flag(b'N', G | S | A, Argument::Seconds, Some(Returned::CreatedTtl)),
    flag(b'O', G | S | D | A, Argument::Token, Some(Returned::Opaque)),
    // For a proxy.
    flag(b'P', 0, Argument::None, None),
    flag(b'R', G, Argument::Seconds, None),
    flag(b'T', G | S | D | A, Argument::Seconds, Some(Returned::NewTtl)),
];

/// The rows of [`FLAGS`] by letter.
static BY_LETTER: [Option<&Flag>; 128] = {
    let mut rows = [None; 128];
    let mut at = 0;
    while at < FLAGS.len() {
        rows[FLAGS[at].letter as usize] = Some(&FLAGS[at]);
        at += 1;
    }
    rows
};

/// Returns the flag with this letter.
#[inline]
pub(super) fn flag_of(letter: u8) -> Option<&'static Flag> {
    BY_LETTER.get(usize::from(letter)).copied().flatten()
}

/// Most tokens of a meta command.
pub(super) const TOKENS_MAX: usize = 20;

/// The parts of a reply, in the order of the request's flags.
#[derive(Clone, Copy, Debug)]
pub struct Returns {
    list: [Returned; TOKENS_MAX],
    /// At most the length of `list`.
    count: u8,
}

impl Default for Returns {
    #[inline]
    fn default() -> Self {
        Self { list: [Returned::Opaque; TOKENS_MAX], count: 0 }
    }
}

impl Returns {
    /// Appends a part. There are at most as many as tokens.
    #[inline]
    pub(super) fn push(&mut self, returned: Returned) {
        if let Some(slot) = self.list.get_mut(usize::from(self.count)) {
            *slot = returned;
            self.count += 1;
        }
    }

    /// Returns the parts.
    #[inline]
    pub(super) fn list(&self) -> &[Returned] {
        self.list.get(..usize::from(self.count)).unwrap_or_default()
    }
}
