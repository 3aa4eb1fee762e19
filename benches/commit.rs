//! What it costs to take one page out of a map and to put it back, against the number of pages that are its siblings.
//!
//! Every other page from 2 GiB on shows a page of RAM. In each run a processor with translations is attached: its
//! engine listens to every commit, and picks the changes up when the timing is over. The commits are then set against
//! `uc_mem_unmap` and `uc_mem_map` of unicorn, a program of its own (`peers/unicorn_commit.c`), and both are drawn.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use benches::plot::{Line, Plot};
use benches::translated;
use cpu::{Cpu, CpuLinks};
use criterion::{BenchmarkId, Criterion};
use engine::{Engine, NoPlatform, Stop};
use memory::{MemoryMap, Placement, RegionId, RegionSpec, SpaceConfig, SpaceKind, UnassignedPolicy};

/// Siblings of the page.
const SIBLINGS: [u64; 5] = [16, 64, 256, 1024, 10_000];
/// As many are mapped in unicorn: its cost grows so fast that more take hours.
const PEER_SIBLINGS: [u64; 4] = [16, 64, 256, 1024];
const PAGE: u64 = 0x1000;
/// Where the pages begin.
const FIRST: u64 = 0x8000_0000;
/// Bytes of RAM that the code runs in.
const RAM: u64 = 1 << 20;
const CODE: u32 = 0x1000;
/// `l: add eax, 1; call f; jmp l; f: ret`.
const LOOP: &[u8] = &[0x83, 0xc0, 0x01, 0xe8, 0x02, 0x00, 0x00, 0x00, 0xeb, 0xf6, 0xc3];
/// Pairs of commits in one timing of the comparison, and such timings of each size.
const PAIRS: u32 = 200;
const ROUNDS: usize = 101;
/// The same of unicorn.
const PEER_PAIRS: u32 = 20;
const PEER_ROUNDS: usize = 5;

/// A map with pages, and a processor that runs in it.
struct Rig {
    map: MemoryMap,
    root: RegionId,
    /// The page that comes and goes, and its place.
    page: RegionId,
    at: u64,
    engine: Engine,
    commits: u64,
}

impl Rig {
    fn new(siblings: u64) -> Self {
        let map = MemoryMap::new();
        let add = |spec| map.add(spec).expect("a region");
        let root = add(RegionSpec::container("memory", 1_u64 << 32));
        let pages = add(RegionSpec::ram("pages", siblings * PAGE));
        let mut txn = map.txn();
        let ram = add(RegionSpec::ram("ram", RAM));
        txn.attach(root, 0, ram, Placement::Exclusive).expect("room");
        // The one that changes is RAM of its own, as all are in unicorn.
        let (page, at) = (add(RegionSpec::ram("page", PAGE)), FIRST + siblings / 2 * 2 * PAGE);
        txn.attach(root, at, page, Placement::Exclusive).expect("room");
        for n in (0..siblings).filter(|n| *n != siblings / 2) {
            let page = add(RegionSpec::alias(&format!("page{n}"), pages, n * PAGE, PAGE));
            txn.attach(root, FIRST + n * 2 * PAGE, page, Placement::Exclusive).expect("room");
        }
        txn.commit().expect("nobody refuses");
        let ports = add(RegionSpec::container("ports", 1_u64 << 16));
        let config = |kind| SpaceConfig::new(kind, UnassignedPolicy::Ones);
        let memory = map.space(root, "memory", config(SpaceKind::Memory)).expect("a space");
        let ports = map.space(ports, "ports", config(SpaceKind::Port)).expect("a space");
        assert_eq!(memory.view().len() as u64, siblings + 1, "no two pages touch");
        assert!(memory.write_rom(u64::from(CODE), LOOP).is_empty(), "the code lies in RAM");
        let (attention, time_ns) = (Arc::default(), Arc::default());
        let mut cpu =
            Cpu::new(CpuLinks { memory, ports, code_writes: map.code_writes(), attention, time_ns });
        cpu.set_flat_protected(CODE);
        cpu.state.gpr[4] = RAM;
        let engine = Engine::new(cpu, Arc::new(NoPlatform), translated()).expect("an engine");
        let mut rig = Self { map, root, page, at, engine, commits: 0 };
        rig.run();
        rig
    }

    /// Runs the processor, which picks up what has changed; its translations live on.
    fn run(&mut self) {
        let before = self.engine.stats();
        let limit = self.engine.cpu().instructions() + 1000;
        assert_eq!(self.engine.run(Some(limit)), Stop::Limit);
        let after = self.engine.stats();
        assert_eq!(after.map_changes, self.commits, "the processor hears of every commit");
        assert!(before.units == 0 || after.units == before.units, "nothing is compiled again");
    }

    /// Takes the page out and puts it back, each in a commit.
    fn pair(&mut self) {
        let mut txn = self.map.txn();
        txn.detach(self.page).expect("it is attached");
        txn.commit().expect("nobody refuses");
        let mut txn = self.map.txn();
        txn.attach(self.root, self.at, self.page, Placement::Exclusive).expect("room");
        txn.commit().expect("nobody refuses");
        self.commits += 2;
    }

    /// Hides the page and shows it, each in a commit.
    fn switch(&mut self) {
        for enabled in [false, true] {
            let mut txn = self.map.txn();
            txn.set_enabled(self.page, enabled).expect("it is there");
            txn.commit().expect("nobody refuses");
        }
        self.commits += 2;
    }

    /// Removes the page, and makes one that is RAM of its own, which the host has to map.
    fn renew(&mut self) {
        self.map.remove(self.page).expect("it is there");
        let page = self.map.add(RegionSpec::ram("new", PAGE)).expect("memory");
        let mut txn = self.map.txn();
        txn.attach(self.root, self.at, page, Placement::Exclusive).expect("room");
        txn.commit().expect("nobody refuses");
        self.page = page;
        self.commits += 2;
    }

    /// How long `count` repetitions of `what` take.
    fn time(&mut self, count: u64, what: fn(&mut Self)) -> Duration {
        let started = Instant::now();
        (0..count).for_each(|_| what(self));
        let elapsed = started.elapsed();
        self.run();
        elapsed
    }
}

/// One way to change the map there and back, with its name.
type Way = (&'static str, fn(&mut Rig));

fn groups(c: &mut Criterion) {
    let ways: [Way; 3] = [
        ("page detached and attached", Rig::pair),
        ("page disabled and enabled", Rig::switch),
        ("page removed, made and attached", Rig::renew),
    ];
    for (name, way) in ways {
        let mut group = c.benchmark_group(name);
        group
            .sample_size(20)
            .warm_up_time(Duration::from_millis(200))
            .measurement_time(Duration::from_secs(1));
        for siblings in SIBLINGS {
            let mut rig = Rig::new(siblings);
            group.bench_function(BenchmarkId::from_parameter(siblings), |b| {
                b.iter_custom(|iters| rig.time(iters, way));
            });
        }
        group.finish();
    }
}

/// Nanoseconds of one pair for each size, one row for each round: the sizes of a round follow each other closely, so
/// that ratios inside of a round are paired. Of times that stand alone the best counts: what else the host does makes
/// them longer, never shorter.
fn rounds() -> Vec<Vec<f64>> {
    let mut rigs: Vec<_> = SIBLINGS.into_iter().map(Rig::new).collect();
    let mut round = || -> Vec<f64> {
        let time = |rig: &mut Rig| rig.time(PAIRS.into(), Rig::pair).as_nanos() as f64 / f64::from(PAIRS);
        rigs.iter_mut().map(time).collect()
    };
    round();
    (0..ROUNDS).map(|_| round()).collect()
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<_> = values.collect();
    values.sort_unstable_by(f64::total_cmp);
    values[values.len() / 2]
}

fn best(values: impl Iterator<Item = f64>) -> f64 {
    values.fold(f64::INFINITY, f64::min)
}

/// Where this run's files go.
fn target() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("../criterion")
}

/// Builds unicorn's program, or says why that cannot be.
fn build_peer() -> Result<PathBuf, String> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/unicorn_commit.c");
    let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join("unicorn_commit");
    let mut cc = Command::new("cc");
    cc.arg("-O2").arg(source).arg("-o").arg(&program).arg("-lunicorn");
    let output = cc.output().map_err(|error| format!("cc: {error}"))?;
    if output.status.success() {
        return Ok(program);
    }
    let told = String::from_utf8_lossy(&output.stderr);
    Err(told.lines().next().unwrap_or("cc fails without a word").to_owned())
}

/// Nanoseconds of one pair of unicorn's calls.
fn peer(program: &Path, siblings: u64) -> Result<f64, String> {
    let run = Command::new(program).args([siblings.to_string(), PEER_PAIRS.to_string()]).output();
    let output = run.map_err(|error| error.to_string())?;
    let told = String::from_utf8_lossy(&output.stdout);
    told.trim().parse().map_err(|_| format!("{}: {told}", output.status))
}

/// The best of unicorn's runs by number of siblings.
fn peers() -> Result<Vec<(f64, f64)>, String> {
    let program = build_peer()?;
    let point = |siblings: u64| {
        let runs: Result<Vec<_>, _> = (0..PEER_ROUNDS).map(|_| peer(&program, siblings)).collect();
        Ok((siblings as f64, best(runs?.into_iter())))
    };
    PEER_SIBLINGS.into_iter().map(point).collect()
}

/// Prints the table, the growth and the ratios, and draws the picture.
fn compare() {
    let rounds = rounds();
    let at = |siblings| SIBLINGS.iter().position(|other| *other == siblings).expect("one of the sizes");
    let ours: Vec<_> = SIBLINGS
        .into_iter()
        .map(|siblings| (siblings as f64, best(rounds.iter().map(|round| round[at(siblings)]))))
        .collect();
    let growth = |from, to| median(rounds.iter().map(|round| round[at(to)] / round[at(from)]));
    println!("\none page taken out and put back, with a processor attached: two commits");
    for (siblings, ns) in &ours {
        println!("  {siblings:>6} siblings {ns:>10.0} ns");
    }
    println!("  growth from 64 to 1024 siblings:   {:.2}", growth(64, 1024));
    println!("  growth from 64 to 10000 siblings:  {:.2}", growth(64, 10_000));
    let theirs = peers();
    match &theirs {
        Ok(theirs) => {
            println!("uc_mem_unmap and uc_mem_map:");
            for ((siblings, ns), (_, our_ns)) in theirs.iter().zip(&ours) {
                println!("  {siblings:>6} siblings {ns:>10.0} ns, {:>6.0} times as much", ns / our_ns);
            }
        }
        Err(why) => println!("unicorn is not measured: {why}"),
    }
    draw(&ours, theirs.as_deref().unwrap_or(&[]));
}

fn draw(ours: &[(f64, f64)], theirs: &[(f64, f64)]) {
    let lines = [Line { name: "marquetry", points: ours }, Line { name: "unicorn", points: theirs }];
    let lines = if theirs.is_empty() { &lines[..1] } else { &lines[..] };
    let plot = Plot {
        title: "One page taken out of a map and put back",
        x_name: "pages in the map",
        y_name: "time of both commits",
        x_marks: &SIBLINGS.map(|siblings| siblings as f64),
        lines,
    };
    let path = target().join("commit.svg");
    std::fs::create_dir_all(target()).and_then(|()| std::fs::write(&path, plot.svg())).expect("a picture");
    println!("picture: {}", path.canonicalize().unwrap_or(path).display());
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    groups(&mut criterion);
    criterion.final_summary();
    // Without `--bench` this is a test, which runs each case once; a name asks for some cases only.
    let args: Vec<_> = std::env::args().skip(1).collect();
    if args.iter().any(|arg| arg == "--bench") && args.iter().all(|arg| arg.starts_with("--")) {
        compare();
    }
}
