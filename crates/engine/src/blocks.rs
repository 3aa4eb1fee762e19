//! Decoded blocks of code that is interpreted: instructions that are run one after another without a fetch of
//! each.
//!
//! A block lies in one page of plain memory. Before it is entered its bytes are compared with those in memory,
//! unless the processor's watch over the page says that nothing can have happened since; between two of its
//! instructions the watch is asked again. So stores to code show at the next instruction, and need no notice
//! here.
//!
//! A block remembers the blocks that it was followed by, so that a search by EIP is the exception. That memory is a
//! hint: what it leads to is used only if its EIP is the right one.

use std::collections::BTreeMap;

use base::{LinearAddr, PAGE_SHIFT};
use cpu::{Cpu, Exception, Seen};
use interp::Packed;
use isa::{DecodeMode, Insn, Op, Operand, Rep, decode_run};

use crate::insns::ends_block;

/// Blocks kept before all are forgotten.
const MOST_BLOCKS: usize = 1 << 16;

/// Instructions kept before all are forgotten.
const INSNS: usize = 1 << 18;

/// Most bytes of a block.
const BYTES: usize = 64;

/// Indirect branches whose targets are kept before all are forgotten.
const MOST_BRANCHES: usize = 1 << 14;

/// Targets kept of an indirect branch; one that has more is not worth comparing with them.
const TARGETS: usize = 16;

/// Chains that blocks are searched in; a power of two.
const CHAINS: usize = 1 << 15;

/// Number of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockId(u32);

impl BlockId {
    /// No block.
    pub const NONE: Self = Self(u32::MAX);
}

/// A block; the bytes that it was decoded from are kept elsewhere, so that what is looked at lies in one line of the
/// host's cache.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Block {
    eip: u32,
    /// How often it was entered, up to the greatest number; an entry counts as many times as `weight` says.
    runs: u32,
    /// What the watch said when the bytes were last compared.
    seen: Seen,
    /// The number of the search for a translation that found none; see [`BlockCache::searched`].
    searched: u64,
    /// Blocks that followed last.
    next: [BlockId; 2],
    /// The next one in its chain.
    link: BlockId,
    /// Its instructions: the first, and how many.
    first: u32,
    count: u16,
    weight: u16,
    /// Bytes.
    len: u8,
    /// Bytes of the last instruction, if it is an indirect jump or call; else 0.
    indirect: u8,
    code32: bool,
    /// Control may go elsewhere after the last instruction.
    branches: bool,
}

const _: () = assert!(size_of::<Block>() == 64);

/// The blocks, in the order in which they were met first.
pub struct BlockCache {
    blocks: Vec<Block>,
    bytes: Vec<[u8; BYTES]>,
    insns: Vec<Packed>,
    /// Room for a block on its way from bytes to instructions.
    decoded: Vec<Insn>,
    chains: Box<[BlockId]>,
    /// Where indirect branches have gone, by the EIP of the branch; one more than [`TARGETS`] for too many.
    targets: BTreeMap<u32, Vec<u32>>,
}

impl BlockCache {
    pub fn new() -> Self {
        Self {
            blocks: Vec::new(),
            bytes: Vec::new(),
            insns: Vec::new(),
            decoded: Vec::new(),
            chains: vec![BlockId::NONE; CHAINS].into_boxed_slice(),
            targets: BTreeMap::new(),
        }
    }

    /// The block at CS:EIP, which comes after the block `before`, as it is in memory now.
    ///
    /// # Errors
    /// #GP(0) past the segment limit, #PF.
    #[inline]
    pub fn enter(&mut self, cpu: &mut Cpu, before: BlockId) -> Result<BlockId, Exception> {
        let eip = cpu.state.eip;
        let mut id = self.follow(before, eip);
        if self.get(id).is_none_or(|block| cpu.may_have_changed(block.seen)) {
            id = self.compare(cpu, id)?;
        }
        if let Some(block) = self.blocks.get_mut(id.0 as usize) {
            block.runs = block.runs.saturating_add(u32::from(block.weight));
        }
        Ok(id)
    }

    /// Counts an execution of `id`, if it has weight, as one of the block `head` too, which led to it without a branch.
    #[inline]
    pub fn lend_weight(&mut self, id: BlockId, head: BlockId) {
        let weight = self.get(id).map_or(0, |block| u32::from(block.weight - 1));
        if weight != 0
            && let Some(head) = self.blocks.get_mut(head.0 as usize)
        {
            head.runs = head.runs.saturating_add(weight);
        }
    }

    /// The instructions of a block, of which only the last may need the run loop or be followed by another than the
    /// next; none where single instructions must be fetched. Whether the last is a branch.
    #[inline]
    pub fn insns(&self, id: BlockId) -> (&[Packed], bool) {
        let Some(block) = self.get(id) else { return (&[], false) };
        let first = block.first as usize;
        let insns = self.insns.get(first..first + usize::from(block.count));
        (insns.unwrap_or_default(), block.branches)
    }

    /// How often the code at `eip` was entered, repeated string instructions weighted.
    pub fn runs(&self, eip: u32) -> u32 {
        self.get(self.find(eip)).map_or(0, |block| block.runs)
    }

    /// How often a block was entered, and which search for a translation of it was the last to find none.
    #[inline]
    pub fn heat(&self, id: BlockId) -> (u32, u64) {
        self.get(id).map_or((0, 0), |block| (block.runs, block.searched))
    }

    /// Whether the code at `eip` was entered fewer than `threshold` times, and the search `number` found no translation.
    pub fn is_known_cold(&self, eip: u32, number: u64, threshold: u32) -> bool {
        self.get(self.find(eip)).is_some_and(|block| block.searched == number && block.runs < threshold)
    }

    /// Notes that the search `number` has found no translation at `eip`; 0 for that there may be one.
    pub fn searched(&mut self, eip: u32, number: u64) {
        let id = self.find(eip);
        if let Some(block) = self.blocks.get_mut(id.0 as usize) {
            block.searched = number;
        }
    }

    /// Where the indirect branches in `pages` pages from `start` on have gone, by the EIP of the branch: those that
    /// have gone to few places only.
    pub fn targets_in(&self, start: u32, pages: usize) -> BTreeMap<u32, Vec<u32>> {
        let last = u64::from(start) + ((pages as u64) << PAGE_SHIFT) - 1;
        let branches = self.targets.range(start..=last.min(u64::from(u32::MAX)) as u32);
        let few = branches.filter(|(_, targets)| targets.len() <= TARGETS);
        few.map(|(eip, targets)| (*eip, targets.clone())).collect()
    }

    /// Notes that the block `before` was left for `eip`, if it ends in an indirect branch.
    fn note_target(&mut self, before: BlockId, eip: u32) {
        let Some(block) = self.get(before).filter(|block| block.indirect != 0) else { return };
        let branch = block.eip.wrapping_add(u32::from(block.len - block.indirect));
        if self.targets.len() >= MOST_BRANCHES {
            self.targets.clear();
        }
        let targets = self.targets.entry(branch).or_default();
        if targets.len() <= TARGETS && !targets.contains(&eip) {
            targets.push(eip);
        }
    }

    #[inline]
    fn get(&self, id: BlockId) -> Option<&Block> {
        self.blocks.get(id.0 as usize)
    }

    /// The block at `eip`, likely one that came after `before` earlier.
    #[inline]
    fn follow(&mut self, before: BlockId, eip: u32) -> BlockId {
        let next = self.get(before).map_or([BlockId::NONE; 2], |block| block.next);
        let fits = |id: &&BlockId| self.get(**id).is_some_and(|block| block.eip == eip);
        match next.iter().find(fits) {
            Some(id) => *id,
            None => self.search(before, eip),
        }
    }

    /// As [`BlockCache::follow`], when it came after `before` for the first time in a while.
    #[inline(never)]
    fn search(&mut self, before: BlockId, eip: u32) -> BlockId {
        let id = self.find(eip);
        self.note_target(before, eip);
        if let Some(block) = self.blocks.get_mut(before.0 as usize)
            && id != BlockId::NONE
        {
            block.next = [id, block.next[0]];
        }
        id
    }

    fn find(&self, eip: u32) -> BlockId {
        let mut id = self.chains[chain(eip)];
        while let Some(block) = self.get(id)
            && block.eip != eip
        {
            id = block.link;
        }
        id
    }

    /// Makes the block at EIP, `id` if there is one, what is in memory now.
    #[inline(never)]
    fn compare(&mut self, cpu: &mut Cpu, id: BlockId) -> Result<BlockId, Exception> {
        let eip = cpu.state.eip;
        let cs = &cpu.state.segs[isa::SegReg::Cs.index()];
        let behind = cs.limit.checked_sub(eip).ok_or(Exception::Gp(0))?;
        let code32 = cs.attrs & cpu::attr::DB != 0;
        let mut bytes = [0; BYTES];
        let (len, seen) = cpu.watch_code(LinearAddr((cs.base as u32).wrapping_add(eip)), &mut bytes)?;
        let bytes = &bytes[..len.min((behind as usize).saturating_add(1))];
        let same = self.get(id).is_some_and(|block| {
            let old = &self.bytes[id.0 as usize][..usize::from(block.len)];
            block.len != 0 && block.code32 == code32 && bytes.starts_with(old)
        });
        let id = if same { id } else { self.decode(id, eip, DecodeMode { code32 }, bytes) };
        self.blocks[id.0 as usize].seen = seen;
        Ok(id)
    }

    /// Decodes the block at `eip` into `id`, or into a new one if there is none.
    fn decode(&mut self, id: BlockId, eip: u32, mode: DecodeMode, bytes: &[u8]) -> BlockId {
        let mut id = id;
        if self.insns.len() >= INSNS || self.blocks.len() >= MOST_BLOCKS {
            self.forget();
            id = BlockId::NONE;
        }
        if id == BlockId::NONE {
            id = self.add(eip);
        }
        let first = self.insns.len();
        self.decoded.clear();
        let len = decode_run(bytes, eip, mode, &mut self.decoded, is_plain);
        self.insns.extend(self.decoded.iter().map(Packed::new));
        let place = id.0 as usize;
        self.bytes[place][..len].copy_from_slice(&bytes[..len]);
        let block = &mut self.blocks[place];
        let last = self.decoded.last();
        block.branches = last.is_some_and(|insn| ends_block(insn.op));
        block.indirect = last.filter(|insn| is_indirect(insn)).map_or(0, |insn| insn.len);
        block.weight = last.map_or(1, weight);
        (block.code32, block.len) = (mode.code32, len as u8);
        (block.count, block.first) = ((self.insns.len() - first) as u16, first as u32);
        id
    }

    /// A new block at `eip`, without instructions.
    fn add(&mut self, eip: u32) -> BlockId {
        let id = BlockId(self.blocks.len() as u32);
        let link = std::mem::replace(&mut self.chains[chain(eip)], id);
        self.bytes.push([0; BYTES]);
        self.blocks.push(Block {
            eip,
            code32: true,
            branches: false,
            len: 0,
            indirect: 0,
            count: 0,
            first: 0,
            runs: 0,
            weight: 1,
            seen: Seen::NEVER,
            searched: 0,
            next: [BlockId::NONE; 2],
            link,
        });
        id
    }

    fn forget(&mut self) {
        self.insns.clear();
        self.blocks.clear();
        self.bytes.clear();
        self.chains.fill(BlockId::NONE);
        self.targets.clear();
    }
}

/// The chain that a block at `eip` is in.
#[inline]
fn chain(eip: u32) -> usize {
    (eip.wrapping_mul(0x9e37_79b1) >> 16) as usize % CHAINS
}

/// Whether the instruction is a near jump or call to an address that it computes.
fn is_indirect(insn: &Insn) -> bool {
    matches!(insn.op, Op::Jmp | Op::Call) && !matches!(insn.operand(0), Operand::Target(_))
}

/// Executions that one of a repeated string instruction is taken for.
const REPEATED: u16 = 50;

/// What a block counts for that ends in an instruction.
fn weight(last: &Insn) -> u16 {
    if last.rep == Rep::None { 1 } else { REPEATED }
}

/// Whether the next instruction is the one behind, and the run loop need not look at the state before it.
fn is_plain(insn: &Insn) -> bool {
    let segment = insn.operands.iter().any(|operand| matches!(operand, Operand::Seg(_)));
    insn.rep == Rep::None && !segment && changes_data(insn.op)
}

/// Operations that change nothing but general-purpose registers, arithmetic flags, DF and memory, as long as they
/// have no segment register as operand. One that is missing here is run more slowly, not wrongly.
#[rustfmt::skip]
const fn changes_data(op: Op) -> bool {
    matches!(
        op,
        Op::Aaa | Op::Aad | Op::Aam | Op::Aas | Op::Adc | Op::Add | Op::And | Op::Bound | Op::Bsf | Op::Bsr
            | Op::Bswap | Op::Bt | Op::Btc | Op::Btr | Op::Bts | Op::Cbw | Op::Clc | Op::Cld | Op::Cmc
            | Op::Cmovcc | Op::Cmp | Op::Cmps | Op::Cmpxchg | Op::Cmpxchg8b | Op::Cwd | Op::Daa | Op::Das
            | Op::Dec | Op::Div | Op::Enter | Op::Idiv | Op::Imul | Op::Imul1 | Op::Inc | Op::Lahf | Op::Lea
            | Op::Leave | Op::Lods | Op::Mov | Op::Movs | Op::Movsx | Op::Movzx | Op::Mul | Op::Neg
            | Op::Nop | Op::Not | Op::Or | Op::Pop | Op::Popa | Op::Push | Op::Pusha | Op::Pushf | Op::Rcl
            | Op::Rcr | Op::Rol | Op::Ror | Op::Sahf | Op::Salc | Op::Sar | Op::Sbb | Op::Scas | Op::Setcc
            | Op::Shl | Op::Shld | Op::Shr | Op::Shrd | Op::Stc | Op::Std | Op::Stos | Op::Sub | Op::Test
            | Op::Xadd | Op::Xchg | Op::Xlat | Op::Xor
    )
}
