//! The waits of a request context: which handles are under way, and when a wait ends. It knows no
//! Lua.
//!
//! ```text
//!   Idle ──enqueue──▶ Queued ──dispatch──▶ Active ──complete──▶ Complete ──counts──▶ Waited
//! ```
//!
//! The rules are those of memcached's proxy, odd ones included. A handle that completes between two
//! waits counts in the next one. A wait also ends when nothing that it waits for can come.

/// The rank of a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rank {
    /// A reply that is neither a miss of a read nor an error.
    Good,
    /// A miss of a read.
    Ok,
    /// A text of a function. It is neither good nor an error.
    Text,
    /// An error, or no reply.
    Error,
}

impl Rank {
    /// Returns memcached's number of it.
    pub fn number(self) -> i64 {
        match self {
            Self::Good => 8,
            Self::Ok => 16,
            Self::Text | Self::Error => 32,
        }
    }
}

/// The state of a handle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It has no request.
    Idle,
    /// Its request is sent when the next wait begins.
    Queued,
    /// Its request was sent.
    Active,
    /// Its result has come and did not count yet.
    Complete,
    /// Its result has counted.
    Waited,
}

/// The results that a wait counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Each result.
    Any,
    /// Results that are not errors.
    Ok,
    /// Good results.
    Good,
    /// Results that are not errors. A good one ends the wait.
    FastGood,
    /// The result of one handle.
    Handle(usize),
}

/// The end of a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// This many results counted.
    Count(usize),
    /// A wait for one handle ended with the result of this one.
    Handle(usize),
    /// A wait for one handle took too long, or its result counted before.
    NoHandle,
    /// A sleep is over.
    Slept,
}

#[derive(Clone, Copy, Debug)]
enum Wait {
    Results { mode: Mode, count: usize, done: usize },
    Sleep,
}

#[derive(Clone, Copy, Debug)]
struct Handle {
    state: State,
    rank: Option<Rank>,
}

/// The handles of a context, and its wait.
#[derive(Debug)]
pub struct Waits {
    handles: Vec<Handle>,
    wait: Option<Wait>,
    /// The function itself while it runs, and requests without a result.
    pending: usize,
}

impl Waits {
    /// Returns `handles` idle handles.
    pub fn new(handles: usize) -> Self {
        let handle = Handle { state: State::Idle, rank: None };
        Self { handles: vec![handle; handles], wait: None, pending: 0 }
    }

    /// Makes all handles idle.
    pub fn reset(&mut self) {
        self.handles.fill(Handle { state: State::Idle, rank: None });
        self.wait = None;
        self.pending = 0;
    }

    /// Returns the number of handles.
    pub fn len(&self) -> usize {
        self.handles.len()
    }

    /// Returns whether there is no handle.
    pub fn is_empty(&self) -> bool {
        self.handles.is_empty()
    }

    /// Returns whether the function waits or sleeps.
    pub fn is_waiting(&self) -> bool {
        self.wait.is_some()
    }

    /// Returns the state of a handle.
    pub fn state(&self, handle: usize) -> State {
        self.handles.get(handle).map_or(State::Idle, |handle| handle.state)
    }

    /// Returns the first queued handle, from a number on.
    pub fn queued(&self, from: usize) -> Option<usize> {
        let mut handles = self.handles.iter().enumerate().skip(from);
        handles.find(|(_, handle)| handle.state == State::Queued).map(|(number, _)| number)
    }

    /// Returns the rank of the result of a handle, if it has one.
    pub fn rank(&self, handle: usize) -> Option<Rank> {
        self.handles.get(handle)?.rank
    }

    /// Queues a handle. Returns `false`, and does nothing, if it is not idle.
    pub fn enqueue(&mut self, handle: usize) -> bool {
        let Some(handle) = self.handles.get_mut(handle) else { return false };
        let is_idle = handle.state == State::Idle;
        if is_idle {
            handle.state = State::Queued;
        }
        is_idle
    }

    /// Begins a wait for `count` results.
    pub fn begin(&mut self, mode: Mode, count: usize) {
        self.wait = Some(Wait::Results { mode, count, done: 0 });
    }

    /// Begins a sleep.
    pub fn sleep(&mut self) {
        self.wait = Some(Wait::Sleep);
    }

    /// Records that the request of a queued handle is sent.
    pub fn dispatch(&mut self, handle: usize) {
        if let Some(handle) = self.handles.get_mut(handle) {
            handle.state = State::Active;
        }
        self.pending += 1;
    }

    /// Adds a request, or the function itself, to what is under way.
    pub fn add(&mut self) {
        self.pending += 1;
    }

    /// Removes a request, or the function itself, from what is under way. Returns whether nothing
    /// is left.
    pub fn remove(&mut self) -> bool {
        self.pending = self.pending.saturating_sub(1);
        self.pending == 0
    }

    /// Returns whether nothing is under way.
    pub fn is_over(&self) -> bool {
        self.pending == 0
    }

    /// Records the result of an active handle.
    pub fn complete(&mut self, handle: usize, rank: Rank) {
        if let Some(handle) = self.handles.get_mut(handle) {
            handle.state = State::Complete;
            handle.rank = Some(rank);
        }
    }

    /// Counts a complete handle for the wait. Returns the end of the wait if it ends now. With
    /// `resume` it ends in any case.
    pub fn check(&mut self, handle: usize, resume: bool) -> Option<End> {
        let rank = self.rank(handle)?;
        let Some(Wait::Results { mode, count, mut done }) = self.wait else { return None };
        let counts = match mode {
            Mode::Any => true,
            Mode::Good => rank == Rank::Good,
            Mode::Ok | Mode::FastGood => rank <= Rank::Ok,
            Mode::Handle(waited) => waited == handle,
        };
        done += usize::from(counts);
        if counts || rank == Rank::Error {
            self.set(handle, State::Waited);
        }
        let ends =
            resume || mode == Mode::FastGood && rank == Rank::Good || done == count || self.pending == 1;
        if !ends {
            self.wait = Some(Wait::Results { mode, count, done });
            return None;
        }
        self.wait = None;
        Some(if matches!(mode, Mode::Handle(_)) { End::Handle(handle) } else { End::Count(done) })
    }

    /// Ends a wait whose time is over.
    pub fn expire(&mut self) -> Option<End> {
        Some(match self.wait.take()? {
            Wait::Sleep => End::Slept,
            Wait::Results { mode: Mode::Handle(_), .. } => End::NoHandle,
            Wait::Results { done, .. } => End::Count(done),
        })
    }

    /// Forgets a wait whose function has ended. An error may come between the wait and its yield.
    pub fn stop(&mut self) {
        self.wait = None;
    }

    /// Ends a wait for results if no further one can count. Those that have come were checked.
    /// memcached's proxy waits on.
    pub fn give_up(&mut self) -> Option<End> {
        let comes = |handle: &Handle| matches!(handle.state, State::Queued | State::Active);
        let waits = matches!(self.wait, Some(Wait::Results { .. })) && !self.handles.iter().any(comes);
        if waits { self.expire() } else { None }
    }

    fn set(&mut self, handle: usize, state: State) {
        if let Some(handle) = self.handles.get_mut(handle) {
            handle.state = state;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns a context that runs and has sent the requests of `count` handles.
    fn sent(count: usize) -> Waits {
        let mut waits = Waits::new(count);
        waits.add();
        for handle in 0..count {
            assert!(waits.enqueue(handle) && !waits.enqueue(handle));
            waits.dispatch(handle);
        }
        waits
    }

    fn arrives(waits: &mut Waits, handle: usize, rank: Rank) -> Option<End> {
        waits.complete(handle, rank);
        waits.remove();
        waits.check(handle, false).or_else(|| waits.give_up())
    }

    /// Returns the end of each wait for all results that come in this order.
    fn run(mode: Mode, count: usize, results: &[Rank]) -> Vec<Option<End>> {
        let mut waits = sent(results.len());
        waits.begin(mode, count);
        (0..).zip(results).map(|(handle, rank)| arrives(&mut waits, handle, *rank)).collect()
    }

    #[test]
    fn each_mode_counts_its_results() {
        use End::Count;
        use Rank::{Error, Good, Ok, Text};
        type Case<'a> = (Mode, usize, &'a [Rank], &'a [Option<End>]);
        let cases: [Case<'_>; 9] = [
            (Mode::Any, 2, &[Error, Text, Good], &[None, Some(Count(2)), None]),
            (Mode::Ok, 2, &[Ok, Error, Good, Good], &[None, None, Some(Count(2)), None]),
            (Mode::Good, 1, &[Ok, Error, Good, Good], &[None, None, Some(Count(1)), None]),
            (Mode::FastGood, 3, &[Ok, Good, Good], &[None, Some(Count(2)), None]),
            (Mode::FastGood, 3, &[Ok, Ok, Ok, Good], &[None, None, Some(Count(3)), None]),
            // The last request ends each wait.
            (Mode::Good, 5, &[Good, Ok], &[None, Some(Count(1))]),
            (Mode::Good, 1, &[Error, Error], &[None, Some(Count(0))]),
            (Mode::Handle(1), 1, &[Good, Error, Good], &[None, Some(End::Handle(1)), None]),
            (Mode::Ok, 1, &[Text, Ok], &[None, Some(Count(1))]),
        ];
        for (mode, count, results, ends) in cases {
            assert_eq!(run(mode, count, results), ends, "{mode:?} {count} {results:?}");
        }
    }

    #[test]
    fn a_result_that_did_not_count_counts_in_the_next_wait() {
        let mut waits = sent(3);
        waits.begin(Mode::Good, 1);
        assert_eq!(arrives(&mut waits, 0, Rank::Ok), None);
        assert_eq!(arrives(&mut waits, 1, Rank::Good), Some(End::Count(1)));
        assert_eq!((waits.state(0), waits.state(1)), (State::Complete, State::Waited));
        waits.begin(Mode::Handle(0), 1);
        assert_eq!(waits.check(0, false), Some(End::Handle(0)));
        // An error that did not count is not looked at again.
        waits.begin(Mode::Good, 1);
        assert_eq!(arrives(&mut waits, 2, Rank::Error), Some(End::Count(0)));
        assert_eq!(waits.state(2), State::Waited);
    }

    #[test]
    fn a_callback_and_the_time_end_a_wait() {
        let mut waits = sent(2);
        waits.begin(Mode::Good, 2);
        waits.complete(0, Rank::Ok);
        waits.remove();
        assert_eq!(waits.check(0, true), Some(End::Count(0)));
        waits.begin(Mode::Any, 1);
        assert_eq!(waits.expire(), Some(End::Count(0)));
        assert_eq!(waits.expire(), None);
        waits.begin(Mode::Handle(1), 1);
        assert_eq!(waits.expire(), Some(End::NoHandle));
        assert_eq!(waits.give_up(), None);
        waits.sleep();
        // A result during a sleep wakes nothing.
        assert_eq!(arrives(&mut waits, 1, Rank::Good), None);
        assert_eq!(waits.expire(), Some(End::Slept));
        assert!(waits.remove() && waits.is_over());
    }

    /// A function that has failed may still have requests. memcached's proxy waits for them.
    #[test]
    fn a_wait_ends_with_the_last_result_that_can_count() {
        use Rank::{Error, Good, Ok, Text};
        for (mode, results, count) in [
            (Mode::FastGood, [Error, Ok, Ok], 2),
            (Mode::Ok, [Error, Ok, Ok], 2),
            (Mode::Good, [Error, Good, Good], 2),
            // The first result did not count.
            (Mode::Good, [Ok, Error, Good], 1),
            (Mode::Ok, [Text, Error, Ok], 1),
            // The last result does not count.
            (Mode::Good, [Good, Error, Ok], 1),
            (Mode::Ok, [Error, Error, Text], 0),
        ] {
            let mut waits = sent(3);
            waits.add();
            waits.begin(mode, 3);
            let ends = [0, 1, 2].map(|handle| arrives(&mut waits, handle, results[handle]));
            assert_eq!(ends, [None, None, Some(End::Count(count))], "{mode:?} {results:?}");
        }
    }

    #[test]
    fn a_wait_for_nothing_ends() {
        let mut waits = Waits::new(1);
        waits.add();
        waits.begin(Mode::Any, 1);
        assert_eq!(waits.give_up(), Some(End::Count(0)));
        assert!(waits.enqueue(0));
        waits.begin(Mode::Any, 1);
        assert_eq!(waits.give_up(), None);
    }

    #[test]
    fn a_wait_ends_before_the_requests_of_a_function() {
        // The result of a function has not counted, and its own requests go on.
        let mut waits = sent(1);
        waits.begin(Mode::Good, 1);
        waits.complete(0, Rank::Ok);
        assert_eq!(waits.check(0, false), None);
        assert_eq!(waits.give_up(), Some(End::Count(0)));
        // A function that has ended, and whose result is not taken yet.
        let mut waits = sent(1);
        waits.begin(Mode::Good, 1);
        assert!(!waits.remove());
        assert_eq!(waits.give_up(), None);
        waits.complete(0, Rank::Ok);
        assert_eq!(waits.check(0, false), Some(End::Count(0)));
    }

    /// A wait of which all requests have failed ends with the last error. A function of an earlier
    /// wait may still have requests.
    #[test]
    fn a_wait_for_what_cannot_come_ends() {
        let mut waits = Waits::new(3);
        waits.add();
        assert!(waits.enqueue(0));
        waits.dispatch(0);
        waits.begin(Mode::Any, 1);
        assert_eq!(arrives(&mut waits, 0, Rank::Good), Some(End::Count(1)));
        // A child that has answered and still waits for its own requests.
        waits.add();
        for handle in [1, 2] {
            assert!(waits.enqueue(handle));
            waits.dispatch(handle);
        }
        waits.begin(Mode::Good, 1);
        assert_eq!(arrives(&mut waits, 1, Rank::Error), None);
        assert_eq!(arrives(&mut waits, 2, Rank::Error), Some(End::Count(0)));
    }
}
