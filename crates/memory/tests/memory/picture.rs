//! Pictures of maps: that they are SVG, and that they show what the flat view shows.

use memory::RegionSpec;
use memory::inspect::{Mark, svg_of_change};

use crate::common::*;

/// Beginning of a part that is seen, drawn as RAM is.
const RAM_SEEN: &str = "fill=\"#cfe8cf\" stroke=\"#666\"/>";
/// Of a part that something hides.
const HIDDEN: &str = "fill=\"#fff\" stroke=\"#999\" stroke-dasharray=\"3 2\"/>";

fn picture(world: &World) -> String {
    let dump = world.map.dump();
    let svg = dump.svg(&dump.spaces[0], "a map");
    assert_nested(&svg);
    svg
}

/// Checks that every element that begins ends, inside of the one that it began in.
fn assert_nested(svg: &str) {
    let mut open = Vec::new();
    for tag in svg.split('<').skip(1).map(|rest| rest.split_once('>').expect("a tag ends").0) {
        let name = tag.split([' ', '/']).find(|name| !name.is_empty()).unwrap();
        if tag.starts_with('/') {
            assert_eq!(open.pop(), Some(name), "{tag}");
        } else if !tag.ends_with('/') {
            open.push(name);
        }
    }
    assert!(open.is_empty(), "{open:?} do not end");
}

/// Heights of a text, from the top of the page.
fn heights(svg: &str, text: &str) -> Vec<f64> {
    let lines = svg.lines().filter(|line| line.ends_with(&format!(">{text}</text>")));
    lines.map(|line| line.split("y=\"").nth(1).unwrap().split('"').next().unwrap().parse().unwrap()).collect()
}

/// Widths of the rectangles with these attributes at their end.
fn widths(svg: &str, attributes: &str) -> Vec<f64> {
    let lines = svg.lines().filter(|line| line.ends_with(attributes));
    lines
        .map(|line| line.split(" width=\"").nth(1).unwrap().split('"').next().unwrap().parse().unwrap())
        .collect()
}

#[test]
fn lanes_stand_by_priority_above_the_flat_view() {
    let world = World::new(ZEROS);
    world.put(world.root, 0, -3, RegionSpec::ram("ram", 0x4000));
    world.put(world.root, 0x1000, 7, mmio("bar", 0x1000));
    let svg = picture(&world);
    let (bar, ram) = (heights(&svg, "prio 7"), heights(&svg, "prio -3"));
    let flat = heights(&svg, "flat view");
    assert_eq!((bar.len(), ram.len(), flat.len()), (1, 1, 1), "{svg}");
    assert!(bar[0] < ram[0] && ram[0] < flat[0]);
    // The RAM's lane: seen, hidden by the BAR, seen. One more box of that look explains it in the legend.
    assert_eq!(widths(&svg, RAM_SEEN).len(), 2 + 1);
    assert_eq!(widths(&svg, HIDDEN).len(), 1 + 1);
    assert_eq!(heights(&svg, "bar").len(), 2, "once in its lane, once in the flat view");
}

#[test]
fn of_two_ways_to_one_byte_the_first_is_seen() {
    let world = World::new(ZEROS);
    let ram = world.add(RegionSpec::ram("ram", 0x1000));
    for (name, priority) in [("under", 1), ("over", 2)] {
        world.put(world.root, 0, priority, RegionSpec::alias(name, ram, 0, 0x1000));
    }
    let svg = picture(&world);
    assert_eq!((widths(&svg, RAM_SEEN).len(), widths(&svg, HIDDEN).len()), (1 + 1, 1 + 1));
    assert!(
        svg.contains("class=\"\">over → ram</text>") && svg.contains("class=\"faint\">under → ram</text>")
    );
}

#[test]
fn siblings_of_one_priority_share_a_lane_unless_they_overlap() {
    let world = World::new(ZEROS);
    for (name, at) in [("one", 0), ("two", 0x1000), ("three", 0x1800)] {
        world.put(world.root, at, 0, mmio(name, 0x1000));
    }
    let svg = picture(&world);
    assert_eq!(heights(&svg, "prio 0").len(), 2);
    let lane = |name: &str| heights(&svg, name)[0];
    assert!(lane("three") < lane("two"), "what was attached later lies above");
    assert_eq!(lane("one"), lane("three"));
}

#[test]
fn names_are_no_markup() {
    let world = World::new(ZEROS);
    world.put(world.root, 0, 0, mmio("a<b>&\"c\"\u{1}", 0x1000));
    let svg = picture(&world);
    assert!(svg.contains(">a&lt;b&gt;&amp;\"c\" </text>"), "{svg}");
}

#[test]
fn what_is_too_wide_for_the_page_goes_on_in_the_next_band() {
    let world = World::new(ZEROS);
    for number in 0..200 {
        world.put(world.root, 0x2000 * number, 0, mmio(&format!("device {number}"), 0x1000));
    }
    let svg = picture(&world);
    let page: f64 = svg.split("width=\"").nth(1).unwrap().split('"').next().unwrap().parse().unwrap();
    assert!(page < 1700.0, "{page}");
    let bands = heights(&svg, "flat view").len();
    assert!((15..60).contains(&bands), "{bands}");
    for number in [0, 99, 199] {
        assert!(heights(&svg, &format!("device {number}")).len() >= 2, "device {number}");
    }
}

#[test]
fn aliases_that_multiply_are_cut_and_it_says_so() {
    let world = World::new(ZEROS);
    let mut inner = world.add(RegionSpec::container("end", 0x1000));
    for level in 0..20 {
        let outer = world.add(RegionSpec::container(&format!("level {level}"), 0x1000));
        for side in ["left", "right"] {
            world.put(outer, 0, 0, RegionSpec::alias(side, inner, 0, 0x1000));
        }
        inner = outer;
    }
    assert!(!picture(&world).contains("left out"));
    world.put(world.root, 0, 0, RegionSpec::alias("all", inner, 0, 0x1000));
    assert!(picture(&world).contains(">the tree is too large: part of it is left out</text>"));
}

#[test]
fn a_change_is_shown_between_the_maps_and_what_is_far_from_it_is_left_out() {
    let world = World::new(ZEROS);
    for number in 0..20 {
        world.put(world.root, 0x1_0000 + 0x2000 * number, 0, mmio("far", 0x1000));
    }
    let window = world.put(world.root, 0x1000, 1, RegionSpec::rom("window", 0x1000));
    world.put(world.root, 0, 0, RegionSpec::ram("ram", 0x4000));
    let old = world.map.dump();
    world.edit(|txn| txn.set_enabled(window, false));
    let new = world.map.dump();
    let mark = Mark { range: range(0x1800, 0x1803), label: "code".to_owned() };
    let svg = svg_of_change((&old, &old.spaces[0]), (&new, &new.spaces[0]), &[mark], "a change");
    assert_nested(&svg);
    // The legend, on top, names some of these too.
    let at = |text: &str| *heights(&svg, text).last().unwrap();
    assert!(at("before") < at("changed") && at("changed") < at("after") && at("after") < at("translations"));
    assert_eq!(heights(&svg, "flat view").len(), 2);
    assert!(svg.contains("<title>0000000000001000-0000000000001fff</title>"), "the changed range");
    assert!(svg.contains("<title>0000000000001800-0000000000001803 code</title>"), "the mark");
    assert!(heights(&svg, "far").is_empty());
    // The flat ranges and holes from 4000 on, in either view.
    assert_eq!(heights(&svg, "… 41 unchanged").len(), 2, "{svg}");
}
