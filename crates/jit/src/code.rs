//! Code memory: one shared memory file mapped twice, writable here and executable there.
//!
//! Ownership: the arena owns both mappings; an entry address is valid until the generation that holds it is
//! recycled, which the engine does only while no translated code runs. No page is ever writable and
//! executable in one mapping. Code reaches the arena through `cranelift-module` and `cranelift-jit` with
//! the memory provider below; one module for each generation.

use std::io;
use std::ptr::NonNull;
use std::sync::{Arc, Mutex};

use cranelift_codegen::isa::OwnedTargetIsa;
use cranelift_jit::{BranchProtection, JITBuilder, JITMemoryKind, JITMemoryProvider, JITModule};
use cranelift_module::{Module, ModuleResult, default_libcall_names};
use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

use crate::unit::{CompiledUnit, TranslateError};

/// Generations that code memory is divided into; the oldest is recycled when the newest is full.
pub const GENERATIONS: usize = 8;

/// The two mappings of the shared memory file.
struct DoubleMapping {
    write: NonNull<u8>,
    execute: NonNull<u8>,
    len: usize,
}

// SAFETY: the addresses are plain numbers to every thread; who writes where is decided by `CodeArena`.
unsafe impl Send for DoubleMapping {}
// SAFETY: as above.
unsafe impl Sync for DoubleMapping {}

impl DoubleMapping {
    fn new(len: usize) -> io::Result<Self> {
        let file = memfd_create("marquetry-code", MemfdFlags::CLOEXEC)?;
        ftruncate(&file, len as u64)?;
        let map = |protection| {
            // SAFETY: a fresh mapping at an address of the kernel's choice touches nothing that exists.
            unsafe { mmap(std::ptr::null_mut(), len, protection, MapFlags::SHARED, &file, 0) }
        };
        let write = map(ProtFlags::READ | ProtFlags::WRITE)?;
        let execute = map(ProtFlags::READ | ProtFlags::EXEC)?;
        let address = |at: *mut std::ffi::c_void| NonNull::new(at.cast()).ok_or(io::ErrorKind::OutOfMemory);
        Ok(Self { write: address(write)?, execute: address(execute)?, len })
    }
}

impl Drop for DoubleMapping {
    fn drop(&mut self) {
        for side in [self.write, self.execute] {
            // SAFETY: both mappings were made by `new` with this length, and the owner is going away.
            let unmapped = unsafe { munmap(side.as_ptr().cast(), self.len) };
            debug_assert!(unmapped.is_ok(), "a mapping of our own cannot fail to unmap");
        }
    }
}

/// A bump allocator over one generation's part of the arena.
struct Span {
    mapping: Arc<DoubleMapping>,
    start: usize,
    len: usize,
    used: usize,
}

/// The memory provider of one module: hands out writable addresses of its generation.
struct Provider(Arc<Mutex<Span>>);

impl JITMemoryProvider for Provider {
    fn allocate(&mut self, size: usize, align: u64, kind: JITMemoryKind) -> io::Result<*mut u8> {
        if !matches!(kind, JITMemoryKind::Executable) {
            return Err(io::Error::new(io::ErrorKind::Unsupported, "translations have no data"));
        }
        let mut span = self.0.lock().map_err(|_| io::ErrorKind::Other)?;
        let align = usize::try_from(align).map_err(|_| io::ErrorKind::InvalidInput)?;
        let offset = span.used.next_multiple_of(align);
        let end =
            offset.checked_add(size).filter(|end| *end <= span.len).ok_or(io::ErrorKind::OutOfMemory)?;
        span.used = end;
        // SAFETY: `start + offset + size` lies inside the mapping, as just checked.
        Ok(unsafe { span.mapping.write.as_ptr().add(span.start + offset) })
    }

    /// Nothing to free: the arena owns the memory.
    unsafe fn free_memory(&mut self) {}

    /// Nothing to do: the executable mapping always shows the code.
    fn finalize(&mut self, _branch_protection: BranchProtection) -> ModuleResult<()> {
        Ok(())
    }
}

struct Generation {
    module: JITModule,
    span: Arc<Mutex<Span>>,
}

/// Code memory.
pub struct CodeArena {
    mapping: Arc<DoubleMapping>,
    isa: OwnedTargetIsa,
    generations: Vec<Generation>,
    current: usize,
}

/// A unit's place in code memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placed {
    /// Host address of the entry.
    pub entry: u64,
    /// Generation that holds it.
    pub generation: usize,
}

impl CodeArena {
    /// Code memory of `bytes`, rounded up to whole pages for every generation.
    ///
    /// # Errors
    /// What the host says to the shared memory file and its two mappings.
    pub fn new(bytes: usize, isa: OwnedTargetIsa) -> io::Result<Self> {
        let each = (bytes / GENERATIONS).max(1).next_multiple_of(base::PAGE_SIZE as usize);
        let mapping = Arc::new(DoubleMapping::new(each * GENERATIONS)?);
        let generations = (0..GENERATIONS)
            .map(|n| {
                let span = Span { mapping: Arc::clone(&mapping), start: n * each, len: each, used: 0 };
                new_generation(&isa, Arc::new(Mutex::new(span)))
            })
            .collect();
        Ok(Self { mapping, isa, generations, current: 0 })
    }

    /// The generation that new code goes into.
    #[must_use]
    pub fn current(&self) -> usize {
        self.current
    }

    /// The generation that [`CodeArena::advance`] will recycle.
    #[must_use]
    pub fn next(&self) -> usize {
        (self.current + 1) % GENERATIONS
    }

    /// Makes the oldest generation the current one and forgets its code. The caller has unlinked and dropped
    /// every translation in it, and no translated code runs.
    pub fn advance(&mut self) {
        self.current = self.next();
        let span = Arc::clone(&self.generations[self.current].span);
        if let Ok(mut span) = span.lock() {
            span.used = 0;
        }
        self.generations[self.current] = new_generation(&self.isa, span);
    }

    /// Bytes of code in all generations.
    #[must_use]
    pub fn used(&self) -> usize {
        self.generations
            .iter()
            .filter_map(|generation| generation.span.lock().ok())
            .map(|span| span.used)
            .sum()
    }

    /// Places a unit, with `cells` as the host addresses of its cells, in the current generation.
    ///
    /// # Errors
    /// [`TranslateError::NoCodeMemory`] when the current generation is full.
    pub fn place(&mut self, unit: &CompiledUnit, cells: &[u64]) -> Result<Placed, TranslateError> {
        let mut code = unit.code.clone();
        for patch in &unit.patches {
            let at = patch.offset as usize;
            let cell = cells.get(patch.cell as usize).copied().unwrap_or_default();
            code[at..at + 8].copy_from_slice(&cell.to_le_bytes());
        }
        let full = |_| TranslateError::NoCodeMemory(code.len());
        let generation = &mut self.generations[self.current];
        let signature = crate::translate::unit_signature();
        let function = generation.module.declare_anonymous_function(&signature).map_err(full)?;
        generation.module.define_function_bytes(function, unit.align.max(16), &code, &[]).map_err(full)?;
        generation.module.finalize_definitions().map_err(full)?;
        let written = generation.module.get_finalized_function(function) as u64;
        let offset = written - self.mapping.write.as_ptr() as u64;
        Ok(Placed { entry: self.mapping.execute.as_ptr() as u64 + offset, generation: self.current })
    }
}

fn new_generation(isa: &OwnedTargetIsa, span: Arc<Mutex<Span>>) -> Generation {
    let mut builder = JITBuilder::with_isa(Arc::clone(isa), default_libcall_names());
    builder.memory_provider(Box::new(Provider(Arc::clone(&span))));
    Generation { module: JITModule::new(builder), span }
}
