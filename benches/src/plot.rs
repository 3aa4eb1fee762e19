//! Pictures of measurements: lines on axes of which both are logarithmic, as SVG.

use std::fmt::Write;

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 460.0;
/// Space left of, above, right of and below the axes.
const MARGINS: [f64; 4] = [80.0, 56.0, 170.0, 60.0];
/// One for each line, in this order; they differ in lightness too.
const COLOURS: [&str; 4] = ["#0b4f8a", "#c2410c", "#15803d", "#6b21a8"];

/// A line: its name, and its points, each a pair of positive numbers.
pub struct Line<'a> {
    /// Stands at its end.
    pub name: &'a str,
    /// In ascending order of the first number.
    pub points: &'a [(f64, f64)],
}

/// What a picture shows.
pub struct Plot<'a> {
    /// Stands above it.
    pub title: &'a str,
    /// What the first number of a point is.
    pub x_name: &'a str,
    /// What the second one is, a time in nanoseconds.
    pub y_name: &'a str,
    /// Numbers marked on the axis of the first one.
    pub x_marks: &'a [f64],
    /// At most four.
    pub lines: &'a [Line<'a>],
}

/// A scale from the logarithm of a number to a place on the picture.
struct Scale {
    low: f64,
    high: f64,
    from: f64,
    to: f64,
}

impl Scale {
    fn place(&self, value: f64) -> f64 {
        self.from + (value.log10() - self.low) / (self.high - self.low) * (self.to - self.from)
    }
}

impl Plot<'_> {
    /// The picture.
    ///
    /// # Panics
    /// Without a point.
    #[must_use]
    pub fn svg(&self) -> String {
        let values = || self.lines.iter().flat_map(|line| line.points.iter().map(|(_, y)| y.log10()));
        let low = values().fold(f64::INFINITY, f64::min).floor();
        let high = values().fold(f64::NEG_INFINITY, f64::max).ceil().max(low + 1.0);
        let marks = self.x_marks.iter().map(|x| x.log10());
        let (first, last) =
            marks.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), x| (low.min(x), high.max(x)));
        assert!(low.is_finite() && first.is_finite(), "a picture has points");
        let [left, top, right, bottom] = MARGINS;
        let x = Scale { low: first, high: last, from: left, to: WIDTH - right };
        let y = Scale { low, high, from: HEIGHT - bottom, to: top };
        let mut svg = String::new();
        self.write(&mut svg, &x, &y).expect("writing to a string does not fail");
        svg
    }

    fn write(&self, svg: &mut String, x: &Scale, y: &Scale) -> std::fmt::Result {
        writeln!(
            svg,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
             font-family=\"sans-serif\" font-size=\"13\">"
        )?;
        writeln!(svg, "<rect width=\"100%\" height=\"100%\" fill=\"white\"/>")?;
        text(svg, (x.from, 30.0), "start", "font-size=\"16\"", self.title)?;
        self.axes(svg, x, y)?;
        for (line, colour) in self.lines.iter().zip(COLOURS) {
            draw(svg, line, colour, x, y)?;
        }
        writeln!(svg, "</svg>")
    }

    fn axes(&self, svg: &mut String, x: &Scale, y: &Scale) -> std::fmt::Result {
        for decade in y.low as i32..=y.high as i32 {
            let at = y.place(10_f64.powi(decade));
            rule(svg, (x.from, at), (x.to, at))?;
            text(svg, (x.from - 8.0, at + 4.0), "end", "", &duration(decade))?;
        }
        for mark in self.x_marks {
            let at = x.place(*mark);
            rule(svg, (at, y.from), (at, y.to))?;
            text(svg, (at, y.from + 18.0), "middle", "", &format!("{mark}"))?;
        }
        text(svg, ((x.from + x.to) / 2.0, y.from + 42.0), "middle", "", self.x_name)?;
        let (at, middle) = (22.0, (y.from + y.to) / 2.0);
        let turned = format!("transform=\"rotate(-90 {at} {middle})\"");
        text(svg, (at, middle), "middle", &turned, self.y_name)
    }
}

fn draw(svg: &mut String, line: &Line<'_>, colour: &str, x: &Scale, y: &Scale) -> std::fmt::Result {
    let places: Vec<_> = line.points.iter().map(|(a, b)| (x.place(*a), y.place(*b))).collect();
    let path: Vec<_> = places.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
    writeln!(
        svg,
        "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>",
        path.join(" ")
    )?;
    for (x, y) in &places {
        writeln!(svg, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3.5\" fill=\"{colour}\"/>")?;
    }
    let Some((x, y)) = places.last() else { return Ok(()) };
    text(svg, (x + 10.0, y + 4.0), "start", &format!("fill=\"{colour}\""), line.name)
}

fn rule(svg: &mut String, from: (f64, f64), to: (f64, f64)) -> std::fmt::Result {
    let ((x1, y1), (x2, y2)) = (from, to);
    writeln!(svg, "<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" stroke=\"#d4d4d4\"/>")
}

fn text(svg: &mut String, (x, y): (f64, f64), anchor: &str, more: &str, text: &str) -> std::fmt::Result {
    let text = text.replace('&', "&amp;").replace('<', "&lt;");
    writeln!(svg, "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" {more}>{text}</text>")
}

/// `10^decade` nanoseconds.
fn duration(decade: i32) -> String {
    let unit = ["ns", "µs", "ms", "s"][(decade.max(0) as usize / 3).min(3)];
    let below = if decade < 0 { 0 } else { (decade / 3).min(3) * 3 };
    format!("{} {unit}", 10_f64.powi(decade - below))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_stand_where_their_logarithms_say() {
        let points = [(10.0, 100.0), (1000.0, 10_000.0)];
        let lines = [Line { name: "a < b", points: &points }];
        let plot =
            Plot { title: "t", x_name: "x", y_name: "y", x_marks: &[10.0, 100.0, 1000.0], lines: &lines };
        let svg = plot.svg();
        assert!(svg.contains("points=\"80.0,400.0 590.0,56.0\""), "{svg}");
        assert!(svg.contains(">100 ns<") && svg.contains(">10 µs<") && svg.contains("a &lt; b"), "{svg}");
        // The mark in the middle.
        assert!(svg.contains("x1=\"335.0\""), "{svg}");
    }
}
