//! Runs Cranelift over a translated unit.

use cranelift_codegen::binemit::Reloc;
use cranelift_codegen::control::ControlPlane;
use cranelift_codegen::ir::Function;
use cranelift_codegen::isa::OwnedTargetIsa;
use cranelift_codegen::settings::{self, Configurable};
use cranelift_codegen::{Context, FinalizedRelocTarget};
use cranelift_frontend::FunctionBuilderContext;

use crate::discover::{Discovered, discover};
use crate::exits::{CELL_NAMESPACE, COUNTER_NAMESPACE, PAGE_NAMESPACE};
use crate::translate::{Translated, translate};
use crate::unit::{CellPatch, CompiledUnit, TranslateError, UnitCounts, UnitRequest};

/// How hard the code generator works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OptLevel {
    /// Quick to compile.
    None,
    /// Quick to run.
    Speed,
}

/// A code generator with its buffers, for one thread.
pub struct Compiler {
    isa: OwnedTargetIsa,
    context: Context,
    builder: FunctionBuilderContext,
    disassemble: bool,
}

/// Texts of a compilation, for people.
#[derive(Clone, Debug, Default)]
pub struct Listing {
    /// Guest instructions, a line each.
    pub insns: String,
    /// The function in Cranelift's form, before optimisation.
    pub clif: String,
    /// Host instructions.
    pub asm: String,
}

fn flags(opt_level: OptLevel, verify: bool) -> settings::Flags {
    let mut builder = settings::builder();
    let opt = match opt_level {
        OptLevel::None => "none",
        OptLevel::Speed => "speed",
    };
    let pairs = [
        ("opt_level", opt),
        ("enable_verifier", if verify { "true" } else { "false" }),
        ("enable_probestack", "false"),
        ("unwind_info", "false"),
        ("preserve_frame_pointers", "true"),
        ("is_pic", "false"),
    ];
    for (name, value) in pairs {
        builder.set(name, value).expect("the setting is one of Cranelift's");
    }
    settings::Flags::new(builder)
}

/// A code generator's target with fixed instruction-set extensions, so that code does not depend on the
/// machine that made it; `host` adds those of the running machine.
fn target(opt_level: OptLevel, verify: bool, host: bool) -> OwnedTargetIsa {
    let triple = target_lexicon::triple!("x86_64-unknown-linux-gnu");
    let mut builder = cranelift_codegen::isa::lookup(triple).expect("the x64 backend is compiled in");
    let detected = [
        ("has_popcnt", std::arch::is_x86_feature_detected!("popcnt")),
        ("has_bmi1", std::arch::is_x86_feature_detected!("bmi1")),
        ("has_bmi2", std::arch::is_x86_feature_detected!("bmi2")),
        ("has_lzcnt", std::arch::is_x86_feature_detected!("lzcnt")),
    ];
    for (name, present) in detected {
        if host && present {
            builder.enable(name).expect("the extension is one of Cranelift's");
        }
    }
    builder.finish(flags(opt_level, verify)).expect("the target's settings are consistent")
}

impl Compiler {
    /// A compiler for the running machine; `verify` has Cranelift check each function before it compiles it.
    #[must_use]
    pub fn for_host(opt_level: OptLevel, verify: bool) -> Self {
        Self::with_target(target(opt_level, verify, true))
    }

    /// A compiler whose code depends on nothing but the unit: for counts and snapshots.
    #[must_use]
    pub fn fixed(opt_level: OptLevel) -> Self {
        Self::with_target(target(opt_level, cfg!(debug_assertions), false))
    }

    /// The target that code is made for.
    #[must_use]
    pub fn isa(&self) -> OwnedTargetIsa {
        std::sync::Arc::clone(&self.isa)
    }

    fn with_target(isa: OwnedTargetIsa) -> Self {
        Self { isa, context: Context::new(), builder: FunctionBuilderContext::new(), disassemble: false }
    }

    /// Compiles a unit.
    ///
    /// # Errors
    /// [`TranslateError::NothingToTranslate`], then [`TranslateError::Refused`].
    pub fn compile(&mut self, request: &UnitRequest) -> Result<CompiledUnit, TranslateError> {
        self.compile_listed(request, None)
    }

    /// Compiles a unit and writes its listing.
    ///
    /// # Errors
    /// As [`Compiler::compile`].
    pub fn compile_with_listing(
        &mut self,
        request: &UnitRequest,
    ) -> Result<(CompiledUnit, Listing), TranslateError> {
        let mut listing = Listing::default();
        self.disassemble = true;
        let unit = self.compile_listed(request, Some(&mut listing));
        self.disassemble = false;
        Ok((unit?, listing))
    }

    /// Translates a unit into Cranelift's form and makes no host code of it: the part of [`Compiler::compile`] that is
    /// ours, for measurements.
    ///
    /// # Errors
    /// As [`Compiler::compile`], except what Cranelift refuses.
    pub fn translate(&mut self, request: &UnitRequest) -> Result<UnitCounts, TranslateError> {
        self.function(request).map(|(_, translated)| translated.counts)
    }

    fn compile_listed(
        &mut self,
        request: &UnitRequest,
        listing: Option<&mut Listing>,
    ) -> Result<CompiledUnit, TranslateError> {
        let (unit, translated) = self.function(request)?;
        self.context.set_disasm(self.disassemble);
        let clif = if listing.is_some() { self.context.func.display().to_string() } else { String::new() };
        let compiled = match self.context.compile(&*self.isa, &mut ControlPlane::default()) {
            Ok(compiled) => compiled,
            Err(error) => {
                return Err(TranslateError::Refused {
                    eip: request.entry,
                    reason: format!("{:?}", error.inner),
                });
            }
        };
        if let Some(listing) = listing {
            listing.insns = insns(&unit);
            listing.clif = clif;
            listing.asm = compiled.vcode.clone().unwrap_or_default();
        }
        let relocs: Vec<_> = compiled.buffer.relocs().to_vec();
        let (code, align) = (compiled.code_buffer().to_vec(), u64::from(compiled.buffer.alignment));
        let patches = patches(&self.context.func, request.entry, &relocs, &translated)?;
        Ok(CompiledUnit {
            code,
            align,
            patches,
            exits: translated.exits,
            sites: translated.sites,
            covers: covers(&unit),
            pages: translated.pages,
            counted: translated.counted,
            counts: translated.counts,
            longest: translated.longest,
        })
    }

    /// Makes the function of a unit, in the compiler's own buffers.
    fn function(&mut self, request: &UnitRequest) -> Result<(Discovered, Translated), TranslateError> {
        let unit = discover(request);
        if !unit.blocks.contains_key(&request.entry) {
            return Err(TranslateError::NothingToTranslate(request.entry));
        }
        self.context.clear();
        let frontend = self.isa.frontend_config();
        let translated = translate(&mut self.context.func, &mut self.builder, request, &unit, frontend);
        if translated.broken {
            let reason = "a member of a group before its leader".to_owned();
            return Err(TranslateError::Refused { eip: request.entry, reason });
        }
        Ok((unit, translated))
    }
}

/// The places of cells among the relocations; any other relocation is refused.
fn patches(
    func: &Function,
    eip: u32,
    relocs: &[cranelift_codegen::FinalizedMachReloc],
    translated: &Translated,
) -> Result<Vec<CellPatch>, TranslateError> {
    let exits = translated.exits.len() as u32;
    let blocks = translated.counted.len() as u32;
    let mut patches = Vec::new();
    for reloc in relocs {
        let cell = match &reloc.target {
            FinalizedRelocTarget::ExternalName(cranelift_codegen::ir::ExternalName::User(name)) => {
                let name = &func.params.user_named_funcs()[*name];
                match name.namespace {
                    CELL_NAMESPACE => Some(name.index),
                    COUNTER_NAMESPACE => Some(exits + name.index),
                    PAGE_NAMESPACE => Some(exits + blocks + name.index),
                    _ => None,
                }
            }
            _ => None,
        };
        match (reloc.kind, cell, reloc.addend) {
            (Reloc::Abs8, Some(cell), 0) => patches.push(CellPatch { offset: reloc.offset, cell }),
            other => {
                return Err(TranslateError::Refused {
                    eip,
                    reason: format!("relocation {other:?} is not placed"),
                });
            }
        }
    }
    Ok(patches)
}

/// The guest instructions of a unit, block by block.
fn insns(unit: &Discovered) -> String {
    let mut text = String::new();
    for (eip, block) in &unit.blocks {
        text.push_str(&format!("block {eip:#x}, ends {:?}\n", block.end));
        for (at, insn) in &block.insns {
            text.push_str(&format!("  {at:#x} {:?} {:?} {:?}\n", insn.op, insn.width, insn.operands));
        }
    }
    text
}

/// EIP ranges of the instructions of a unit, joined where they touch.
fn covers(unit: &Discovered) -> Vec<(u32, u32)> {
    let mut ranges: Vec<(u32, u32)> = Vec::new();
    for block in unit.blocks.values() {
        for (eip, insn) in &block.insns {
            let end = eip.wrapping_add(u32::from(insn.len));
            match ranges.last_mut() {
                Some(last) if last.1 == *eip => last.1 = end,
                _ => ranges.push((*eip, end)),
            }
        }
    }
    ranges.sort_unstable();
    ranges
}
