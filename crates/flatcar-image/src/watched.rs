//! A reader that counts, hashes, shows how far it is, and ends when somebody wants an end.

use std::io::{self, Read};
use std::sync::Mutex;

use ha_host_base::interrupt::Interrupt;
use ha_host_base::text::hex_digits;
use sha2::{Digest, Sha256};

use super::progress::{Bar, Step};

/// A reader of a file of known length.
pub struct WatchedReader<'a, R> {
    inner: R,
    sum: Sha256,
    count: u64,
    // Never contended: OpenPGP's reader wants what it reads from to be Sync.
    bar: Mutex<&'a mut dyn Bar>,
    stop: &'a Interrupt,
}

impl<'a, R: Read> WatchedReader<'a, R> {
    pub fn new(
        inner: R,
        step: Step,
        total: u64,
        bar: &'a mut dyn Bar,
        stop: &'a Interrupt,
    ) -> WatchedReader<'a, R> {
        bar.begin(step, Some(total));
        Self {
            inner,
            sum: Sha256::new(),
            count: 0,
            bar: Mutex::new(bar),
            stop,
        }
    }

    /// How many bytes were read.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Ends the step: the SHA-256 of what was read, in hex.
    pub fn finish(self) -> String {
        if let Ok(bar) = self.bar.into_inner() {
            bar.end();
        }
        finished_sum(self.sum)
    }
}

impl<R: Read> Read for WatchedReader<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.stop.asked() {
            // Not `Interrupted`: readers try that again.
            return Err(io::Error::other("interrupted"));
        }
        let n = self.inner.read(buffer)?;
        self.sum.update(&buffer[..n]);
        self.count += n as u64;
        if let Ok(bar) = self.bar.get_mut() {
            bar.at(self.count);
        }
        Ok(n)
    }
}

/// A finished sum as people compare it.
pub fn finished_sum(sum: Sha256) -> String {
    hex_digits(&sum.finalize())
}
