//! Items 25, 26, 27, 37, 38, 40: random graphs and edit scripts against the model.
//!
//! `MEMORY_CASES` sets the number of scripts of each property, `MEMORY_SEED` the seed, which is printed: decimal.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use memory::{
    AddressSpace, CommitReport, FlatRange, FlatView, MapDelta, MapError, MapListener, MapTxn, MemoryMap,
    Placement, RegionSpec, Target, Transparency,
};
use proptest::prelude::*;
use proptest::test_runner::{RngAlgorithm, TestRng, TestRunner};

use crate::common::*;
use crate::model::{Hit, Kind, Model};

/// Addresses that the regions lie in: few, so that they meet.
const SPAN: u64 = 0x60;

#[derive(Clone, Debug)]
struct NewRegion {
    kind: u8,
    size: u64,
    target: usize,
    offset: u64,
}

#[derive(Clone, Debug)]
enum Edit {
    Attach { parent: usize, at: u64, child: usize, priority: i32, exclusive: bool },
    Detach(usize),
    MoveTo(usize, u64),
    Resize(usize, u64),
    Slide(usize, u64),
    Priority(usize, i32),
    Enable(usize, bool),
    Readonly(usize, bool),
    Nonvolatile(usize, bool),
    Unmergeable(usize, bool),
    Romd(usize, bool),
    Transparent(usize, Transparency),
    Remove(usize),
}

/// How a group of edits ends.
#[derive(Clone, Copy, Debug)]
enum End {
    Commit,
    Drop,
    /// The second half in a transaction inside, which is committed, and then the whole is.
    Nested,
    /// The second half in a transaction inside, which is dropped.
    NestedDrop,
}

/// An offset, often 0.
fn place() -> impl Strategy<Value = u64> {
    prop_oneof![1 => Just(0), 2 => 0..SPAN]
}

/// A size, often the largest.
fn size() -> impl Strategy<Value = u64> {
    prop_oneof![1 => Just(SPAN), 3 => 1..=SPAN]
}

fn new_region() -> impl Strategy<Value = NewRegion> {
    (0..12_u8, size(), 0..64_usize, place()).prop_map(|(kind, size, target, offset)| NewRegion {
        kind,
        size,
        target,
        offset,
    })
}

fn regions() -> impl Strategy<Value = Vec<NewRegion>> {
    prop::collection::vec(new_region(), 1..14)
}

fn edit() -> impl Strategy<Value = Edit> {
    let index = || 0..64_usize;
    let transparent =
        prop_oneof![Just(Transparency::None), Just(Transparency::Reads), Just(Transparency::Writes)];
    prop_oneof![
        8 => (index(), place(), index(), -2..3_i32, any::<bool>()).prop_map(|(parent, at, child, priority, exclusive)| {
            Edit::Attach { parent, at, child, priority, exclusive }
        }),
        2 => index().prop_map(Edit::Detach),
        3 => (index(), place()).prop_map(|(region, at)| Edit::MoveTo(region, at)),
        2 => (index(), size()).prop_map(|(region, size)| Edit::Resize(region, size)),
        2 => (index(), place()).prop_map(|(region, offset)| Edit::Slide(region, offset)),
        1 => (index(), -2..3_i32).prop_map(|(region, priority)| Edit::Priority(region, priority)),
        3 => (index(), any::<bool>()).prop_map(|(region, on)| Edit::Enable(region, on)),
        1 => (index(), any::<bool>()).prop_map(|(region, on)| Edit::Readonly(region, on)),
        1 => (index(), any::<bool>()).prop_map(|(region, on)| Edit::Nonvolatile(region, on)),
        1 => (index(), any::<bool>()).prop_map(|(region, on)| Edit::Unmergeable(region, on)),
        1 => (index(), any::<bool>()).prop_map(|(region, on)| Edit::Romd(region, on)),
        2 => (index(), transparent).prop_map(|(region, how)| Edit::Transparent(region, how)),
        1 => index().prop_map(Edit::Remove),
    ]
}

/// At most `steps` groups of edits.
fn script(steps: usize) -> impl Strategy<Value = Vec<(Vec<Edit>, End)>> {
    let end = prop_oneof![5 => Just(End::Commit), 1 => Just(End::Drop), 1 => Just(End::Nested), 1 => Just(End::NestedDrop)];
    prop::collection::vec((prop::collection::vec(edit(), 1..5), end), 1..=steps)
}

/// Map and model side by side. Region 0 is the root of the first space.
struct Twin {
    map: MemoryMap,
    model: Model,
    /// Each space with the model's region that it shows.
    spaces: Vec<(AddressSpace, usize)>,
}

impl Twin {
    fn new(regions: &[NewRegion]) -> Self {
        let mut twin = Self { map: MemoryMap::new(), model: Model::default(), spaces: Vec::new() };
        let root = twin.map.add(RegionSpec::container("0", SPAN)).unwrap();
        twin.model.add(root, Kind::Container, SPAN, false);
        for region in regions {
            twin.add(region);
        }
        let second = twin.model.regions.len() / 2;
        for root in [0, second] {
            let space = twin.map.space(twin.model.regions[root].id, &root.to_string(), ZEROS).unwrap();
            twin.spaces.push((space, root));
        }
        twin
    }

    /// With every region attached somewhere, so that there is something to see.
    fn grown(regions: &[NewRegion]) -> Self {
        let mut twin = Self::new(regions);
        let attach = |n: usize| {
            let (at, priority) = ((n as u64 * 7) % SPAN, n as i32 % 3);
            Edit::Attach { parent: n / 3, at, child: n, priority, exclusive: false }
        };
        let edits: Vec<_> = (1..twin.model.regions.len()).map(attach).collect();
        twin.run(&edits, End::Commit);
        twin
    }

    fn add(&mut self, region: &NewRegion) {
        let index = self.model.regions.len();
        let (name, target) = (index.to_string(), region.target % index);
        let (name, size) = (name.as_str(), region.size);
        let alias = Kind::Alias { target, offset: region.offset };
        let (kind, spec, romd) = match region.kind {
            0..=2 => (Kind::Ram, RegionSpec::ram(name, size), false),
            3 => (Kind::RomDevice, RegionSpec::rom_device(name, size, Recorder::new(1), ANY, true), true),
            4 | 5 => (Kind::Mmio, RegionSpec::mmio(name, size, Recorder::new(1), ANY), false),
            6 => (Kind::Reservation, RegionSpec::reservation(name, size), false),
            7 | 8 => (Kind::Container, RegionSpec::container(name, size), false),
            _ => (alias, RegionSpec::alias(name, self.model.regions[target].id, region.offset, size), false),
        };
        let id = self.map.add(spec).unwrap();
        self.model.add(id, kind, size, romd);
    }

    /// Makes an edit in the map and, when it is taken, in the model.
    fn apply(model: &mut Model, txn: &mut MapTxn, edit: &Edit) {
        let count = model.regions.len();
        let index = |n: usize| n % count;
        let id = |model: &Model, n: usize| model.regions[n % count].id;
        match *edit {
            Edit::Attach { parent, at, child, priority, exclusive } => {
                let how = if exclusive { Placement::Exclusive } else { Placement::Overlap { priority } };
                if txn.attach(id(model, parent), at, id(model, child), how).is_ok() {
                    model.attach(index(parent), at, index(child), (!exclusive).then_some(priority));
                }
            }
            Edit::Detach(n) => {
                if txn.detach(id(model, n)).is_ok() {
                    model.detach(index(n));
                }
            }
            Edit::MoveTo(n, at) => {
                if txn.move_to(id(model, n), at).is_ok() && model.regions[index(n)].at != at {
                    let region = &model.regions[index(n)];
                    let overlap = (!region.exclusive).then_some(region.priority);
                    again(model, index(n), at, overlap);
                }
            }
            Edit::Priority(n, priority) => {
                let region = &model.regions[index(n)];
                let other = region.exclusive || region.priority != priority;
                if txn.set_priority(region.id, priority).is_ok() && other {
                    again(model, index(n), model.regions[index(n)].at, Some(priority));
                }
            }
            Edit::Resize(n, size) => {
                set(model, index(n), txn.set_size(id(model, n), size), |r| r.size = size)
            }
            Edit::Slide(n, offset) => set(model, index(n), txn.slide_alias(id(model, n), offset), |r| {
                if let Kind::Alias { offset: old, .. } = &mut r.kind {
                    *old = offset;
                }
            }),
            Edit::Enable(n, on) => {
                set(model, index(n), txn.set_enabled(id(model, n), on), |r| r.enabled = on)
            }
            Edit::Readonly(n, on) => {
                set(model, index(n), txn.set_readonly(id(model, n), on), |r| r.readonly = on)
            }
            Edit::Nonvolatile(n, on) => {
                set(model, index(n), txn.set_nonvolatile(id(model, n), on), |r| r.nonvolatile = on);
            }
            Edit::Unmergeable(n, on) => {
                set(model, index(n), txn.set_unmergeable(id(model, n), on), |r| r.unmergeable = on);
            }
            Edit::Romd(n, on) => set(model, index(n), txn.set_romd(id(model, n), on), |r| r.romd = on),
            Edit::Transparent(n, how) => {
                set(model, index(n), txn.set_transparent(id(model, n), how), |r| r.transparent = how);
            }
            Edit::Remove(n) => {
                if txn.remove(id(model, n)).is_ok() {
                    model.remove(index(n));
                }
            }
        }
    }

    fn run(&mut self, edits: &[Edit], end: End) -> Option<CommitReport> {
        let mut txn = self.map.txn();
        let mut model = self.model.clone();
        let (first, second) = edits.split_at(edits.len() / 2);
        first.iter().for_each(|edit| Self::apply(&mut model, &mut txn, edit));
        match end {
            End::Commit | End::Drop => second.iter().for_each(|edit| Self::apply(&mut model, &mut txn, edit)),
            End::Nested | End::NestedDrop => {
                let (mut inner, kept) = (txn.child(), model.clone());
                second.iter().for_each(|edit| Self::apply(&mut model, &mut inner, edit));
                if let End::Nested = end {
                    inner.commit().unwrap();
                } else {
                    drop(inner);
                    model = kept;
                }
            }
        }
        if let End::Drop = end {
            return None;
        }
        self.model = model;
        Some(txn.commit().unwrap())
    }

    /// A space for every region that has none.
    fn show_all(&mut self) {
        for (index, region) in self.model.regions.iter().enumerate() {
            if self.spaces.iter().all(|(_, root)| *root != index) {
                self.spaces.push((self.map.space(region.id, &index.to_string(), ZEROS).unwrap(), index));
            }
        }
    }
}

/// Every address that a region can reach, and some far ones.
fn addresses() -> impl Iterator<Item = u64> {
    (0..SPAN * 2).chain([u64::MAX / 2, u64::MAX])
}

/// What a model says of every address of a space.
fn hits(model: &Model, root: usize) -> Vec<(u64, [Option<Hit>; 2])> {
    addresses().map(|addr| (addr, [false, true].map(|write| model.find(root, addr, write)))).collect()
}

fn set(
    model: &mut Model,
    index: usize,
    taken: Result<(), MapError>,
    set: impl FnOnce(&mut crate::model::Region),
) {
    if taken.is_ok() {
        set(&mut model.regions[index]);
    }
}

fn again(model: &mut Model, index: usize, at: u64, overlap: Option<i32>) {
    let parent = model.regions[index].parent.expect("the map took the edit");
    model.detach(index);
    model.attach(parent, at, index, overlap);
}

/// What a view says of one direction of one address, in the model's words.
fn said(view: &FlatView, addr: u64, write: bool) -> String {
    let Some(range) = view.lookup(addr) else { return "-".into() };
    let inside = addr - range.range.first();
    match if write { &range.write } else { &range.read } {
        Target::Host(slice) => format!("host {}+{:x}", slice.block.name(), slice.offset + inside),
        Target::Call(call) => format!("call {}+{:x}", leaf_name(range, write), call.offset + inside),
        Target::Discard => "discard".into(),
        Target::Unassigned | Target::Translate(_) => "-".into(),
    }
}

fn leaf_name(range: &FlatRange, write: bool) -> String {
    if write { range.write_leaf().unwrap().name().to_owned() } else { range.name().to_owned() }
}

/// What the model says of it.
fn wanted(model: &Model, hit: Option<Hit>, write: bool) -> String {
    let Some(hit) = hit else { return "-".into() };
    let (host, call) =
        (format!("host {}+{:x}", hit.region, hit.offset), format!("call {}+{:x}", hit.region, hit.offset));
    match model.regions[hit.region].kind {
        Kind::Ram if write && hit.readonly => "discard".into(),
        Kind::Ram => host,
        Kind::RomDevice if !write && hit.romd => host,
        Kind::RomDevice | Kind::Mmio => call,
        Kind::Reservation => "-".into(),
        Kind::Container | Kind::Alias { .. } => unreachable!("neither is a leaf"),
    }
}

/// Whether a view leads one direction of one address where the model does.
fn agree(model: &Model, range: Option<&FlatRange>, addr: u64, write: bool, hit: Option<Hit>) -> bool {
    let (Some(range), Some(hit)) = (range, hit) else {
        let dark =
            |range: &FlatRange| matches!(if write { &range.write } else { &range.read }, Target::Unassigned);
        return hit.is_none() && range.is_none_or(dark);
    };
    let region = &model.regions[hit.region];
    let leaf = if write { range.write_leaf() } else { Some(range.leaf()) };
    let inside = addr - range.range.first();
    match if write { &range.write } else { &range.read } {
        Target::Host(slice) => {
            let host = match region.kind {
                Kind::Ram => !(write && hit.readonly),
                Kind::RomDevice => !write && hit.romd,
                _ => false,
            };
            host && leaf.is_some_and(|leaf| leaf.id() == region.id) && slice.offset + inside == hit.offset
        }
        Target::Call(call) => {
            let calls = match region.kind {
                Kind::RomDevice => write || !hit.romd,
                kind => kind == Kind::Mmio,
            };
            calls && leaf.is_some_and(|leaf| leaf.id() == region.id) && call.offset + inside == hit.offset
        }
        Target::Discard => write && region.kind == Kind::Ram && hit.readonly,
        Target::Unassigned => region.kind == Kind::Reservation,
        Target::Translate(_) => false,
    }
}

/// Checks the view of a space against the model, address by address, and its form.
fn check_view(twin: &Twin, space: &AddressSpace, root: usize) {
    let view = space.view();
    for addr in addresses() {
        let range = view.lookup(addr);
        for write in [false, true] {
            let hit = twin.model.find(root, addr, write);
            assert!(
                agree(&twin.model, range, addr, write, hit),
                "{addr:x} write {write} in space {root} is {}, not {}: {view:?}",
                said(&view, addr, write),
                wanted(&twin.model, hit, write)
            );
        }
    }
    let ranges: Vec<_> = view.ranges().collect();
    for pair in ranges.windows(2) {
        assert!(pair[0].range.last() < pair[1].range.first(), "{view:?}");
        if !pair[0].range.touches(pair[1].range) {
            continue;
        }
        let hits = |addr| [false, true].map(|write| twin.model.find(root, addr, write));
        let (last, first) = (hits(pair[0].range.last()), hits(pair[1].range.first()));
        let goes_on = last.map(|hit| hit.map(Hit::next)) == first;
        assert!(!goes_on, "two neighbours that are one: {view:?}");
    }
}

/// Checks that a report names exactly the addresses whose binding differs.
fn check_delta(
    before: &[(u64, [Option<Hit>; 2])],
    after: &[(u64, [Option<Hit>; 2])],
    report: &CommitReport,
    space: &AddressSpace,
) {
    let changed = report.delta(space.id()).map_or(&[][..], |delta| &delta.changed);
    for ((addr, old), (_, new)) in before.iter().zip(after) {
        let named = changed.iter().any(|range| range.contains(*addr));
        assert_eq!(named, old != new, "{addr:x} in {changed:?}: {old:?} to {new:?}");
    }
    assert!(changed.windows(2).all(|pair| pair[0].last() + 1 < pair[1].first()), "{changed:?}");
}

/// One space after one step of a script.
struct Step<'a> {
    twin: &'a Twin,
    space: &'a AddressSpace,
    root: usize,
    before: &'a Model,
    report: &'a CommitReport,
}

/// Runs a script and checks each space after each commit; a dropped transaction must leave no trace.
fn run_script(twin: &mut Twin, script: &[(Vec<Edit>, End)], check: impl Fn(Step<'_>)) {
    for (edits, end) in script {
        let spaces = twin.spaces.clone();
        let views: Vec<_> = spaces.iter().map(|(space, _)| space.view()).collect();
        let tree = if let End::Drop = end { twin.map.tree_text_all() } else { String::new() };
        let before = twin.model.clone();
        let Some(report) = twin.run(edits, *end) else {
            assert_eq!(twin.map.tree_text_all(), tree);
            assert!(spaces.iter().zip(&views).all(|((space, _), view)| Arc::ptr_eq(view, &space.view())));
            continue;
        };
        for ((space, root), view) in spaces.iter().zip(views) {
            let renewed = report.delta(space.id()).is_some();
            assert_eq!(space.generation(), view.generation() + u64::from(renewed));
            check(Step { twin, space, root: *root, before: &before, report: &report });
        }
    }
}

/// Tries a property on random values, of which one that fails is shrunk. The seed is printed.
fn prove<S: Strategy>(cases: u32, strategy: S, property: impl Fn(S::Value)) {
    let number = |name| std::env::var(name).ok().and_then(|value| value.parse::<u64>().ok());
    let cases = number("MEMORY_CASES").map_or(cases, |cases| cases as u32);
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |now| now.as_nanos() as u64);
    let seed = number("MEMORY_SEED").unwrap_or_else(now);
    println!("MEMORY_SEED={seed} MEMORY_CASES={cases}");
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let config = ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));
    let tried = runner.run(&strategy, |value| {
        property(value);
        Ok(())
    });
    if let Err(failure) = tried {
        panic!("MEMORY_SEED={seed} MEMORY_CASES={cases}\n{failure}");
    }
}

/// After every step of a random script the view is what the search of the model finds: 200,000 graphs.
#[test]
fn item_025_flatten_is_the_visibility_search() {
    let graphs = std::cell::Cell::new(0_u64);
    let started = std::time::Instant::now();
    prove(5000, (regions(), script(100)), |(regions, script)| {
        run_script(&mut Twin::grown(&regions), &script, |step| {
            graphs.set(graphs.get() + u64::from(step.root == 0));
            check_view(step.twin, step.space, step.root);
        });
    });
    println!("{} graphs in {:?}", graphs.get(), started.elapsed());
    assert!(graphs.get() >= 200_000 || std::env::var_os("MEMORY_CASES").is_some(), "{}", graphs.get());
}

/// After every step the delta is the pointwise difference of what the model finds before and after it.
#[test]
fn item_037_delta_is_the_pointwise_difference() {
    prove(400, (regions(), script(40)), |(regions, script)| {
        run_script(&mut Twin::grown(&regions), &script, |step| {
            let (before, after) = (hits(step.before, step.root), hits(&step.twin.model, step.root));
            check_delta(&before, &after, step.report, step.space);
        });
    });
}

/// After every step the view, of which a part was rendered, is what the whole renders to.
#[test]
fn item_038_incremental_is_full() {
    prove(1000, (regions(), script(40)), |(regions, script)| {
        run_script(&mut Twin::grown(&regions), &script, |step| {
            let (view, whole) = (step.space.view(), step.twin.map.rendered(step.space).unwrap());
            assert!(whole.shows_the_same(&view), "{view:?} is not {whole:?}");
        });
    });
}

/// With a space for every region, so that many share a table, each shows what its own root renders to; the deltas
/// are right as well.
#[test]
fn item_027_sharing_preserves_the_view() {
    let shared = std::cell::Cell::new(0_u64);
    prove(300, (regions(), script(20)), |(regions, script)| {
        let mut twin = Twin::grown(&regions);
        twin.show_all();
        run_script(&mut twin, &script, |step| {
            let (view, whole) = (step.space.view(), step.twin.map.rendered(step.space).unwrap());
            assert!(whole.shows_the_same(&view), "{view:?} is not {whole:?}");
            let (before, after) = (hits(step.before, step.root), hits(&step.twin.model, step.root));
            check_delta(&before, &after, step.report, step.space);
            let others = step.twin.spaces.iter().filter(|(space, _)| space.id() < step.space.id());
            let sharing = others.filter(|(space, _)| space.view().shares_ranges_with(&view));
            shared.set(shared.get() + sharing.filter(|(space, _)| !space.view().is_empty()).count() as u64);
        });
    });
    assert!(shared.get() > 100, "hardly anything is shared: {}", shared.get());
}

/// Item 26: a subtree seen through a whole alias looks as the subtree itself.
#[test]
fn item_026_an_alias_shows_what_the_subtree_shows() {
    prove(2000, (regions(), 0..SPAN), |(regions, at)| {
        let twin = Twin::grown(&regions);
        let root = twin.model.regions[0].id;
        let add = |spec| twin.map.add(spec).unwrap();
        let (plain, aliased) =
            (add(RegionSpec::container("plain", SPAN)), add(RegionSpec::container("aliased", SPAN)));
        let alias = add(RegionSpec::alias("whole", root, 0, SPAN));
        let mut txn = twin.map.txn();
        txn.attach(plain, at, root, prio(0)).unwrap();
        txn.attach(aliased, at, alias, prio(0)).unwrap();
        txn.commit().unwrap();
        let [plain, aliased] =
            [plain, aliased].map(|root| twin.map.space(root, "either", ZEROS).unwrap().view());
        assert!(plain.shows_the_same(&aliased), "{plain:?} and {aliased:?}");
    });
}

/// Adds up what it is told, address by address.
#[derive(Default)]
struct Shadow(Mutex<BTreeMap<u64, [String; 2]>>);

impl MapListener for Shadow {
    fn apply(&self, delta: &MapDelta) {
        let mut shadow = self.0.lock().unwrap();
        let among =
            |range: &FlatRange| addresses().filter(|addr| range.range.contains(*addr)).collect::<Vec<_>>();
        for addr in delta.removed().flat_map(|range| among(&range)) {
            let known = [false, true].map(|write| said(&delta.previous, addr, write));
            assert_eq!(shadow.remove(&addr), Some(known), "{addr:x} goes, and was something else");
        }
        for range in delta.added() {
            assert!(delta.changed.iter().any(|changed| changed.contains_range(range.range)));
            for addr in among(&range) {
                let new = [false, true].map(|write| said(&delta.view, addr, write));
                assert_eq!(shadow.insert(addr, new), None, "{addr:x} comes, and was not free");
            }
        }
    }
}

/// A listener that comes at any time knows at every time what one from the beginning does, and in the end nothing.
#[test]
fn item_040_a_late_listener_knows_what_an_early_one_does() {
    prove(300, (regions(), script(20), 0..20_usize), |(regions, script, late_at)| {
        let mut twin = Twin::new(&regions);
        let space = twin.spaces[0].0.clone();
        let (early, late) = (Arc::new(Shadow::default()), Arc::new(Shadow::default()));
        let first = space.listen(0, early.clone());
        let mut second = None;
        for (step, (edits, end)) in script.iter().enumerate() {
            if step == late_at {
                second = Some(space.listen(0, late.clone()));
            }
            twin.run(edits, *end);
            let view = space.view();
            let mapped = addresses().filter(|addr| view.lookup(*addr).is_some());
            let shown: BTreeMap<_, _> =
                mapped.map(|addr| (addr, [false, true].map(|write| said(&view, addr, write)))).collect();
            assert_eq!(*early.0.lock().unwrap(), shown);
            assert!(second.is_none() || *late.0.lock().unwrap() == shown);
        }
        for (listener, shadow) in [(Some(first), early), (second, late)] {
            assert!(listener.is_none_or(|listener| space.unlisten(listener)));
            assert!(shadow.0.lock().unwrap().is_empty(), "something is left");
        }
    });
}

/// Views of many chunks: what a commit patches in is what the whole renders to.
#[test]
fn item_038_in_views_of_many_ranges() {
    let edit = (0..400_usize, 0..0x1000_u64, 1..0x400_u64, 0..5_u8);
    let script = prop::collection::vec(prop::collection::vec(edit, 1..6), 1..12);
    prove(100, (1..400_u64, script), |(count, script)| {
        let world = World::new(ZEROS);
        let ram = world.add(RegionSpec::ram("ram", 0x2000));
        let mut regions: Vec<_> =
            (0..4).map(|n| world.add(RegionSpec::alias("window", ram, n * 8, 0x100))).collect();
        let device = Recorder::new(8);
        let mut txn = world.map.txn();
        txn.attach(world.root, 0, ram, prio(-1)).unwrap();
        for n in 0..count {
            let region = world.add(RegionSpec::mmio("dev", 1 + n % 7, device.clone(), ANY));
            txn.attach(world.root, n * 8, region, prio(0)).unwrap();
            regions.push(region);
        }
        for window in &regions[..4] {
            txn.attach(world.root, 0, *window, prio(1)).unwrap();
        }
        txn.commit().unwrap();
        for edits in script {
            let before = world.space.view();
            let report = world.edit(|txn| {
                for (which, at, size, what) in &edits {
                    // The windows are the likelier the more devices there are.
                    let region = regions[if what % 2 == 0 { which % regions.len() } else { which % 4 }];
                    match what {
                        0 => txn.set_enabled(region, at % 2 == 0)?,
                        1 | 2 => txn.move_to(region, *at)?,
                        3 => txn.set_size(region, *size)?,
                        _ => txn.set_transparent(
                            region,
                            [Transparency::None, Transparency::Reads][*at as usize % 2],
                        )?,
                    }
                }
                Ok(())
            });
            let (view, whole) = (world.space.view(), world.map.rendered(&world.space).unwrap());
            assert!(whole.shows_the_same(&view));
            assert!(view.ranges().all(|range| view.lookup(range.range.first()) == Some(range)));
            let changed = world.changed(&report);
            for addr in 0..0x2400 {
                let named = changed.iter().any(|range| range.contains(addr));
                let said = [&before, &view].map(|view| [false, true].map(|write| said(view, addr, write)));
                assert!(named || said[0] == said[1], "{addr:x} changed and is not named");
            }
        }
    });
}
