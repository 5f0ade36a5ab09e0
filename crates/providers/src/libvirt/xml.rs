//! libvirt's XML: templates for what we make (values always escaped), and a reader for what it tells.

use std::fmt;

use anyhow::{Context, Result};
use roxmltree::Document;

use super::names::NAMESPACE;

pub mod domain;
pub mod network;
pub mod volume;

/// A value inside an attribute or an element.
#[derive(Debug, Clone, Copy)]
pub struct XmlEscaped<'a>(pub &'a str);

impl fmt::Display for XmlEscaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            match c {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&apos;")?,
                // XML 1.0 has no way to write other control characters; libvirt would refuse the whole document.
                c if c.is_control() => write!(f, " ")?,
                c => write!(f, "{c}")?,
            }
        }
        Ok(())
    }
}

/// Reads what libvirt told about `what`.
pub fn parse_xml<'a>(text: &'a str, what: &str) -> Result<Document<'a>> {
    Document::parse(text).with_context(|| format!("cannot parse libvirt's XML of {what}"))
}

/// The text of the first element of that name.
pub fn element_text<'a>(document: &'a Document<'_>, name: &str) -> Option<&'a str> {
    document
        .descendants()
        .find(|n| n.has_tag_name(name))?
        .text()
        .map(str::trim)
}

/// Who a domain or network says it belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    pub cluster: String,
    /// The node; empty for a network.
    pub node: String,
    /// The state directory's id.
    pub state: String,
}

impl Mark {
    /// The mark in a document; none: somebody else's.
    pub fn find(document: &Document<'_>) -> Option<Self> {
        let metadata = document
            .root_element()
            .children()
            .find(|n| n.has_tag_name("metadata"))?;
        let mark = metadata
            .children()
            .find(|n| n.has_tag_name((NAMESPACE, "owner")))?;
        let get = |name: &str| mark.attribute(name).unwrap_or_default().to_owned();
        Some(Self {
            cluster: get("cluster"),
            node: get("node"),
            state: get("state"),
        })
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "<metadata><ha:owner xmlns:ha='{NAMESPACE}' cluster='{}' node='{}' state='{}'/></metadata>",
            XmlEscaped(&self.cluster),
            XmlEscaped(&self.node),
            XmlEscaped(&self.state)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_escaped_comes_back() {
        let odd = "a<b>&'\"c\u{7}";
        let text = format!("<x y='{}'>{}</x>", XmlEscaped(odd), XmlEscaped(odd));
        let document = parse_xml(&text, "x").unwrap();
        assert_eq!(document.root_element().attribute("y"), Some("a<b>&'\"c "));
        assert_eq!(document.root_element().text(), Some("a<b>&'\"c "));
    }

    #[test]
    fn marks_come_back_and_foreign_things_have_none() {
        let mark = Mark {
            cluster: "demo".into(),
            node: "n1".into(),
            state: "aa".into(),
        };
        let text = format!("<domain><name>x</name>{mark}</domain>");
        assert_eq!(Mark::find(&parse_xml(&text, "x").unwrap()), Some(mark));
        let other = "<domain><metadata><o:owner xmlns:o='http://libosinfo.org/' state='aa'/></metadata></domain>";
        assert_eq!(Mark::find(&parse_xml(other, "x").unwrap()), None);
        assert_eq!(Mark::find(&parse_xml("<domain/>", "x").unwrap()), None);
    }
}
