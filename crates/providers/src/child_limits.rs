//! How many child processes a provider has at once: a host's daemon, or its sshd (MaxStartups 10:30:100), refuses whoever comes
//! with a hundred questions, and each child costs this process descriptors.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, LazyLock, Mutex, PoisonError};

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Children that talk to one host: below the ten connections at which an sshd begins to drop some.
const AT_ONE_HOST: usize = 8;
/// Children in all.
const IN_ALL: usize = 32;
/// Open files that are enough: some programs walk all numbers that they may have.
const OPEN_FILES: u64 = 1 << 16;

static ALL: LazyLock<Arc<Slots>> = LazyLock::new(|| Slots::new(IN_ALL));
static HOSTS: LazyLock<Mutex<BTreeMap<String, Arc<Slots>>>> = LazyLock::new(Mutex::default);

/// Waits until one more child may talk to a host. Its slot is free again when this is dropped.
pub fn slot_at_host(host: &str) -> (Slot, Slot) {
    let slots = {
        let mut hosts = HOSTS.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || Slots::new(AT_ONE_HOST);
        hosts.entry(host.to_owned()).or_insert_with(new).clone()
    };
    // The host's first: who waits for a busy host keeps nobody from another.
    (slots.take(), take_slot())
}

/// Waits until one more child may run here.
pub fn take_slot() -> Slot {
    ALL.take()
}

/// So many of something at once.
#[derive(Debug)]
struct Slots {
    free: Mutex<usize>,
    freed: Condvar,
}

/// One of them, taken.
#[derive(Debug)]
pub struct Slot(Arc<Slots>);

impl Slots {
    fn new(free: usize) -> Arc<Self> {
        Arc::new(Self {
            free: Mutex::new(free),
            freed: Condvar::new(),
        })
    }

    fn take(self: &Arc<Self>) -> Slot {
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.freed.wait_while(free, |free| *free == 0);
        *waited.unwrap_or_else(PoisonError::into_inner) -= 1;
        Slot(self.clone())
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        *self.0.free.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.0.freed.notify_one();
    }
}

/// Raises the limit of open files as far as this user may: two hundred nodes have pipes and event files beyond the usual 1024.
pub fn raise_open_files() {
    // Who may not raise it has fewer nodes at once, and a message that says so then.
    if let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
        let wanted = hard.min(OPEN_FILES);
        if soft < wanted {
            let _ = setrlimit(Resource::RLIMIT_NOFILE, wanted, hard);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn who_finds_no_slot_waits_until_one_is_free() {
        let slots = Slots::new(1);
        let first = slots.take();
        let (tell, told) = mpsc::channel();
        let waiting = std::thread::spawn(move || {
            let second = slots.take();
            tell.send(()).unwrap();
            drop(second);
        });
        assert!(told.try_recv().is_err(), "the first one is still taken");
        drop(first);
        told.recv().unwrap();
        waiting.join().unwrap();
    }

    #[test]
    fn open_files_are_raised_to_what_is_allowed() {
        let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        let low = hard.min(1024);
        setrlimit(Resource::RLIMIT_NOFILE, low, hard).unwrap();
        raise_open_files();
        let raised = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        assert_eq!(raised, (hard.min(OPEN_FILES), hard));
    }
}
