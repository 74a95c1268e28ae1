//! The manual page and the completions of shells, made from the arguments.
//!
//! `MANUAL=DIRECTORY cargo test manual` writes them into that directory; `make man` does so.

use std::path::{Path, PathBuf};
use std::{env, fs};

use clap::{Command, CommandFactory as _};
use clap_complete::Shell;
use clap_mangen::Man;

use crate::{Arguments, PROGRAM};

/// Returns the manual page. The options of each subcommand have a section of their own.
fn page() -> String {
    let mut command = Arguments::command();
    command.build();
    let man = Man::new(command.clone()).date("").source(PROGRAM).manual("User Commands");
    let mut page = Vec::new();
    assert!(man.render(&mut page).is_ok());
    let mut page = String::from_utf8_lossy(&page).into_owned();
    // There is no page for each subcommand.
    page = page.replace("mcrs\\-", "mcrs ").replace("(1)\n", "\n");
    // An empty date needs quotes.
    page = page.replace(" 1  ", " 1 \"\" ");
    page + &sections(&command)
}

/// Returns a section for each subcommand, and for those of a subcommand.
fn sections(command: &Command) -> String {
    let own = command.get_subcommands().filter(|subcommand| subcommand.get_name() != "help");
    own.map(|subcommand| section(subcommand) + &sections(subcommand)).collect()
}

fn section(subcommand: &Command) -> String {
    let man = Man::new(subcommand.clone());
    let mut text = Vec::new();
    let done = man
        .render_synopsis_section(&mut text)
        .and_then(|()| man.render_description_section(&mut text))
        .and_then(|()| man.render_options_section(&mut text));
    assert!(done.is_ok());
    let text = String::from_utf8_lossy(&text).replace(".SH DESCRIPTION", ".PP").replace(".SH OPTIONS\n", "");
    let text = text.lines().filter(|line| !line.starts_with(".ie ") && !line.starts_with(".el "));
    let text: String = text.flat_map(|line| [line, "\n"]).collect();
    let name = subcommand.get_bin_name().unwrap_or_default().to_uppercase();
    // mandoc finds a break before an empty line needless.
    text.replace(".br\n\n.br\n", ".br\n").replace(".SH SYNOPSIS", &format!(".SH \"{name}\""))
}

/// Returns the directory that `MANUAL` names, relative to the repository.
fn place() -> Option<PathBuf> {
    Some(Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(env::var_os("MANUAL")?))
}

#[test]
fn manual_and_completions_are_made() {
    let page = page();
    for part in ["dump", "\\-\\-password\\-file", "MCRS LOAD", "MCRS PROXY CHECK", "MCRS TOP", "Exit status"]
    {
        assert!(page.contains(part), "{part}: {page}");
    }
    let Some(place) = place() else { return };
    let write = |name: &str, text: &[u8]| {
        let file = place.join(name);
        let written = file.parent().map(fs::create_dir_all).and_then(|_| fs::write(&file, text).ok());
        assert!(written.is_some(), "{}", file.display());
    };
    write("man/mcrs.1", page.as_bytes());
    for (shell, name) in
        [(Shell::Bash, "bash/mcrs"), (Shell::Zsh, "zsh/_mcrs"), (Shell::Fish, "fish/mcrs.fish")]
    {
        let mut text = Vec::new();
        clap_complete::generate(shell, &mut Arguments::command(), "mcrs", &mut text);
        write(&format!("completions/{name}"), &text);
    }
}
