//! Standard output of the commands.

use std::io::Write;

/// Prints text. What nobody takes any more, as in `marq mtree | head -1`, is dropped.
pub fn print(text: &str) {
    let mut out = std::io::stdout().lock();
    let _written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Prints text and ends the line.
pub fn line(text: &str) {
    print(&format!("{text}\n"));
}
