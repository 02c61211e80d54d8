//! The text as a tree, with the place of every node.

use std::collections::{BTreeSet, HashMap};
use std::iter::Peekable;

use granit_parser::{Event, Parser, ScalarStyle, Span, StrInput};

use super::{Fault, Location, Said};

/// The deepest nesting.
const MAX_DEPTH: usize = 64;
/// The most nodes, those that aliases repeat included.
const MAX_NODES: usize = 100_000;

/// A node and where it stands.
#[derive(Debug, Clone)]
pub(super) struct Node {
    /// Where it is used.
    pub referenced: Location,
    /// Where it is written: elsewhere, when an alias uses it.
    pub defined: Location,
    pub kind: Kind,
}

#[derive(Debug, Clone)]
pub(super) enum Kind {
    Scalar(Scalar),
    List(Vec<Node>),
    Map(Vec<(Key, Node)>),
    /// What was already complained of.
    Broken,
}

#[derive(Debug, Clone)]
pub(super) struct Scalar {
    pub text: String,
    /// Written without quotes: it may be a number, `true`, `false` or nothing.
    pub is_plain: bool,
}

#[derive(Debug, Clone)]
pub(super) struct Key {
    pub at: Location,
    pub text: String,
}

impl Node {
    /// The names on a path: keys, and indices of lists.
    pub fn names(&self, path: &[usize]) -> Vec<String> {
        let mut names = Vec::with_capacity(path.len());
        let mut node = self;
        for &index in path {
            node = match &node.kind {
                Kind::Map(entries) => {
                    let Some((key, value)) = entries.get(index) else { break };
                    names.push(key.text.clone());
                    value
                }
                Kind::List(items) => {
                    let Some(item) = items.get(index) else { break };
                    names.push(index.to_string());
                    item
                }
                Kind::Scalar(_) | Kind::Broken => break,
            };
        }
        names
    }

    /// Takes out what a path leads to.
    pub fn remove(&mut self, path: &[usize]) {
        let Some((&index, rest)) = path.split_first() else { return };
        match &mut self.kind {
            Kind::Map(entries) if index < entries.len() => match rest {
                [] => drop(entries.remove(index)),
                _ => entries[index].1.remove(rest),
            },
            Kind::List(items) if index < items.len() => match rest {
                [] => drop(items.remove(index)),
                _ => items[index].remove(rest),
            },
            _ => {}
        }
    }

    fn count(&self) -> usize {
        1 + match &self.kind {
            Kind::Map(entries) => entries.iter().map(|(_, value)| value.count()).sum(),
            Kind::List(items) => items.iter().map(Node::count).sum(),
            Kind::Scalar(_) | Kind::Broken => 0,
        }
    }
}

/// Reads a text into a tree. What does not keep it from being read goes to `faults`, the paths of
/// what had to be left out to `broken`.
pub(super) fn parse(
    text: &str,
    faults: &mut Vec<Fault>,
    broken: &mut BTreeSet<String>,
) -> Result<Node, Fault> {
    let text_events = Parser::new_from_str(text).peekable();
    let mut builder = Builder {
        text,
        events: text_events,
        anchors: HashMap::new(),
        nodes: 0,
        path: Vec::new(),
        faults,
        broken,
    };
    builder.document()
}

struct Builder<'t, 'f> {
    text: &'t str,
    events: Peekable<Parser<'t, StrInput<'t>>>,
    anchors: HashMap<usize, Node>,
    nodes: usize,
    path: Vec<String>,
    faults: &'f mut Vec<Fault>,
    broken: &'f mut BTreeSet<String>,
}

fn location(span: &Span) -> Location {
    let range = span.byte_range().unwrap_or(0..0);
    Location { start: range.start, end: range.end }
}

impl<'t> Builder<'t, '_> {
    fn next(&mut self) -> Result<(Event<'t>, Location), Fault> {
        loop {
            match self.events.next() {
                None => return Ok((Event::StreamEnd, Location::default())),
                Some(Ok((event, span))) => match event {
                    // With the feature that tells of comments, they are told of.
                    event if !is_ours(&event) => {}
                    event => return Ok((event, location(&span))),
                },
                Some(Err(error)) => {
                    let marker = error.marker();
                    let at = marker.byte_offset().unwrap_or_else(|| {
                        let chars = self.text.char_indices().nth(marker.index());
                        chars.map_or(self.text.len(), |(at, _)| at)
                    });
                    return Err(Fault {
                        at: Location { start: at, end: at },
                        said: Said::of_syntax(&error.info()),
                    });
                }
            }
        }
    }

    fn document(&mut self) -> Result<Node, Fault> {
        let nothing = |at| Fault {
            at,
            said: Said::new("there is nothing in the file")
                .help("`lifecycle init` writes one to start from"),
        };
        let mut root = None;
        loop {
            let (event, at) = self.next()?;
            match event {
                Event::StreamStart | Event::DocumentEnd => {}
                Event::DocumentStart(..) if root.is_none() => {
                    let (event, at) = self.next()?;
                    root = Some(self.node(event, at, 0)?);
                }
                Event::DocumentStart(..) => {
                    return Err(Fault {
                        at,
                        said: Said::new("the file goes on after its end")
                            .label("a second document")
                            .help("a lifecycle file is one YAML document: remove the line `---`"),
                    });
                }
                _ => break,
            }
        }
        let empty = |root: &Node| match &root.kind {
            Kind::Scalar(scalar) => scalar.is_plain && scalar.text.is_empty(),
            _ => false,
        };
        root.filter(|root| !empty(root)).ok_or_else(|| nothing(Location::default()))
    }

    fn fault(&mut self, at: Location, said: Said) {
        self.faults.push(Fault { at, said });
    }

    fn node(&mut self, event: Event<'t>, at: Location, depth: usize) -> Result<Node, Fault> {
        self.nodes += 1;
        if depth > MAX_DEPTH || self.nodes > MAX_NODES {
            return Err(too_much(at));
        }
        let leaf = |kind| Node { referenced: at, defined: at, kind };
        let (node, anchor) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                let custom = tag.filter(|tag| !tag.is_yaml_core_schema());
                if let Some(tag) = custom {
                    self.tagged(&tag.original(), at);
                    return Ok(leaf(Kind::Broken));
                }
                let scalar =
                    Scalar { text: text.into_owned(), is_plain: style == ScalarStyle::Plain };
                (leaf(Kind::Scalar(scalar)), anchor)
            }
            Event::SequenceStart(_, anchor, tag) => {
                if let Some(tag) = tag.filter(|tag| !tag.is_yaml_core_schema()) {
                    self.tagged(&tag.original(), at);
                }
                let mut items = Vec::new();
                let end = loop {
                    let (event, at) = self.next()?;
                    if event == Event::SequenceEnd {
                        break at.end;
                    }
                    self.path.push(items.len().to_string());
                    items.push(self.node(event, at, depth + 1)?);
                    self.path.pop();
                };
                (Node { kind: Kind::List(items), ..self.spanning(at, end) }, anchor)
            }
            Event::MappingStart(_, anchor, tag) => {
                if let Some(tag) = tag.filter(|tag| !tag.is_yaml_core_schema()) {
                    self.tagged(&tag.original(), at);
                }
                let (entries, end) = self.entries(depth)?;
                (Node { kind: Kind::Map(entries), ..self.spanning(at, end) }, anchor)
            }
            Event::Alias(anchor) => {
                let Some(known) = self.anchors.get(&anchor) else {
                    self.fault(at, Said::new("`*` refers to something that contains it"));
                    return Ok(leaf(Kind::Broken));
                };
                self.nodes += known.count();
                if self.nodes > MAX_NODES {
                    return Err(too_much(at));
                }
                return Ok(Node { referenced: at, ..known.clone() });
            }
            _ => return Ok(leaf(Kind::Broken)),
        };
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        Ok(node)
    }

    /// A collection from its start to the end of its last part, without the blank lines after it.
    fn spanning(&self, at: Location, end: usize) -> Node {
        let end = end.max(at.end).min(self.text.len());
        let end = at.start + self.text[at.start..end].trim_end().len();
        let at = Location { start: at.start, end };
        Node { referenced: at, defined: at, kind: Kind::Broken }
    }

    fn entries(&mut self, depth: usize) -> Result<(Vec<(Key, Node)>, usize), Fault> {
        let mut entries: Vec<(Key, Node)> = Vec::new();
        loop {
            let (event, at) = self.next()?;
            if event == Event::MappingEnd {
                return Ok((entries, at.end));
            }
            let key = match self.node(event, at, depth + 1)? {
                Node { kind: Kind::Scalar(scalar), referenced, .. } => {
                    Some(Key { at: referenced, text: scalar.text })
                }
                Node { kind: Kind::Broken, .. } => None,
                other => {
                    let at = Location { end: other.referenced.start + 1, ..other.referenced };
                    self.fault(at, Said::new("a key is one word").label("something else"));
                    None
                }
            };
            let name = key.as_ref().map_or("", |key| key.text.as_str()).to_owned();
            self.path.push(name.clone());
            let (event, at) = self.next()?;
            let value = self.node(event, at, depth + 1)?;
            let path = self.path.join(".");
            self.path.pop();
            let Some(key) = key else { continue };
            if name == "<<" {
                self.broken.insert(path);
                self.fault(
                    key.at,
                    Said::new("`<<` is not supported")
                        .label("a merge key")
                        .help("write the keys out"),
                );
            } else if entries.iter().any(|(known, _)| known.text == name) {
                self.fault(
                    key.at,
                    Said::new(format!("`{name}` is there twice"))
                        .label("the second")
                        .help("keep one of them, or give them different names"),
                );
            } else if matches!(value.kind, Kind::Broken) {
                self.broken.insert(path);
            } else {
                entries.push((key, value));
            }
        }
    }

    fn tagged(&mut self, tag: &str, at: Location) {
        // The tag stands before its value, which is often empty.
        let before = &self.text[..at.start.min(self.text.len())];
        let start = before.rfind(tag).unwrap_or(at.start);
        let at = Location { start, end: start + tag.len() };
        let said = Said::new(format!("`{tag}` is read as a YAML tag")).label("a tag");
        self.fault(at, said.help("quote a text that starts with `!`, or write it under `none:`"));
        self.broken.insert(self.path.join("."));
    }
}

fn too_much(at: Location) -> Fault {
    let said = Said::new("the file is nested too deeply, or repeats too much");
    Fault {
        at: Location { end: at.start, ..at },
        said: said.help("write it out, with fewer levels"),
    }
}

fn is_ours(event: &Event<'_>) -> bool {
    matches!(
        event,
        Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(..)
            | Event::DocumentEnd
            | Event::Alias(_)
            | Event::Scalar(..)
            | Event::SequenceStart(..)
            | Event::SequenceEnd
            | Event::MappingStart(..)
            | Event::MappingEnd
    )
}
