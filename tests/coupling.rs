//! Where the memory map and translated code meet: what a change of the map or of code bytes does to the very next
//! instruction, and what it leaves alone.
#![forbid(unsafe_code)]

use base::{AccessSize, RegionOffset};
use engine::{EngineConfig, JitMode, Stop};
use machine::{BoardConfig, Machine};
use memory::{
    AccessCx, AccessRules, BusError, Device, MemoryMap, MmioDevice, Placement, RegionId, RegionSpec,
};
use tests::code::Code;

const CODE: u32 = 0x10_0000;
const STACK: u32 = 0x20_0000;
/// A register of the tests' own.
const REGISTER: u32 = 0xe000_0000;
/// Where they show what the register chooses.
const WINDOW: u32 = 0xe010_0000;
const PAGE: u32 = 0x1000;
/// The board's bus master.
const DMA: u32 = 0xfe00_3000;

/// Each executor: the interpreter, units as long as they get, and units of two instructions, which are linked.
fn executors() -> [(&'static str, EngineConfig); 3] {
    let translated = EngineConfig { jit: JitMode::Sync, threshold: 0, ..EngineConfig::default() };
    [
        ("interpreter", EngineConfig { jit: JitMode::Off, ..EngineConfig::default() }),
        ("translated", translated.clone()),
        ("linked", EngineConfig { unit_limit: 2, ..translated }),
    ]
}

/// A register that answers reads with 0 and gives what is written to a closure.
struct Register<F>(F);

impl<F: FnMut(u64) -> Result<(), BusError> + Send> MmioDevice for Register<F> {
    fn read(&mut self, _: RegionOffset, _: AccessSize, _: &mut AccessCx) -> Result<u64, BusError> {
        Ok(0)
    }

    fn write(
        &mut self,
        _: RegionOffset,
        value: u64,
        _: AccessSize,
        _: &mut AccessCx,
    ) -> Result<(), BusError> {
        (self.0)(value)
    }

    fn reset(&mut self) {}
}

fn machine(config: EngineConfig) -> Machine {
    Machine::new(BoardConfig::default(), config).expect("a machine")
}

/// Adds a region in front of what the board has there.
fn add(machine: &Machine, at: u32, spec: RegionSpec) -> RegionId {
    let region = machine.map().add(spec).expect("the map takes it");
    let mut txn = machine.map().txn();
    let front = Placement::Overlap { priority: 2 };
    txn.attach(machine.board().system(), u64::from(at), region, front).expect("it is free");
    txn.commit().expect("nobody refuses");
    region
}

/// Adds the register, which edits the map when it is written.
fn add_register(
    machine: &Machine,
    mut edit: impl FnMut(&MemoryMap, u64) -> Result<(), memory::MapError> + Send + 'static,
) {
    let map = machine.map().clone();
    let write = move |value| edit(&map, value).map_err(|_| BusError::Device(1));
    let rules = AccessRules::new().valid(4, 4).implemented(4, 4).little_endian();
    add(
        machine,
        REGISTER,
        RegionSpec::mmio("register", u64::from(PAGE), Device::new(Register(write)), rules),
    );
}

/// Runs from [`CODE`] to a HLT.
fn run(machine: &mut Machine) {
    start(machine);
    go(machine);
}

fn start(machine: &mut Machine) {
    let cpu = machine.engine_mut().cpu_mut();
    cpu.set_flat_protected(CODE);
    cpu.state.gpr[4] = u64::from(STACK);
}

fn go(machine: &mut Machine) {
    let stop = machine.run(Some(10_000_000));
    assert!(matches!(stop, Stop::Halted(_)), "{stop:?}");
}

fn put(machine: &Machine, at: u32, bytes: &[u8]) {
    assert!(machine.memory().write_rom(u64::from(at), bytes).is_empty(), "memory at {at:#x}");
}

fn gpr(machine: &Machine, n: usize) -> u32 {
    machine.engine().cpu().state.gpr[n] as u32
}

/// Two banks of a page, of which the register shows one in the window. Each holds a function that stores to the register
/// and goes on in the bank that is shown then, and a dword of data.
fn add_banks(machine: &Machine) {
    let banks = machine.map().add(RegionSpec::ram("banks", 2 * u64::from(PAGE))).expect("memory");
    let alias = add(machine, WINDOW, RegionSpec::alias("window", banks, 0, u64::from(PAGE)));
    let block = machine.map().ram_block(banks).expect("RAM");
    for bank in 0..2u32 {
        let mut code = Code::at(WINDOW);
        code.op(&[0xa3], REGISTER); // mov [REGISTER], eax
        code.op(&[0xbb], 0x10 + bank); // mov ebx, 0x10 + bank
        code.put(&[0x01, 0xda, 0xc3]); // add edx, ebx; ret
        let start = u64::from(bank * PAGE);
        assert!(block.write(start, &code.bytes()));
        assert!(block.write(start + 0x100, &(0x1000 * (bank + 1)).to_le_bytes()));
    }
    add_register(machine, move |map, value| {
        let mut txn = map.txn();
        txn.slide_alias(alias, value * u64::from(PAGE))?;
        txn.commit().expect("nobody refuses");
        Ok(())
    });
}

#[test]
fn item_108_the_instruction_after_a_remap_sees_the_new_map() {
    for (name, config) in executors() {
        let mut machine = machine(config);
        add_banks(&machine);
        let mut code = Code::at(CODE);
        code.op(&[0xb9], 40).put(&[0x31, 0xd2]); // mov ecx, 40; xor edx, edx
        code.label("loop").put(&[0x89, 0xc8, 0x6b, 0xc0, 3]); // mov eax, ecx; imul eax, eax, 3
        code.put(&[0xc1, 0xe8, 1, 0x83, 0xe0, 1]); // shr eax, 1; and eax, 1
        code.to(&[0xe8], WINDOW); // call WINDOW
        code.op(&[0x03, 0x15], WINDOW + 0x100); // add edx, [WINDOW + 0x100]
        code.put(&[0x83, 0xf0, 1]).op(&[0xa3], REGISTER); // xor eax, 1; mov [REGISTER], eax
        code.op(&[0x03, 0x15], WINDOW + 0x100); // add edx, [WINDOW + 0x100]
        code.put(&[0x49]).near(&[0x0f, 0x85], "loop").put(&[0xf4]); // dec ecx; jnz loop; hlt
        put(&machine, CODE, &code.bytes());
        run(&mut machine);
        let each = |ecx: u32| 0x10 + ((ecx * 3 / 2) & 1) + 0x1000 + 0x2000;
        assert_eq!(gpr(&machine, 2), (1..=40).map(each).sum::<u32>(), "{name}");
    }
}

#[test]
fn item_108_code_in_the_middle_of_a_page_is_covered_and_seen_again() {
    for (name, config) in executors() {
        let mut machine = machine(config);
        let page = add(&machine, WINDOW, RegionSpec::ram("page", u64::from(PAGE)));
        let patch = add(&machine, WINDOW + 0x800, RegionSpec::ram("patch", 0x100));
        for (region, at, value) in [(page, 0x800, 1), (patch, 0, 0x100)] {
            let block = machine.map().ram_block(region).expect("RAM");
            assert!(block.write(at, &Code::at(0).op(&[0xb8], value).put(&[0xc3]).bytes())); // mov eax, ...; ret
        }
        add_register(&machine, move |map, value| {
            let mut txn = map.txn();
            txn.set_enabled(patch, value & 1 != 0)?;
            txn.commit().expect("nobody refuses");
            Ok(())
        });
        let mut code = Code::at(CODE);
        code.op(&[0xb9], 40).put(&[0x31, 0xd2]); // mov ecx, 40; xor edx, edx
        code.label("loop").put(&[0x89, 0xc8, 0xc1, 0xe8, 2]); // mov eax, ecx; shr eax, 2
        code.op(&[0xa3], REGISTER).to(&[0xe8], WINDOW + 0x800); // mov [REGISTER], eax; call ...
        code.put(&[0x01, 0xc2, 0x49]).near(&[0x0f, 0x85], "loop").put(&[0xf4]); // add edx, eax; dec ecx; jnz; hlt
        put(&machine, CODE, &code.bytes());
        run(&mut machine);
        let each = |ecx: u32| if (ecx >> 2) & 1 != 0 { 0x100 } else { 1 };
        assert_eq!(gpr(&machine, 2), (1..=40).map(each).sum::<u32>(), "{name}");
    }
}

#[test]
fn item_109_moving_a_window_eighty_times_costs_its_own_page_alone() {
    for (name, config) in executors() {
        let mut machine = machine(config);
        let rules = AccessRules::new().little_endian();
        let nothing = Device::new(Register(|_| Ok(())));
        let bar = add(&machine, WINDOW, RegionSpec::mmio("bar", u64::from(PAGE), nothing, rules));
        add_register(&machine, move |map, value| {
            let mut txn = map.txn();
            txn.move_to(bar, value)?;
            txn.commit().expect("nobody refuses");
            Ok(())
        });
        let mut code = Code::at(CODE);
        code.op(&[0xb9], 80).put(&[0x31, 0xd2]); // mov ecx, 80; xor edx, edx
        code.label("loop").put(&[0x89, 0xc8, 0xc1, 0xe0, 12]); // mov eax, ecx; shl eax, 12
        code.op(&[0x05], WINDOW).op(&[0xa3], REGISTER); // add eax, WINDOW; mov [REGISTER], eax
        code.put(&[0x03, 0x10]); // add edx, [eax]
        for page in 0..16u32 {
            code.op(&[0xff, 0x05], 0x30_0000 + page * PAGE); // inc dword [...]
        }
        code.put(&[0x49]).near(&[0x0f, 0x85], "loop").put(&[0xf4]); // dec ecx; jnz loop; hlt
        put(&machine, CODE, &code.bytes());
        // What is cold is compiled, and what turns out to be slow is made anew, the first time.
        run(&mut machine);
        start(&mut machine);
        let (before, mmu) = (machine.engine().stats(), machine.engine().cpu().mmu.stats());
        go(&mut machine);
        let (after, mmu_after) = (machine.engine().stats(), machine.engine().cpu().mmu.stats());
        assert_eq!(after.map_changes - before.map_changes, 80, "{name}");
        let lost = |stats: engine::Stats| {
            let dropped =
                stats.dropped_code_write + stats.dropped_range + stats.dropped_slow + stats.dropped_variants;
            stats.severed_by_map + stats.evicted + stats.flushes + dropped
        };
        assert_eq!((lost(after), after.units), (lost(before), before.units), "{name}: translations");
        assert_eq!(mmu_after.flushes, mmu.flushes, "{name}: TLB flushes");
        let dropped = mmu_after.dropped_by_map - mmu.dropped_by_map;
        assert!(dropped <= 80, "{name}: {dropped} TLB entries for 80 moves of one page");
        assert_eq!(gpr(&machine, 2), 0, "the window answers, not the bus that floats");
    }
}

/// `mov eax, v; mov edx, 0xcf8; out dx, eax; mov al, pam; mov dx, 0xcfe; out dx, al`: PAM register 5a.
fn set_pam(code: &mut Code, value: u8) {
    code.op(&[0xb8], 0x8000_0058).op(&[0xba], 0xcf8).put(&[0xef, 0xb0, value]);
    code.op(&[0xba], 0xcfe).put(&[0xee]);
}

#[test]
fn item_110_a_bios_that_is_switched_back_finds_its_translations() {
    const FUNCTIONS: u32 = 100;
    let address = |number: u32| 0xc_0000 + number * 64;
    let config = EngineConfig { unit_limit: 2, ..tests::translated() };
    let mut machine = machine(config);
    // ROM is shown after reset, RAM behind it with both enables set; its functions count double.
    for (pam, factor) in [(0x30, 1), (0x33, 2)] {
        let mut code = Code::at(CODE);
        set_pam(&mut code, pam);
        put(&machine, CODE, code.put(&[0xf4]).bytes().as_slice());
        run(&mut machine);
        for number in 0..FUNCTIONS {
            let function = Code::at(0).op(&[0x05], number * factor).put(&[0xc3]).bytes(); // add eax, ...; ret
            put(&machine, address(number), &function);
        }
    }
    let mut units = Vec::new();
    for switch in 0..10u32 {
        let (pam, factor) = if switch % 2 == 0 { (0x30, 1) } else { (0x33, 2) };
        // Each switch has code of its own, so that the functions alone could be found again.
        let mut code = Code::at(CODE + 0x1_0000 * switch);
        set_pam(&mut code, pam);
        code.put(&[0x31, 0xc0]); // xor eax, eax
        for number in 0..FUNCTIONS {
            code.to(&[0xe8], address(number));
        }
        code.put(&[0xf4]);
        put(&machine, CODE + 0x1_0000 * switch, &code.bytes());
        let cpu = machine.engine_mut().cpu_mut();
        cpu.set_flat_protected(CODE + 0x1_0000 * switch);
        cpu.state.gpr[4] = 0x9000;
        assert!(matches!(machine.run(None), Stop::Halted(_)));
        assert_eq!(gpr(&machine, 0), factor * (0..FUNCTIONS).sum::<u32>(), "switch {switch}");
        let compiled = machine.engine().translations();
        units.push(
            compiled.iter().filter(|unit| (address(0)..address(FUNCTIONS)).contains(&unit.eip)).count(),
        );
    }
    assert_eq!(units, [vec![FUNCTIONS as usize], vec![2 * FUNCTIONS as usize; 9]].concat());
    assert_eq!(machine.engine().stats().evicted, 0);
}

/// Who writes to code that has run.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Writer {
    /// A store of the guest.
    Store,
    /// The same through an alias of its page.
    Alias,
    /// A string instruction.
    Movs,
    /// The bus master.
    Dma,
}

/// Appends what writes the dword at 0x30_0000 to `to`.
fn write(code: &mut Code, writer: Writer, to: u32) {
    match writer {
        Writer::Store => {
            code.op(&[0x8b, 0x35], 0x30_0000).op(&[0x89, 0x35], to); // mov esi, [...]; mov [to], esi
        }
        Writer::Alias => {
            code.op(&[0x8b, 0x35], 0x30_0000).op(&[0x89, 0x35], to - CODE + WINDOW);
        }
        Writer::Movs => {
            code.op(&[0xbe], 0x30_0000).op(&[0xbf], to).put(&[0xa5]); // mov esi, ...; mov edi, to; movsd
        }
        Writer::Dma => {
            for (register, value) in [(0, 0x30_0000), (4, to), (8, 4), (12, 1)] {
                code.op(&[0xc7, 0x05], DMA + register).word(value); // mov dword [...], value
            }
        }
    }
}

#[test]
fn item_111_code_that_is_written_is_run_as_it_is_now() {
    // A function in a block of its own, in the block that writes, and across two pages.
    for place in [CODE + 0x800, 0, CODE + PAGE - 3] {
        for writer in [Writer::Store, Writer::Alias, Writer::Movs, Writer::Dma] {
            for (name, config) in executors() {
                let mut machine = machine(config);
                let (ram, len) = (machine.board().ram(), u64::from(4 * PAGE));
                add(&machine, WINDOW, RegionSpec::alias("alias", ram, u64::from(CODE), len));
                let mut code = Code::at(CODE);
                code.op(&[0xb9], 30).put(&[0x31, 0xd2]); // mov ecx, 30; xor edx, edx
                code.label("loop").op(&[0x89, 0x0d], 0x30_0000); // mov [0x30_0000], ecx
                // Where the code goes on behind the store.
                let mut trial = code.clone();
                write(&mut trial, writer, CODE);
                let own = trial.here();
                let at = if place == 0 { own } else { place };
                write(&mut code, writer, at + 1);
                if place == 0 {
                    assert_eq!(code.here(), at);
                    code.op(&[0xb8], 0x7777); // mov eax, ...
                } else {
                    code.to(&[0xe8], at); // call
                }
                code.put(&[0x01, 0xc2, 0x49]).near(&[0x0f, 0x85], "loop").put(&[0xf4]); // add edx, eax; dec ecx; jnz
                put(&machine, CODE, &code.bytes());
                if place != 0 {
                    put(&machine, at, &Code::at(at).op(&[0xb8], 0x7777).put(&[0xc3]).bytes());
                }
                run(&mut machine);
                assert_eq!(gpr(&machine, 2), (1..=30).sum::<u32>(), "{name}, {writer:?}, {at:#x}");
            }
        }
    }
}

#[test]
fn item_111_code_that_the_host_writes_is_run_as_it_is_now() {
    for (name, config) in executors() {
        let mut machine = machine(config);
        let load = |machine: &Machine, value: u32| {
            put(machine, CODE, &Code::at(CODE).op(&[0xb8], value).put(&[0xf4]).bytes());
        };
        load(&machine, 1);
        run(&mut machine);
        assert_eq!(gpr(&machine, 0), 1, "{name}");
        load(&machine, 2);
        run(&mut machine);
        assert_eq!(gpr(&machine, 0), 2, "{name}: as a loader writes");
        let outcome = machine.memory().write(u64::from(CODE) + 1, &3u32.to_le_bytes(), &mut AccessCx::dma());
        assert!(outcome.is_ok());
        run(&mut machine);
        assert_eq!(gpr(&machine, 0), 3, "{name}: as a debugger writes");
    }
}

#[test]
fn item_112_data_beside_code_costs_no_translation() {
    let mut machine = machine(tests::translated());
    let stores_to = |machine: &mut Machine, address: u32| {
        let mut code = Code::at(CODE);
        code.op(&[0xb9], 1000); // mov ecx, 1000
        code.label("loop").op(&[0x89, 0x0d], address); // mov [address], ecx
        code.put(&[0x49]).near(&[0x0f, 0x85], "loop").put(&[0xf4]); // dec ecx; jnz loop; hlt
        put(machine, CODE, &code.bytes());
        run(machine);
        let before = machine.engine().stats();
        run(machine);
        let after = machine.engine().stats();
        (after.dropped_code_write - before.dropped_code_write, after.units - before.units)
    };
    // The code takes 18 bytes of the first line.
    assert_eq!(stores_to(&mut machine, CODE + 64), (0, 0), "the line behind");
    assert_eq!(stores_to(&mut machine, CODE + PAGE - 4), (0, 0), "the end of the page");
    let (dropped, _) = stores_to(&mut machine, CODE + 32);
    assert!(dropped > 0, "the line of the code itself");
}

#[test]
fn item_113_a_fault_behind_a_callback_leaves_the_state_before_the_instruction() {
    // Paging: 4 MiB pages, of which that of the stack is missing.
    const DIRECTORY: u32 = 0x40_0000;
    for (name, config) in executors() {
        let mut machine = machine(config);
        let reads = std::sync::Arc::new(std::sync::atomic::AtomicU32::new(0));
        let counter = Counter(std::sync::Arc::clone(&reads));
        let rules = AccessRules::new().valid(4, 4).implemented(4, 4).little_endian();
        add(&machine, REGISTER, RegionSpec::mmio("counter", u64::from(PAGE), Device::new(counter), rules));
        for page in [0, REGISTER >> 22] {
            put(&machine, DIRECTORY + 4 * page, &(page << 22 | 0x83).to_le_bytes());
        }
        let mut code = Code::at(CODE);
        for (value, register) in [(DIRECTORY, 3u8), (0x10, 4), (0x8000_0001, 0)] {
            code.op(&[0xb8], value).put(&[0x0f, 0x22, 0xc0 | register << 3]); // mov eax, ...; mov crN, eax
        }
        code.op(&[0xbc], 0x800_0000).op(&[0xbb], 7); // mov esp, where nothing is; mov ebx, 7
        code.put(&[0x01, 0xdb]); // add ebx, ebx
        code.label("push").op(&[0xff, 0x35], REGISTER); // push dword [REGISTER]
        code.op(&[0xbb], 9).put(&[0xf4]); // mov ebx, 9; hlt
        put(&machine, CODE, &code.bytes());
        // Without an IDT the fault ends the guest; what it leaves is the state before the instruction.
        machine.engine_mut().cpu_mut().set_flat_protected(CODE);
        let stop = machine.run(Some(1000));
        assert!(matches!(stop, Stop::Shutdown(_)), "{name}: {stop:?}");
        assert_eq!(reads.load(std::sync::atomic::Ordering::Relaxed), 1, "{name}: the device was read once");
        let state = &machine.engine().cpu().state;
        assert_eq!((state.gpr[4], state.gpr[3]), (0x800_0000, 14), "{name}: ESP and EBX");
        assert_eq!(state.eip, code.address("push"), "{name}: EIP");
        assert_eq!(state.cr2, 0x800_0000 - 4, "{name}: CR2");
    }
}

/// Counts its reads.
struct Counter(std::sync::Arc<std::sync::atomic::AtomicU32>);

impl MmioDevice for Counter {
    fn read(&mut self, _: RegionOffset, _: AccessSize, _: &mut AccessCx) -> Result<u64, BusError> {
        self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        Ok(0x55)
    }

    fn write(&mut self, _: RegionOffset, _: u64, _: AccessSize, _: &mut AccessCx) -> Result<(), BusError> {
        Ok(())
    }

    fn reset(&mut self) {}
}
