//! `network.bond` and `network.vlan` as written.

use super::reader::Fields;
use super::spanned::Spanned;
use crate::diagnostic::Place;

/// How the members of a bond share the work, unless the file says.
pub const BOND_MODE: &str = "active-backup";

/// `network.bond`, as written: several interfaces as one.
#[derive(Debug, Clone)]
pub struct BondFile {
    /// Where it stands.
    pub place: Place,
    /// What the bond is called; `bond0`.
    pub name: Option<Spanned<String>>,
    /// Required: the interfaces that it is made of.
    pub members: Vec<Spanned<String>>,
    /// How they share the work; [`BOND_MODE`].
    pub mode: Option<Spanned<String>>,
}

/// `network.vlan`, as written: `network.interface` is a VLAN of another interface.
#[derive(Debug, Clone)]
pub struct VlanFile {
    /// Where it stands.
    pub place: Place,
    /// Required: its number.
    pub id: Option<Spanned<u32>>,
    /// Required: the interface that its packets come by, a bond's name if there is one.
    pub link: Option<Spanned<String>>,
}

impl BondFile {
    pub(super) fn read(f: &mut Fields<'_>) -> Option<Self> {
        let written = f.is_written("bond");
        let mut f = f.fields("bond");
        f.known(&["name", "members", "mode"]);
        written.then(|| Self {
            place: f.place,
            name: f.or("name", "bond0".to_owned()),
            members: f.list("members"),
            mode: f.or("mode", BOND_MODE.to_owned()),
        })
    }
}

impl VlanFile {
    pub(super) fn read(f: &mut Fields<'_>) -> Option<Self> {
        let written = f.is_written("vlan");
        let mut f = f.fields("vlan");
        f.known(&["id", "link"]);
        written.then(|| Self {
            place: f.place,
            id: f.needed("id", "20"),
            link: f.needed("link", "eno1"),
        })
    }
}
