//! What a run can be told.

/// When and where guest code is compiled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JitMode {
    /// Interpreter only.
    Off,
    /// Compile on the processor's own thread, at once.
    Sync,
    /// Compile on a worker thread and go on interpreting.
    Background,
}

/// Settings of an engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineConfig {
    /// When guest code is compiled.
    pub jit: JitMode,
    /// Executions of a block in the interpreter before it is compiled; 0 compiles before the first.
    ///
    /// By default as many as cost about what compiling costs (20 us for an instruction, where an execution in the
    /// interpreter takes some 14 ns), so that at worst twice as much is paid as would have been best.
    pub threshold: u32,
    /// Bytes of code memory.
    pub code_bytes: usize,
    /// Most instructions in a unit. Larger ones save little, as units are linked, and cost much where the same functions
    /// are called from many places, or where units are often dropped.
    pub unit_limit: usize,
    /// Most instructions between two looks at timers and other threads.
    pub slice: u32,
    /// Failed inline checks of an instruction before its accesses go through the helper.
    pub slow_after: u32,
    /// Failed checks of a group before it is dissolved.
    pub ungroup_after: u32,
    /// Whether executions are counted by operation; costs speed.
    pub counted: bool,
    /// Compilations that may be on their way to or from the worker thread. Code that is asked for while there
    /// is no room asks again when it runs again, so that few places mean that the hottest comes next.
    pub queue: usize,
    /// Whether Cranelift checks each function before it compiles it: a fifth of the time of compiling.
    pub verify: bool,
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self {
            jit: JitMode::Sync,
            threshold: 1500,
            code_bytes: 64 << 20,
            unit_limit: 128,
            slice: 200_000,
            slow_after: 8,
            ungroup_after: 100,
            counted: false,
            queue: 1,
            verify: cfg!(debug_assertions),
        }
    }
}
