//! The table of cache clusters: sizes, rates and times to live of production caches, one cluster
//! per row.
//!
//! The format is CSV as published in twitter/cache-trace. The columns `cluster`, `key_bytes`,
//! `value_bytes` and `kqps` are required. `mean_freq`, `one_hit_wonder_pct` and `ttl_mix` may be
//! absent or `N/A`. Fields with commas are in double quotes.

use std::fs;
use std::path::Path;

use crate::error::{Doing, Error, Result};

/// Rows with mean values of this length or longer are refused: a value that is half as long again
/// must fit into a memcached with its default limits.
const LONGEST_VALUE: u32 = 300_000;

/// Rows with mean keys of this length or longer are refused.
const LONGEST_KEY: u32 = 250;

/// One row of the table.
#[derive(Debug, Clone, PartialEq)]
pub struct Cluster {
    pub name: String,
    /// Mean length of a key, in bytes.
    pub key: u32,
    /// Mean length of a value, in bytes.
    pub value: u32,
    /// Thousands of requests per second.
    pub kqps: f64,
    /// Mean number of requests for a key. At least 1, which is also the value if the table has
    /// none.
    pub frequency: f64,
    /// Share of the keys that are requested only once.
    pub once: f64,
    /// Times to live in seconds, and the share of each. If empty, items never expire. The shares
    /// need not add up to 1, because the table has only the most frequent ones.
    pub ttls: Vec<(f64, f64)>,
}

/// Reads a table from a file.
pub fn read(path: &Path) -> Result<Vec<Cluster>> {
    let text = fs::read_to_string(path).doing(|| format!("reading {}", path.display()))?;
    parse(&text)
}

/// Parses a table.
pub fn parse(csv: &str) -> Result<Vec<Cluster>> {
    let wrong = |what: &str| Error::Malformed(format!("table of clusters: {what}"));
    let mut lines = csv.lines();
    let header = fields(lines.next().unwrap_or_default());
    let place = |name: &str| header.iter().position(|column| column == name);
    let needed = |name: &str| place(name).ok_or_else(|| wrong(&format!("no column {name}")));
    let [name, key, value, rate] =
        [needed("cluster")?, needed("key_bytes")?, needed("value_bytes")?, needed("kqps")?];
    let [frequency, once, ttls] = ["mean_freq", "one_hit_wonder_pct", "ttl_mix"].map(place);
    let rows = lines.filter(|line| !line.is_empty()).map(|line| {
        let fields = fields(line);
        let told = |place: Option<usize>| {
            fields.get(place?).map(String::as_str).filter(|field| !field.is_empty() && *field != "N/A")
        };
        let positive = |field: &str| field.parse::<f64>().ok().filter(|number| *number >= 0.0);
        let cluster = || {
            Some(Cluster {
                name: fields.get(name)?.clone(),
                key: fields.get(key)?.parse().ok().filter(|bytes| (1..LONGEST_KEY).contains(bytes))?,
                value: fields.get(value)?.parse().ok().filter(|&bytes| bytes < LONGEST_VALUE)?,
                kqps: positive(fields.get(rate)?)?,
                frequency: told(frequency).map_or(Some(1.0), positive)?.max(1.0),
                once: (told(once).map_or(Some(0.0), positive)? / 100.0).min(1.0),
                ttls: told(ttls).map_or(Some(Vec::new()), parse_ttls)?,
            })
        };
        cluster().ok_or_else(|| wrong(line))
    });
    let rows: Vec<_> = rows.collect::<Result<_>>()?;
    if rows.is_empty() { Err(wrong("no rows")) } else { Ok(rows) }
}

/// Parses `60s:0.39, 1.8h:0.24` into seconds and shares.
fn parse_ttls(mix: &str) -> Option<Vec<(f64, f64)>> {
    let pairs = mix.split(',').map(|pair| {
        let (time, share) = pair.trim().split_once(':')?;
        let (unit, seconds) = [('s', 1.0), ('m', 60.0), ('h', 3600.0), ('d', 86400.0)]
            .into_iter()
            .find(|u| time.ends_with(u.0))?;
        let count: f64 = time.strip_suffix(unit)?.parse().ok()?;
        let share: f64 = share.parse().ok()?;
        (count > 0.0 && share >= 0.0).then_some((count * seconds, share))
    });
    pairs.collect()
}

/// Returns the fields of a line, without the quotes around them.
fn fields(line: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut quoted = false;
    for character in line.trim_end().chars() {
        match character {
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(String::new()),
            other => {
                if let Some(last) = fields.last_mut() {
                    last.push(other);
                }
            }
        }
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::parse;

    const TABLE: &str = "cluster,category,key_bytes,value_bytes,kqps,mean_freq,one_hit_wonder_pct,miss_ratio,ttl_mix\n\
                         one,2,80,200,3.0,12.5,40,0.1,240s:1.00\n\
                         two,1,20,100,1.0,N/A,N/A,N/A,\"4d:0.59, 1.5h:0.41\"\n";

    #[test]
    fn rows_have_what_the_table_says() {
        let Ok(clusters) = parse(TABLE) else { panic!("not parsed") };
        let [one, two] = &clusters[..] else { panic!("{clusters:?}") };
        assert_eq!((one.name.as_str(), one.key, one.value), ("one", 80, 200));
        assert!((one.kqps - 3.0).abs() < 1e-9 && (one.frequency - 12.5).abs() < 1e-9);
        assert!((one.once - 0.4).abs() < 1e-9 && (two.frequency - 1.0).abs() < 1e-9);
        assert_eq!(one.ttls, [(240.0, 1.0)]);
        assert_eq!(two.ttls, [(345_600.0, 0.59), (5_400.0, 0.41)]);
    }

    #[test]
    fn four_columns_are_enough() {
        let Ok(clusters) = parse("kqps,cluster,key_bytes,value_bytes\n2,a,10,20\n") else { panic!() };
        assert!(clusters[0].ttls.is_empty() && clusters[0].once == 0.0);
    }

    #[test]
    fn tables_without_sizes_are_refused() {
        for wrong in [
            "",
            "cluster,key_bytes\n",
            "cluster,key_bytes,value_bytes,kqps\n",
            TABLE.replace("80", "x").as_str(),
            TABLE.replace("240s", "240").as_str(),
            TABLE.replace(":0.41", "").as_str(),
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
