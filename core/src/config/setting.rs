//! Settings as data: what a row of the table says, and the values that a setting takes.
//!
//! [`settings!`] turns the rows of a table into a structure, its defaults and a list of
//! [`Setting`]s. Everything that a face knows of a setting comes from its [`Row`].

use std::fmt;
use std::path::PathBuf;

use crate::base::error::{ConfigError, ConfigRule};

/// A value for a setting, as a face has read it.
///
/// A text is read as the type of the setting: `"64m"` is a number of bytes, `"on"` is `true`.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Value {
    /// No value, for a setting that may have none.
    None,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Integer(i128),
    /// A number with a fraction.
    Float(f64),
    /// A text.
    Text(String),
    /// A list of whole numbers.
    List(Vec<i128>),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::Bool(on) => on.fmt(f),
            Self::Integer(number) => number.fmt(f),
            Self::Float(number) => number.fmt(f),
            Self::Text(text) => write!(f, "{text:?}"),
            Self::List(list) => {
                let texts: Vec<_> = list.iter().map(i128::to_string).collect();
                f.write_str(&texts.join("-"))
            }
        }
    }
}

macro_rules! from_integers {
    ($($type:ty)*) => {$(
        impl From<$type> for Value {
            fn from(number: $type) -> Self {
                Self::Integer(i128::from(number))
            }
        }
    )*};
}

from_integers!(u8 u16 u32 u64 i32 i64);

impl From<usize> for Value {
    fn from(number: usize) -> Self {
        Self::Integer(number as i128)
    }
}

impl From<bool> for Value {
    fn from(on: bool) -> Self {
        Self::Bool(on)
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Self::Float(number)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<&[usize]> for Value {
    fn from(list: &[usize]) -> Self {
        Self::List(list.iter().map(|&number| number as i128).collect())
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::None, Into::into)
    }
}

/// The type of a setting and its range.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Kind {
    /// On or off.
    Bool,
    /// A whole number in a range.
    Integer {
        /// The smallest value.
        least: i128,
        /// The largest value.
        most: i128,
    },
    /// A whole number of bytes in a range. A text may end in `k`, `m` or `g`.
    Bytes {
        /// The smallest value.
        least: i128,
        /// The largest value.
        most: i128,
    },
    /// A finite number above one limit, and at most another.
    Float {
        /// The limit that values exceed.
        above: f64,
        /// The largest value.
        most: f64,
    },
    /// One of some words.
    Word(&'static [&'static str]),
    /// Any text on one line.
    Text,
    /// One byte, which a text names.
    Byte,
    /// The name of a file.
    Path,
    /// A text in TOML, or the name of a file with it.
    Toml,
    /// Numbers of bytes that ascend, with `-` between them in a text.
    Sizes {
        /// The smallest value of the first.
        least: i128,
        /// The most numbers.
        count: usize,
    },
}

/// Largest number in a word.
pub(super) const WORD_MOST: i128 = usize::MAX as i128;

/// Largest number in 32 bits.
pub(super) const U32_MOST: i128 = u32::MAX as i128;

/// The part of the program that a setting acts on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Scope {
    /// A cache, with or without a server.
    Cache,
    /// A server.
    Server,
    /// The listeners of a server that use TLS.
    Tls,
    /// Nothing: `stats settings` reports it.
    Reported,
}

/// A rule beside the range: a test of the number, and the end of the message if it fails.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Extra {
    holds: fn(i128) -> bool,
    rule: &'static str,
}

/// A row of the table of settings.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Row {
    /// The name, in all faces.
    pub name: &'static str,
    /// The documentation.
    pub documentation: &'static str,
    /// The type and the range.
    pub kind: Kind,
    /// Whether the setting may have no value.
    pub optional: bool,
    /// The flag or the suboption of `-o` in the daemon, such as `-t` or `idle_timeout`.
    pub option: Option<&'static str>,
    /// The name in `stats settings`.
    pub stat: Option<&'static str>,
    /// Bytes or other units of one in the daemon's option.
    pub unit: i128,
    /// The daemon's message if the option has no value. `None`: `Missing NAME argument`.
    pub missing: Option<&'static str>,
    /// Why the option has no effect, as the daemon notes it.
    pub idle: Option<&'static str>,
    /// The lines of the option in the daemon's help. `{}` stands for the default.
    pub help: &'static str,
    /// The part of the program that the setting acts on.
    pub scope: Scope,
    /// memcached's message for a value below the range.
    low: Option<&'static str>,
    /// memcached's message for a value above the range.
    high: Option<&'static str>,
    extra: Option<Extra>,
}

impl Row {
    /// Starts a row.
    pub(crate) const fn new(kind: Kind) -> Self {
        Self {
            name: "",
            documentation: "",
            kind,
            optional: false,
            option: None,
            stat: None,
            unit: 1,
            missing: None,
            idle: None,
            help: "",
            scope: Scope::Cache,
            low: None,
            high: None,
            extra: None,
        }
    }

    /// A setting that is on or off.
    pub(crate) const fn on_off() -> Self {
        Self::new(Kind::Bool)
    }

    /// A whole number.
    pub(crate) const fn whole(least: i128, most: i128) -> Self {
        Self::new(Kind::Integer { least, most })
    }

    /// A number of bytes.
    pub(crate) const fn bytes(least: i128, most: i128) -> Self {
        Self::new(Kind::Bytes { least, most })
    }

    /// A number with a fraction.
    pub(crate) const fn real(above: f64, most: f64) -> Self {
        Self::new(Kind::Float { above, most })
    }

    /// The name of a file, or no value.
    #[cfg(feature = "server")]
    pub(crate) const fn file() -> Self {
        Self::new(Kind::Path).or_none()
    }

    /// The setting may have no value.
    pub(crate) const fn or_none(mut self) -> Self {
        self.optional = true;
        self
    }

    /// The flag or suboption of the daemon.
    pub(crate) const fn option(mut self, option: &'static str) -> Self {
        self.option = Some(option);
        self
    }

    /// The name in `stats settings`.
    pub(crate) const fn stat(mut self, stat: &'static str) -> Self {
        self.stat = Some(stat);
        self
    }

    /// The unit of the daemon's option.
    #[cfg(feature = "server")]
    pub(crate) const fn unit(mut self, unit: i128) -> Self {
        self.unit = unit;
        self
    }

    /// memcached's message for an option without its value.
    pub(crate) const fn missing(mut self, text: &'static str) -> Self {
        self.missing = Some(text);
        self
    }

    /// The reason why the daemon's option has no effect. The daemon's help says so, too.
    pub(crate) const fn idle(mut self, why: &'static str) -> Self {
        self.idle = Some(why);
        self.help = "accepted, has no effect (default: {})";
        self
    }

    /// The lines of the daemon's help.
    pub(crate) const fn help(mut self, text: &'static str) -> Self {
        self.help = text;
        self
    }

    /// memcached's message for a value below the range.
    pub(crate) const fn low(mut self, text: &'static str) -> Self {
        self.low = Some(text);
        self
    }

    /// memcached's message for a value above the range. `{}` stands for the value.
    pub(crate) const fn high(mut self, text: &'static str) -> Self {
        self.high = Some(text);
        self
    }

    /// memcached's message for a value out of the range.
    pub(crate) const fn out(self, text: &'static str) -> Self {
        self.low(text).high(text)
    }

    /// Adds a rule beside the range.
    pub(crate) const fn rule(mut self, rule: &'static str, holds: fn(i128) -> bool) -> Self {
        self.extra = Some(Extra { holds, rule });
        self
    }

    /// Names the row.
    pub(crate) const fn named(
        mut self,
        scope: Scope,
        name: &'static str,
        documentation: &'static str,
    ) -> Self {
        self.scope = scope;
        self.name = name;
        self.documentation = documentation;
        self
    }

    /// Reads a value as the type of the setting, and checks it.
    ///
    /// # Errors
    /// The value has another type, or is out of range.
    pub fn accept(&self, value: &Value) -> Result<Value, ConfigError> {
        let read = self.read(value).ok_or_else(|| match (self.kind, self.low) {
            (Kind::Word(_), Some(theirs)) => self.error(ConfigRule::Type, theirs.to_owned()),
            _ => self.error(ConfigRule::Type, self.wanted(value)),
        })?;
        self.check(&read)?;
        Ok(read)
    }

    /// Converts a value to the type of the setting.
    fn read(&self, value: &Value) -> Option<Value> {
        if let Value::None = value {
            return self.optional.then_some(Value::None);
        }
        if let (true, Value::Text(text)) = (self.optional, value)
            && text == "none"
        {
            return Some(Value::None);
        }
        match (self.kind, value) {
            (Kind::Bool, Value::Bool(_))
            | (Kind::Integer { .. } | Kind::Bytes { .. }, Value::Integer(_))
            | (Kind::Float { .. }, Value::Float(_))
            | (Kind::Byte, Value::Integer(0..=255))
            | (Kind::Sizes { .. }, Value::List(_)) => Some(value.clone()),
            (Kind::Bool, Value::Text(text)) => match text.as_str() {
                "true" | "on" | "yes" | "1" => Some(Value::Bool(true)),
                "false" | "off" | "no" | "0" => Some(Value::Bool(false)),
                _ => None,
            },
            (Kind::Integer { .. }, Value::Text(text)) => text.parse().ok().map(Value::Integer),
            (Kind::Bytes { .. }, Value::Text(text)) => bytes(text).map(Value::Integer),
            // A face without a type for whole numbers passes those as well.
            (Kind::Integer { .. } | Kind::Bytes { .. }, Value::Float(number)) => {
                let exact = number.fract() == 0.0 && number.abs() < 2f64.powi(53);
                exact.then_some(Value::Integer(*number as i128))
            }
            (Kind::Float { .. }, Value::Integer(number)) => Some(Value::Float(*number as f64)),
            (Kind::Float { .. }, Value::Text(text)) => text.parse().ok().map(Value::Float),
            (Kind::Word(words), Value::Text(text)) => words.contains(&text.as_str()).then(|| value.clone()),
            (Kind::Byte, Value::Text(text)) => match text.as_bytes() {
                [byte] => Some(Value::from(*byte)),
                _ => None,
            },
            (Kind::Text, Value::Text(text)) => (!text.contains(['\0', '\r', '\n'])).then(|| value.clone()),
            (Kind::Path | Kind::Toml, Value::Text(text)) => {
                (!text.is_empty() && !text.contains('\0')).then(|| value.clone())
            }
            (Kind::Sizes { .. }, Value::Text(text)) => {
                let numbers = text.split('-').map(|size| size.parse().ok()).collect::<Option<_>>();
                numbers.map(Value::List)
            }
            _ => None,
        }
    }

    /// Checks a value of the setting's type.
    ///
    /// # Errors
    /// The value is out of range.
    pub(super) fn check(&self, value: &Value) -> Result<(), ConfigError> {
        let below = match (self.kind, value) {
            (Kind::Integer { least, .. } | Kind::Bytes { least, .. }, Value::Integer(number)) => {
                *number < least
            }
            (Kind::Float { above, .. }, Value::Float(number)) => *number <= above || number.is_nan(),
            _ => false,
        };
        let over = match (self.kind, value) {
            (Kind::Integer { most, .. } | Kind::Bytes { most, .. }, Value::Integer(number)) => *number > most,
            (Kind::Float { most, .. }, Value::Float(number)) => !number.is_finite() || *number > most,
            _ => false,
        };
        let unruly = match (self.extra, self.kind, value) {
            (Some(extra), _, Value::Integer(number)) => !(extra.holds)(*number),
            (_, Kind::Sizes { least, count }, Value::List(list)) => {
                list.len() > count
                    || list.first().is_some_and(|first| *first < least)
                    || !list.windows(2).all(|pair| pair[0] < pair[1])
            }
            _ => false,
        };
        let theirs = match (below, over) {
            (true, _) => self.low,
            (_, true) => self.high,
            _ if unruly => self.low,
            _ => None,
        };
        match (theirs, self.kind) {
            (Some(text), _) => Err(self.error(ConfigRule::Range, text.replace("{}", &value.to_string()))),
            (None, Kind::Integer { most, .. } | Kind::Bytes { most, .. }) if over && most == WORD_MOST => {
                let text = format!("{} must be at most {most}, got {value}", self.name);
                Err(self.error(ConfigRule::Range, text))
            }
            _ if below || over || unruly => Err(self.error(ConfigRule::Range, self.wanted(value))),
            _ => Ok(()),
        }
    }

    /// Returns memcached's message for a text that it cannot read, if memcached has one.
    pub fn unreadable(&self) -> Option<&'static str> {
        self.high.or(self.low)
    }

    fn error(&self, rule: ConfigRule, message: String) -> ConfigError {
        ConfigError::new(self.name, rule, message)
    }

    /// Returns our message for a value that the setting does not take.
    fn wanted(&self, value: &Value) -> String {
        format!("{} must be {}, got {value}", self.name, self.range())
    }

    /// Describes the values that the setting takes, such as `1 to 1024`.
    pub fn range(&self) -> String {
        if let Some(extra) = self.extra {
            return extra.rule.to_owned();
        }
        match self.kind {
            Kind::Bool => "true or false".into(),
            Kind::Integer { least, most } if most == WORD_MOST => format!("at least {least}"),
            Kind::Integer { least, most } => format!("{least} to {most}"),
            Kind::Bytes { least, most } if most == WORD_MOST => format!("at least {least} bytes"),
            Kind::Bytes { least, most } => format!("{least} to {most} bytes"),
            Kind::Float { above, most } if most.to_bits() == f64::MAX.to_bits() => {
                format!("a number above {above}")
            }
            Kind::Float { above, most } => format!("a number above {above} and at most {most}"),
            Kind::Word([others @ .., last]) if !others.is_empty() => {
                format!("{} or {last}", others.join(", "))
            }
            Kind::Word(words) => words.concat(),
            Kind::Byte => "one byte".into(),
            Kind::Text => "a text of one line".into(),
            Kind::Path => "the name of a file".into(),
            Kind::Toml => "a text in TOML, or the name of a file that ends in .toml".into(),
            Kind::Sizes { least, count } => {
                format!("at most {count} sizes that ascend from at least {least}")
            }
        }
    }
}

/// Reads a number of bytes, with or without a unit.
pub(super) fn bytes(text: &str) -> Option<i128> {
    let (digits, shift) = match text.as_bytes().last()?.to_ascii_lowercase() {
        b'k' => (&text[..text.len() - 1], 10),
        b'm' => (&text[..text.len() - 1], 20),
        b'g' => (&text[..text.len() - 1], 30),
        _ => (text, 0),
    };
    Some(i128::from(digits.parse::<i64>().ok()?) << shift)
}

/// The type of a field of a setting. A value that its [`Row`] accepts always fits.
pub(crate) trait Field {
    fn get(&self) -> Value;
    fn put(&mut self, value: &Value);
}

macro_rules! integer_fields {
    ($($type:ty)*) => {$(
        impl Field for $type {
            fn get(&self) -> Value {
                Value::from(*self)
            }
            fn put(&mut self, value: &Value) {
                if let Value::Integer(number) = value
                    && let Ok(number) = Self::try_from(*number)
                {
                    *self = number;
                }
            }
        }
    )*};
}

integer_fields!(u8 u16 u32 i32 usize);

impl Field for bool {
    fn get(&self) -> Value {
        Value::Bool(*self)
    }
    fn put(&mut self, value: &Value) {
        if let Value::Bool(on) = value {
            *self = *on;
        }
    }
}

impl Field for f64 {
    fn get(&self) -> Value {
        Value::Float(*self)
    }
    fn put(&mut self, value: &Value) {
        if let Value::Float(number) = value {
            *self = *number;
        }
    }
}

impl Field for PathBuf {
    fn get(&self) -> Value {
        Value::Text(self.display().to_string())
    }
    fn put(&mut self, value: &Value) {
        if let Value::Text(text) = value {
            *self = text.into();
        }
    }
}

impl Field for String {
    fn get(&self) -> Value {
        Value::from(self.as_str())
    }
    fn put(&mut self, value: &Value) {
        if let Value::Text(text) = value {
            self.clone_from(text);
        }
    }
}

impl Field for Vec<usize> {
    fn get(&self) -> Value {
        Value::from(self.as_slice())
    }
    fn put(&mut self, value: &Value) {
        if let Value::List(list) = value {
            *self = list.iter().filter_map(|&size| usize::try_from(size).ok()).collect();
        }
    }
}

impl<T: Field + Default> Field for Option<T> {
    fn get(&self) -> Value {
        self.as_ref().map_or(Value::None, Field::get)
    }
    fn put(&mut self, value: &Value) {
        *self = match value {
            Value::None => None,
            value => {
                let mut inner = T::default();
                inner.put(value);
                Some(inner)
            }
        };
    }
}

/// A row, and the field that it sets.
pub(crate) struct Setting<C> {
    pub row: Row,
    pub get: fn(&C) -> Value,
    pub put: fn(&mut C, &Value),
}

/// Sets the setting `name` of `config`, or returns `None` if no row has that name.
pub(crate) fn set<C>(
    settings: &[Setting<C>],
    config: &mut C,
    name: &str,
    value: &Value,
) -> Option<Result<(), ConfigError>> {
    let setting = settings.iter().find(|setting| setting.row.name == name)?;
    Some(setting.row.accept(value).map(|value| (setting.put)(config, &value)))
}

/// Returns the value of the setting `name`, or `None` if no row has that name.
pub(crate) fn get<C>(settings: &[Setting<C>], config: &C, name: &str) -> Option<Value> {
    let setting = settings.iter().find(|setting| setting.row.name == name)?;
    Some((setting.get)(config))
}

/// Checks every setting of `config` alone.
pub(crate) fn check<C>(settings: &[Setting<C>], config: &C) -> Result<(), ConfigError> {
    settings.iter().try_for_each(|setting| setting.row.check(&(setting.get)(config)))
}

/// Returns the error for a name that no setting has.
pub(crate) fn unknown(name: &str) -> ConfigError {
    ConfigError::new(name.to_owned(), ConfigRule::Name, format!("there is no setting {name:?}"))
}

/// Defines a structure of settings: a documented field, its default and its row each. The name of a
/// setting is that of its field, after the prefix.
macro_rules! settings {
    (
        $(#[$meta:meta])*
        pub struct $config:ident ($scope:expr, $prefix:literal) {
            $( $(#[doc = $doc:literal])* $name:ident: $type:ty = $default:expr, $row:expr; )*
        }
        others {
            $( $(#[$other_meta:meta])* $other:ident: $other_type:ty = $other_default:expr; )*
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Debug)]
        pub struct $config {
            $( $(#[doc = $doc])* pub $name: $type, )*
            $( $(#[$other_meta])* pub $other: $other_type, )*
        }

        impl Default for $config {
            fn default() -> Self {
                Self { $( $name: $default, )* $( $other: $other_default, )* }
            }
        }

        impl $config {
            /// The rows of the settings.
            pub(crate) const SETTINGS: &'static [$crate::config::setting::Setting<Self>] = &[
                $( $crate::config::setting::Setting {
                    row: $row.named(
                        $scope,
                        concat!($prefix, stringify!($name)),
                        concat!($($doc, "\n"),*),
                    ),
                    get: |config| $crate::config::setting::Field::get(&config.$name),
                    put: |config, value| $crate::config::setting::Field::put(&mut config.$name, value),
                }, )*
            ];
        }
    };
}

pub(crate) use settings;
