//! The counts and times of a run, as text and as JSON.

use std::time::Duration;

use cpu::Activity;
use engine::Engine;
use serde_json::{Value, json};

use crate::args::Format;
use crate::looks::Looks;

/// What `--stats` prints.
#[must_use]
pub fn stats(engine: &Engine, elapsed: Duration, looks: &Looks, format: Format) -> String {
    let value = collect(engine, elapsed, looks);
    match format {
        Format::Json => serde_json::to_string_pretty(&value).unwrap_or_else(|error| error.to_string()),
        Format::Text => text(&value),
    }
}

fn collect(engine: &Engine, elapsed: Duration, looks: &Looks) -> Value {
    let (stats, cpu) = (engine.stats(), engine.cpu());
    let instructions = cpu.instructions();
    let mmu = cpu.mmu.stats();
    let helpers = engine.helper_calls();
    let regions: Vec<Value> = cpu
        .mmu
        .view()
        .callback_counts()
        .into_iter()
        .filter(|(_, reads, writes)| reads + writes > 0)
        .map(|(name, reads, writes)| json!({"region": name, "reads": reads, "writes": writes}))
        .collect();
    let emitted = instructions.saturating_sub(stats.interpreted).saturating_sub(stats.delegated);
    json!({
        "times": times(engine, looks),
        "instructions": {
            "total": instructions, "emitted": emitted, "delegated": stats.delegated, "interpreted": stats.interpreted,
            "seconds": elapsed.as_secs_f64(), "mips": instructions as f64 / elapsed.as_secs_f64().max(1e-9) / 1e6,
        },
        "translations": {
            "compiled": stats.units, "live": engine.translations().len(), "guest_instructions": stats.unit_insns,
            "code_bytes": stats.code_bytes, "compile_seconds": seconds(stats.compile_ns),
            "refused": stats.refused, "stale": stats.stale,
        },
        "control": {
            "entries": stats.entries, "links": stats.links, "lookups": stats.lookups,
            "budget_exits": stats.budget_exits, "access_exits": stats.access_exits, "range_exits": stats.range_exits, "page_exits": stats.page_exits,
            "group_exits": stats.group_exits, "ungrouped_instructions": stats.ungrouped_insns,
            "interrupts": stats.interrupts, "exceptions": stats.exceptions,
        },
        "invalidations": {
            "code_write": stats.dropped_code_write, "slow_access": stats.dropped_slow, "eviction": stats.evicted,
            "baked_range": stats.dropped_range, "severed_by_map": stats.severed_by_map, "severed_by_paging": stats.severed_by_paging,
            "variants": stats.dropped_variants,
            "map_changes": stats.map_changes, "flushes": stats.flushes,
        },
        "tlb": {
            "walks": mmu.walks, "guest_flushes": mmu.flushes, "dropped_by_map": mmu.dropped_by_map,
            "closed_by_code": mmu.closed_by_code, "live": cpu.mmu.tlb_live(), "windows": mmu.windows,
        },
        "slow_path": {
            "bus_accesses": mmu.bus_accesses, "slow_instructions": stats.slow_insns,
            "windowed_instructions": stats.windowed_insns, "helper_calls": helpers, "regions": regions,
        },
    })
}

/// Where the time went, in seconds. The run is interpreting, translated code, compiling, bus and run loop together;
/// compiling is measured, the others are shares of what is left, by looks, and null without any. What the compile
/// worker took went by while the guest ran on.
fn times(engine: &Engine, looks: &Looks) -> Value {
    let times = engine.times();
    let left = seconds(times.run_ns.saturating_sub(times.compiling_ns));
    let part = |activity| looks.share(activity).map(|share| share * left);
    json!({
        "run_seconds": seconds(times.run_ns),
        "interpreting_seconds": part(Activity::Interpreting), "translated_seconds": part(Activity::Translated),
        "compiling_seconds": seconds(times.compiling_ns),
        "bus_seconds": part(Activity::Bus), "run_loop_seconds": part(Activity::RunLoop),
        "background_compiling_seconds": seconds(times.background_ns), "looks": looks.count,
    })
}

fn seconds(ns: u64) -> f64 {
    ns as f64 / 1e9
}

/// One line for each group, in the order of the report.
fn text(value: &Value) -> String {
    let mut out = String::new();
    for (group, values) in value.as_object().into_iter().flatten() {
        let pairs: Vec<String> = values
            .as_object()
            .into_iter()
            .flatten()
            .map(|(name, value)| format!("{name} {}", show(value)))
            .collect();
        out.push_str(&format!("{group}: {}\n", pairs.join(", ")));
    }
    out
}

fn show(value: &Value) -> String {
    match value {
        Value::Number(number) if number.is_f64() => format!("{:.3}", number.as_f64().unwrap_or_default()),
        Value::Array(items) => format!("[{}]", items.iter().map(show).collect::<Vec<_>>().join(" ")),
        Value::Object(fields) => fields.values().map(show).collect::<Vec<_>>().join(":"),
        Value::String(text) => text.clone(),
        Value::Null => "unknown".to_owned(),
        other => other.to_string(),
    }
}
