//! Progress bars. They are drawn on standard error, and only if it is a terminal.

use indicatif::{ProgressBar, ProgressStyle};

/// Returns a bar of `total` items, or one without a length if `total` is 0.
pub fn bar(total: u64) -> ProgressBar {
    let (bar, template) = match total {
        0 => (ProgressBar::new_spinner(), "{spinner} {human_pos} items, {elapsed}"),
        total => (
            ProgressBar::new(total),
            "[{bar:40}] {percent}% of about {human_len} items, {per_sec}, {eta} left",
        ),
    };
    // A wrong template would leave indicatif's own style.
    bar.with_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()))
}
