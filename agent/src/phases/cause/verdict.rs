//! Which of the facts is told, and whether it is final. Pure.

use std::collections::BTreeMap;

use super::refusal::refused_origin;
use super::{Beneath, FailedBeneath, Phase};
use crate::kube::KUBELET;

/// The static pods, each after those that it cannot live without.
pub const STATIC_PODS: [&str; 4] = [
    "etcd",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
];
/// A run that ends this soon has refused its start: who waits for another program gives it ten seconds or more.
const AT_START_MS: u64 = 5_000;
/// So many such runs with the same last word end alike for ever.
const ALIKE: usize = 3;
/// A run that has said its predecessors' last word and nothing for so long has ended like them.
const SILENT_MS: u64 = 3_000;

/// One run of a program, as its log shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// Which one: earlier runs have smaller ids.
    pub id: String,
    /// How many runs were before it.
    pub number: u32,
    /// Its last telling line, without what differs from run to run.
    pub word: String,
    /// Its first and its last line, milliseconds since 1970.
    pub first_ms: u64,
    pub last_ms: u64,
    /// Whether it is known to have ended.
    pub ended: bool,
}

impl Run {
    fn is_short(&self) -> bool {
        self.last_ms.saturating_sub(self.first_ms) < AT_START_MS
    }
}

/// What was found beneath kubeadm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    pub beneath: Beneath,
    /// It has ended thrice alike.
    pub is_alike: bool,
}

impl Found {
    /// What etcd finds at a join changes with the next attempt, which removes what this one left in the member list.
    pub fn to_error(&self, phase: Phase) -> FailedBeneath {
        let may_change = phase == Phase::Join && self.beneath.part == "etcd";
        FailedBeneath {
            found: self.beneath.clone(),
            is_final: self.is_alike && !may_change,
        }
    }
}

/// Takes in a run, or what is new of one that has not ended.
pub fn remember_run(runs: &mut BTreeMap<String, Vec<Run>>, name: &str, run: Run) {
    let known = runs.entry(name.to_owned()).or_default();
    match known.iter_mut().find(|old| old.id == run.id) {
        Some(old) if old.ended => {}
        Some(old) => *old = run,
        None => known.push(run),
    }
    known.sort_by_key(|run| run.first_ms);
    let newest = known.len().saturating_sub(1);
    for (at, run) in known.iter_mut().enumerate() {
        run.ended |= at < newest;
    }
}

/// The first thing that is wrong, in the order in which things hang on each other. `complaint` is the kubelet's of a static pod
/// that never ran. `begin_ms` is when kubeadm started: what ended only before that may be mended.
pub fn find_failed_program(
    runs: &BTreeMap<String, Vec<Run>>,
    kubelet_is_active: bool,
    complaint: Option<(&str, Beneath)>,
    begin_ms: u64,
    now_ms: u64,
) -> Option<Found> {
    let of = |name: &str| runs.get(name).map_or(&[][..], Vec::as_slice);
    if !kubelet_is_active
        && let Some(found) = repeatedly_ended("kubelet", of(KUBELET), 1, begin_ms, now_ms)
    {
        return Some(found);
    }
    STATIC_PODS.into_iter().find_map(|name| {
        let of_kubelet = complaint.as_ref().filter(|(pod, _)| *pod == name);
        repeatedly_ended(name, of(name), 2, begin_ms, now_ms).or_else(|| {
            of_kubelet.map(|(_, beneath)| Found {
                beneath: beneath.clone(),
                is_alike: false,
            })
        })
    })
}

/// A program that has ended `least` times or more, as its runs show it.
fn repeatedly_ended(
    part: &str,
    runs: &[Run],
    least: u32,
    begin_ms: u64,
    now_ms: u64,
) -> Option<Found> {
    let has_ended = |at: usize| has_ended(runs, at, now_ms);
    let ended: Vec<&Run> = (0..runs.len())
        .filter(|at| has_ended(*at))
        .map(|at| &runs[at])
        .collect();
    let (first, last) = (ended.first()?, ended.last()?);
    let times = last.number + 1;
    if times < least || last.last_ms < begin_ms {
        return None;
    }
    let alike = ended.iter().rev();
    let alike = alike.take_while(|run| run.word == last.word && run.is_short());
    let alike = alike.count();
    let at_start = if last.is_short() { " at its start" } else { "" };
    let how_often = match (times, first.number) {
        (1, _) => String::new(),
        (_, 0) => {
            let seconds = last.last_ms.saturating_sub(first.first_ms) / 1000;
            format!(", {times} times in {seconds} s")
        }
        _ => format!(", {times} times"),
    };
    let beneath = Beneath {
        part: part.to_owned(),
        does: format!("exits{at_start}{how_often}"),
        word: last.word.clone(),
        origin: refused_origin(part, &last.word),
    };
    Some(Found {
        beneath,
        is_alike: alike >= ALIKE,
    })
}

/// A later run shows that it ended, or it fell silent where its predecessors ended.
fn has_ended(runs: &[Run], at: usize, now_ms: u64) -> bool {
    let run = &runs[at];
    let before = at.checked_sub(1).and_then(|before| runs.get(before));
    let is_alike = before.is_some_and(|before| before.word == run.word && before.is_short());
    let silent = now_ms.saturating_sub(run.last_ms) >= SILENT_MS;
    run.ended || (is_alike && run.is_short() && silent)
}

/// kubeadm would refuse it at init or join too, and nothing on this machine changes it.
pub fn config_refused(why: &str) -> FailedBeneath {
    let word = crate::sys::telling::bare_words(why);
    let found = Beneath {
        part: "kubeadm".to_owned(),
        does: "refuses its configuration".to_owned(),
        origin: refused_origin("kubeadm", &word),
        word,
    };
    FailedBeneath {
        found,
        is_final: true,
    }
}

#[cfg(test)]
mod tests;
