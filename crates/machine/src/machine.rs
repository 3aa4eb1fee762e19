//! A board with an engine: make, load, run.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use cpu::Cpu;
use engine::{Engine, EngineConfig, Platform, Stop};
use memory::{AddressSpace, MemoryMap};

use crate::loader::{self, GuestRam, LoadError, Loaded};
use crate::{BareBoard, BoardConfig, BoardError, hash};

/// Numbers of general registers (SDM Vol. 2A, table 2-2).
const EAX: usize = 0;
const EBX: usize = 3;

/// Why a machine could not be made.
#[derive(Debug, thiserror::Error)]
pub enum MachineError {
    /// The board could not be made.
    #[error(transparent)]
    Board(#[from] BoardError),
    /// The host gave no code memory or no thread.
    #[error(
        "no {code_bytes:#x} bytes of code memory, or no thread to fill it: {error}; ask for less (--code-cache)"
    )]
    Engine {
        /// Code memory asked for.
        code_bytes: usize,
        /// What the host said.
        #[source]
        error: io::Error,
    },
}

/// The board `bare` with one processor.
pub struct Machine {
    // Dropped before the board: the processor holds views of the board's map.
    engine: Engine,
    board: BareBoard,
}

impl Machine {
    /// A machine whose processor is in its reset state, with nothing loaded.
    ///
    /// # Errors
    /// A board that cannot be made; what the host says to code memory.
    pub fn new(board: BoardConfig, engine: EngineConfig) -> Result<Self, MachineError> {
        let board = BareBoard::new(board)?;
        let platform: Arc<dyn Platform> = board.platform();
        let code_bytes = engine.code_bytes;
        let engine = Engine::new(Cpu::new(board.links()), platform, engine)
            .map_err(|error| MachineError::Engine { code_bytes, error })?;
        Ok(Self { engine, board })
    }

    /// Loads the image at `path` and puts the processor at its entry. The guest's command line is the path as given,
    /// a space and `append`.
    ///
    /// # Errors
    /// A file that cannot be read, or what [`Machine::load_bytes`] says.
    pub fn load(&mut self, path: &Path, append: &str) -> Result<Loaded, LoadError> {
        let bytes = loader::read(path)?;
        self.load_bytes(&path.to_string_lossy(), &bytes, append)
    }

    /// Loads an image that is called `name`, and puts the processor at its entry.
    ///
    /// # Errors
    /// An image of no known format, or one that contradicts itself or does not fit into RAM. Nothing has changed then.
    pub fn load_bytes(&mut self, name: &str, bytes: &[u8], append: &str) -> Result<Loaded, LoadError> {
        let ram = GuestRam::new(self.board.memory(), self.board.ram_bytes());
        let loaded = loader::load(name, bytes, append, &ram)?;
        let cpu = self.engine.cpu_mut();
        cpu.set_flat_protected(loaded.entry);
        cpu.state.gpr[EAX] = loaded.eax.into();
        cpu.state.gpr[EBX] = loaded.ebx.into();
        Ok(loaded)
    }

    /// Runs until something stops the guest, or `limit` instructions in all have completed.
    pub fn run(&mut self, limit: Option<u64>) -> Stop {
        self.engine.run(limit)
    }

    /// The engine.
    #[must_use]
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// The engine, to change it between runs.
    pub fn engine_mut(&mut self) -> &mut Engine {
        &mut self.engine
    }

    /// The board.
    #[must_use]
    pub fn board(&self) -> &BareBoard {
        &self.board
    }

    /// The memory map.
    #[must_use]
    pub fn map(&self) -> &MemoryMap {
        self.board.map()
    }

    /// Memory as the processor sees it.
    #[must_use]
    pub fn memory(&self) -> &AddressSpace {
        self.board.memory()
    }

    /// The flag that ends a run from outside.
    #[must_use]
    pub fn stop_flag(&self) -> Arc<AtomicBool> {
        self.board.stop_flag()
    }

    /// A hash of all RAM and ROM, to compare two runs of one guest.
    #[must_use]
    pub fn ram_hash(&self) -> u64 {
        hash::of_blocks(self.board.blocks().iter().map(|block| &**block))
    }
}

#[cfg(test)]
#[path = "machine_tests.rs"]
mod tests;
