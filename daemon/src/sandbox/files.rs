//! Restricts the files of a process by Landlock.

use std::collections::BTreeSet;
use std::path::PathBuf;

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible as _, Ruleset, RulesetAttr as _,
    RulesetCreatedAttr as _, RulesetError, RulesetStatus, path_beneath_rules,
};

/// The version of Landlock whose rules are asked for: that of Linux 6.7.
const VERSION: ABI = ABI::V4;

/// How much of the restriction the system enforces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// All of it.
    Whole,
    /// A part: the system has an older version.
    Part,
    /// Nothing.
    Nothing,
}

/// Lets this thread, and the threads that it starts, read files in the directories of `read`, and
/// also make, write and remove files in those of `write`. Refuses all others, and connections by
/// TCP. Descriptors that are open stay usable.
///
/// # Errors
/// The system refuses the rules.
pub fn restrict(read: &BTreeSet<PathBuf>, write: &BTreeSet<PathBuf>) -> Result<Extent, RulesetError> {
    let reading = AccessFs::ReadFile | AccessFs::ReadDir;
    let writing = reading
        | AccessFs::WriteFile
        | AccessFs::Truncate
        | AccessFs::MakeReg
        | AccessFs::MakeSock
        | AccessFs::RemoveFile;
    let everything: BitFlags<AccessFs> = AccessFs::from_all(VERSION);
    let status = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(everything)?
        .handle_access(AccessNet::ConnectTcp)?
        .create()?
        .add_rules(path_beneath_rules(read, reading))?
        .add_rules(path_beneath_rules(write, writing))?
        .restrict_self()?;
    Ok(match status.ruleset {
        RulesetStatus::FullyEnforced => Extent::Whole,
        RulesetStatus::PartiallyEnforced => Extent::Part,
        RulesetStatus::NotEnforced => Extent::Nothing,
    })
}
