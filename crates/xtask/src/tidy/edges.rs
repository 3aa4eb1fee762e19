//! Which crate may depend on which: `cargo metadata` against the table of `docs/ARCHITECTURE.md`.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::{Finding, table};
use crate::shell;

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    dependencies: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    name: String,
    kind: Option<String>,
}

/// What a row of the table allows.
struct Allowed<'a> {
    normal: BTreeSet<&'a str>,
    tests: BTreeSet<&'a str>,
}

/// Every edge that the table does not list, and every package without a row.
pub fn check(architecture: &str) -> Result<Vec<Finding>, String> {
    let args = ["metadata", "--offline", "--no-deps", "--format-version", "1"];
    let text = shell::output(&mut shell::command(&shell::cargo(), &args))?;
    let metadata: Metadata =
        serde_json::from_str(&text).map_err(|error| format!("cargo metadata: {error}"))?;
    let allowed = allowed(architecture)?;
    Ok(metadata.packages.iter().flat_map(|package| against(package, &allowed)).collect())
}

fn allowed(architecture: &str) -> Result<BTreeMap<&str, Allowed<'_>>, String> {
    Ok(table::rows(architecture, "Crates")?.iter().filter_map(|cells| row(cells)).collect())
}

/// The crate of a row of the table, and what it may depend on.
fn row<'a>(cells: &[&'a str]) -> Option<(&'a str, Allowed<'a>)> {
    let name = table::quoted(cells.first()?).first().copied()?;
    let edges: &'a str = cells.get(2)?;
    let (normal, tests) = edges.split_once("tests:").unwrap_or((edges, ""));
    let set = |text: &'a str| table::quoted(text).into_iter().collect();
    Some((name, Allowed { normal: set(normal), tests: set(tests) }))
}

fn against(package: &Package, allowed: &BTreeMap<&str, Allowed<'_>>) -> Vec<Finding> {
    let name = short(&package.name);
    let Some(row) = allowed.get(name) else {
        return vec![format!(
            "{}: the package {name} has no row in the table of crates",
            table::ARCHITECTURE
        )];
    };
    let breaks = |dependency: &&Dependency| {
        let tests = dependency.kind.as_deref() == Some("dev") && row.tests.contains(short(&dependency.name));
        !tests && !row.normal.contains(short(&dependency.name))
    };
    let finding = |dependency: &Dependency| {
        format!(
            "{name} must not depend on {} ({}): the table of crates in {} does not list the edge",
            short(&dependency.name),
            dependency.kind.as_deref().unwrap_or("normal"),
            table::ARCHITECTURE
        )
    };
    package.dependencies.iter().filter(breaks).map(finding).collect()
}

/// A package's name without the prefix that all of ours have; the command's package is called `cli`.
fn short(name: &str) -> &str {
    if name == "marquetry" { "cli" } else { name.strip_prefix("marquetry-").unwrap_or(name) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "## Crates\n\n| crate | what | depends on |\n|---|---|---|\n| `base` | x | - |\n\
        | `isa` | x | `base`, `iced-x86`; tests: `proptest` |\n";

    fn findings(name: &str, dependencies: &[(&str, Option<&str>)]) -> Vec<Finding> {
        let dependency = |(name, kind): &(&str, Option<&str>)| Dependency {
            name: (*name).into(),
            kind: kind.map(Into::into),
        };
        let package =
            Package { name: name.into(), dependencies: dependencies.iter().map(dependency).collect() };
        against(&package, &allowed(TABLE).unwrap())
    }

    #[test]
    fn listed_edges_pass() {
        let edges = [("marquetry-base", None), ("iced-x86", None), ("proptest", Some("dev"))];
        assert!(findings("marquetry-isa", &edges).is_empty());
    }

    #[test]
    fn an_upward_edge_is_found() {
        let found = findings("marquetry-base", &[("marquetry-isa", None)]);
        assert!(found[0].contains("base must not depend on isa"), "{found:?}");
    }

    #[test]
    fn a_dependency_of_tests_alone_is_no_normal_one() {
        assert_eq!(findings("marquetry-isa", &[("proptest", None)]).len(), 1);
        assert_eq!(findings("marquetry-isa", &[("criterion", Some("dev"))]).len(), 1);
    }

    #[test]
    fn a_package_needs_a_row() {
        assert!(findings("marquetry-new", &[])[0].contains("no row"));
    }
}
