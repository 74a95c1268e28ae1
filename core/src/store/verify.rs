//! Checks of the invariants of a store between two critical sections, for tests.

use std::collections::HashMap;

use super::mem::{Kind, Queue, Rank};
use super::shard::Shard;
use super::store::Store;

/// The counts that [`Store::verify`] returns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ItemCounts {
    /// Items in the index.
    pub items: u64,
    /// Bytes of these, as `stats` counts them.
    pub bytes: u64,
    /// Reservations.
    pub drafts: u64,
    /// Segments with holds.
    pub held: u64,
}

impl Store {
    /// Checks every shard, from its index to its last segment. Locks one shard at a time, so other
    /// threads may run.
    ///
    /// # Panics
    /// If an invariant does not hold.
    #[doc(hidden)]
    pub fn verify(&self) -> ItemCounts {
        let mut found = ItemCounts::default();
        for cell in &self.shards {
            let shard = cell.0.lock();
            self.verify_shard(&shard, &mut found);
        }
        found
    }

    fn verify_shard(&self, shard: &Shard, found: &mut ItemCounts) {
        let common = &self.common;
        let (segments, memory) = (&common.segments, common.memory());
        let mut indexed = 0;
        let (mut bytes, mut owners) = (0, HashMap::new());
        for bucket in 0..shard.index.buckets() {
            shard.index.scan(bucket, |at| {
                indexed += 1;
                let header = memory.header(at);
                assert_eq!(header.kind(), Kind::Linked, "an item in the index is not linked");
                let item = shard.item(common, at);
                let hash = common.hash(item.key());
                assert_eq!(shard.index.find(hash, |other| other == at), Some(at), "an item cannot be found");
                assert!(std::ptr::eq(
                    self.shard(hash),
                    &raw const self.shards[shard.logs.token.number() as usize].0
                ));
                let length: usize = item.slices().map(<[u8]>::len).sum();
                assert_eq!(length, item.len(), "a value is not whole");
                bytes += header.total() as u64;
                for piece in memory.pieces_from(item.first_piece()) {
                    assert_eq!(memory.header(piece).kind(), Kind::Piece);
                    assert_eq!(memory.owner_of(piece), at, "a piece of another item");
                    owners.insert(piece, at);
                }
            });
        }
        assert_eq!(indexed, shard.index.len());
        if let Some(quotas) = &shard.quotas {
            quotas.verify(|each| {
                for bucket in 0..shard.index.buckets() {
                    shard.index.scan(bucket, |at| {
                        let item = shard.item(common, at);
                        each(item.key(), common.hash(item.key()), item.header().total());
                    });
                }
            });
        }
        assert_eq!(bytes, shard.bytes);
        let by_class = shard.classes.iter();
        assert_eq!(by_class.clone().map(|class| class.bytes).sum::<u64>(), bytes);
        assert_eq!(by_class.flat_map(|class| class.items).sum::<u32>() as usize, indexed);
        let (mut live, mut linked, mut seen) = (0, 0, 0);
        let compaction = shard.compaction.as_ref().map(|compaction| compaction.next.number());
        let logs = Rank::all().flat_map(|rank| shard.logs.newest_first(segments, rank));
        for number in logs.chain(compaction) {
            seen += 1;
            let segment = segments.get(number);
            let mut own = 0;
            Shard::entries(common, number, |at| {
                let header = memory.header(at);
                if header.kind() == Kind::Dead {
                    return;
                }
                own += segments.taken_by(at);
                match header.kind() {
                    Kind::Linked => {
                        linked += 1;
                        let temporary = segment.rank() == Rank::TEMPORARY;
                        assert_eq!(header.queue() == Queue::Temp, temporary, "an item in another log");
                    }
                    Kind::Reserved => found.drafts += 1,
                    Kind::Piece if memory.header(memory.owner_of(at)).kind() == Kind::Reserved => {}
                    Kind::Piece => assert!(owners.remove(&at).is_some(), "a piece of no item"),
                    Kind::Dead => {}
                }
            });
            assert_eq!(own, segment.live(), "bytes alive in segment {number}");
            found.held += u64::from(segment.holds() > 0);
            live += own;
        }
        let held = shard.logs.live() - live;
        // The remaining entries are in segments that were held during compaction.
        assert!(held == 0 || seen < shard.logs.owned(), "{held} bytes in no segment");
        if held == 0 {
            assert_eq!(linked, indexed);
            assert!(owners.is_empty(), "pieces in no segment: {:?}", owners.keys().next());
        }
        found.items += indexed as u64;
        found.bytes += bytes;
    }
}
