//! From lanes and pieces to a page.

use std::ops::Range;

use base::AddrRange;

use super::canvas::{self, Canvas, Rect, fitted};
use super::columns::Columns;
use super::lanes::{BOX, CAPTION, GAP, height, lanes, part};
use super::place::{Fill, Placed};
use super::winners::Winners;
use super::{Mark, Sheet, State};
use crate::inspect::{Answer, RangeInfo, Side};

/// Room for the lanes' names at the left.
const LEFT: f64 = 84.0;
/// Least width of the page, for the legend.
const MIN_PAGE: f64 = 860.0;
/// Between bands.
const BAND_GAP: f64 = 34.0;
/// Height of the flat view.
const FLAT: f64 = 36.0;
/// Height of the line that says before or after.
const HEADING: f64 = 16.0;
/// Height of the strip of changes, and of one row of marks.
const STRIP: f64 = 15.0;
/// Most rows of marks in a band.
const MARK_ROWS: usize = 8;

/// A page being drawn.
struct Page<'s> {
    sheet: &'s Sheet<'s>,
    columns: &'s Columns,
    canvas: Canvas,
    /// What is seen of the map being drawn.
    winners: Winners,
    /// The band being drawn, and where its pieces begin and the last one ends.
    band: Range<usize>,
    edges: Vec<f64>,
    y: f64,
}

/// The picture.
pub fn sheet(sheet: &Sheet<'_>, columns: &Columns) -> String {
    let (canvas, edges) = (Canvas::new(), Vec::new());
    let winners = Winners::default();
    let mut page = Page { sheet, columns, canvas, winners, band: 0..0, edges, y: 30.0 };
    page.canvas.text(12.0, page.y - 6.0, "title", sheet.title);
    page.legend();
    for band in &columns.bands {
        page.band(band.clone());
    }
    let width = columns.bands.iter().map(|band| columns.width(band)).fold(MIN_PAGE, f64::max);
    let height = page.y;
    page.canvas.finish(LEFT + width + 24.0, height)
}

/// An address as the axis writes it.
pub fn address(address: u64) -> String {
    format!("{address:x}")
}

/// What a flat range is called, and what is said below.
pub fn range_texts(info: &RangeInfo) -> (String, String) {
    let Some(side) = info.shown() else { return (String::new(), String::new()) };
    if info.is_whole() {
        let at = if side.offset == 0 { String::new() } else { format!(" @{:x}", side.offset) };
        return (side.name.clone(), format!("{}{at}", info.tag));
    }
    let half = |word: &str, side: &Option<Side>| match side {
        Some(side) => format!("{word} {} @{:x}", side.name, side.offset),
        None => format!("{word} nobody"),
    };
    (half("reads", &info.read), half("writes", &info.write))
}

/// A number of bytes for people.
fn bytes(len: u128) -> String {
    let units = [(60, "E"), (50, "P"), (40, "T"), (30, "G"), (20, "M"), (10, "K"), (0, "")];
    let (shift, unit) = units.into_iter().find(|(shift, _)| len >> shift != 0).unwrap_or((0, ""));
    let whole = len >> shift << shift == len;
    if whole {
        format!("{}{unit}", len >> shift)
    } else {
        format!("{:.1}{unit}", len as f64 / 2f64.powi(shift))
    }
}

/// Colour of a flat range: what answers it.
fn colour(info: &RangeInfo, side: &Side) -> &'static str {
    let is_reader = info.read.as_ref() == Some(side);
    match side.answer {
        Answer::Memory if !is_reader => Fill::Ram.colour(),
        Answer::Memory if info.tag.ends_with("romd") => Fill::RomDevice.colour(),
        Answer::Memory if info.tag.ends_with("rom") => Fill::Rom.colour(),
        Answer::Memory => Fill::Ram.colour(),
        Answer::Callback => Fill::Mmio.colour(),
        Answer::Translation => Fill::Iommu.colour(),
        Answer::Dropped => Fill::Rom.colour(),
        Answer::Refused => Fill::Reservation.colour(),
    }
}

impl Page<'_> {
    fn legend(&mut self) {
        let mut x = 12.0;
        let mut entry = |canvas: &mut Canvas, y: f64, attributes: &str, text: &str| {
            canvas.rect(Rect { x, y, width: 18.0, height: 11.0 }, attributes);
            canvas.text(x + 23.0, y + 9.0, "small", text);
            x += 40.0 + canvas::small_width(text);
        };
        let y = self.y + 4.0;
        for (fill, name) in Fill::NAMED {
            entry(&mut self.canvas, y, &format!("fill=\"{}\" stroke=\"#666\"", fill.colour()), name);
        }
        let hidden = "fill=\"#fff\" stroke=\"#999\" stroke-dasharray=\"3 2\"";
        entry(&mut self.canvas, y, hidden, "hidden by a lane above");
        entry(&mut self.canvas, y, "fill=\"url(#hole)\" stroke=\"#bbb\"", "nobody answers");
        if self.sheet.states.len() > 1 {
            entry(&mut self.canvas, y, "fill=\"#c8323c\"", "changed");
        }
        if !self.sheet.marks.is_empty() {
            entry(&mut self.canvas, y, "fill=\"#6f4fb3\"", "translations invalidated");
        }
        if self.sheet.states.iter().any(|state| state.cut) {
            self.canvas.text(x, y + 9.0, "small", "the tree is too large: part of it is left out");
        }
        self.y += 30.0;
    }

    fn band(&mut self, band: Range<usize>) {
        self.band = band;
        self.edges = vec![LEFT];
        for column in &self.columns.columns[self.band.clone()] {
            self.edges.push(self.edges[self.edges.len() - 1] + column.width);
        }
        self.guides();
        let sheet = self.sheet;
        for (number, state) in sheet.states.iter().enumerate() {
            self.state(state);
            if number + 1 < sheet.states.len() {
                self.changes();
            }
        }
        self.marks();
        self.axis();
        self.y += BAND_GAP;
    }

    /// Faint lines from the top of the band to its axis.
    fn guides(&mut self) {
        let heights = self.sheet.states.iter().map(|state| self.state_height(state)).sum::<f64>();
        let strips = if self.sheet.states.len() > 1 { STRIP + 2.0 * GAP } else { 0.0 };
        let marks = self.mark_rows().len() as f64 * (STRIP + 1.0);
        for x in self.edges.clone() {
            self.canvas.line(x, self.y, self.y + heights + strips + marks + 2.0, "#e8e8e8");
        }
    }

    fn state_height(&self, state: &State<'_>) -> f64 {
        let tree = state.tree.as_ref().map_or(0.0, |tree| self.tree_height(tree));
        let heading = if state.caption.is_empty() { 0.0 } else { HEADING };
        heading + tree + FLAT + 2.0 * GAP
    }

    fn tree_height(&self, tree: &Placed) -> f64 {
        let inside = lanes(&tree.children, self.columns, &self.band);
        let inside: f64 = inside.iter().map(|lane| lane.height + GAP).sum();
        let own = if tree.leaf.is_some() { BOX + GAP } else { 0.0 };
        inside + own
    }

    /// The lanes of a map and its flat view. The root is no box: its children are the lanes.
    fn state(&mut self, state: &State<'_>) {
        self.y += GAP;
        if !state.caption.is_empty() {
            self.canvas.text(12.0, self.y + 11.0, "strong", state.caption);
            self.y += HEADING;
        }
        if let Some(tree) = &state.tree {
            self.winners = Winners::of(tree, self.columns, state.view);
            self.lanes(tree, true);
        }
        self.canvas.text(12.0, self.y + FLAT / 2.0 + 4.0, "", "flat view");
        self.flat(state);
        self.y += FLAT + GAP;
    }

    /// Draws the lanes of what is below a region, then the region itself where it answers.
    fn lanes(&mut self, parent: &Placed, named: bool) {
        for lane in lanes(&parent.children, self.columns, &self.band) {
            if named {
                self.canvas.text(12.0, self.y + 19.0, "lane", &format!("prio {}", lane.priority));
            }
            for placed in lane.boxes {
                self.placed(placed, lane.height);
            }
            self.y += lane.height + GAP;
        }
        if parent.leaf.is_some() {
            if named {
                self.canvas.text(12.0, self.y + 19.0, "lane", "root");
            }
            self.leaf(parent);
            self.y += BOX + GAP;
        }
    }

    /// Draws a region in a lane of this height.
    fn placed(&mut self, placed: &Placed, lane: f64) {
        if lanes(&placed.children, self.columns, &self.band).is_empty() {
            return if placed.leaf.is_some() { self.leaf(placed) } else { self.frame(placed, BOX) };
        }
        let y = self.y;
        let own = height(placed, self.columns, &self.band).min(lane);
        self.frame(placed, own);
        self.y += CAPTION;
        self.lanes(placed, false);
        self.y = y;
    }

    fn frame(&mut self, placed: &Placed, height: f64) {
        let rect = self.rect(part(placed, self.columns, &self.band), height);
        self.canvas.begin(&tip(placed));
        self.canvas.rect(rect, "fill=\"#fafafa\" fill-opacity=\"0.7\" stroke=\"#888\" rx=\"3\"");
        let text = fitted(&placed.frame_text(), canvas::small_width, rect.width - 8.0);
        self.canvas.text(rect.x + 5.0, rect.y + 11.0, "small", &text);
        self.canvas.end();
    }

    /// Draws what answers: whole where it is seen, faint where something above hides it.
    fn leaf(&mut self, placed: &Placed) {
        let span = part(placed, self.columns, &self.band);
        let need = canvas::width(&placed.caption).max(canvas::small_width(&placed.detail)) + 8.0;
        self.canvas.begin(&tip(placed));
        let mut start = span.start;
        // Where its name goes: to the first part that is seen and wide enough, else to its beginning.
        let mut label = None;
        while start < span.end {
            let seen = self.winners.shows(placed, start);
            let end =
                (start..span.end).find(|at| self.winners.shows(placed, *at) != seen).unwrap_or(span.end);
            let rect = self.rect(start..end, BOX);
            let (colour, rest) = if seen {
                (placed.fill.colour(), "stroke=\"#666\"")
            } else {
                ("#fff", "stroke=\"#999\" stroke-dasharray=\"3 2\"")
            };
            self.canvas.rect(rect, &format!("fill=\"{colour}\" {rest}"));
            if seen && label.is_none_or(|label: Rect| label.width < need) {
                label = Some(rect);
            }
            start = end;
        }
        let rect = self.rect(span, BOX);
        let label_at = label.filter(|label| label.width >= need).map_or(rect.x, |label| label.x);
        let room = Rect { x: label_at, width: rect.x + rect.width - label_at, ..rect };
        self.two_lines(room, (&placed.caption, &placed.detail), label.is_some());
        self.canvas.end();
    }

    fn flat(&mut self, state: &State<'_>) {
        for column in self.band.clone() {
            let column = &self.columns.columns[column];
            let hole = state.view.lookup(column.range.first()).is_none();
            if hole || column.skipped != 0 {
                let rect = self.rect(self.columns.span(column.range), FLAT);
                self.canvas.rect(rect, "fill=\"url(#hole)\" stroke=\"#ccc\"");
                if column.skipped != 0 {
                    let text = format!("… {} unchanged", column.skipped);
                    self.canvas.text(rect.x + 5.0, rect.y + 21.0, "small", &text);
                }
            }
        }
        for range in state.view.ranges() {
            let span = self.columns.span(range.range);
            let span = span.start.max(self.band.start)..span.end.min(self.band.end);
            if !span.is_empty() {
                self.flat_range(&range.info(), span);
            }
        }
    }

    fn flat_range(&mut self, info: &RangeInfo, span: Range<usize>) {
        let rect = self.rect(span, FLAT);
        let (name, detail) = range_texts(info);
        self.canvas.begin(&format!("{} {name} {detail}", info.range));
        let halves = [(&info.read, 0.0), (&info.write, FLAT / 2.0)];
        for (side, down) in halves {
            let fill = side.as_ref().map_or("url(#hole)", |side| colour(info, side));
            let half = Rect { y: rect.y + down, height: FLAT / 2.0, ..rect };
            self.canvas.rect(half, &format!("fill=\"{fill}\""));
        }
        self.canvas.rect(rect, "fill=\"none\" stroke=\"#333\"");
        self.two_lines(Rect { y: rect.y + 2.0, ..rect }, (&name, &detail), true);
        self.canvas.end();
    }

    /// The strip of changed ranges.
    fn changes(&mut self) {
        self.canvas.text(12.0, self.y + 11.0, "", "changed");
        for change in &self.sheet.changes {
            let span = self.columns.span(change.range);
            let span = span.start.max(self.band.start)..span.end.min(self.band.end);
            if span.is_empty() {
                continue;
            }
            let rect = self.rect(span, STRIP);
            self.canvas.begin(&change.range.to_string());
            self.canvas.rect(rect, "fill=\"#c8323c\" stroke=\"#fff\"");
            let text = fitted(&bytes(change.range.len()), canvas::small_width, rect.width - 8.0);
            self.canvas.text(rect.x + 5.0, rect.y + 11.0, "white", &text);
            self.canvas.end();
        }
        self.y += STRIP + GAP;
    }

    /// The marks of this band in rows, none overlapping another of its row, with their left and right ends.
    fn mark_rows(&self) -> Vec<Vec<(f64, f64, &Mark)>> {
        let mut rows: Vec<Vec<(f64, f64, &Mark)>> = Vec::new();
        for mark in self.sheet.marks {
            let Some((from, to)) = self.extent(mark.range) else { continue };
            let free =
                |row: &Vec<(f64, f64, &Mark)>| row.iter().all(|(start, end, _)| to < *start || from > *end);
            match rows.iter_mut().position(|row| free(row)) {
                Some(row) => rows[row].push((from, to, mark)),
                None if rows.len() < MARK_ROWS => rows.push(vec![(from, to, mark)]),
                // Too many to tell apart: they lie on one another in the last row.
                None => rows[MARK_ROWS - 1].push((from, to, mark)),
            }
        }
        rows
    }

    /// Where a range lies in this band, to scale inside of each piece.
    fn extent(&self, range: AddrRange) -> Option<(f64, f64)> {
        let columns = &self.columns.columns[self.band.clone()];
        let ends = (columns.first()?.range.first(), columns.last()?.range.last());
        let range = AddrRange::new(range.first().max(ends.0), range.last().min(ends.1))?;
        let x = |addr: u64, round_up: bool| {
            let at = columns.partition_point(|column| column.range.last() < addr);
            let inside = (addr - columns[at].range.first()) as f64 + f64::from(u8::from(round_up));
            self.edges[at] + columns[at].width * inside / columns[at].range.len() as f64
        };
        let (from, to) = (x(range.first(), false), x(range.last(), true));
        Some((from, to.max(from + 3.0)))
    }

    fn marks(&mut self) {
        let rows = self.mark_rows().into_iter();
        let rows: Vec<Vec<(f64, f64, Mark)>> = rows
            .map(|row| row.into_iter().map(|(from, to, mark)| (from, to, mark.clone())).collect())
            .collect();
        if !rows.is_empty() {
            self.canvas.text(12.0, self.y + 11.0, "lane", "translations");
        }
        for row in rows {
            for (from, to, mark) in row {
                let rect = Rect { x: from, y: self.y, width: to - from, height: STRIP - 1.0 };
                self.canvas.begin(&format!("{} {}", mark.range, mark.label));
                self.canvas.rect(rect, "fill=\"#6f4fb3\" stroke=\"#fff\"");
                let text = fitted(&mark.label, canvas::small_width, rect.width - 6.0);
                self.canvas.text(from + 4.0, self.y + 10.0, "white", &text);
                self.canvas.end();
            }
            self.y += STRIP + 1.0;
        }
    }

    /// First address and length of each piece.
    fn axis(&mut self) {
        for (at, column) in self.band.clone().enumerate() {
            let (x, column) = (self.edges[at], &self.columns.columns[column]);
            self.canvas.line(x, self.y, self.y + 5.0, "#333");
            self.canvas.text(x + 2.0, self.y + 15.0, "", &address(column.range.first()));
            let len = match column.range.last() {
                u64::MAX => "to 2^64".to_owned(),
                _ => bytes(column.range.len()),
            };
            self.canvas.text(x + 2.0, self.y + 27.0, "small faint", &len);
        }
        let end = self.edges[self.edges.len() - 1];
        self.canvas.line(end, self.y, self.y + 5.0, "#333");
        self.y += 30.0;
    }

    /// The rectangle over some pieces of the band.
    fn rect(&self, span: Range<usize>, height: f64) -> Rect {
        let (from, to) = (self.edges[span.start - self.band.start], self.edges[span.end - self.band.start]);
        Rect { x: from, y: self.y, width: to - from, height }
    }

    fn two_lines(&mut self, rect: Rect, (name, detail): (&str, &str), strong: bool) {
        let room = rect.width - 8.0;
        let name = fitted(name, canvas::width, room);
        self.canvas.text(rect.x + 5.0, rect.y + 13.0, if strong { "" } else { "faint" }, &name);
        let detail = fitted(detail, canvas::small_width, room);
        self.canvas.text(rect.x + 5.0, rect.y + 26.0, if strong { "small" } else { "small faint" }, &detail);
    }
}

/// What is shown when a region is pointed at.
fn tip(placed: &Placed) -> String {
    format!("{} {} ({})", placed.range, placed.caption, placed.detail)
}
