//! The terminal: its modes, what the user presses, and signals. It draws nothing itself.

use std::io;
use std::sync::mpsc::SyncSender;
use std::thread;

use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use signal_hook::low_level::emulate_default_handler;

use super::model::{Key, Page};

/// `EX_SOFTWARE`: this program has a fault.
const SOFTWARE: i32 = 70;

/// A terminal that shows one screen. Dropping it gives the terminal back as it was.
#[derive(Debug)]
pub struct Screen {
    /// Draws.
    pub terminal: DefaultTerminal,
}

impl Screen {
    /// Takes the terminal. A panic of any thread gives it back, and ends the program.
    ///
    /// # Errors
    /// The terminal does not allow it.
    pub fn open() -> io::Result<Self> {
        let terminal = ratatui::try_init()?;
        // The hook of ratatui restores the terminal, and then prints the panic.
        let restore = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            restore(panic);
            std::process::exit(SOFTWARE);
        }));
        Ok(Self { terminal })
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        ratatui::restore();
    }
}

/// A wish of the user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// Change what is shown.
    Key(Key),
    /// Show a page.
    Page(Page),
    /// Draw again, in another size.
    Draw,
    /// End the program.
    Quit,
    /// End the program, because of this signal.
    Signal(i32),
}

/// Starts threads that pass on what the user presses, and signals.
///
/// # Errors
/// The system starts no thread, or does not allow to handle a signal.
pub fn listen<E: Send + 'static>(
    send: &SyncSender<E>,
    event: impl Fn(Input) -> E + Send + Copy + 'static,
) -> io::Result<()> {
    let mut signals = Signals::new([SIGHUP, SIGINT, SIGTERM])?;
    let to = send.clone();
    thread::Builder::new().name("mcrs-signal".into()).spawn(move || {
        for signal in signals.forever() {
            if to.send(event(Input::Signal(signal))).is_err() {
                return;
            }
        }
    })?;
    let to = send.clone();
    let body = move || {
        loop {
            let input = match event::read() {
                Ok(Event::Key(key)) => pressed(key),
                Ok(Event::Resize(..)) => Some(Input::Draw),
                Ok(_) => None,
                // The terminal is gone.
                Err(_) => Some(Input::Quit),
            };
            let quits = input == Some(Input::Quit);
            if input.is_some_and(|input| to.send(event(input)).is_err()) || quits {
                return;
            }
        }
    };
    thread::Builder::new().name("mcrs-input".into()).spawn(body)?;
    Ok(())
}

/// Ends the program as the signal would have done.
pub fn end_by(signal: i32) {
    // It fails for signals that do not exist.
    let _ = emulate_default_handler(signal);
}

fn pressed(key: KeyEvent) -> Option<Input> {
    if key.kind == KeyEventKind::Release {
        return None;
    }
    Some(match key.code {
        KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => Input::Quit,
        KeyCode::Char('q') | KeyCode::Esc => Input::Quit,
        KeyCode::Char('p' | ' ') => Input::Key(Key::Pause),
        KeyCode::Char('?' | 'h') => Input::Key(Key::Help),
        KeyCode::Char('r') => Input::Key(Key::Reverse),
        KeyCode::Char('s') | KeyCode::Right => Input::Key(Key::NextSort),
        KeyCode::Char('S') | KeyCode::Left => Input::Key(Key::PreviousSort),
        KeyCode::Char('j') | KeyCode::Down => Input::Key(Key::Scroll(1)),
        KeyCode::Char('k') | KeyCode::Up => Input::Key(Key::Scroll(-1)),
        KeyCode::PageDown => Input::Key(Key::Scroll(10)),
        KeyCode::PageUp => Input::Key(Key::Scroll(-10)),
        KeyCode::Tab => Input::Key(Key::NextPage),
        KeyCode::BackTab => Input::Key(Key::PreviousPage),
        KeyCode::Char(digit @ '1'..='9') => Input::Page(*Page::ALL.get(digit as usize - '1' as usize)?),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn keys_have_a_meaning() {
        let press = |code| pressed(KeyEvent::new(code, KeyModifiers::NONE));
        assert_eq!(press(KeyCode::Char('2')), Some(Input::Page(Page::HotKeys)));
        assert_eq!(
            (press(KeyCode::Char('9')), press(KeyCode::Char('c')), press(KeyCode::F(1))),
            (None, None, None)
        );
        let control = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
        assert_eq!((pressed(control), press(KeyCode::Esc)), (Some(Input::Quit), Some(Input::Quit)));
    }

    /// Set in the process that is to panic.
    const PANIC: &str = "MCRS_TEST_PANIC";

    #[test]
    fn a_panic_gives_the_terminal_back() {
        if std::env::var_os(PANIC).is_some() {
            let screen = Screen::open();
            assert!(screen.is_err(), "the screen is open");
        }
        // `script` runs this test again, in a terminal.
        let Ok(program) = std::env::current_exe() else { panic!("a test has a program") };
        let name = "top::screen::tests::a_panic_gives_the_terminal_back";
        let line = format!(
            "stty sane; {PANIC}=1 {} --exact {name} --nocapture; echo status $?; stty -a",
            program.display()
        );
        let output = Command::new("script").args(["-qec", &line, "/dev/null"]).output();
        let Ok(output) = output else { panic!("script of util-linux does not run: {output:?}") };
        let text = String::from_utf8_lossy(&output.stdout);
        let parts = ["\x1b[?1049h", "\x1b[?1049l", "the screen is open", "status 70", " icanon", " echo "];
        let mut rest = &text[..];
        for part in parts {
            let Some(at) = rest.find(part) else { panic!("{part:?} is not in its place in {text:?}") };
            rest = &rest[at..];
        }
    }
}
