//! The state of a relay that all its requests share.

use super::generations::Generations;
use super::gets::Gets;
use super::held::Held;
use super::run::Action;

/// The state of a relay that all its requests share.
#[derive(Debug)]
pub struct RelayState {
    /// The configurations.
    pub generations: Generations,
    /// The gets of several keys.
    pub gets: Gets,
    /// Bytes that requests and replies under way hold.
    pub held: Held,
    /// The tasks of a run. Empty between calls.
    pub actions: Vec<Action>,
}
