//! Leases as an apiserver keeps them.

use std::collections::BTreeMap;

use super::{LEASES, Request, status_object};
use crate::objects::Lease;

/// Leases as an apiserver keeps them: each change has another version, and who changes must know the one before.
#[derive(Default)]
pub(super) struct Leases {
    pub(super) objects: BTreeMap<String, Lease>,
    version: u64,
}

impl Leases {
    pub(super) fn store(&mut self, mut lease: Lease) -> String {
        self.version += 1;
        lease.metadata.resource_version = self.version.to_string();
        let text = serde_json::to_string(&lease).unwrap();
        self.objects.insert(lease.metadata.name.clone(), lease);
        text
    }

    pub(super) fn answer(&mut self, request: &Request) -> (u16, String) {
        let name = request.path()[LEASES.len()..].trim_start_matches('/');
        let sent = || serde_json::from_str::<Lease>(&request.body).unwrap();
        let known = self.objects.get(name);
        match (request.method(), known) {
            ("GET", Some(lease)) => (200, serde_json::to_string(lease).unwrap()),
            ("GET" | "PUT", None) => status_object(404, &format!("leases {name:?} not found")),
            ("PUT", Some(lease))
                if sent().metadata.resource_version == lease.metadata.resource_version =>
            {
                (200, self.store(sent()))
            }
            ("PUT", Some(_)) => status_object(409, "the object has been modified"),
            ("POST", _) if self.objects.contains_key(&sent().metadata.name) => {
                status_object(409, "already exists")
            }
            ("POST", _) => (201, self.store(sent())),
            _ => status_object(405, "no such method"),
        }
    }
}
