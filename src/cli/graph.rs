//! `pynbox-build graph`: the graph as a picture: for Graphviz, as SVG, or as a page that can be
//! searched and zoomed. Builds nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use clap::{Args, ValueEnum};
use layout::backends::svg::SVGWriter;
use layout::core::base::Orientation;
use layout::core::color::Color;
use layout::core::geometry::Point;
use layout::core::style::StyleAttr;
use layout::std_shapes::shapes::{Arrow, Element, ShapeKind};
use layout::topo::layout::VisualGraph;
use serde::Serialize;

use super::json::{self, Answer};
use super::print;
use super::{CommandError, Session};
use crate::model::walk::Way;
use crate::model::{At, Model, Standing};

/// Beyond so many boxes a layout takes minutes, and nobody finds anything in it.
const MAX_BOXES: usize = 1500;
/// The colour of edges and rims.
const EDGE_COLOR: &str = "darkgray";
/// The size of the letters.
const FONT: usize = 14;
/// The page around a picture.
const PAGE: &str = include_str!("graph/page.html");

/// Options of `graph`.
#[derive(Debug, Args)]
pub(super) struct Options {
    /// Only these with what they need: nodes, recipes, targets or patterns; default: all that
    /// somebody can ask for
    #[arg(value_name = "NODE")]
    of: Vec<String>,
    /// What a box stands for; default: `recipe`, or `node` where nodes are named
    #[arg(long, value_enum, value_name = "WHAT")]
    by: Option<By>,
    /// Go so many edges far
    #[arg(long, value_name = "N")]
    depth: Option<usize>,
    /// Print the language of Graphviz (the default)
    #[arg(long, group = "format")]
    dot: bool,
    /// Print a picture
    #[arg(long, group = "format")]
    svg: bool,
    /// Print a page that can be searched and zoomed, which needs nothing beside itself
    #[arg(long, group = "format")]
    html: bool,
    /// Print boxes and edges as one line of JSON
    #[arg(long, group = "format")]
    json: bool,
}

/// What a box stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum By {
    /// All nodes of a recipe for one target
    Recipe,
    /// One node
    Node,
}

/// The answer of `graph`.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct Picture {
    /// The boxes.
    boxes: Vec<GraphBox>,
    /// The edges, each from a box to one that it needs, by their places in the list.
    edges: BTreeSet<(usize, usize)>,
}

/// A box.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct GraphBox {
    /// The node, or `TARGET/RECIPE`.
    name: String,
    /// How many nodes it stands for.
    nodes: usize,
    /// `known` if all results of it are, else `left`.
    state: Standing,
}

impl Answer for Picture {
    const SCHEMA: &'static str = "graph/1";
}

pub(super) fn run(session: &Session, options: &Options) -> Result<(), CommandError> {
    let questioned = session.questioned()?;
    let model = Model::new(&questioned.plan, &questioned.store);
    let roots = match options.of.as_slice() {
        [] => model.plan().aliases().keys().map(|alias| model.named(alias)).collect::<Result<Vec<_>, _>>()?.concat(),
        words => words.iter().map(|word| model.named(word)).collect::<Result<Vec<_>, _>>()?.concat(),
    };
    let shown: Vec<_> = model.reach(&roots, Way::Inputs, options.depth).into_iter().map(|(at, _)| at).collect();
    let by = options.by.unwrap_or(if options.of.is_empty() { By::Recipe } else { By::Node });
    let picture = Picture::of(&model, &shown, by);
    if options.json {
        return json::print(&picture);
    }
    if !options.svg && !options.html {
        print::out(picture.dot().as_bytes());
        return Ok(());
    }
    if picture.boxes.len() > MAX_BOXES {
        return Err(CommandError::input(format!(
            "the picture would have {} boxes, and takes at most {MAX_BOXES}",
            picture.boxes.len()
        ))
        .hint("name some nodes, give `--depth N` or `--by recipe`, or lay the output of `--dot` out by Graphviz"));
    }
    let svg = picture.svg();
    if options.html {
        // The header is for files of their own.
        let picture = svg.find("<svg").map_or(svg.as_str(), |at| &svg[at..]);
        print::out(PAGE.replace("<!--picture-->", picture).as_bytes());
    } else {
        print::out(svg.as_bytes());
    }
    Ok(())
}

impl Picture {
    fn of(model: &Model<'_>, shown: &[At], by: By) -> Self {
        let table = model.table();
        let name = |at: At| match by {
            By::Node => table.name(at).to_owned(),
            By::Recipe => match model.target(at) {
                Some(target) => format!("{target}/{}", table.recipe(at)),
                None => table.recipe(at).to_owned(),
            },
        };
        let mut boxes: Vec<GraphBox> = Vec::new();
        let mut numbers = BTreeMap::new();
        let mut of_node = BTreeMap::new();
        for at in shown {
            let number = *numbers.entry(name(*at)).or_insert_with_key(|name| {
                boxes.push(GraphBox { name: name.clone(), nodes: 0, state: Standing::Known });
                boxes.len() - 1
            });
            boxes[number].nodes += 1;
            boxes[number].state = boxes[number].state.max(model.planned(*at));
            of_node.insert(*at, number);
        }
        let mut edges = BTreeSet::new();
        for (at, from) in &of_node {
            let to = table.inputs(*at).filter_map(|input| of_node.get(&input)).filter(|to| *to != from);
            edges.extend(to.map(|to| (*from, *to)));
        }
        Self { boxes, edges }
    }

    /// In the language of Graphviz.
    fn dot(&self) -> String {
        let mut text = "digraph pynbox {\n  rankdir=LR;\n  node [shape=box, style=filled, fontname=sans];\n".to_owned();
        for (number, one) in self.boxes.iter().enumerate() {
            // Writing to a string can't fail.
            let _ = writeln!(text, "  n{number} [label=\"{}\", fillcolor=\"{}\"];", one.label(), one.color());
        }
        for (from, to) in &self.edges {
            let _ = writeln!(text, "  n{from} -> n{to};");
        }
        text.push_str("}\n");
        text
    }

    /// As a picture.
    fn svg(&self) -> String {
        let mut graph = VisualGraph::new(Orientation::LeftToRight);
        // By these attributes a page finds boxes and edges.
        let attribute = |name: &str, value: String| Some(format!("data-{name}=\"{value}\""));
        let grey = Color::fast(EDGE_COLOR);
        let mut handles = Vec::new();
        for (number, one) in self.boxes.iter().enumerate() {
            let label = one.label();
            let style = StyleAttr::new(grey, 1, Color::from_name(one.color()), 4, FONT);
            let size = Point::new((label.len() * FONT * 3 / 5 + 16) as f64, (FONT * 2) as f64);
            let mut element = Element::create(ShapeKind::new_box(&label), style, Orientation::LeftToRight, size);
            element.properties = attribute("box", number.to_string());
            handles.push(graph.add_node(element));
        }
        for (from, to) in &self.edges {
            let look = StyleAttr::new(grey, 1, None, 0, FONT);
            let properties = attribute("edge", format!("{from} {to}"));
            graph.add_edge(Arrow { look, properties, ..Arrow::simple("") }, handles[*from], handles[*to]);
        }
        let mut svg = SVGWriter::new();
        if !self.boxes.is_empty() {
            graph.do_it(false, false, false, &mut svg);
        }
        svg.finalize()
    }
}

impl GraphBox {
    fn label(&self) -> String {
        if self.nodes == 1 { self.name.clone() } else { format!("{} ({})", self.name, self.nodes) }
    }

    fn color(&self) -> &'static str {
        if self.state == Standing::Known { "palegreen" } else { "khaki" }
    }
}
