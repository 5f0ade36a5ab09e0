//! Volumes of a storage pool.

use std::fmt;

use anyhow::{Context, Result};

use super::{XmlEscaped, parse_xml};

/// A volume to be made.
#[derive(Debug, Clone)]
pub struct NewVolume<'a> {
    /// Its name in the pool.
    pub name: &'a str,
    /// Its size in bytes; 0 for what is uploaded: it grows then.
    pub capacity: u64,
    /// `qcow2` or `raw`.
    pub format: &'a str,
    /// Permission bits of its file.
    pub mode: u32,
    /// User and group of the hypervisor's processes; none: the daemon's.
    pub owner: Option<(u32, u32)>,
    /// Path and format of what it lies over.
    pub backing: Option<(&'a str, &'a str)>,
}

impl fmt::Display for NewVolume<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "<volume>\n  <name>{}</name>", XmlEscaped(self.name))?;
        writeln!(
            f,
            "  <capacity unit='bytes'>{}</capacity>\n  <allocation unit='bytes'>0</allocation>",
            self.capacity
        )?;
        write!(
            f,
            "  <target><format type='{}'/><permissions><mode>0{:o}</mode>",
            self.format, self.mode
        )?;
        if let Some((user, group)) = self.owner {
            write!(f, "<owner>{user}</owner><group>{group}</group>")?;
        }
        writeln!(f, "</permissions></target>")?;
        if let Some((path, format)) = self.backing {
            writeln!(
                f,
                "  <backingStore><path>{}</path><format type='{format}'/></backingStore>",
                XmlEscaped(path)
            )?;
        }
        f.write_str("</volume>\n")
    }
}

/// A volume as libvirt tells of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Volume {
    /// Where it lies at the host.
    pub path: String,
    /// How long its file is, in bytes.
    pub physical: u64,
    /// `qcow2`, `raw`, ... as libvirt reads it from the file.
    pub format: String,
    /// What it lies over.
    pub backing: Option<String>,
}

impl Volume {
    pub fn read(xml: &str, name: &str) -> Result<Self> {
        let what = format!("volume {name}");
        let document = parse_xml(xml, &what)?;
        let root = document.root_element();
        let child = |of: &str, name: &str| {
            let of = root.children().find(|n| n.has_tag_name(of))?;
            of.children()
                .find(|n| n.has_tag_name(name))?
                .text()
                .map(String::from)
        };
        let size = |name: &str| {
            root.children()
                .find(|n| n.has_tag_name(name))?
                .text()?
                .trim()
                .parse()
                .ok()
        };
        let target = root.children().find(|n| n.has_tag_name("target"));
        let format = target
            .and_then(|n| n.children().find(|n| n.has_tag_name("format")))
            .and_then(|n| n.attribute("type"));
        Ok(Self {
            path: child("target", "path")
                .with_context(|| format!("libvirt's XML of {what} has no path"))?,
            // Since libvirt 1.2.17; a file without holes allocates no less.
            physical: size("physical")
                .or_else(|| size("allocation"))
                .with_context(|| format!("libvirt's XML of {what} has no size"))?,
            format: format.unwrap_or_default().to_owned(),
            backing: child("backingStore", "path"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_overlay() {
        let new = NewVolume {
            name: "demo.n1.aa.qcow2",
            capacity: 20 << 30,
            format: "qcow2",
            mode: 0o600,
            owner: Some((64055, 64055)),
            backing: Some(("/pool/b&b", "qcow2")),
        };
        assert_eq!(
            new.to_string(),
            "<volume>\n  <name>demo.n1.aa.qcow2</name>\n  <capacity unit='bytes'>21474836480</capacity>\n  \
             <allocation unit='bytes'>0</allocation>\n  <target><format type='qcow2'/><permissions><mode>0600</mode>\
             <owner>64055</owner><group>64055</group></permissions></target>\n  \
             <backingStore><path>/pool/b&amp;b</path><format type='qcow2'/></backingStore>\n</volume>\n"
        );
    }

    #[test]
    fn what_libvirt_tells() {
        let xml = "<volume type='file'><name>x</name><key>/p/x</key><capacity unit='bytes'>9</capacity>\
                   <allocation unit='bytes'>4096</allocation><physical unit='bytes'>1414</physical>\
                   <target><path>/p/x</path><format type='qcow2'/></target>\
                   <backingStore><path>/p/base</path><format type='qcow2'/></backingStore></volume>";
        let volume = Volume::read(xml, "x").unwrap();
        assert_eq!(
            volume,
            Volume {
                path: "/p/x".into(),
                physical: 1414,
                format: "qcow2".into(),
                backing: Some("/p/base".into())
            }
        );
        let sizeless = Volume::read("<volume><target><path>/p/x</path></target></volume>", "x");
        assert!(sizeless.is_err(), "never taken for an empty one");
    }
}
