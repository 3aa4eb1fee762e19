//! Why an address leads where it leads: the search of the memory document ("Visibility"), step by step.

use std::fmt::{self, Write};

use super::{MapDump, RangeInfo, RegionInfo, RegionKind, SpaceInfo};
use crate::{FlatRange, RegionId, Transparency};

/// Most steps of one explanation: aliases of aliases could multiply without bound.
const MAX_STEPS: usize = 1 << 16;

/// What the search did with one region.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It holds the address and its children are asked first.
    Entered,
    /// It holds the address, and neither it nor what is below it answers.
    Hole,
    /// An alias: the search goes on in its target, at this offset.
    Follows {
        /// Name of the target.
        target: String,
        /// Offset in the target.
        offset: u64,
    },
    /// It answers.
    Answers {
        /// Offset in the region.
        offset: u64,
        /// It answers reads.
        reads: bool,
        /// It answers writes.
        writes: bool,
    },
    /// It does not hold the address.
    Elsewhere,
    /// It is disabled, and with it all that is below it.
    Disabled,
    /// It lets the only direction through that is not yet answered.
    Transparent,
    /// A sibling that comes before it has answered.
    Behind {
        /// Name of the sibling.
        sibling: String,
        /// Priority of the sibling.
        priority: i32,
    },
    /// An alias whose target was removed.
    Removed,
}

/// One region that the search looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Number of regions above it on the way from the root.
    pub depth: usize,
    /// The region.
    pub region: RegionId,
    /// Its name.
    pub name: String,
    /// What a listing calls its kind.
    pub tag: &'static str,
    /// Its priority among its siblings.
    pub priority: i32,
    /// Address of its first byte on this way; negative where an alias shows a later part only.
    pub base: i128,
    /// Offset of its last byte.
    pub last: u64,
    /// It makes plain memory below it read-only.
    pub readonly: bool,
    /// What came of it.
    pub verdict: Verdict,
}

/// Why an address of a space leads where it leads.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// Name of the space.
    pub space: String,
    /// The address.
    pub addr: u64,
    /// The flat range in force there.
    pub range: Option<RangeInfo>,
    /// The regions in the order of the search.
    pub steps: Vec<Step>,
    /// The search was given up because it took too many steps.
    pub given_up: bool,
}

impl MapDump {
    /// Searches the tree of `space` for what answers at `addr`.
    #[must_use]
    pub fn explain(&self, space: &SpaceInfo, addr: u64) -> Explanation {
        let mut search = Search { dump: self, addr: i128::from(addr), steps: Vec::new(), given_up: false };
        search.visit(space.root, 0, 0, Need { reads: true, writes: true });
        Explanation {
            space: space.name.clone(),
            addr,
            range: space.view.lookup(addr).map(FlatRange::info),
            steps: search.steps,
            given_up: search.given_up,
        }
    }
}

/// The directions that nothing has answered yet.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Need {
    reads: bool,
    writes: bool,
}

impl Need {
    const fn is_met(self) -> bool {
        !self.reads && !self.writes
    }
}

struct Search<'d> {
    dump: &'d MapDump,
    addr: i128,
    steps: Vec<Step>,
    given_up: bool,
}

impl Search<'_> {
    /// Looks at a region whose offset 0 lies at `base`; what is needed after it.
    fn visit(&mut self, id: RegionId, base: i128, depth: usize, need: Need) -> Need {
        let Some(region) = self.dump.regions.get(&id) else { return need };
        if self.steps.len() >= MAX_STEPS {
            self.given_up = true;
            return need;
        }
        let inside = self.addr >= base && self.addr <= base + i128::from(region.last);
        let here = Need {
            reads: need.reads && region.transparent != Transparency::Reads,
            writes: need.writes && region.transparent != Transparency::Writes,
        };
        let step = self.steps.len();
        self.steps.push(Step {
            depth,
            region: id,
            name: region.name.clone(),
            tag: region.tag,
            priority: region.priority,
            base,
            last: region.last,
            readonly: region.readonly,
            verdict: Verdict::Entered,
        });
        let skipped = match (inside, region.enabled, here.is_met()) {
            (false, _, _) => Some(Verdict::Elsewhere),
            (true, false, _) => Some(Verdict::Disabled),
            (true, true, true) => Some(Verdict::Transparent),
            (true, true, false) => None,
        };
        if let Some(verdict) = skipped {
            self.steps[step].verdict = verdict;
            return need;
        }
        let rest = self.descend(region, step, base, here);
        Need {
            reads: need.reads && (rest.reads || !here.reads),
            writes: need.writes && (rest.writes || !here.writes),
        }
    }

    /// Asks what is below a region that holds the address, then the region itself.
    fn descend(&mut self, region: &RegionInfo, step: usize, base: i128, need: Need) -> Need {
        let depth = self.steps[step].depth;
        let offset = u64::try_from(self.addr - base).expect("the region holds the address");
        if let RegionKind::Alias { target, offset: window } = region.kind {
            let Some(shown) = self.dump.regions.get(&target) else {
                self.steps[step].verdict = Verdict::Removed;
                return need;
            };
            let offset = offset.wrapping_add(window);
            self.steps[step].verdict = Verdict::Follows { target: shown.name.clone(), offset };
            return self.visit(target, base - i128::from(window), depth + 1, need);
        }
        let rest = self.children(region, base, depth, need);
        let answers = region.kind != RegionKind::Container && !rest.is_met();
        if answers {
            let verdict = Verdict::Answers { offset, reads: rest.reads, writes: rest.writes };
            if region.children.is_empty() {
                self.steps[step].verdict = verdict;
            } else {
                let own = Step { verdict, ..self.steps[step].clone() };
                self.steps.push(own);
            }
            return Need { reads: false, writes: false };
        }
        if rest == need {
            self.steps[step].verdict = Verdict::Hole;
        }
        rest
    }

    fn children(&mut self, region: &RegionInfo, base: i128, depth: usize, mut need: Need) -> Need {
        let mut winner: Option<&RegionInfo> = None;
        for child in region.children.iter().filter_map(|child| self.dump.regions.get(child)) {
            let first = base + i128::from(child.at);
            let before = need;
            if let Some(winner) = winner.filter(|_| need.is_met()) {
                self.behind(child, first, depth + 1, winner);
            } else {
                need = self.visit(child.id, first, depth + 1, need);
            }
            if need != before {
                winner = Some(child);
            }
        }
        need
    }

    /// Notes a sibling that is not asked any more.
    fn behind(&mut self, child: &RegionInfo, base: i128, depth: usize, winner: &RegionInfo) {
        let inside = self.addr >= base && self.addr <= base + i128::from(child.last);
        let verdict = match (inside, child.enabled) {
            (false, _) => Verdict::Elsewhere,
            (true, false) => Verdict::Disabled,
            (true, true) => Verdict::Behind { sibling: winner.name.clone(), priority: winner.priority },
        };
        self.steps.push(Step {
            depth,
            region: child.id,
            name: child.name.clone(),
            tag: child.tag,
            priority: child.priority,
            base,
            last: child.last,
            readonly: child.readonly,
            verdict,
        });
    }
}

impl Explanation {
    /// The explanation for people, one line for each region looked at.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        self.write(&mut text).expect("writing to a string does not fail");
        text
    }

    fn write(&self, text: &mut String) -> fmt::Result {
        writeln!(text, "address {:016x} of space \"{}\"", self.addr, self.space)?;
        for step in &self.steps {
            writeln!(text, "{step}")?;
        }
        if self.given_up {
            writeln!(text, "  (given up after {MAX_STEPS} regions)")?;
        }
        let Some(info) = &self.range else {
            return writeln!(text, "nobody answers: reads and writes are unassigned");
        };
        for (word, side) in [("reads", &info.read), ("writes", &info.write)] {
            match side {
                Some(side) => {
                    let offset = side.offset.wrapping_add(self.addr - info.range.first());
                    writeln!(text, "{word}: {} @{offset:016x}, {}", side.name, side.answer.word())?;
                }
                None => writeln!(text, "{word}: nobody")?,
            }
        }
        writeln!(text, "flat range: {} {}", info.range, info.tag)
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let indent = 2 * self.depth + 2;
        write!(f, "{:indent$}{} (prio {}, {})", "", self.name, self.priority, self.tag)?;
        if self.readonly {
            write!(f, " [read-only]")?;
        }
        match &self.verdict {
            Verdict::Entered => write!(f, ": holds the address"),
            Verdict::Hole => {
                write!(f, ": holds the address, but nothing in it answers; on to what lies below")
            }
            Verdict::Follows { target, offset } => write!(f, ": alias, shows {target} @{offset:016x}"),
            Verdict::Answers { offset, reads, writes } => {
                let what = match (reads, writes) {
                    (true, false) => "reads",
                    (false, true) => "writes",
                    (true, true) | (false, false) => "reads and writes",
                };
                write!(f, ": answers {what} at offset {offset:016x}")
            }
            Verdict::Elsewhere => {
                let (sign, first) = if self.base < 0 { ("-", -self.base) } else { ("", self.base) };
                let last = self.base + i128::from(self.last);
                write!(f, ": skipped, lies at {sign}{first:x} to {last:x}")
            }
            Verdict::Disabled => write!(f, ": skipped, disabled"),
            Verdict::Transparent => write!(f, ": skipped, lets the access through"),
            Verdict::Behind { sibling, priority } if *priority == self.priority => {
                write!(f, ": skipped, hidden by {sibling}: equal priority, attached later")
            }
            Verdict::Behind { sibling, priority } => {
                write!(
                    f,
                    ": skipped, hidden by {sibling}: priority {priority} comes before {}",
                    self.priority
                )
            }
            Verdict::Removed => write!(f, ": skipped, its target was removed"),
        }
    }
}
