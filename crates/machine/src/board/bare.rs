//! The board `bare`: QEMU's `pc` as far as a small kernel can tell, and test devices that no PC has.
//!
//! DEVICES, memory:
//!
//! | address | bytes | what |
//! |---|---|---|
//! | 00000000 | a0000 | RAM |
//! | 000a0000 | 20000 | nothing: hole of the `pci` container |
//! | 000c0000 | 40000 | ROM `pc.rom`, a fixed pattern; the PAM windows of the 440FX show RAM in front of it |
//! | 00100000 | to the end of RAM | RAM |
//! | d1000000 | 10000 | window on one of 16 banks of `bank.ram` |
//! | fb000000 | 10000 | `reserved`: a name and nobody who answers |
//! | fc000000 | 100000 | window of the IOMMU onto this space |
//! | fd000000 | 100000 | flash |
//! | fe000000 | 1000 | test block |
//! | fe001000 | 1 | bank register |
//! | fe002000 | 1000 | IOMMU registers |
//! | fe003000 | 1000 | test bus master |
//! | fec00000 | 1000 | I/O APIC registers |
//!
//! DEVICES, ports:
//!
//! | port | ports | what |
//! |---|---|---|
//! | 20, a0 | 2 each | 8259A pair |
//! | 40 | 4 | 8254; counter 0 drives IRQ 0 |
//! | 61 | 1 | system control port B |
//! | 80 | 1 | POST code |
//! | e9 | 1 | debug console |
//! | f4 | 4 | `isa-debug-exit` |
//! | 3f8 | 8 | COM1, 16550; IRQ 4 |
//! | 4d0 | 2 | ELCR |
//! | cf8, cfc | 4 each | PCI configuration; the 440FX is function 0 of device 0 |
//!
//! Windows above RAM have priority 1, so they hide RAM that reaches as far. Ports that nobody answers read as ones;
//! memory that nobody answers reads as ones too, unless [`BoardConfig::unassigned`] says zeros, as QEMU does.
//! The bus master reaches the IOMMU's bus addresses through a space of its own, `iommu-bus`.
//! Not modelled of a PC: everything that the tables do not list (DMA controller, keyboard, clock, VGA, disks, BIOS).
//! Source: QEMU's `info mtree` for machine `pc`; 82441FX data sheet.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use cpu::CpuLinks;
use devices::bank::{BankSwitch, BankWindow};
use devices::debug_exit::{self, DebugExit};
use devices::debugcon::{self, Debugcon};
use devices::flash::{Flash, FlashError};
use devices::i440fx::{self, I440fx, PAM_WINDOWS, PamOverlays};
use devices::i8254::{self, I8254};
use devices::i8259::{self, I8259Pair, PicInputs};
use devices::ioapic::{self, IoApic};
use devices::iommu::{self, IommuRegisters, PageTable, PagedIommu};
use devices::pci::{self, DevFn, PciHost};
use devices::port61::{self, PitChannel2, Port61};
use devices::scratch::{self, ScratchPort};
use devices::test_block::{self, TestBlock};
use devices::test_dma::{self, TestDma};
use devices::uart16550::{self, Uart16550};
use devices::{ByteSink, Clock, Doorbell, GuestClock, IrqLine, bank};
use memory::{
    AddressSpace, BusDomain, CommitError, Device, MapError, MapTxn, MemoryMap, MmioHandler, Placement,
    RamBlock, RegionId, RegionSize, RegionSpec, SpaceConfig, UnassignedPolicy,
};

use crate::platform::{BoardPlatform, ExitLatch, NoSink};

/// First address of the devices' hole below 1 MiB: the end of low RAM.
pub const LOW_RAM_END: u64 = 0xa_0000;
/// Where high RAM begins.
pub const HIGH_RAM: u64 = 0x10_0000;
/// Least RAM that the board can have.
pub const RAM_MIN: u64 = HIGH_RAM;
/// Most RAM: what is above belongs to devices.
pub const RAM_MAX: u64 = 0xe000_0000;
/// RAM unless [`BoardConfig::ram_bytes`] says otherwise.
pub const RAM_DEFAULT: u64 = 64 << 20;

const ROM: u64 = 0xc_0000;
const ROM_LEN: u64 = 0x4_0000;
const BANK_WINDOW: u64 = 0xd100_0000;
const BANK_LEN: u64 = 0x1_0000;
const BANKS: u16 = 16;
const RESERVED: u64 = 0xfb00_0000;
const RESERVED_LEN: u64 = 0x1_0000;
const IOMMU_WINDOW: u64 = 0xfc00_0000;
const IOMMU_LEN: u64 = (iommu::PAGES as u64) << base::PAGE_SHIFT;
const FLASH: u64 = 0xfd00_0000;
const FLASH_LEN: u64 = 0x10_0000;
const TEST_BLOCK: u64 = 0xfe00_0000;
const BANK_REGISTER: u64 = 0xfe00_1000;
const IOMMU_REGISTERS: u64 = 0xfe00_2000;
const TEST_DMA: u64 = 0xfe00_3000;
const IOAPIC: u64 = 0xfec0_0000;

const PORTS_LEN: u64 = 0x1_0000;
const PIC_MASTER: u64 = 0x20;
const PIC_SLAVE: u64 = 0xa0;
const PIT: u64 = 0x40;
const PORT_B: u64 = 0x61;
const POST: u64 = 0x80;
const DEBUGCON: u64 = 0xe9;
const DEBUG_EXIT: u64 = 0xf4;
const COM1: u64 = 0x3f8;
const ELCR: u64 = 0x4d0;
const PCI_ADDRESS: u64 = 0xcf8;
const PCI_DATA: u64 = 0xcfc;

/// Input of the interrupt controllers that the timer drives.
pub(crate) const PIT_IRQ: u8 = 0;
const COM1_IRQ: u8 = 4;

/// In front of RAM, which is exclusive among its siblings and so has priority 0.
const IN_FRONT: Placement = Placement::Overlap { priority: 1 };
/// Behind everything, as QEMU's `pci` container is.
const BEHIND: Placement = Placement::Overlap { priority: -1 };

/// What a board can be told.
#[derive(Clone)]
pub struct BoardConfig {
    /// Bytes of RAM, whole pages from [`RAM_MIN`] to [`RAM_MAX`].
    pub ram_bytes: u64,
    /// Where COM1's bytes go.
    pub serial: Arc<dyn ByteSink>,
    /// Where the debug console's bytes go.
    pub debugcon: Arc<dyn ByteSink>,
    /// What memory that nobody answers reads as.
    pub unassigned: UnassignedPolicy,
}

impl Default for BoardConfig {
    fn default() -> Self {
        Self {
            ram_bytes: RAM_DEFAULT,
            serial: Arc::new(NoSink),
            debugcon: Arc::new(NoSink),
            unassigned: UnassignedPolicy::Ones,
        }
    }
}

/// Why a board could not be made.
#[derive(Debug, thiserror::Error)]
pub enum BoardError {
    /// The amount of RAM does not suit the board.
    #[error(
        "{bytes:#x} bytes of RAM; the board takes whole pages of 0x1000 bytes, from {RAM_MIN:#x} to {RAM_MAX:#x} bytes \
         (-m 1M to 3584M)"
    )]
    RamSize {
        /// Bytes asked for.
        bytes: u64,
    },
    /// The memory map refused a region; for RAM, the host has no room for it.
    #[error(transparent)]
    Map(#[from] MapError),
    /// The memory map could not be published.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// The flash could not be made.
    #[error(transparent)]
    Flash(#[from] FlashError),
}

/// The board with its chips.
pub struct BareBoard {
    map: Emptied,
    system: RegionId,
    ram: RegionId,
    memory: AddressSpace,
    ports: AddressSpace,
    iommu_bus: AddressSpace,
    blocks: Vec<Arc<RamBlock>>,
    chips: Chips,
    platform: Arc<BoardPlatform>,
    ram_bytes: u64,
}

/// Empties the map in the end: devices hold the map and spaces, whose views hold the devices.
struct Emptied(MemoryMap);

impl Drop for Emptied {
    fn drop(&mut self) {
        // A refusal costs memory, not correctness: nobody uses the map any more.
        let _refused = self.0.clear();
    }
}

/// The chips that have wires, and the wires.
struct Chips {
    clock: GuestClock,
    bell: Doorbell,
    pic: Arc<Device<I8259Pair>>,
    pit: Arc<Device<I8254>>,
    uart: Arc<Device<Uart16550>>,
    exit: Arc<ExitLatch>,
}

impl Chips {
    fn new(serial: Arc<dyn ByteSink>) -> Self {
        let (clock, bell) = (GuestClock::new(), Doorbell::new());
        let inputs = PicInputs::new(bell.clone());
        let time: Arc<dyn Clock> = Arc::new(clock.clone());
        Self {
            pit: Device::new(I8254::new(time, inputs.line(PIT_IRQ), bell.clone())),
            uart: Device::new(Uart16550::new(inputs.line(COM1_IRQ), serial)),
            // The run loop asks the pair itself, so its INTR leads nowhere.
            pic: Device::new(I8259Pair::new(inputs, IrqLine::unconnected())),
            exit: ExitLatch::new(bell.clone()),
            clock,
            bell,
        }
    }
}

/// A map under construction: one transaction for the whole board.
struct Build<'a> {
    map: &'a MemoryMap,
    txn: MapTxn,
}

impl Build<'_> {
    fn add(
        &mut self,
        parent: RegionId,
        at: u64,
        spec: RegionSpec,
        how: Placement,
    ) -> Result<RegionId, MapError> {
        let region = self.map.add(spec)?;
        self.txn.attach(parent, at, region, how)?;
        Ok(region)
    }
}

impl BareBoard {
    /// Builds the board; RAM is zero.
    ///
    /// # Errors
    /// An amount of RAM that does not suit the board; no host memory.
    pub fn new(config: BoardConfig) -> Result<Self, BoardError> {
        let BoardConfig { ram_bytes, serial, debugcon, unassigned } = config;
        if !(RAM_MIN..=RAM_MAX).contains(&ram_bytes) || !ram_bytes.is_multiple_of(base::PAGE_SIZE) {
            return Err(BoardError::RamSize { bytes: ram_bytes });
        }
        let map = Emptied(MemoryMap::new());
        let memory_config = SpaceConfig::memory(unassigned);
        let port_config = SpaceConfig::ports(UnassignedPolicy::Ones);
        let system = map.0.add(RegionSpec::container("system", RegionSize::WHOLE))?;
        let io = map.0.add(RegionSpec::reservation("io", PORTS_LEN))?;
        let bus = map.0.add(RegionSpec::container("iommu-bus", 1 << 32))?;
        let memory = map.0.space(system, "memory", memory_config)?;
        let ports = map.0.space(io, "I/O", port_config)?;
        let iommu_bus = map.0.space(bus, "iommu-bus", memory_config)?;

        let chips = Chips::new(serial);
        let mut build = Build { map: &map.0, txn: map.0.txn() };
        let mut blocks = place_memory(&mut build, system, ram_bytes)?;
        let bridge = place_pam(&mut build, system, blocks[0].0)?;
        blocks.push(place_bank(&mut build, system)?);
        blocks.push(place_flash(&mut build, system)?);
        place_iommu_and_dma(&mut build, (system, &memory), (bus, &iommu_bus))?;
        place_plain(&mut build, system)?;
        place_ports(&mut build, io, &chips, debugcon, bridge)?;
        build.txn.commit()?;

        let platform = Arc::new(BoardPlatform {
            pic: Arc::clone(&chips.pic),
            pit: Arc::clone(&chips.pit),
            exit: Arc::clone(&chips.exit),
            stop: Arc::new(AtomicBool::new(false)),
        });
        let ram = blocks[0].0;
        let blocks = blocks.into_iter().map(|(_, block)| block).collect();
        Ok(Self { map, system, ram, memory, ports, iommu_bus, blocks, chips, platform, ram_bytes })
    }

    /// The memory map.
    #[must_use]
    pub fn map(&self) -> &MemoryMap {
        &self.map.0
    }

    /// The container whose address 0 is physical address 0: what is attached here, the guest sees. RAM has priority 0
    /// in it, devices stand in front with priority 1.
    #[must_use]
    pub fn system(&self) -> RegionId {
        self.system
    }

    /// The RAM, which the guest sees through aliases.
    #[must_use]
    pub fn ram(&self) -> RegionId {
        self.ram
    }

    /// Memory as the processor sees it.
    #[must_use]
    pub fn memory(&self) -> &AddressSpace {
        &self.memory
    }

    /// The I/O ports.
    #[must_use]
    pub fn ports(&self) -> &AddressSpace {
        &self.ports
    }

    /// The IOMMU's bus addresses.
    #[must_use]
    pub fn iommu_bus(&self) -> &AddressSpace {
        &self.iommu_bus
    }

    /// Bytes of RAM.
    #[must_use]
    pub fn ram_bytes(&self) -> u64 {
        self.ram_bytes
    }

    /// All RAM and ROM, in the order of their hash: `pc.ram`, `pc.rom`, `bank.ram`, `flash`.
    #[must_use]
    pub fn blocks(&self) -> &[Arc<RamBlock>] {
        &self.blocks
    }

    /// What a processor is connected to on this board.
    #[must_use]
    pub fn links(&self) -> CpuLinks {
        CpuLinks {
            memory: self.memory.clone(),
            ports: self.ports.clone(),
            code_writes: self.map.0.code_writes(),
            attention: self.chips.bell.word(),
            time_ns: self.chips.clock.cell(),
        }
    }

    /// What the run loop is connected to.
    #[must_use]
    pub fn platform(&self) -> Arc<BoardPlatform> {
        Arc::clone(&self.platform)
    }

    /// The flag that ends a run from outside: [`engine::Stop::Requested`] within a slice.
    #[must_use]
    pub fn stop_flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.platform.stop)
    }

    /// Bytes from the host for COM1; returns how many were taken.
    pub fn serial_input(&self, bytes: &[u8]) -> usize {
        self.chips.uart.lock().push_input(bytes)
    }
}

/// A region with RAM, and the RAM.
type Backed = (RegionId, Arc<RamBlock>);

fn backed(build: &Build<'_>, region: RegionId) -> Backed {
    (region, build.map.ram_block(region).expect("RAM, ROM and ROM devices have a RAM block"))
}

/// RAM, the `pci` container behind it, and the ROM there. The first block is RAM, the second one ROM.
fn place_memory(build: &mut Build<'_>, system: RegionId, ram_bytes: u64) -> Result<Vec<Backed>, MapError> {
    let ram = build.map.add(RegionSpec::ram("pc.ram", ram_bytes))?;
    let low = RegionSpec::alias("ram-low", ram, 0, LOW_RAM_END);
    build.add(system, 0, low, Placement::Exclusive)?;
    if ram_bytes > HIGH_RAM {
        let high = RegionSpec::alias("ram-high", ram, HIGH_RAM, ram_bytes - HIGH_RAM);
        build.add(system, HIGH_RAM, high, Placement::Exclusive)?;
    }
    let pci = build.add(system, 0, RegionSpec::container("pci", RegionSize::WHOLE), BEHIND)?;
    let rom = build.add(pci, ROM, RegionSpec::rom("pc.rom", ROM_LEN), Placement::Exclusive)?;
    let blocks = vec![backed(build, ram), backed(build, rom)];
    let written = blocks[1].1.write(0, &rom_pattern());
    debug_assert!(written, "the pattern is as long as the ROM");
    Ok(blocks)
}

/// What the ROM holds: each dword is its own offset, scrambled, so that no two places look alike.
fn rom_pattern() -> Vec<u8> {
    (0..ROM_LEN as u32 / 4)
        .flat_map(|word| word.wrapping_mul(0x9e37_79b1).rotate_left(7).to_le_bytes())
        .collect()
}

/// The windows that show RAM in front of ROM, all of them off, and the bridge that controls them.
fn place_pam(build: &mut Build<'_>, system: RegionId, ram: RegionId) -> Result<I440fx, MapError> {
    let mut windows = [ram; PAM_WINDOWS];
    for (index, window) in windows.iter_mut().enumerate() {
        let (at, len) = i440fx::pam_window(index);
        *window = build.add(system, at, RegionSpec::alias(&format!("pam-{at:x}"), ram, at, len), IN_FRONT)?;
        build.txn.set_enabled(*window, false)?;
    }
    Ok(I440fx::new(PamOverlays { map: build.map.clone(), windows }))
}

fn place_bank(build: &mut Build<'_>, system: RegionId) -> Result<Backed, MapError> {
    let banks = build.map.add(RegionSpec::ram("bank.ram", BANK_LEN * u64::from(BANKS)))?;
    let alias = build.add(system, BANK_WINDOW, RegionSpec::alias("bank", banks, 0, BANK_LEN), IN_FRONT)?;
    let window = BankWindow { map: build.map.clone(), alias, bank_len: BANK_LEN, banks: BANKS };
    let register = RegionSpec::mmio("bank-register", 1, Device::new(BankSwitch::new(window)), bank::RULES);
    build.add(system, BANK_REGISTER, register, IN_FRONT)?;
    Ok(backed(build, banks))
}

fn place_flash(build: &mut Build<'_>, system: RegionId) -> Result<Backed, BoardError> {
    let (region, _chip) = Flash::add_to(build.map, "flash", FLASH_LEN)?;
    build.txn.attach(system, FLASH, region, IN_FRONT)?;
    Ok(backed(build, region))
}

/// The IOMMU between `bus` and `system`, with a window for the processor, and the master that uses it.
fn place_iommu_and_dma(
    build: &mut Build<'_>,
    system: (RegionId, &AddressSpace),
    bus: (RegionId, &AddressSpace),
) -> Result<(), MapError> {
    let table = PageTable::new();
    let translator = PagedIommu::new(Arc::clone(&table), system.1.clone());
    let window = RegionSpec::iommu("iommu", IOMMU_LEN, translator);
    let iommu = build.add(system.0, IOMMU_WINDOW, window, IN_FRONT)?;
    build.add(bus.0, 0, RegionSpec::alias("iommu-dma", iommu, 0, IOMMU_LEN), Placement::Exclusive)?;
    let registers = Device::new(IommuRegisters::new(table));
    let spec = RegionSpec::mmio("iommu-registers", iommu::LEN, registers, iommu::RULES);
    build.add(system.0, IOMMU_REGISTERS, spec, IN_FRONT)?;
    let dma = Device::master(TestDma::new(system.1.clone(), bus.1.clone()), &BusDomain::new());
    let spec = RegionSpec::mmio("test-dma", test_dma::LEN, dma, test_dma::RULES);
    build.add(system.0, TEST_DMA, spec, IN_FRONT)?;
    Ok(())
}

/// Devices without wires.
fn place_plain(build: &mut Build<'_>, system: RegionId) -> Result<(), MapError> {
    build.add(system, RESERVED, RegionSpec::reservation("reserved", RESERVED_LEN), IN_FRONT)?;
    let block = Device::new(TestBlock::default());
    let spec = RegionSpec::mmio("test-block", test_block::LEN, block, test_block::RULES);
    build.add(system, TEST_BLOCK, spec, IN_FRONT)?;
    let spec = RegionSpec::mmio("ioapic", ioapic::LEN, Device::new(IoApic::default()), ioapic::RULES);
    build.add(system, IOAPIC, spec, IN_FRONT)?;
    Ok(())
}

fn place_ports(
    build: &mut Build<'_>,
    io: RegionId,
    chips: &Chips,
    debugcon: Arc<dyn ByteSink>,
    bridge: I440fx,
) -> Result<(), MapError> {
    let mut port = |at, spec| build.add(io, at, spec, Placement::Exclusive).map(drop);
    let pic = |name, base| {
        let chip = Arc::clone(&chips.pic) as Arc<dyn MmioHandler>;
        RegionSpec::mmio(name, i8259::window::LEN, chip, i8259::RULES).device_base(base)
    };
    port(PIC_MASTER, pic("pic-master", i8259::window::MASTER))?;
    port(PIC_SLAVE, pic("pic-slave", i8259::window::SLAVE))?;
    port(ELCR, pic("elcr", i8259::window::ELCR))?;
    port(PIT, RegionSpec::mmio("pit", i8254::LEN, Arc::clone(&chips.pit) as _, i8254::RULES))?;
    let speaker = Arc::new(PitChannel2(Arc::clone(&chips.pit)));
    let port_b = Device::new(Port61::new(speaker, Arc::new(chips.clock.clone())));
    port(PORT_B, RegionSpec::mmio("port61", 1, port_b, port61::RULES))?;
    port(POST, RegionSpec::mmio("post", 1, Device::new(ScratchPort::default()), scratch::RULES))?;
    port(DEBUGCON, RegionSpec::mmio("debugcon", 1, Device::new(Debugcon::new(debugcon)), debugcon::RULES))?;
    let exit = Device::new(DebugExit::new(Arc::clone(&chips.exit) as _));
    port(DEBUG_EXIT, RegionSpec::mmio("debug-exit", debug_exit::LEN, exit, debug_exit::RULES))?;
    port(COM1, RegionSpec::mmio("com1", uart16550::LEN, Arc::clone(&chips.uart) as _, uart16550::RULES))?;
    let functions = vec![(DevFn { device: 0, function: 0 }, Box::new(bridge) as _)];
    let host: Arc<dyn MmioHandler> = Device::new(PciHost::new(functions));
    for (at, name, base) in
        [(PCI_ADDRESS, "pci-address", pci::window::ADDRESS), (PCI_DATA, "pci-data", pci::window::DATA)]
    {
        let spec = RegionSpec::mmio(name, pci::window::LEN, Arc::clone(&host), pci::RULES);
        port(at, spec.device_base(base))?;
    }
    Ok(())
}

#[cfg(test)]
#[path = "bare_tests.rs"]
mod tests;
