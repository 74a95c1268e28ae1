//! Draws the model on a screen. It reads the model, and changes only how far it is scrolled.

use ratatui::Frame;
use ratatui::layout::{Alignment, Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Cell, Clear, Paragraph, Row, Sparkline, Table};

use super::model::{Model, Page};
use super::sheet::{Sheet, count, duration, totals};
use crate::text::Side;

/// Most characters of the first column.
const NAME_MAX: usize = 40;

/// Most lines of the notes below a table.
const NOTES_MAX: usize = 4;

const HELP: [(&str, &str); 9] = [
    ("q, Esc, Ctrl-C", "quit"),
    ("p, space", "pause, or go on"),
    ("Tab, 1 to 4", "another page"),
    ("s, right", "sort by the next column"),
    ("S, left", "sort by the column before"),
    ("r", "reverse the order"),
    ("j, down; k, up", "scroll by a row"),
    ("PgDn, PgUp", "scroll by ten rows"),
    ("?, h", "this help"),
];

/// How things are set off. Colours are never the only sign.
#[derive(Clone, Copy, Debug)]
pub struct Theme {
    /// Whether colours are used: not with `NO_COLOR`.
    pub color: bool,
}

impl Theme {
    fn colored(self, color: Color) -> Style {
        if self.color { Style::new().fg(color) } else { Style::new() }
    }
}

/// Draws the whole screen.
pub fn draw(frame: &mut Frame, model: &mut Model, theme: Theme) {
    let area = frame.area();
    let sheet = Sheet::new(model);
    let notes = sheet.notes.len().min(NOTES_MAX) as u16;
    // A low screen has no graph.
    let graph = if area.height >= 12 { 2 } else { 0 };
    let heights = [1, 2, graph].map(Constraint::Length);
    let rest = [Constraint::Min(0), Constraint::Length(notes), Constraint::Length(1)];
    let [top, sums, history, table, below, bottom] =
        Layout::vertical(heights.into_iter().chain(rest)).areas(area);
    frame.render_widget(title(model, theme, top.width), top);
    let bold = Style::new().add_modifier(Modifier::BOLD);
    frame.render_widget(Paragraph::new(totals(model).map(Line::from).to_vec()).style(bold), sums);
    draw_history(frame, model, theme, history);
    draw_table(frame, model, &sheet, theme, table);
    let lines: Vec<_> = sheet.notes.iter().take(NOTES_MAX).map(|note| Line::from(&note[..])).collect();
    frame.render_widget(Paragraph::new(lines).style(theme.colored(Color::Yellow)), below);
    frame.render_widget(footer(&sheet), bottom);
    if model.help {
        draw_help(frame, area);
    }
}

/// Returns the first line: the pages, and at the right what is up and how often it is asked.
fn title<'a>(model: &Model, theme: Theme, width: u16) -> Line<'a> {
    let mut spans = vec![Span::styled("mcrs top ", theme.colored(Color::Cyan))];
    for page in Page::ALL {
        // Brackets and reversed colours both mark the page that is shown.
        spans.push(if page == model.page {
            Span::styled(format!("[{}]", page.title()), Style::new().add_modifier(Modifier::REVERSED))
        } else {
            Span::raw(format!(" {} ", page.title()))
        });
    }
    let (up, down) = (model.up(), model.servers.len() - model.up());
    let down = if down > 0 { format!(", {down} not") } else { String::new() };
    let pause = if model.paused { "PAUSED  " } else { "" };
    let end = format!("{pause}{up} up{down}, every {}", duration(model.interval));
    let used: usize = spans.iter().map(Span::width).sum();
    let space = usize::from(width).saturating_sub(used + end.chars().count());
    spans.push(Span::raw(" ".repeat(space.max(1))));
    spans.push(Span::raw(end));
    Line::from(spans)
}

fn draw_history(frame: &mut Frame, model: &Model, theme: Theme, area: Rect) {
    let peak = model.history.iter().copied().max().unwrap_or_default();
    let label = format!("operations/s, peak {} ", count(peak as f64));
    let [left, right] =
        Layout::horizontal([Constraint::Length(label.chars().count() as u16), Constraint::Min(0)])
            .areas(area);
    frame.render_widget(Paragraph::new(label), left);
    let shown = usize::from(right.width).min(model.history.len());
    let data: Vec<u64> = model.history.iter().skip(model.history.len() - shown).copied().collect();
    frame.render_widget(Sparkline::default().data(data).style(theme.colored(Color::Green)), right);
}

/// Draws the rows from the first one that is not scrolled away, and the columns that fit.
fn draw_table(frame: &mut Frame, model: &Model, sheet: &Sheet, theme: Theme, area: Rect) {
    let mark = if sheet.sort.reverse { "^" } else { "v" };
    let head = |column: usize| {
        let name = sheet.columns.get(column).map_or("", |(name, _)| *name);
        if column == sheet.sort.column { format!("{name}{mark}") } else { name.to_owned() }
    };
    let mut widths = Vec::new();
    let mut used = 0;
    for column in 0..sheet.columns.len() {
        let cells = sheet.rows.iter().filter_map(|row| row.get(column));
        let widest = cells.map(|cell| cell.text.chars().count()).max().unwrap_or_default();
        let width = widest.max(head(column).chars().count()).min(NAME_MAX);
        // The first column stays, also on a narrow screen.
        if used + width > usize::from(area.width) && column > 0 {
            break;
        }
        used += width + 1;
        widths.push(Constraint::Length(width as u16));
    }
    let side = |column: usize| match sheet.columns.get(column) {
        Some((_, Side::Right)) => Alignment::Right,
        _ => Alignment::Left,
    };
    let text = |column: usize, text: String| Cell::from(Line::from(text).alignment(side(column)));
    let heads = (0..widths.len()).map(|column| text(column, head(column)));
    let fault = theme.colored(Color::Red).add_modifier(Modifier::BOLD);
    let rows = sheet.rows.iter().skip(model.scroll).map(|row| {
        let cells = row.iter().take(widths.len()).enumerate();
        Row::new(cells.map(|(column, cell)| {
            let shown = text(column, cell.text.clone());
            if cell.fault { shown.style(fault) } else { shown }
        }))
    });
    let head = Row::new(heads).style(Style::new().add_modifier(Modifier::UNDERLINED));
    frame.render_widget(
        Table::new(rows.take(usize::from(area.height)), &widths).header(head).column_spacing(1),
        area,
    );
}

fn footer<'a>(sheet: &Sheet) -> Line<'a> {
    let column = sheet.columns.get(sheet.sort.column).map_or("", |(name, _)| *name);
    let style = Style::new().add_modifier(Modifier::DIM);
    Line::styled(format!("q quit  p pause  Tab page  s sort: {column}  r reverse  ? help"), style)
}

fn draw_help(frame: &mut Frame, area: Rect) {
    let lines: Vec<_> = HELP.iter().map(|(key, does)| Line::from(format!(" {key:<15} {does} "))).collect();
    let width = lines.iter().map(Line::width).max().unwrap_or_default() as u16 + 2;
    let height = lines.len() as u16 + 2;
    let (width, height) = (width.min(area.width), height.min(area.height));
    let place =
        Rect { x: area.x + (area.width - width) / 2, y: area.y + (area.height - height) / 2, width, height };
    frame.render_widget(Clear, place);
    frame.render_widget(Paragraph::new(lines).block(Block::bordered().title(" Keys ")), place);
}

#[cfg(test)]
mod tests {
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    use super::super::model::tests::{model, sample};
    use super::super::model::{Key, News};
    use super::*;

    /// Returns the lines of the screen.
    fn screen(model: &mut Model, width: u16, height: u16) -> Vec<String> {
        let Ok(mut terminal) = Terminal::new(TestBackend::new(width, height));
        let Ok(_) = terminal.draw(|frame| draw(frame, model, Theme { color: false }));
        let buffer = terminal.backend().buffer();
        let line = |row: u16| {
            let line: String = (0..width).map(|column| buffer[(column, row)].symbol()).collect();
            line.trim_end().to_owned()
        };
        (0..height).map(line).collect()
    }

    fn two() -> Model {
        let mut model = model(&["127.0.0.1:11211", "127.0.0.1:11212"]);
        for second in 1..5 {
            let stats = format!(
                "pid=1 uptime={second} version=1.6.45 cmd_get={} get_hits={} get_misses={} cmd_set={} evictions=0 \
                 curr_items=1234 bytes=33554432 limit_maxbytes=67108864 curr_connections=3",
                second * 1000,
                second * 900,
                second * 100,
                second * 10,
            );
            model.take(0, News::Sample(Box::new(sample(second, &stats))));
        }
        model.take(1, News::Down("failed to connect to 127.0.0.1:11212: Connection refused".into()));
        model
    }

    #[test]
    fn a_screen_of_80_by_24_shows_the_essential() {
        let lines = screen(&mut two(), 80, 24);
        assert_eq!(
            lines[0],
            "mcrs top [Servers] Hot keys  Latency  Slabs         1 up, 1 not, every 1.0s"
                .replace("         1 up", &format!("{}1 up", " ".repeat(14)))
        );
        assert_eq!(lines[1], "gets 1.00k/s  hits 90.0%  sets 10/s  deletes -  evictions 0/s");
        assert!(lines[2].starts_with("items 1.23k  memory 32.0M of 64.0M  connections 3"), "{}", lines[2]);
        assert!(lines[3].starts_with("operations/s, peak 1.01k"), "{}", lines[3]);
        let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(
            words(&lines[5]),
            [
                "SERVERv", "STATE", "GET/s", "HIT%", "SET/s", "EVICT/s", "ITEMS", "MEM%", "CONNS", "RTT",
                "DEL/s"
            ]
        );
        let row = ["127.0.0.1:11211", "up", "1.00k", "90.0", "10", "0", "1.23k", "50", "3", "80us", "-"];
        assert_eq!(words(&lines[6]), row);
        assert_eq!(words(&lines[7])[..3], ["127.0.0.1:11212", "DOWN", "-"]);
        assert_eq!(lines[22], "DOWN: failed to connect to 127.0.0.1:11212: Connection refused");
        assert!(lines[23].starts_with("q quit  p pause  Tab page  s sort: SERVER"), "{}", lines[23]);
    }

    #[test]
    fn wide_screens_show_more_columns() {
        let lines = screen(&mut two(), 160, 24);
        assert!(lines[5].ends_with("UPTIME VERSION") && lines[6].ends_with("4s 1.6.45"), "{lines:?}");
    }

    #[test]
    fn every_size_is_drawn() {
        let mut model = two();
        for page in Page::ALL {
            model.page = page;
            for help in [false, true] {
                model.help = help;
                for (width, height) in [(1, 1), (2, 30), (300, 1), (10, 3), (33, 7), (80, 19)] {
                    assert_eq!(screen(&mut model, width, height).len(), usize::from(height));
                }
            }
        }
    }

    #[test]
    fn pause_and_help_are_seen_without_colours() {
        let mut model = two();
        model.press(Key::Pause);
        model.press(Key::Help);
        let lines = screen(&mut model, 80, 24).join("\n");
        assert!(lines.contains("PAUSED  1 up") && lines.contains("reverse the order"), "{lines}");
        model.press(Key::NextPage);
        model.press(Key::Help);
        let lines = screen(&mut model, 80, 24).join("\n");
        assert!(lines.contains("[Hot keys]") && lines.contains("does not offer stats hotkeys"), "{lines}");
    }

    #[test]
    fn rows_scroll_up_to_the_last() {
        let mut model = model(&["a", "b", "c"]);
        model.press(Key::Scroll(1));
        assert!(screen(&mut model, 80, 24)[6].starts_with("b "));
        model.press(Key::Scroll(100));
        let lines = screen(&mut model, 80, 24);
        assert!(lines[6].starts_with("c ") && lines[7].is_empty());
    }
}
