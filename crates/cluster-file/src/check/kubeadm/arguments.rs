//! `extraArgs` of the control plane's programs, as they are written.

use super::given::Given;
use crate::diagnostic::Fault;
use crate::file::ClusterFile;
use crate::yaml::Value;

/// A program that kubeadm runs as a static pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Program {
    Apiserver,
    ControllerManager,
    Scheduler,
    Etcd,
}

impl Program {
    pub const ALL: [Self; 4] = [
        Self::Apiserver,
        Self::ControllerManager,
        Self::Scheduler,
        Self::Etcd,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Apiserver => "kube-apiserver",
            Self::ControllerManager => "kube-controller-manager",
            Self::Scheduler => "kube-scheduler",
            Self::Etcd => "etcd",
        }
    }

    /// Its settings in the file.
    pub fn settings(self, file: &ClusterFile) -> Option<Given<'_>> {
        let find = |key| Given::find(&file.kubernetes.cluster_configuration, key);
        match self {
            Self::Apiserver => find("apiServer"),
            Self::ControllerManager => find("controllerManager"),
            Self::Scheduler => find("scheduler"),
            Self::Etcd => find("etcd")?.get("local"),
        }
    }

    /// What is known of an argument; none: nothing.
    pub fn flag(self, name: &str) -> Option<Flag> {
        self.known_flags().find(|flag| flag.name == name)
    }

    /// Every argument that this program has in one of the known minors.
    pub fn known_flags(self) -> impl Iterator<Item = Flag> {
        Flag::list(self.flags())
    }

    /// What `--help` lists with the types that it says, of Kubernetes 1.34.4 and 1.36.3 with their etcd 3.6; 1.35.4, 1.37.2 and
    /// etcd 3.7.0 by their sources (etcd 3.7.0's `--help` lists `discovery`, which it refuses). Behind the type the minors of
    /// Kubernetes that have it, if not all.
    fn flags(self) -> &'static str {
        match self {
            Self::Apiserver => include_str!("flags/kube-apiserver.txt"),
            Self::ControllerManager => include_str!("flags/kube-controller-manager.txt"),
            Self::Scheduler => include_str!("flags/kube-scheduler.txt"),
            Self::Etcd => include_str!("flags/etcd.txt"),
        }
    }
}

/// An argument that a program has.
#[derive(Debug, Clone, Copy)]
pub(super) struct Flag {
    pub name: &'static str,
    /// Type of its values.
    pub kind: &'static str,
    /// The first minor of Kubernetes whose program has it; none: all that are known.
    pub since: Option<u32>,
    /// The last one; none: all later ones.
    pub until: Option<u32>,
}

impl Flag {
    /// One a line, less comments.
    pub fn list(lines: &'static str) -> impl Iterator<Item = Self> {
        let lines = lines.lines().filter(|line| !line.starts_with('#'));
        lines.filter_map(Self::parse)
    }

    /// `NAME TYPE`, or with `1.36-` or `-1.36` behind it.
    fn parse(line: &'static str) -> Option<Self> {
        let mut words = line.split(' ');
        let (name, kind) = (words.next()?, words.next()?);
        let range = words.next().and_then(|range| range.split_once('-'));
        let minor = |text: &str| text.strip_prefix("1.")?.parse().ok();
        Some(Self {
            name,
            kind,
            since: range.and_then(|(since, _)| minor(since)),
            until: range.and_then(|(_, until)| minor(until)),
        })
    }

    pub fn is_in(&self, minor: u32) -> bool {
        self.since.is_none_or(|since| since <= minor)
            && self.until.is_none_or(|until| minor <= until)
    }
}

/// One argument, as a list's item or in the older form of a mapping.
#[derive(Debug, Clone)]
pub(super) struct Argument<'f> {
    pub program: Program,
    pub name: String,
    /// Its value as written; empty: none is given.
    pub text: String,
    /// What faults of the value are shown at.
    pub value: Given<'f>,
    /// What faults of the name are shown at.
    pub named: Given<'f>,
}

impl<'f> Argument<'f> {
    /// All arguments of a program.
    pub fn read_all(program: Program, file: &'f ClusterFile) -> Vec<Self> {
        let settings = program.settings(file);
        let Some(arguments) = settings.and_then(|settings| settings.get("extraArgs")) else {
            return Vec::new();
        };
        let make = |name: &str, named: Given<'f>, value: Given<'f>| Argument {
            program,
            // Said of the form already.
            name: name.trim_start_matches('-').to_owned(),
            text: value.text().unwrap_or_default().to_owned(),
            value,
            named,
        };
        if let Value::Map(_) = arguments.node.value {
            let entries = arguments.entries().into_iter();
            return entries
                .map(|(key, value)| make(&key.name, value.clone(), value))
                .collect();
        }
        let of_item = |item: Given<'f>| {
            let named = item.get("name")?;
            let value = item.get("value").unwrap_or_else(|| item.clone());
            Some(make(named.text()?, named, value))
        };
        arguments.items().into_iter().filter_map(of_item).collect()
    }

    /// A fault of its value. The message goes on after the program and the argument.
    pub fn error(&self, message: impl AsRef<str>, help: impl Into<String>) -> Fault {
        let shown = format!("{}'s {}={}", self.program.name(), self.name, self.text);
        let message = format!("{shown} {}", message.as_ref());
        Fault::error(self.value.node.place, &self.value.path, message, help)
    }

    pub fn name_error(&self, message: String, help: impl Into<String>) -> Fault {
        Fault::error(self.named.node.place, &self.named.path, message, help)
    }
}
