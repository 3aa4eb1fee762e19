//! SVG elements.

use std::fmt::Write;

/// Width of a letter of the monospaced font.
const LETTER: f64 = 6.65;
/// Width of a small letter.
const SMALL_LETTER: f64 = 5.45;

/// Width of a text.
pub fn width(text: &str) -> f64 {
    text.chars().count() as f64 * LETTER
}

/// Width of a small text.
pub fn small_width(text: &str) -> f64 {
    text.chars().count() as f64 * SMALL_LETTER
}

/// A rectangle, by its upper left corner.
#[derive(Clone, Copy, Debug)]
pub struct Rect {
    pub x: f64,
    pub y: f64,
    pub width: f64,
    pub height: f64,
}

/// An SVG file in the making.
pub struct Canvas {
    body: String,
}

impl Canvas {
    pub fn new() -> Self {
        Self { body: String::new() }
    }

    /// The file: what was drawn, on a page of this size.
    pub fn finish(self, width: f64, height: f64) -> String {
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.0}\" height=\"{height:.0}\" \
             viewBox=\"0 0 {width:.0} {height:.0}\">\n<style>\n\
             text {{ font: 11px 'DejaVu Sans Mono', Menlo, Consolas, monospace; fill: #222; }}\n\
             .small {{ font-size: 9px; fill: #555; }}\n\
             .faint {{ fill: #999; }}\n\
             .strong {{ font-weight: bold; }}\n\
             .title {{ font-size: 15px; font-weight: bold; }}\n\
             .lane {{ font-size: 10px; fill: #777; }}\n\
             .white {{ font-size: 9px; fill: #fff; }}\n</style>\n<defs>\n\
             <pattern id=\"hole\" width=\"6\" height=\"6\" patternUnits=\"userSpaceOnUse\" \
             patternTransform=\"rotate(45)\"><rect width=\"6\" height=\"6\" fill=\"#fff\"/>\
             <rect width=\"1\" height=\"6\" fill=\"#ddd\"/></pattern>\n</defs>\n\
             <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n{}</svg>\n",
            self.body
        )
    }

    /// A rectangle with further attributes.
    pub fn rect(&mut self, rect: Rect, attributes: &str) {
        let Rect { x, y, width, height } = rect;
        let _written = writeln!(
            self.body,
            "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" {attributes}/>"
        );
    }

    /// An upright line.
    pub fn line(&mut self, x: f64, from: f64, to: f64, colour: &str) {
        let _written = writeln!(
            self.body,
            "<path d=\"M{x:.1} {from:.1}V{to:.1}\" stroke=\"{colour}\" stroke-width=\"1\"/>"
        );
    }

    /// A text that begins at `x`, of a class of the style sheet.
    pub fn text(&mut self, x: f64, y: f64, class: &str, text: &str) {
        let _written =
            writeln!(self.body, "<text x=\"{x:.1}\" y=\"{y:.1}\" class=\"{class}\">{}</text>", escaped(text));
    }

    /// Begins a group that shows `text` when it is pointed at.
    pub fn begin(&mut self, text: &str) {
        let _written = writeln!(self.body, "<g><title>{}</title>", escaped(text));
    }

    /// Ends a group.
    pub fn end(&mut self) {
        self.body.push_str("</g>\n");
    }
}

/// As much of a text as fits, with a sign that something is missing.
pub fn fitted(text: &str, letter: fn(&str) -> f64, room: f64) -> String {
    if letter(text) <= room {
        return text.to_owned();
    }
    let number = (room / letter("m")).floor() as usize;
    if number < 2 {
        return String::new();
    }
    text.chars().take(number - 1).chain(['…']).collect()
}

/// A text in which nothing is markup.
fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            letter if letter.is_control() => escaped.push(' '),
            letter => escaped.push(letter),
        }
    }
    escaped
}
