//! Namespaces: random calls of nested handles against a map.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::sync::Arc;

use memcache_rs::{Cache, CacheConfig, LoadOptions, Namespace, SaveOptions, StoreOptions, Ttl};
use proptest::prelude::*;

/// Prefixes of the handles. Each is made inside the first one before it that it begins with.
const PREFIXES: [&str; 6] = ["", "a:", "a:b:", "a:bc", "d:", "d:e:f:"];

#[derive(Clone, Debug)]
enum Action {
    Set(usize, u8, usize),
    Add(usize, u8),
    Append(usize, u8),
    Increment(usize, u8),
    Load(usize, u8),
    Delete(usize, u8),
    Cas(usize, u8),
    Clear(usize),
    Reload,
}

fn action() -> impl Strategy<Value = Action> {
    let (space, key) = (0..PREFIXES.len(), 0..6_u8);
    let length = prop_oneof![8 => 0..100_usize, 1 => 5_000..20_000_usize];
    let at = (space.clone(), key);
    prop_oneof![
        10 => (at.clone(), length).prop_map(|((space, key), length)| Action::Set(space, key, length)),
        2 => at.clone().prop_map(|(space, key)| Action::Add(space, key)),
        2 => at.clone().prop_map(|(space, key)| Action::Append(space, key)),
        2 => at.clone().prop_map(|(space, key)| Action::Increment(space, key)),
        2 => at.clone().prop_map(|(space, key)| Action::Load(space, key)),
        2 => at.clone().prop_map(|(space, key)| Action::Delete(space, key)),
        2 => at.prop_map(|(space, key)| Action::Cas(space, key)),
        3 => space.prop_map(Action::Clear),
        1 => Just(Action::Reload),
    ]
}

/// The cache and what it must have, by whole key.
struct Model {
    cache: Arc<Cache>,
    spaces: Vec<Namespace>,
    items: BTreeMap<String, Vec<u8>>,
}

impl Model {
    fn new() -> Self {
        let cache = Cache::new(CacheConfig { clock_frozen: true, ..CacheConfig::default() }).unwrap();
        let mut model = Self { cache, spaces: Vec::new(), items: BTreeMap::new() };
        model.open();
        model
    }

    /// Makes the handles, those of longer prefixes inside others.
    fn open(&mut self) {
        self.spaces.clear();
        for (number, prefix) in PREFIXES.iter().enumerate() {
            let outer = PREFIXES[1..number.max(1)].iter().position(|outer| prefix.starts_with(outer));
            self.spaces.push(match outer {
                Some(outer) => self.spaces[outer + 1].namespace(&prefix[PREFIXES[outer + 1].len()..]),
                None => self.cache.namespace(prefix),
            });
        }
    }

    /// Makes a call, and compares its result.
    fn act(&mut self, action: &Action) {
        let whole = |space: usize, key: u8| format!("{}{key}", PREFIXES[space]);
        match *action {
            Action::Set(space, key, length) => {
                let value = vec![key; length];
                self.spaces[space].set(key.to_string(), &value, Ttl::Never).unwrap();
                self.items.insert(whole(space, key), value);
            }
            Action::Add(space, key) => {
                let added = self.spaces[space].add(key.to_string(), "5", Ttl::Never).unwrap();
                assert_eq!(added, !self.items.contains_key(&whole(space, key)));
                self.items.entry(whole(space, key)).or_insert_with(|| b"5".to_vec());
            }
            Action::Append(space, key) => {
                let item = self.items.get_mut(&whole(space, key));
                assert_eq!(self.spaces[space].append(key.to_string(), "7").unwrap(), item.is_some());
                item.into_iter().for_each(|value| value.push(b'7'));
            }
            Action::Increment(space, key) => {
                let text = self.items.get(&whole(space, key)).filter(|value| value.len() < 19);
                let number = text.and_then(|text| std::str::from_utf8(text).ok()?.parse::<u64>().ok());
                if let Some(number) = number {
                    assert_eq!(self.spaces[space].incr(key.to_string(), 100), Ok(number + 100));
                    self.items.insert(whole(space, key), (number + 100).to_string().into_bytes());
                }
            }
            Action::Load(space, key) => {
                let value = self.items.entry(whole(space, key)).or_insert_with(|| b"1".to_vec());
                let load = || Ok::<_, ()>("1");
                let loaded = self.spaces[space].get_or_insert_with(key.to_string(), Ttl::Never, load);
                assert_eq!(loaded.as_ref(), Ok(&*value));
            }
            Action::Delete(space, key) => {
                let was_there = self.items.remove(&whole(space, key)).is_some();
                assert_eq!(self.spaces[space].delete(key.to_string()), was_there);
            }
            Action::Cas(space, key) => {
                let item = self.spaces[space].get_item(key.to_string());
                assert_eq!(item.as_ref().map(|item| &item.value), self.items.get(&whole(space, key)));
                let Some(item) = item else { return };
                let cas = |text| self.spaces[space].cas(key.to_string(), text, item.info.cas, Ttl::Never);
                assert!(cas("9").unwrap().is_stored() && !cas("8").unwrap().is_stored());
                self.items.insert(whole(space, key), b"9".to_vec());
            }
            Action::Clear(space) => {
                self.spaces[space].clear();
                self.items.retain(|key, _| !key.starts_with(PREFIXES[space]));
            }
            Action::Reload => {
                let mut file = Vec::new();
                self.cache.save_to(&mut file, SaveOptions::default()).unwrap();
                *self = Self { items: std::mem::take(&mut self.items), ..Self::new() };
                self.cache.load_from(file.as_slice(), LoadOptions::default()).unwrap();
            }
        }
    }

    /// Compares everything, through each handle.
    fn check(&self) {
        for (space, prefix) in self.spaces.iter().zip(PREFIXES) {
            assert_eq!(space.prefix(), prefix.as_bytes());
            let wanted: BTreeMap<Vec<u8>, Vec<u8>> = self
                .items
                .iter()
                .filter_map(|(key, value)| Some((key.strip_prefix(prefix)?.into(), value.clone())))
                .collect();
            let shown: BTreeMap<_, _> = space.iter().map(|(key, item)| (key, item.value)).collect();
            assert_eq!(shown, wanted, "{prefix}");
            let mut keys: Vec<_> = space.keys().collect();
            keys.sort();
            assert!(keys.iter().eq(wanted.keys()), "{prefix}");
            let mut found = BTreeMap::new();
            space.get_many(&keys, |at, value| drop(found.insert(keys[at].clone(), value.to_vec())));
            assert_eq!(found, wanted, "{prefix}");
            for (key, value) in &wanted {
                let mut copy = b"before ".to_vec();
                assert!(space.get_into(key, &mut copy) && copy.ends_with(value));
                assert_eq!(space.info(key).map(|info| info.length), Some(value.len()));
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    #[test]
    fn a_namespace_has_the_items_of_its_prefix(actions in prop::collection::vec(action(), 1..80)) {
        let mut model = Model::new();
        for action in &actions {
            model.act(action);
        }
        model.check();
    }
}

#[test]
fn the_other_calls_reach_the_whole_key() {
    let cache = Cache::new(CacheConfig { clock_frozen: true, ..CacheConfig::default() }).unwrap();
    let space = cache.namespace("a:");
    let options = StoreOptions { flags: 7, ..StoreOptions::default() };
    assert!(space.set_with("1", "5", options).unwrap().is_stored());
    assert!(space.replace("1", "6", Ttl::Never).unwrap() && space.prepend("1", "4").unwrap());
    assert_eq!(space.decr("1", 1), Ok(45));
    assert!(space.touch("1", std::time::Duration::from_secs(9)) && !space.touch("2", Ttl::Never));
    assert_eq!(cache.info("a:1").and_then(|info| info.ttl), Some(9));
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let load = async { Ok::<_, ()>("loaded") };
    let value = runtime.block_on(space.clone().get_or_insert_async("2", Ttl::Never, load));
    assert_eq!((value.as_deref(), cache.get("a:2").as_deref()), (Ok(&b"loaded"[..]), Some(&b"loaded"[..])));
}
