//! A scanner for XML error bodies: the root, its attributes, and the first text of each element. No document
//! type, no entities but the five, bounded depth and attribute count (recovery row D07). What it refuses is read
//! as a web page.

use crate::limits::{MAX_XML_ATTRIBUTES, MAX_XML_DEPTH, MAX_XML_TEXTS};

/// Names are without their namespace prefix.
#[derive(Debug, Default)]
pub(super) struct Xml {
    pub root: String,
    attributes: Vec<(String, String)>,
    texts: Vec<(String, String)>,
}

impl Xml {
    /// `None` for a document type, a broken tag, or a bound exceeded. A body that ends early is fine: what was
    /// read until there counts.
    pub(super) fn scan(text: &str) -> Option<Self> {
        let mut xml = Xml::default();
        let mut open: Vec<&str> = Vec::new();
        let mut attributes = 0;
        let mut rest = text;
        while let Some(at) = rest.find('<') {
            let (before, tag) = rest.split_at(at);
            xml.keep_text(open.last().copied(), &unescaped(before));
            rest = tag;
            if let Some(after) = skipped(rest) {
                rest = after?;
            } else if let Some(section) = rest.strip_prefix("<![CDATA[") {
                let (inside, after) = section.split_once("]]>")?;
                xml.keep_text(open.last().copied(), inside);
                rest = after;
            } else if let Some(closing) = rest.strip_prefix("</") {
                let (name, after) = closing.split_once('>')?;
                if open.pop()? != local(name.trim()) {
                    return None;
                }
                rest = after;
            } else {
                let (inside, after) = tag_end(rest.get(1..)?)?;
                let (name, empty) = xml.opened(inside, open.is_empty(), &mut attributes)?;
                if !empty {
                    open.push(name);
                }
                if open.len() > MAX_XML_DEPTH {
                    return None;
                }
                rest = after;
            }
            if open.is_empty() && !xml.root.is_empty() {
                break;
            }
        }
        (!xml.root.is_empty()).then_some(xml)
    }

    /// The root's attribute.
    pub(super) fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The first text of the first element of this name, at any depth.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.texts.iter().find(|(known, _)| known == name).map(|(_, text)| text.as_str())
    }

    fn keep_text(&mut self, element: Option<&str>, text: &str) {
        if let Some(element) = element
            && !text.trim().is_empty()
            && self.texts.len() < MAX_XML_TEXTS
        {
            self.texts.push((element.to_owned(), text.trim().to_owned()));
        }
    }

    /// The name of a start tag and whether it is also the end.
    fn opened<'a>(
        &mut self,
        inside: &'a str,
        first: bool,
        attributes: &mut usize,
    ) -> Option<(&'a str, bool)> {
        let empty = inside.ends_with('/');
        let inside = inside.strip_suffix('/').unwrap_or(inside);
        let name_end = inside.find(char::is_whitespace).unwrap_or(inside.len());
        let (name, mut rest) = inside.split_at(name_end);
        let name = local(name);
        if !name.starts_with(|c: char| c.is_alphabetic() || c == '_') {
            return None;
        }
        while !rest.trim().is_empty() {
            *attributes += 1;
            let (key, value, after) = attribute(rest)?;
            if *attributes > MAX_XML_ATTRIBUTES {
                return None;
            }
            if first {
                self.attributes.push((local(key).to_owned(), unescaped(value)));
            }
            rest = after;
        }
        if first {
            self.root = name.to_owned();
        }
        Some((name, empty))
    }
}

/// Past a declaration or comment: `Some(None)` when it does not end, or is a document type, which is refused.
fn skipped(text: &str) -> Option<Option<&str>> {
    let after =
        |start: &str, end: &str| text.strip_prefix(start).map(|t| t.split_once(end).map(|(_, after)| after));
    after("<?", "?>").or_else(|| after("<!--", "-->")).or_else(|| {
        let refused = text.starts_with("<!") && !text.starts_with("<![CDATA[");
        refused.then_some(None)
    })
}

/// Up to the `>` that is not inside an attribute's quotes.
fn tag_end(text: &str) -> Option<(&str, &str)> {
    let mut quote = None;
    let end = text.find(|c| match quote {
        Some(open) => {
            if c == open {
                quote = None;
            }
            false
        }
        None => {
            if matches!(c, '"' | '\'') {
                quote = Some(c);
            }
            c == '>'
        }
    })?;
    Some((text.get(..end)?, text.get(end + 1..)?))
}

fn attribute(text: &str) -> Option<(&str, &str, &str)> {
    let (key, value) = text.split_once('=')?;
    let value = value.trim_start();
    let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    let (value, after) = value.get(1..)?.split_once(quote)?;
    Some((key.trim(), value, after))
}

fn local(name: &str) -> &str {
    name.rsplit(':').next().unwrap_or(name)
}

/// The five entities of XML itself; all others stay as they stand. `&amp;` last, so that nothing is read twice.
fn unescaped(text: &str) -> String {
    if !text.contains('&') {
        return text.to_owned();
    }
    let plain = text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&apos;", "'");
    plain.replace("&amp;", "&")
}
