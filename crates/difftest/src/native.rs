//! Runs one instruction on the host's processor, in 32-bit compatibility mode inside this process.
//!
//! A far return enters the 32-bit user code segment of Linux at a stub below 4 GiB. The stub loads the
//! registers and EFLAGS, runs the instruction, notes where control went, stores everything and jumps far back
//! to 64-bit code. There are no signal handlers: [`Native::run`] executes only what [`crate::vet`] has found
//! harmless, so no instruction faults, leaves the window or reaches an address without a landing.
//! Ownership: the pages of the mapping belong to one [`Native`]; nothing else in the process knows them.
//! The code page is writable while it is built and executable while it is used, never both.
//! Source: SDM Vol. 3A 5.8.4 and 9.8.5 (compatibility mode), Linux `segment.h` for the selectors.

use crate::vet::Vetted;

/// Selector of the 32-bit user code segment of Linux on x86-64.
pub const USER_CODE: u16 = 0x23;
/// Selector of the user data segment of Linux on x86-64.
pub const USER_DATA: u16 = 0x2b;

/// Bytes of memory that an instruction may reach and that are compared.
pub const WINDOW: usize = 0x200;
/// Bytes of the low mapping: code page, control page, data page.
const MAPPING: usize = 0x3000;
/// Linear addresses to try for the mapping; a guest with 64 MiB of RAM has them all.
const BASES: [u32; 6] = [0x0040_0000, 0x0100_0000, 0x0180_0000, 0x0200_0000, 0x0280_0000, 0x0300_0000];

/// Where things are, at the same linear addresses in the process and in the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    base: u32,
}

impl Place {
    /// The place whose mapping begins at `base`.
    #[must_use]
    pub const fn at(base: u32) -> Self {
        Self { base }
    }

    /// Address of the instruction.
    #[must_use]
    pub const fn code(self) -> u32 {
        self.base + 0x100
    }

    /// Landing before the instruction, in reach of a short branch.
    #[must_use]
    pub const fn backward(self) -> u32 {
        self.base + 0xc0
    }

    /// Landing behind the instruction, in reach of a short branch.
    #[must_use]
    pub const fn forward(self) -> u32 {
        self.base + 0x140
    }

    /// First byte of the memory that instructions may reach.
    #[must_use]
    pub const fn window(self) -> u32 {
        self.base + 0x2400
    }

    /// Whether `len` bytes at `la` lie in the window.
    #[must_use]
    pub const fn holds(self, la: u32, len: u32) -> bool {
        let offset = la.wrapping_sub(self.window()) as u64;
        offset + len as u64 <= WINDOW as u64
    }

    /// Whether control may go to `eip` after the `len` bytes of the instruction.
    #[must_use]
    pub const fn lands(self, eip: u32, len: u8) -> bool {
        eip == self.code() + len as u32 || eip == self.forward() || eip == self.backward()
    }
}

/// Registers, flags and memory before or after one instruction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NativeState {
    /// EAX, ECX, EDX, EBX, ESP, EBP, ESI, EDI.
    pub gpr: [u32; 8],
    /// EFLAGS.
    pub eflags: u32,
    /// EIP: of the instruction before, of the next one after.
    pub eip: u32,
    /// Contents of the window.
    pub memory: Box<[u8; WINDOW]>,
    /// Vector of the exception that the instruction raised instead of completing.
    pub fault: Option<u8>,
}

impl NativeState {
    /// All zero at `place`, with the flags that a user program always has.
    #[must_use]
    pub fn zero(place: Place) -> Self {
        Self { gpr: [0; 8], eflags: 0x202, eip: place.code(), memory: Box::new([0; WINDOW]), fault: None }
    }
}

/// Why instructions cannot be run natively here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unavailable {
    /// The host is no Linux on x86-64.
    #[error("the host is not Linux on x86-64")]
    Host,
    /// The kernel offers no 32-bit code segment at the usual selector.
    #[error("selector {0:#x} is no 32-bit user code segment")]
    Segments(u16),
    /// No low addresses are free.
    #[error("no pages below 4 GiB could be mapped: {0}")]
    Mapping(String),
    /// The code page could not change its protection.
    #[error("the stub page could not be made executable: {0}")]
    Protection(String),
}

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
pub use host::Native;

#[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
pub use elsewhere::Native;

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod host {
    use std::arch::asm;
    use std::ptr::NonNull;

    use rustix::mm::{MapFlags, MprotectFlags, ProtFlags, mmap_anonymous, mprotect, munmap};

    use super::{BASES, MAPPING, NativeState, Place, USER_CODE, USER_DATA, Unavailable, Vetted, WINDOW};

    /// Offsets in the mapping.
    const CONTROL: usize = 0x1000;
    const ENTRY: usize = 0x200;
    const STORE: usize = 0x300;
    const BACK: usize = 0x380;
    /// Top of the stub's own stack, below the control fields.
    const STACK_TOP: usize = CONTROL + 0x800;
    const REGISTERS: usize = CONTROL + 0x800;
    const FLAGS: usize = REGISTERS + 32;
    const LANDED: usize = REGISTERS + 36;
    const SAVED_RSP: usize = REGISTERS + 40;

    /// EFLAGS bits that a state may set before the instruction: the arithmetic flags, DF and ID.
    const LOADABLE: u32 = 0x0020_0cd5;

    /// The low mapping with its stub.
    pub struct Native {
        base: NonNull<u8>,
        place: Place,
        loaded: Vec<u8>,
    }

    impl Native {
        /// Maps the pages and checks that the segments are there.
        ///
        /// # Errors
        /// [`Unavailable`], with the host's reason.
        pub fn new() -> Result<Self, Unavailable> {
            if !is_code32(USER_CODE) {
                return Err(Unavailable::Segments(USER_CODE));
            }
            let (base, place) = map()?;
            Ok(Self { base, place, loaded: Vec::new() })
        }

        /// Where its instruction and its memory are.
        #[must_use]
        pub fn place(&self) -> Place {
            self.place
        }

        /// Builds the stub around `code`.
        ///
        /// # Errors
        /// [`Unavailable::Protection`].
        pub fn load(&mut self, code: &[u8]) -> Result<(), Unavailable> {
            self.protect(MprotectFlags::READ | MprotectFlags::WRITE)?;
            let page = page(self.place, code);
            // SAFETY: the code page is this value's, writable since the line above, and nothing executes it.
            unsafe { self.base.as_ptr().copy_from_nonoverlapping(page.as_ptr(), page.len()) };
            self.loaded = code.to_vec();
            self.protect(MprotectFlags::READ | MprotectFlags::EXEC)
        }

        /// Runs the loaded instruction.
        ///
        /// # Panics
        /// If `case` was vetted with another instruction than the loaded one, or for another place.
        #[must_use]
        pub fn run(&mut self, case: &Vetted<'_>) -> NativeState {
            assert_eq!(
                (case.code(), case.place()),
                (&self.loaded[..], self.place),
                "vetted for what is loaded"
            );
            let state = case.state();
            self.put(state);
            let entry = u64::from(self.place.base) + ENTRY as u64;
            // SAFETY: `load` built the stub at `entry`; the case is vetted, so the instruction neither faults
            // nor writes outside the window nor goes elsewhere than to a landing, and the stub comes back.
            unsafe { far_call(entry, self.address(CONTROL)) };
            self.get(state)
        }

        fn put(&mut self, state: &NativeState) {
            for (number, value) in state.gpr.iter().enumerate() {
                self.write(REGISTERS + 4 * number, *value);
            }
            self.write(FLAGS, state.eflags & LOADABLE | 0x202);
            self.write(LANDED, 0);
            let window = self.window();
            // SAFETY: the window lies in the writable data page of this value's mapping.
            unsafe { window.copy_from_nonoverlapping(state.memory.as_ptr(), WINDOW) };
        }

        fn get(&self, before: &NativeState) -> NativeState {
            let mut after = before.clone();
            for (number, value) in after.gpr.iter_mut().enumerate() {
                *value = self.read(REGISTERS + 4 * number);
            }
            after.eflags = self.read(FLAGS);
            after.eip = self.read(LANDED);
            // SAFETY: the window lies in the readable data page of this value's mapping.
            unsafe { self.window().copy_to_nonoverlapping(after.memory.as_mut_ptr(), WINDOW) };
            after
        }

        fn window(&self) -> *mut u8 {
            let offset = self.place.window() - self.place.base;
            // SAFETY: the offset is inside the mapping.
            unsafe { self.base.as_ptr().add(offset as usize) }
        }

        fn write(&mut self, offset: usize, value: u32) {
            // SAFETY: control fields are aligned and inside the writable control page.
            unsafe { self.base.as_ptr().add(offset).cast::<u32>().write_volatile(value) };
        }

        fn read(&self, offset: usize) -> u32 {
            // SAFETY: control fields are aligned and inside the readable control page.
            unsafe { self.base.as_ptr().add(offset).cast::<u32>().read_volatile() }
        }

        fn address(&self, offset: usize) -> u64 {
            u64::from(self.place.base) + offset as u64
        }

        fn protect(&mut self, flags: MprotectFlags) -> Result<(), Unavailable> {
            // SAFETY: the code page is this value's own, and no stub runs now.
            unsafe { mprotect(self.base.as_ptr().cast(), 0x1000, flags) }
                .map_err(|error| Unavailable::Protection(error.to_string()))
        }
    }

    impl Drop for Native {
        fn drop(&mut self) {
            // SAFETY: the mapping is this value's own and nothing refers to it any more.
            let unmapped = unsafe { munmap(self.base.as_ptr().cast(), MAPPING) };
            debug_assert!(unmapped.is_ok(), "the mapping exists until its owner goes");
        }
    }

    fn map() -> Result<(NonNull<u8>, Place), Unavailable> {
        let mut last = String::new();
        for base in BASES {
            let flags = MapFlags::PRIVATE | MapFlags::FIXED_NOREPLACE;
            let wanted = std::ptr::without_provenance_mut(base as usize);
            // SAFETY: FIXED_NOREPLACE takes only addresses that nothing is mapped at.
            match unsafe { mmap_anonymous(wanted, MAPPING, ProtFlags::READ | ProtFlags::WRITE, flags) } {
                Ok(got) if got.addr() == base as usize => {
                    let got = NonNull::new(got.cast()).expect("a mapping at a base that is not 0");
                    return Ok((got, Place::at(base)));
                }
                // An old kernel takes the address for a hint.
                Ok(got) => {
                    // SAFETY: just mapped, and nobody else knows it.
                    let _unmapped = unsafe { munmap(got, MAPPING) };
                    last = format!("{base:#x} is taken");
                }
                Err(error) => last = error.to_string(),
            }
        }
        Err(Unavailable::Mapping(last))
    }

    /// Whether `selector` names a present 32-bit code segment that user mode may enter (SDM Vol. 2A "LAR").
    fn is_code32(selector: u16) -> bool {
        let (rights, found): (u32, u8);
        // SAFETY: LAR only reads the descriptor's access rights; a bad selector clears ZF.
        unsafe {
            asm!(
                "lar {rights:e}, {selector:e}",
                "setz {found}",
                selector = in(reg) u32::from(selector),
                rights = inout(reg) 0u32 => rights,
                found = out(reg_byte) found,
                options(nomem, nostack),
            );
        }
        // Present, code, D set, L clear.
        found != 0 && rights & 0x0060_9800 == 0x0040_9800
    }

    /// Calls the 32-bit stub at `entry` through a far return; it comes back through `SAVED_RSP`.
    ///
    /// # Safety
    /// `entry` must be the entry of a stub that preserves nothing but memory outside its mapping and the
    /// bases of FS and GS, and that jumps back to 64-bit code with RSP loaded from the control page.
    unsafe fn far_call(entry: u64, control: u64) {
        // SAFETY: the caller's contract; everything that compatibility mode may change is saved on the stack
        // or listed as clobbered.
        unsafe {
            asm!(
                "push rbx",
                "push rbp",
                "push r12",
                "push r13",
                "push r14",
                "push r15",
                "pushfq",
                "mov eax, ds",
                "push rax",
                "mov eax, es",
                "push rax",
                "lea rax, [rip + 2f]",
                "push rax",
                "mov [rdi + {saved}], rsp",
                "mov eax, {data}",
                "mov ds, eax",
                "mov es, eax",
                "push {code}",
                "push rsi",
                "retfq",
                "2:",
                "pop rax",
                "mov es, eax",
                "pop rax",
                "mov ds, eax",
                "popfq",
                "pop r15",
                "pop r14",
                "pop r13",
                "pop r12",
                "pop rbp",
                "pop rbx",
                saved = const SAVED_RSP - CONTROL,
                data = const USER_DATA,
                code = const USER_CODE,
                inout("rdi") control => _,
                inout("rsi") entry => _,
                clobber_abi("sysv64"),
            );
        }
    }

    /// The code page around an instruction.
    fn page(place: Place, code: &[u8]) -> [u8; 0x1000] {
        // What is no code here breaks at once.
        let mut page = [0xcc; 0x1000];
        let mut put = |offset: usize, bytes: &[u8]| page[offset..offset + bytes.len()].copy_from_slice(bytes);
        put((place.code() - place.base) as usize, code);
        put(ENTRY, &entry(place));
        for landing in [place.code() + code.len() as u32, place.forward(), place.backward()] {
            put((landing - place.base) as usize, &landing_code(place, landing));
        }
        put(STORE, &store(place));
        put(BACK, &back(place));
        page
    }

    fn absolute(place: Place, offset: usize) -> [u8; 4] {
        (place.base + offset as u32).to_le_bytes()
    }

    /// A near jump from the end of the bytes at `from` to the offset `to`.
    fn jump(from: usize, to: usize) -> Vec<u8> {
        let distance = (to as u32).wrapping_sub(from as u32 + 5);
        [&[0xe9][..], &distance.to_le_bytes()].concat()
    }

    /// Loads EFLAGS, then the registers, ESP last, and goes to the instruction.
    fn entry(place: Place) -> Vec<u8> {
        // mov esp, STACK_TOP
        let mut code = [&[0xbc][..], &absolute(place, STACK_TOP)].concat();
        // push dword [FLAGS]; popfd
        code.extend([&[0xff, 0x35][..], &absolute(place, FLAGS), &[0x9d]].concat());
        for register in [0, 1, 2, 3, 5, 6, 7, 4u8] {
            // mov register, [REGISTERS + 4 * register]
            let field = absolute(place, REGISTERS + 4 * usize::from(register));
            code.extend([&[0x8b, 0x05 | register << 3][..], &field].concat());
        }
        let from = ENTRY + code.len();
        code.extend(jump(from, (place.code() - place.base) as usize));
        code
    }

    /// Notes that control came to `landing`; changes no flag.
    fn landing_code(place: Place, landing: u32) -> Vec<u8> {
        // mov dword [LANDED], landing
        let mut code = [&[0xc7, 0x05][..], &absolute(place, LANDED), &landing.to_le_bytes()].concat();
        let from = (landing - place.base) as usize + code.len();
        code.extend(jump(from, STORE));
        code
    }

    /// Stores the registers and EFLAGS and jumps to 64-bit code.
    fn store(place: Place) -> Vec<u8> {
        let mut code = Vec::new();
        for register in 0..8u8 {
            // mov [REGISTERS + 4 * register], register
            let field = absolute(place, REGISTERS + 4 * usize::from(register));
            code.extend([&[0x89, 0x05 | register << 3][..], &field].concat());
        }
        // mov esp, STACK_TOP; pushfd; pop dword [FLAGS]
        code.extend(
            [&[0xbc][..], &absolute(place, STACK_TOP), &[0x9c, 0x8f, 0x05], &absolute(place, FLAGS)].concat(),
        );
        // jmp 0x33:BACK
        code.extend([&[0xea][..], &absolute(place, BACK), &[0x33, 0x00]].concat());
        code
    }

    /// 64-bit code: mov rsp, [SAVED_RSP]; ret.
    fn back(place: Place) -> Vec<u8> {
        [&[0x48, 0x8b, 0x24, 0x25][..], &absolute(place, SAVED_RSP), &[0xc3]].concat()
    }
}

#[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
mod elsewhere {
    use super::{NativeState, Place, Unavailable, Vetted};

    /// No native execution on this host.
    pub enum Native {}

    impl Native {
        /// Always [`Unavailable::Host`].
        ///
        /// # Errors
        /// [`Unavailable::Host`].
        pub fn new() -> Result<Self, Unavailable> {
            Err(Unavailable::Host)
        }

        /// Never called: there is no value.
        #[must_use]
        pub fn place(&self) -> Place {
            match *self {}
        }

        /// Never called: there is no value.
        ///
        /// # Errors
        /// None.
        pub fn load(&mut self, _code: &[u8]) -> Result<(), Unavailable> {
            match *self {}
        }

        /// Never called: there is no value.
        #[must_use]
        pub fn run(&mut self, _case: &Vetted<'_>) -> NativeState {
            match *self {}
        }
    }
}
