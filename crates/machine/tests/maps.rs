//! Maps that are kept: those of the boards, whose changes are shown, and the shipped files, which Graphviz can draw.
#![forbid(unsafe_code)]

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use marquetry_machine::mapfile::{BuiltMap, MapFile};
use marquetry_machine::{BOARDS, BareBoard, BoardConfig};
use memory::inspect::MapDump;

mod tools;

/// The board of that name.
fn board(name: &str) -> BareBoard {
    match name {
        "bare" => BareBoard::new(BoardConfig::default()).unwrap(),
        _ => panic!("say here how board {name} is made"),
    }
}

/// The shipped map files by name, built.
fn shipped() -> Vec<(String, BuiltMap)> {
    let files = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("maps")).unwrap();
    let built = |path: &Path| {
        let file = MapFile::from_toml(&fs::read_to_string(path).unwrap());
        (path.display().to_string(), file.and_then(|file| file.build()).unwrap())
    };
    files.map(|file| built(&file.unwrap().path())).collect()
}

/// Lines that are only in `old`, after `-`, and only in `new`, after `+`; nothing if they are the same.
fn difference(old: &str, new: &str) -> String {
    let (old, new): (Vec<_>, Vec<_>) = (old.lines().collect(), new.lines().collect());
    // Length of the longest common part of what follows line `i` of the one and line `j` of the other.
    let mut common = vec![vec![0; new.len() + 1]; old.len() + 1];
    for i in (0..old.len()).rev() {
        for j in (0..new.len()).rev() {
            common[i][j] = if old[i] == new[j] {
                common[i + 1][j + 1] + 1
            } else {
                common[i + 1][j].max(common[i][j + 1])
            };
        }
    }
    let (mut i, mut j, mut text) = (0, 0, String::new());
    while i < old.len() || j < new.len() {
        if i < old.len() && j < new.len() && old[i] == new[j] {
            (i, j) = (i + 1, j + 1);
        } else if j == new.len() || (i < old.len() && common[i + 1][j] >= common[i][j + 1]) {
            text += &format!("-{}\n", old[i]);
            i += 1;
        } else {
            text += &format!("+{}\n", new[j]);
            j += 1;
        }
    }
    text
}

#[test]
fn item_118_the_maps_of_all_boards_are_those_that_are_kept() {
    for name in BOARDS {
        let board = board(name);
        let dump = board.map().dump();
        let spaces: Vec<_> = dump.spaces.iter().collect();
        let now = board.map().tree_text_all() + &dump.flat_text(&spaces);
        let path = format!("{}/tests/golden/{name}.txt", env!("CARGO_MANIFEST_DIR"));
        let kept = fs::read_to_string(&path).unwrap_or_default();
        let changes = difference(&kept, &now);
        if !changes.is_empty() {
            let new = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.txt"));
            fs::write(&new, &now).unwrap();
            panic!(
                "the map of board {name} has changed; if it is meant, cp {} {path}\n{changes}",
                new.display()
            );
        }
    }
}

#[test]
fn differences_are_the_lines_that_changed() {
    assert_eq!(difference("a\nb\nc\n", "a\nx\nc\nd\n"), "-b\n+x\n+d\n");
    assert_eq!(difference("a\n", "a\n"), "");
    assert_eq!(difference("", "a\n"), "+a\n");
}

/// Draws a graph and counts its boxes.
fn nodes_drawn(mut dot: Command, graph: &str) -> usize {
    let mut dot =
        dot.arg("-Tsvg").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    dot.stdin.take().unwrap().write_all(graph.as_bytes()).unwrap();
    let output = dot.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && said.is_empty(), "{said}\n{graph}");
    String::from_utf8(output.stdout).unwrap().matches("class=\"node\"").count()
}

#[test]
fn item_115_graphviz_draws_every_region_and_space() {
    let all = |dump: &MapDump| dump.regions.len() + dump.spaces.len();
    let maps = shipped();
    assert!(maps.len() >= 5, "the shipped maps were not found");
    let mut dumps: Vec<_> = maps.iter().map(|(path, built)| (path.clone(), built.map.dump())).collect();
    dumps.extend(BOARDS.map(|name| (name.to_owned(), board(name).map().dump())));
    for (name, dump) in dumps {
        let Some(dot) = tools::find("dot", "-V") else { return };
        assert_eq!(nodes_drawn(dot, &dump.dot()), all(&dump), "{name}");
    }
}

#[test]
fn a_board_goes_through_json_and_toml() {
    for name in BOARDS {
        let board = board(name);
        let dump = board.map().dump();
        for file in [
            MapFile::from_toml(&MapFile::of(&dump).to_toml()),
            MapFile::from_json(&MapFile::of(&dump).to_json(&dump)),
        ] {
            let built = file.and_then(|file| file.build()).unwrap();
            assert_eq!(built.map.tree_text_all(), board.map().tree_text_all(), "{name}");
            for (ours, theirs) in built.map.dump().spaces.iter().zip(&dump.spaces) {
                assert_eq!(memory::inspect::compare(&ours.view, &theirs.view), [], "{name}");
            }
        }
    }
}
