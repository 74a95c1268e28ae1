//! Values of a TOML text, with the place and the name that messages about them have.

use std::fmt;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Bytes of a name, or of another short text, at most.
pub const MAX_NAME: usize = 250;

/// Characters of a message at most.
const MAX_MESSAGE: usize = 1000;

/// A mistake in a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigFault {
    /// Its line, from 1.
    pub line: usize,
    /// The mistake, and what is allowed.
    pub message: String,
}

impl ConfigFault {
    /// Returns a fault at a part of a text. The message gets one line of bounded length, because
    /// names of the text are in it.
    pub fn new(text: &str, span: &Range<usize>, message: &str) -> Self {
        let visible = |c: char| if c.is_control() { ' ' } else { c };
        Self { line: line_of(text, span), message: message.chars().map(visible).take(MAX_MESSAGE).collect() }
    }
}

impl fmt::Display for ConfigFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.line, self.message)
    }
}

impl std::error::Error for ConfigFault {}

/// A table, and its name as messages have it.
pub struct Table<'a> {
    pub text: &'a str,
    pub name: String,
    pub span: Range<usize>,
    pub entries: &'a DeTable<'a>,
}

impl<'a> Table<'a> {
    pub fn fail<T>(&self, message: &str) -> Result<T, ConfigFault> {
        let name = if self.name.is_empty() { String::new() } else { format!("{}: ", self.name) };
        Err(ConfigFault::new(self.text, &self.span, &format!("{name}{message}")))
    }

    /// Fails for a key that is not among `keys`.
    pub fn allow(&self, keys: &[&str]) -> Result<(), ConfigFault> {
        for (name, entry) in self.entries() {
            if !keys.contains(&name) {
                return entry.fail(&format!("this key is unknown here, known are {}", keys.join(", ")));
            }
        }
        Ok(())
    }

    pub fn entries(&self) -> Vec<(&'a str, Entry<'a>)> {
        let long = |name: &str| match self.name.as_str() {
            "" => name.to_owned(),
            own => format!("{own}.{name}"),
        };
        let entry = |name: &str, value| Entry { text: self.text, name: long(name), value };
        self.entries
            .iter()
            .map(|(key, value)| (key.get_ref().as_ref(), entry(key.get_ref(), value)))
            .collect()
    }

    pub fn get(&self, key: &str) -> Option<Entry<'a>> {
        self.entries().into_iter().find(|(name, _)| *name == key).map(|(_, entry)| entry)
    }

    pub fn required(&self, key: &str) -> Result<Entry<'a>, ConfigFault> {
        self.get(key).map_or_else(|| self.fail(&format!("{key} is missing")), Ok)
    }

    /// Returns the entries of an optional table of this one.
    pub fn named(&self, key: &str) -> Result<Vec<(&'a str, Entry<'a>)>, ConfigFault> {
        self.get(key).map_or(Ok(Vec::new()), |entry| Ok(entry.table()?.entries()))
    }

    pub fn switch(&self, key: &str) -> Result<bool, ConfigFault> {
        match self.get(key).map(|entry| (entry.value.get_ref(), entry.wanted("true or false"))) {
            None => Ok(false),
            Some((DeValue::Boolean(on), _)) => Ok(*on),
            Some((_, fault)) => fault,
        }
    }

    pub fn number(&self, key: &str, least: u64, most: u64) -> Result<Option<u64>, ConfigFault> {
        let Some(entry) = self.get(key) else { return Ok(None) };
        let number = match entry.value.get_ref() {
            DeValue::Integer(number) => {
                u64::from_str_radix(&number.as_str().replace('_', ""), number.radix()).ok()
            }
            _ => None,
        };
        match number.filter(|number| (least..=most).contains(number)) {
            Some(number) => Ok(Some(number)),
            None => entry.wanted(&format!("a whole number from {least} to {most}")),
        }
    }

    pub fn needed_number(&self, key: &str, least: u64, most: u64) -> Result<u64, ConfigFault> {
        self.required(key)?;
        Ok(self.number(key, least, most)?.unwrap_or(least))
    }
}

/// A value, and its name as messages have it.
pub struct Entry<'a> {
    pub text: &'a str,
    pub name: String,
    pub value: &'a Spanned<DeValue<'a>>,
}

impl<'a> Entry<'a> {
    pub fn fail<T>(&self, message: &str) -> Result<T, ConfigFault> {
        Err(ConfigFault::new(self.text, &self.value.span(), &format!("{}: {message}", self.name)))
    }

    /// Returns the number of its line, from 1.
    pub fn number_of_line(&self) -> usize {
        line_of(self.text, &self.value.span())
    }

    /// Fails for a value that cannot be used.
    pub fn wanted<T>(&self, what: &str) -> Result<T, ConfigFault> {
        let got = match self.value.get_ref() {
            DeValue::String(text) => format!("{:?}", text.chars().take(100).collect::<String>()),
            DeValue::Integer(number) => number.to_string(),
            DeValue::Float(number) => number.to_string(),
            DeValue::Boolean(on) => on.to_string(),
            DeValue::Datetime(time) => time.to_string(),
            DeValue::Array(_) => "a list".into(),
            DeValue::Table(_) => "a table".into(),
        };
        self.fail(&format!("must be {what}, got {got}"))
    }

    /// Returns the meaning of a text.
    pub fn read<T>(&self, what: &str, read: impl FnOnce(&'a str) -> Option<T>) -> Result<T, ConfigFault> {
        let found = match self.value.get_ref() {
            DeValue::String(text) => read(text),
            _ => None,
        };
        found.map_or_else(|| self.wanted(what), Ok)
    }

    /// Returns the row of a table that a text names.
    pub fn one_of<T>(
        &self,
        rows: &'static [T],
        name: fn(&T) -> &'static str,
    ) -> Result<&'static T, ConfigFault> {
        let names: Vec<&str> = rows.iter().map(name).collect();
        self.read(&format!("one of {}", names.join(", ")), |text| rows.iter().find(|row| name(row) == text))
    }

    pub fn string(&self) -> Result<&'a str, ConfigFault> {
        self.read("a text", Some)
    }

    pub fn list(&self, what: &str) -> Result<Vec<Self>, ConfigFault> {
        let DeValue::Array(list) = self.value.get_ref() else { return self.wanted(what) };
        let entry = |value| Entry { text: self.text, name: self.name.clone(), value };
        Ok(list.iter().map(entry).collect())
    }

    pub fn table(&self) -> Result<Table<'a>, ConfigFault> {
        match self.value.get_ref() {
            DeValue::Table(table) => Ok(Table {
                text: self.text,
                name: self.name.clone(),
                span: self.value.span(),
                entries: table,
            }),
            _ => self.wanted("a table"),
        }
    }

    /// Returns a text that stays within a line.
    pub fn line(&self) -> Result<String, ConfigFault> {
        let fits = |text: &str| (1..=MAX_NAME).contains(&text.len()) && !text.contains(char::is_control);
        self.read(&format!("a text of 1 to {MAX_NAME} bytes in one line"), |text| {
            fits(text).then(|| text.to_owned())
        })
    }
}

/// Returns the number of the line in which a part of a text begins.
fn line_of(text: &str, span: &Range<usize>) -> usize {
    text.bytes().take(span.start).filter(|byte| *byte == b'\n').count() + 1
}
