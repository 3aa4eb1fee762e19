//! `marq mtree`: a board's region tree or flat view, in the form of QEMU's `info mtree`.

use crate::args::MtreeArgs;
use crate::outcome::Outcome;

/// Prints the tree or the flat view.
///
/// # Errors
/// A sentence for people: a board that does not exist, or one that cannot be built.
pub fn run(args: &MtreeArgs) -> Result<Outcome, String> {
    if args.board != "bare" {
        return Err(format!("there is no board {:?}; the only one is \"bare\"", args.board));
    }
    let machine = crate::run::default_machine()?;
    crate::out::print(&if args.flat { machine.flat_text() } else { machine.tree_text() });
    Ok(Outcome::OK)
}
