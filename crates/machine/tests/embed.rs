//! The example for embedders runs, and its guest finds what it should.
#![forbid(unsafe_code)]

#[path = "../examples/embed.rs"]
mod embed;

#[test]
fn the_example_runs() {
    embed::main().expect("the example ends well");
}
