//! An Ignition 3.3.0 config, piece by piece: any Flatcar from 3185 on reads it.

use std::io::{Read, Write};

use anyhow::{Context, Result};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::read::GzDecoder;
use flate2::{Compression, GzBuilder};
use ignition_config::v3_3::{
    Config, Directory, Dropin, File, IgnitionConfig, Link, Passwd, Proxy, Resource, Storage,
    Systemd, Unit, User, Verification,
};
use serde_json::Value;

use super::size::ConfigPart;
use ha_kube::Secret;

/// Texts longer than this are compressed: below it gzip's header and base64 eat the gain.
const COMPRESS_ABOVE: usize = 4096;
const DATA_URL: &str = "data:;base64,";

/// A config in the making.
#[derive(Default)]
pub struct ConfigBuilder {
    config: Config,
    storage: Storage,
    units: Vec<Unit>,
}

impl ConfigBuilder {
    pub fn dir(&mut self, path: &str, mode: u32) {
        let mut dir = Directory::new(path.to_owned());
        dir.mode = Some(i64::from(mode));
        self.storage.directories.get_or_insert_default().push(dir);
    }

    /// A file with this text; it replaces what the image has there.
    pub fn file(&mut self, path: &str, mode: u32, text: &str) -> Result<()> {
        let contents = inline_resource(text)?;
        self.push_file(path, mode, contents);
        Ok(())
    }

    /// A file with these bytes, which are compressed already.
    pub fn packed_file(&mut self, path: &str, mode: u32, bytes: &[u8]) {
        let source = Some(data_url(bytes));
        let contents = Resource {
            source,
            ..Resource::default()
        };
        self.push_file(path, mode, contents);
    }

    /// A file fetched from a URL and checked by its hash.
    pub fn fetched(&mut self, path: &str, mode: u32, url: &str, sha256: &str) {
        let verification = Some(Verification {
            hash: Some(format!("sha256-{sha256}")),
        });
        self.push_file(
            path,
            mode,
            Resource {
                source: Some(url.to_owned()),
                verification,
                ..Resource::default()
            },
        );
    }

    fn push_file(&mut self, path: &str, mode: u32, contents: Resource) {
        let mut file = File::new(path.to_owned());
        file.mode = Some(i64::from(mode));
        file.overwrite = Some(true);
        file.contents = Some(contents);
        self.storage.files.get_or_insert_default().push(file);
    }

    pub fn link(&mut self, path: &str, target: &str) {
        let mut link = Link::new(path.to_owned());
        link.target = Some(target.to_owned());
        link.overwrite = Some(true);
        self.storage.links.get_or_insert_default().push(link);
    }

    /// A unit of systemd's, enabled.
    pub fn unit(&mut self, name: &str, text: &str) {
        let unit = self.known_unit(name);
        unit.contents = Some(text.to_owned());
        unit.enabled = Some(true);
    }

    /// Enables a unit that the image has.
    pub fn enable(&mut self, name: &str) {
        self.known_unit(name).enabled = Some(true);
    }

    /// Takes a unit of the image out of use: nothing can start it.
    pub fn mask(&mut self, name: &str) {
        self.known_unit(name).mask = Some(true);
    }

    /// More for a unit that the image has.
    pub fn dropin(&mut self, unit: &str, name: &str, text: &str) {
        let mut dropin = Dropin::new(name.to_owned());
        dropin.contents = Some(text.to_owned());
        let unit = self.known_unit(unit);
        unit.dropins.get_or_insert_default().push(dropin);
    }

    /// Ignition refuses a config that names a unit twice.
    fn known_unit(&mut self, name: &str) -> &mut Unit {
        let at = self.units.iter().position(|u| u.name == name);
        let at = at.unwrap_or_else(|| {
            self.units.push(Unit::new(name.to_owned()));
            self.units.len() - 1
        });
        &mut self.units[at]
    }

    /// SSH keys of Flatcar's user, each once: Ignition refuses a config that says one twice.
    pub fn authorized_keys(&mut self, keys: &[String]) {
        let mut once: Vec<String> = Vec::with_capacity(keys.len());
        for key in keys {
            if !once.contains(key) {
                once.push(key.clone());
            }
        }
        let mut user = User::new("core".to_owned());
        user.ssh_authorized_keys = Some(once);
        self.config.passwd = Some(Passwd {
            users: Some(vec![user]),
            ..Passwd::default()
        });
    }

    /// Another whole config; where both say something, this one wins (Ignition merges children first).
    pub fn merge(&mut self, text: &str) -> Result<()> {
        let config = self
            .config
            .ignition
            .config
            .get_or_insert_with(IgnitionConfig::default);
        config
            .merge
            .get_or_insert_default()
            .push(inline_resource(text)?);
        Ok(())
    }

    /// What Ignition itself fetches goes through these.
    pub fn proxy<'a>(
        &mut self,
        http: Option<&str>,
        https: Option<&str>,
        except: impl Iterator<Item = &'a str>,
    ) {
        self.config.ignition.proxy = Some(Proxy {
            http_proxy: http.map(str::to_owned),
            https_proxy: https.map(str::to_owned),
            no_proxy: Some(except.map(|one| Some(one.to_owned())).collect()),
        });
    }

    /// The file or the user's config that takes most of the text.
    pub fn largest(&self) -> Option<ConfigPart> {
        let length = |source: Option<&String>| source.map_or(0, String::len);
        let files = self.storage.files.iter().flatten().map(|file| {
            let contents = file.contents.as_ref();
            (
                file.path.clone(),
                length(contents.and_then(|c| c.source.as_ref())),
            )
        });
        let merges = self.config.ignition.config.iter();
        let merges = merges.flat_map(|c| c.merge.iter().flatten()).enumerate();
        let merges = merges.map(|(index, merge)| {
            let name = format!("ignition.merge[{index}]");
            (name, length(merge.source.as_ref()))
        });
        files.chain(merges).max_by_key(|(_, bytes)| *bytes)
    }

    /// The config's text, without the `null`s of the generated types.
    pub fn finish(mut self) -> Result<Secret> {
        self.config.storage = Some(self.storage);
        if !self.units.is_empty() {
            self.config.systemd = Some(Systemd {
                units: Some(self.units),
            });
        }
        let mut value = serde_json::to_value(&self.config)?;
        remove_nulls(&mut value);
        Ok(Secret::new(serde_json::to_string(&value)?))
    }
}

pub(super) fn inline_resource(text: &str) -> Result<Resource> {
    if text.len() <= COMPRESS_ABOVE {
        return Ok(Resource {
            source: Some(data_url(text.as_bytes())),
            ..Resource::default()
        });
    }
    // No time stamp: the same input gives the same config.
    let mut gzip = GzBuilder::new()
        .mtime(0)
        .write(Vec::new(), Compression::best());
    gzip.write_all(text.as_bytes())?;
    let (source, compression) = (Some(data_url(&gzip.finish()?)), Some("gzip".to_owned()));
    Ok(Resource {
        source,
        compression,
        ..Resource::default()
    })
}

/// The text of what [`inline_resource`] made.
pub(super) fn inline_text(resource: &Resource) -> Result<String> {
    let source = resource.source.as_deref().unwrap_or_default();
    let encoded = source
        .strip_prefix(DATA_URL)
        .context("its content is not a data URL that this program wrote")?;
    let bytes = STANDARD.decode(encoded)?;
    if resource.compression.as_deref() != Some("gzip") {
        return Ok(String::from_utf8(bytes)?);
    }
    let mut text = String::new();
    GzDecoder::new(&bytes[..]).read_to_string(&mut text)?;
    Ok(text)
}

fn data_url(bytes: &[u8]) -> String {
    DATA_URL.to_owned() + &STANDARD.encode(bytes)
}

pub(super) fn remove_nulls(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|_, v| !v.is_null());
            map.values_mut().for_each(remove_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(remove_nulls),
        _ => {}
    }
}
